//! The tokens in SQLite. A connection for reading never waits for the one that writes, which takes
//! turns with the journal's.
//!
//! Must not know a token itself, of which only the hash comes here.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cambrian_core::time::Timestamp;
use cambrian_transport::token::{TokenHash, TokenId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::claims::{Claims, Waiting, Wanted};
use super::{Claim, TokenError, TokenRecord, Tokens};
use crate::store::StoreError;
use crate::store::sqlite::turns::{Turn, Turns};
use crate::store::sqlite::{owner, schema, set_for_writing};

/// How long a statement waits for a writer in another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const COLUMNS: &str = "id, role, name, hash, created_at, expires_at, revoked_at";

/// The right to write.
struct Writing<'t> {
    /// Ends before the next one gets the connection and asks for a turn of its own.
    _turn: Turn<'t>,
    connection: MutexGuard<'t, Connection>,
}

pub(super) struct SqliteTokens {
    /// Never waits for a writer.
    reader: Arc<Mutex<Connection>>,
    /// The same as the reader in memory.
    writer: Arc<Mutex<Connection>>,
    /// Those of the file.
    turns: Arc<Turns>,
    claims: Claims,
}

impl SqliteTokens {
    /// The tables in a file that another writer of this process may write, by the same turns.
    pub(super) fn open(path: &Path, turns: Arc<Turns>) -> Result<Self, StoreError> {
        let reader = Arc::new(Mutex::new(connect(path)?));
        let writer = Arc::new(Mutex::new(connect(path)?));
        Ok(Self { reader, writer, turns, claims: Claims::default() })
    }

    pub(super) fn in_memory() -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        schema::migrate(&mut connection, 0)?;
        let shared = Arc::new(Mutex::new(connection));
        let (reader, writer) = (shared.clone(), shared);
        Ok(Self { reader, writer, turns: Arc::default(), claims: Claims::default() })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until tokens may be written. The connection comes first, so that all who would write tokens
    /// have one turn among them.
    fn writing(&self) -> Writing<'_> {
        let connection = self.writer();
        Writing { _turn: self.turns.take(), connection }
    }
}

impl Tokens for SqliteTokens {
    fn insert(&self, record: &TokenRecord, hash: &TokenHash) -> Result<bool, TokenError> {
        let writing = self.writing();
        let inserted = writing.connection.execute(
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
        let writing = self.writing();
        writing.connection.execute(
            "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            params![id.0, now.0],
        )?;
        Ok(find(&writing.connection, id)?.map(|(record, _)| record))
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
        let (worker, holder) = (worker.to_owned(), holder.to_owned());
        let wanted = Wanted { worker, holder, most, now };
        let transact =
            |writing: &mut Writing<'_>, claims: &[_]| decide_all(&mut writing.connection, claims);
        self.claims.settle(wanted, || self.writing(), transact).map_err(TokenError::Shared)
    }
}

fn decide_all(
    connection: &mut Connection,
    claims: &[Arc<Waiting>],
) -> Result<Vec<Claim>, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let decided = claims.iter().map(|claim| decide(&transaction, &claim.wanted));
    let decided = decided.collect::<Result<_, _>>()?;
    transaction.commit()?;
    Ok(decided)
}

