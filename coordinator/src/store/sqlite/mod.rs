//! The journal and its projections in one SQLite file, with one writer.
//!
//! WAL with synchronous=FULL: what an append returned for survives a power failure. Readers of the
//! file, in this process or another, never block the writer.
//!
//! Must not know what an event means: `projection` does.

pub(super) mod owner;
mod place;
mod projection;
pub mod schema;
mod tables;
pub(super) mod turns;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cambrian_core::engine::Event;
use cambrian_core::id::CampaignId;
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::record::{decode, encode};
use super::rows::{Columns, Row};
use super::tokens::Register;
use super::{READ_BATCH, Store, StoreError, Stored, Tables};
use projection::Projector;
use tables::OpenTables;
use turns::Turns;

/// How long the write-ahead log grows before it is written back, pages of 4 KiB. Appends wait for that,
/// and a page that changes with every append is written back once.
const CHECKPOINT_PAGES: u32 = 4096;
/// How long the write-ahead log stays, bytes: one that has grown beside a long reader is cut to that when
/// it begins anew.
const KEPT_LOG_BYTES: u32 = 4 * CHECKPOINT_PAGES * 4096;
/// How long a statement waits for a reader that holds the file, or a writer in another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Enough for every statement of an append.
const CACHED_STATEMENTS: usize = 64;

/// A store in a file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    projector: Projector,
    sequence: u64,
    path: PathBuf,
    /// With the tokens, which are in the same file.
    turns: Arc<Turns>,
    /// Held for as long as the store may be written.
    _lock: Option<place::Lock>,
}

impl SqliteStore {
    /// Opens the store at `path` for writing, creating it and its directory if there is none and
    /// bringing an older one up to date if its journal can be read.
    ///
    /// # Errors
    /// [`StoreError`] if the file is not ours, newer, in use by another coordinator or on a
    /// network file system.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_to_write(path).map_err(|error| owner::named(path, error))
    }

    fn open_to_write(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File { path: path.to_owned(), source };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let real = place::without_links(path).map_err(failed)?;
        place::refuse_network_file_system(&real)?;
        let lock = place::lock(&real)?;
        let mut connection = Connection::open_with_flags(
            &real,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let version = schema::version(&connection, path)?;
        // What cannot be led must stay as the release left it that can.
        if (1..schema::SCHEMA_VERSION).contains(&version) {
            read_whole(&connection)?;
        }
        let _mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        set_for_writing(&connection)?;
        schema::migrate(&mut connection, version)?;
        Self::on(connection, &real, Some(lock))
    }

    /// Opens the store at `path` for reading, also while a coordinator writes it.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such file or it is not a store of this version.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let opened = match Self::open_to_read(path, path, OpenFlags::empty()) {
            // Beside a file whose log is not there SQLite makes one, also to read. Whoever may not do
            // that reads the file as it is: nobody writes one that has no log.
            Err(error) if owner::is_refusal(&error) && !place::has_log(path) => {
                let name = place::as_it_is(path);
                Self::open_to_read(path, &name, OpenFlags::SQLITE_OPEN_URI).map_err(|_| error)
            }
            opened => opened,
        };
        opened.map_err(|error| owner::named(path, error))
    }

    fn open_to_read(path: &Path, name: &Path, more: OpenFlags) -> Result<Self, StoreError> {
        // The database's own message for a missing file names no file.
        std::fs::metadata(path)
            .map_err(|source| StoreError::File { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(name, flags | more)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let found = schema::version(&connection, path)?;
        let expected = schema::SCHEMA_VERSION;
        if found != expected {
            return Err(StoreError::Older { place: path.into(), found, expected });
        }
        Self::on(connection, path, None)
    }

    fn on(
        connection: Connection,
        path: &Path,
        lock: Option<place::Lock>,
    ) -> Result<Self, StoreError> {
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        let sequence = last_sequence(&connection)?;
        let projector = Projector::default();
        let (path, turns) = (path.to_owned(), Arc::default());
        Ok(Self { connection, projector, sequence, path, turns, _lock: lock })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Tables for SqliteStore {
    fn on_snapshot<R, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&Self) -> Result<R, E>,
    ) -> Result<R, E> {
        let snapshot = self.connection.unchecked_transaction().map_err(StoreError::from)?;
        let result = read(self);
        snapshot.finish().map_err(StoreError::from)?;
        result
    }

    fn visit_rows<R: Row>(&self, mut visit: impl FnMut(R)) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(R::SELECT)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(R::read(row)?);
        }
        Ok(())
    }
}

