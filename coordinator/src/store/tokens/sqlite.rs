//! The tokens in SQLite. A connection for reading never waits for the one that writes.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cambrian_core::time::Timestamp;
use cambrian_transport::token::{TokenHash, TokenId};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::{Claim, TokenError, TokenRecord, Tokens};
use crate::store::StoreError;
use crate::store::sqlite::schema;

/// How long a statement waits for the journal's writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const COLUMNS: &str = "id, role, name, hash, created_at, expires_at, revoked_at";

pub(super) struct SqliteTokens {
    /// Never waits for a writer.
    reader: Arc<Mutex<Connection>>,
    /// The same as the reader in memory.
    writer: Arc<Mutex<Connection>>,
}

impl SqliteTokens {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let reader = Arc::new(Mutex::new(connect(path)?));
        let writer = Arc::new(Mutex::new(connect(path)?));
        Ok(Self { reader, writer })
    }

    pub(super) fn in_memory() -> Result<Self, StoreError> {
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
}

impl Tokens for SqliteTokens {
    fn insert(&self, record: &TokenRecord, hash: &TokenHash) -> Result<bool, TokenError> {
        let inserted = self.writer().execute(
            "INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL) ON CONFLICT DO NOTHING",
            params![
                record.id.0,
                record.role.name(),
                record.name,
                hash.0,
                record.created_at.0,
                record.expires_at.map(|at| at.0)
            ],
        )?;
        Ok(inserted == 1)
    }

    fn list(&self) -> Result<Vec<TokenRecord>, TokenError> {
        let reader = self.reader();
        let mut statement = reader
            .prepare_cached(&format!("SELECT {COLUMNS} FROM tokens ORDER BY created_at, id"))?;
        let rows = statement.query_map([], |row| read(row).map(|(record, _)| record))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn find(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenHash)>, TokenError> {
        find(&self.reader(), id)
    }

    fn revoke(&self, id: TokenId, now: Timestamp) -> Result<Option<TokenRecord>, TokenError> {
        let writer = self.writer();
        writer.execute(
            "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            params![id.0, now.0],
        )?;
        Ok(find(&writer, id)?.map(|(record, _)| record))
    }

    fn claim_worker(
        &self,
        worker: &str,
        holder: &str,
        most: u32,
        now: Timestamp,
    ) -> Result<Claim, TokenError> {
        // Workers that come back all at once must not wait for the journal's writer.
        let present = holder_of(&self.reader(), worker)?;
        if present.as_deref() == Some(holder) {
            return Ok(Claim::Held);
        }
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match holder_of(&transaction, worker)? {
            Some(present) if present == holder => return Ok(Claim::Held),
            Some(present) if has_good_token(&transaction, &present, now)? => {
                return Ok(Claim::Elses(present));
            }
            Some(_) | None => {}
        }
        let names: u32 = transaction
            .prepare_cached("SELECT count(*) FROM worker_holders WHERE holder = ?1")?
            .query_row([holder], |row| row.get(0))?;
        if names >= most {
            return Ok(Claim::Full);
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

fn holder_of(connection: &Connection, worker: &str) -> Result<Option<String>, TokenError> {
    let mut statement =
        connection.prepare_cached("SELECT holder FROM worker_holders WHERE worker = ?1")?;
    Ok(statement.query_row([worker], |row| row.get(0)).optional()?)
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