fn decide(transaction: &Transaction<'_>, wanted: &Wanted) -> Result<Claim, StoreError> {
    let Wanted { worker, holder, most, now } = wanted;
    match holder_of(transaction, worker)? {
        Some(present) if present == *holder => return Ok(Claim::Held),
        Some(present) if has_good_token(transaction, &present, *now)? => {
            return Ok(Claim::Elses(present));
        }
        Some(_) | None => {}
    }
    let names: u32 = transaction
        .prepare_cached("SELECT count(*) FROM worker_holders WHERE holder = ?1")?
        .query_row([holder], |row| row.get(0))?;
    if names >= *most {
        return Ok(Claim::Full);
    }
    transaction
        .prepare_cached("INSERT OR REPLACE INTO worker_holders VALUES (?1, ?2, ?3)")?
        .execute(params![worker, holder, now.0])?;
    Ok(Claim::Held)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    open(path).map_err(|error| owner::named(path, error))
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let found = schema::version(&connection, path)?;
    let expected = schema::SCHEMA_VERSION;
    if found != expected {
        return Err(StoreError::Older { place: path.into(), found, expected });
    }
    set_for_writing(&connection)?;
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

fn holder_of(connection: &Connection, worker: &str) -> Result<Option<String>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT holder FROM worker_holders WHERE worker = ?1")?;
    Ok(statement.query_row([worker], |row| row.get(0)).optional()?)
}

fn has_good_token(
    connection: &Connection,
    holder: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
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

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::super::claims::TOGETHER;
    use super::*;
    use crate::store::sqlite::SqliteStore;

    fn until(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !what() {
            assert!(Instant::now() < deadline, "it does not come to that");
            thread::yield_now();
        }
    }

    #[test]
    fn claims_that_wait_share_a_transaction_and_let_the_journal_write_between_two() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cambrian.db");
        drop(SqliteStore::open(&path).unwrap());
        let turns = Arc::new(Turns::default());
        let tokens = SqliteTokens::open(&path, turns.clone()).unwrap();
        let names = 3 * TOGETHER + 8;
        let left_at_turn = thread::scope(|scope| {
            let (tokens, turns) = (&tokens, &turns);
            let held = turns.take();
            for name in 0..names {
                scope.spawn(move || {
                    let most = u32::MAX;
                    let claim =
                        tokens.claim_worker(&format!("gpu-{name}"), "site", most, Timestamp(1));
                    assert_eq!(claim.unwrap(), Claim::Held);
                });
            }
            until(|| tokens.claims.len() == names && turns.ahead() == 2);
            let journal = scope.spawn(|| {
                let _turn = turns.take();
                tokens.claims.len()
            });
            until(|| turns.ahead() == 3);
            drop(held);
            journal.join().unwrap()
        });
        assert_eq!(left_at_turn, names - TOGETHER, "one transaction has come before");
        assert_eq!(tokens.claims.len(), 0);
        let written = "SELECT count(*) FROM worker_holders";
        let written: usize = tokens.reader().query_row(written, [], |row| row.get(0)).unwrap();
        assert_eq!(written, names);
    }

    #[test]
    fn claims_whose_transaction_fails_hear_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cambrian.db");
        drop(SqliteStore::open(&path).unwrap());
        let tokens = SqliteTokens::open(&path, Arc::default()).unwrap();
        tokens.writer().execute_batch("DROP TABLE worker_holders").unwrap();
        let claim = tokens.claims.add(wanted("gpu-1"));
        tokens.claims.add(wanted("gpu-2"));
        tokens.claims.decide(&mut *tokens.writer(), decide_all);
        let error = claim.outcome.get().cloned().unwrap().map_err(TokenError::Shared).unwrap_err();
        assert!(error.to_string().contains("worker_holders"), "{error}");
        assert_eq!(tokens.claims.len(), 0);
    }

    #[test]
    fn claims_of_one_transaction_know_of_each_other() {
        let tokens = SqliteTokens::in_memory().unwrap();
        let claims = ["a", "b", "a", "c"].map(|worker| tokens.claims.add(wanted(worker)));
        tokens.claims.decide(&mut *tokens.writer(), decide_all);
        let outcomes = claims.map(|claim| claim.outcome.get().cloned().unwrap().unwrap());
        assert_eq!(outcomes, [Claim::Held, Claim::Held, Claim::Held, Claim::Full]);
    }

    fn wanted(worker: &str) -> Wanted {
        Wanted { worker: worker.into(), holder: "site".into(), most: 2, now: Timestamp(1) }
    }
}
