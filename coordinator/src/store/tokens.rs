//! The tokens that a coordinator knows, and whose the names of workers are: two tables beside the
//! journal, on connections of their own.
//!
//! They are no part of the journal: a replay needs to know what was decided, not who was let in.
//! Must not know what a role allows.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cambrian_core::time::{Span, Timestamp};
use cambrian_proto::convert::MAX_NAME_BYTES;
use cambrian_transport::token::{Token, TokenHash, TokenId};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use thiserror::Error;

use super::sqlite::schema;
use crate::access::Role;
use crate::store::StoreError;

/// How long a statement waits for the journal's writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const COLUMNS: &str = "id, role, name, hash, created_at, expires_at, revoked_at";

/// Why the tokens cannot be read or changed.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The database refused.
    #[error("the tokens cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The system has no randomness.
    #[error("the system has no random numbers for a token: {0}")]
    Random(String),
    /// The holder's name cannot be one.
    #[error("`{0}` is no name: write 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_`, `.` or `@`")]
    Name(String),
    /// There is no such token.
    #[error("there is no token {0}")]
    Unknown(TokenId),
}

/// What is known of a token; never the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its public part.
    pub id: TokenId,
    /// What it is for.
    pub role: Role,
    /// Whose it is; campaigns and workers belong to this name, so a second token of the same name
    /// takes over from the first.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// The outcome of a claim on a worker's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The name is the claimant's.
    Held,
    /// The name belongs to this holder.
    Elses(String),
}

/// The tables; copies share them.
#[derive(Debug, Clone)]
pub struct Register {
    /// Never waits for a writer.
    reader: Arc<Mutex<Connection>>,
    /// The same as the reader in memory.
    writer: Arc<Mutex<Connection>>,
}

impl Register {
    /// The tables in the store at `path`, which has to exist and be of this version.
    ///
    /// # Errors
    /// [`StoreError`] if it does not, or is not.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let reader = Arc::new(Mutex::new(connect(path)?));
        let writer = Arc::new(Mutex::new(connect(path)?));
        Ok(Self { reader, writer })
    }

    /// Empty tables that end with the process.
    ///
    /// # Errors
    /// [`StoreError`] if the database has no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        schema::migrate(&mut connection, 0)?;
        let shared = Arc::new(Mutex::new(connection));
        Ok(Self { reader: shared.clone(), writer: shared })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a token for `name`; without `valid` it holds until it is revoked. What is returned is
    /// the only copy.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn create(
        &self,
        role: Role,
        name: &str,
        valid: Option<Span>,
        now: Timestamp,
    ) -> Result<(Token, TokenRecord), TokenError> {
        if !is_name(name) {
            return Err(TokenError::Name(name.chars().take(80).collect()));
        }
        let writer = self.writer();
        loop {
            let token = Token::generate().map_err(|error| TokenError::Random(error.to_string()))?;
            let record = TokenRecord {
                id: token.id(),
                role,
                name: name.to_owned(),
                created_at: now,
                expires_at: valid.map(|valid| now + valid),
                revoked_at: None,
            };
            let inserted = writer.execute(
                "INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL) ON CONFLICT DO NOTHING",
                params![
                    record.id.0,
                    role.name(),
                    name,
                    token.hash().0,
                    now.0,
                    record.expires_at.map(|at| at.0)
                ],
            )?;
            // Public parts are drawn at random; a taken one is drawn again.
            if inserted == 1 {
                return Ok((token, record));
            }
        }
    }

    /// Every token, in order of creation.
    ///
    /// # Errors
    /// [`TokenError::Sqlite`].
    pub fn list(&self) -> Result<Vec<TokenRecord>, TokenError> {
        let reader = self.reader();
        let mut statement = reader
            .prepare_cached(&format!("SELECT {COLUMNS} FROM tokens ORDER BY created_at, id"))?;
        let rows = statement.query_map([], |row| read(row).map(|(record, _)| record))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A token with its hash.
    ///
    /// # Errors
    /// [`TokenError::Sqlite`].
    pub fn find(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenHash)>, TokenError> {
        find(&self.reader(), id)
    }

    /// Refuses a token from now on. One that is revoked stays as it is.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn revoke(&self, id: TokenId, now: Timestamp) -> Result<TokenRecord, TokenError> {
        let writer = self.writer();
        writer.execute(
            "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            params![id.0, now.0],
        )?;
        find(&writer, id)?.map(|(record, _)| record).ok_or(TokenError::Unknown(id))
    }

    /// Gives a worker's name to `holder`, unless it belongs to somebody else who has a token of a
    /// worker (or an administrator) that is good now.
    ///
    /// # Errors
    /// [`TokenError::Sqlite`].
    pub fn claim_worker(
        &self,
        worker: &str,
        holder: &str,
        now: Timestamp,
    ) -> Result<Claim, TokenError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let present: Option<String> = transaction
            .query_row("SELECT holder FROM worker_holders WHERE worker = ?1", [worker], |row| {
                row.get(0)
            })
            .optional()?;
        match present {
            Some(present) if present == holder => return Ok(Claim::Held),
            Some(present) if has_good_token(&transaction, &present, now)? => {
                return Ok(Claim::Elses(present));
            }
            Some(_) | None => {}
        }
        transaction.execute(
            "INSERT OR REPLACE INTO worker_holders VALUES (?1, ?2, ?3)",
            params![worker, holder, now.0],
        )?;
        transaction.commit()?;
        Ok(Claim::Held)
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let found = schema::version(&connection, path)?;
    let expected = schema::SCHEMA_VERSION;
    if found != expected {
        return Err(StoreError::Older { place: path.into(), found, expected });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn find(
    connection: &Connection,
    id: TokenId,
) -> Result<Option<(TokenRecord, TokenHash)>, TokenError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE id = ?1"))?;
    Ok(statement.query_row([id.0], read).optional()?)
}