impl Columns for rusqlite::Row<'_> {
    fn integer(&self, column: usize) -> Result<Option<i64>, StoreError> {
        Ok(self.get(column)?)
    }

    fn real(&self, column: usize) -> Result<Option<f64>, StoreError> {
        Ok(self.get(column)?)
    }

    fn text(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(self.get(column)?)
    }
}

impl SqliteStore {
    fn try_append(
        &mut self,
        expected: u64,
        batch: &[(Timestamp, Event)],
    ) -> Result<u64, StoreError> {
        let _turn = self.turns.take();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = last_sequence(&transaction)?;
        self.sequence = found;
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        let mut sequence = expected;
        {
            let mut tables = OpenTables::new(&transaction);
            for (at, event) in batch {
                sequence += 1;
                let record = encode(sequence, *at, event)?;
                let row = params![sequence, at.0, record.kind, record.bytes, record.checksum];
                tables.execute("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
                self.projector.project(&mut tables, *at, event)?;
            }
            self.projector.flush(&mut tables)?;
        }
        transaction.commit()?;
        self.sequence = sequence;
        Ok(sequence)
    }
}

/// What each connection needs that writes to the file.
pub(super) fn set_for_writing(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", KEPT_LOG_BYTES)?;
    Ok(())
}

fn last_sequence(connection: &Connection) -> Result<u64, StoreError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT sequence FROM journal ORDER BY sequence DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.map_or(0, |sequence| sequence as u64))
}

impl Store for SqliteStore {
    fn tokens(&self) -> Result<Register, StoreError> {
        Register::open_in_turns(&self.path, self.turns.clone())
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn append(&mut self, expected: u64, batch: &[(Timestamp, Event)]) -> Result<u64, StoreError> {
        let appended = self.try_append(expected, batch);
        match appended {
            Ok(_) => self.projector.keep(),
            Err(_) => self.projector.undo(),
        }
        appended
    }

    fn know(&mut self, campaign: CampaignId, spec: &Arc<CampaignSpec>) {
        self.projector.know(campaign, spec);
    }

    fn read_from(&self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        read_from(&self.connection, after, limit)
    }
}

/// Whether every record of the journal can be read.
fn read_whole(connection: &Connection) -> Result<(), StoreError> {
    let mut after = 0;
    while let Some(last) = read_from(connection, after, READ_BATCH)?.last() {
        after = last.sequence;
    }
    Ok(())
}

fn read_from(connection: &Connection, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, record, checksum, at_micros, kind FROM journal WHERE sequence > ?1 \
         ORDER BY sequence LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, limit as u64])?;
    let mut records = Vec::new();
    let mut expected = after;
    while let Some(row) = rows.next()? {
        expected += 1;
        let found: u64 = row.get(0)?;
        if found != expected {
            return Err(StoreError::Gap { expected, found });
        }
        let stored = decode(found, row.get_ref(1)?.as_blob().unwrap_or_default(), row.get(2)?)?;
        let (at, kind): (u64, String) = (row.get(3)?, row.get(4)?);
        if at != stored.at.0 || kind != super::record::kind(&stored.event) {
            let reason = "its columns contradict it".to_owned();
            return Err(StoreError::Damaged { sequence: found, reason });
        }
        records.push(stored);
    }
    Ok(records)
}