fn has_good_token(
    connection: &Connection,
    holder: &str,
    now: Timestamp,
) -> Result<bool, TokenError> {
    Ok(connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM tokens WHERE name = ?1 AND role IN ('worker', 'admin') AND \
         revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2))",
        params![holder, now.0],
        |row| row.get(0),
    )?)
}

fn read(row: &Row<'_>) -> Result<(TokenRecord, TokenHash), rusqlite::Error> {
    let role: String = row.get(1)?;
    let role = role.parse().map_err(|what: String| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, what.into())
    })?;
    let instant = |column| row.get::<_, Option<u64>>(column).map(|at| at.map(Timestamp));
    let record = TokenRecord {
        id: TokenId(row.get(0)?),
        role,
        name: row.get(2)?,
        created_at: Timestamp(row.get(4)?),
        expires_at: instant(5)?,
        revoked_at: instant(6)?,
    };
    Ok((record, TokenHash(row.get(3)?)))
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SqliteStore;

    fn registers() -> (tempfile::TempDir, [Register; 2]) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cambrian.db");
        drop(SqliteStore::open(&path).unwrap());
        let registers = [Register::in_memory().unwrap(), Register::open(&path).unwrap()];
        (directory, registers)
    }

    #[test]
    fn tokens_are_kept_as_hashes_and_found_by_their_public_part() {
        let (directory, registers) = registers();
        for register in &registers {
            let (token, record) =
                register.create(Role::View, "ada", Some(Span(5)), Timestamp(10)).unwrap();
            let (found, hash) = register.find(token.id()).unwrap().unwrap();
            assert_eq!(found, record);
            assert_eq!(found.expires_at, Some(Timestamp(15)));
            assert!(hash.is_of(&token));
            assert!(!hash.is_of(&Token::generate().unwrap()));
            assert_eq!(register.list().unwrap(), [record]);
            let secret = token.reveal();
            for file in std::fs::read_dir(directory.path()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                let secret = &secret.as_bytes()[13..];
                assert!(!bytes.windows(secret.len()).any(|window| window == secret));
            }
        }
    }

    #[test]
    fn a_revocation_is_seen_at_once_on_every_connection() {
        let (directory, [_, register]) = registers();
        let other = Register::open(&directory.path().join("cambrian.db")).unwrap();
        let (token, _) = register.create(Role::Admin, "ada", None, Timestamp(1)).unwrap();
        assert_eq!(other.revoke(token.id(), Timestamp(7)).unwrap().revoked_at, Some(Timestamp(7)));
        assert_eq!(other.revoke(token.id(), Timestamp(9)).unwrap().revoked_at, Some(Timestamp(7)));
        let (found, _) = register.find(token.id()).unwrap().unwrap();
        assert_eq!(found.revoked_at, Some(Timestamp(7)));
        let unknown = TokenId(token.id().0 ^ 1);
        assert!(matches!(other.revoke(unknown, Timestamp(9)), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn a_workers_name_belongs_to_the_first_holder_while_they_have_a_good_token() {
        let (_directory, registers) = registers();
        for register in registers {
            let create = |name, valid| {
                register.create(Role::Worker, name, valid, Timestamp(0)).unwrap().0.id()
            };
            let claim = |name, at| register.claim_worker("gpu", name, Timestamp(at)).unwrap();
            create("ada", Some(Span(100)));
            let second = create("ada", None);
            create("eve", None);
            assert_eq!(claim("ada", 1), Claim::Held);
            assert_eq!(claim("ada", 2), Claim::Held);
            assert_eq!(claim("eve", 3), Claim::Elses("ada".into()));
            assert_eq!(claim("eve", 200), Claim::Elses("ada".into()), "the second one holds");
            register.revoke(second, Timestamp(201)).unwrap();
            assert_eq!(claim("eve", 202), Claim::Held);
            assert_eq!(claim("ada", 203), Claim::Elses("eve".into()));
        }
    }

    #[test]
    fn names_that_could_mislead_are_refused() {
        let register = Register::in_memory().unwrap();
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for bad in ["", "a b", "a\nb", "ада", long.as_str()] {
            let refused = register.create(Role::View, bad, None, Timestamp(0));
            assert!(matches!(refused, Err(TokenError::Name(_))), "{bad}");
        }
        assert!(register.list().unwrap().is_empty());
    }
}
