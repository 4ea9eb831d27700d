//! The journal on disk or in memory: append in one transaction, read from a position.
//!
//! A store keeps what it is given in order and never interprets it beyond the projections that it
//! writes for readers. It must not know the engine's rules.

pub mod memory;
pub mod place;
pub mod postgres;
pub mod record;
pub mod rows;
mod specs;
pub mod sqlite;
pub mod tokens;

#[cfg(test)]
mod backups;
#[cfg(test)]
mod contract;
#[cfg(test)]
#[path = "../../tests/postgres_server/mod.rs"]
#[expect(dead_code, reason = "other users need the rest")]
mod postgres_server;

use std::path::PathBuf;
use std::sync::Arc;

use cambrian_core::engine::Event;
use cambrian_core::id::CampaignId;
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::Timestamp;
use cambrian_proto::convert::ConvertError;
use thiserror::Error;

use place::Place;
use rows::Row;

/// How many records are read at once when a whole journal is walked through.
pub const READ_BATCH: usize = 4096;

/// A record of the journal.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its position, from 1 without gaps.
    pub sequence: u64,
    /// When the event happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The journal, with one writer.
pub trait Store: Send {
    /// The position of the last record, 0 if there is none.
    fn sequence(&self) -> u64;

    /// Adds durable events after position `expected`, all or none, and writes the projections with
    /// them; returns the new last position. What it returned for is on the disk.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was added unless the error itself was lost on the way, so that the
    /// caller has to read the journal again.
    fn append(&mut self, expected: u64, batch: &[(Timestamp, Event)]) -> Result<u64, StoreError>;

    /// Is told a campaign of the journal, so that it need not read the specification within an append.
    fn know(&mut self, _campaign: CampaignId, _spec: &Arc<CampaignSpec>) {}

    /// At most `limit` records after position `after`, in order; empty at the end.
    ///
    /// # Errors
    /// [`StoreError`] if a record is missing, damaged or cannot be understood.
    fn read_from(&self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError>;

    /// Whether the store still takes appends, as far as is known without asking anybody. What is
    /// said to others while it does not may be out of date.
    ///
    /// # Errors
    /// [`StoreError::Deposed`] or [`StoreError::Lapsed`].
    fn standing(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The tokens that are kept beside the journal, on connections of their own; without a file
    /// they end with the process.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be opened.
    fn tokens(&self) -> Result<tokens::Register, StoreError> {
        tokens::Register::in_memory()
    }
}

/// A store whose projections can be read back.
pub trait Tables: Store {
    /// Runs `read` on one unchanging snapshot, however much is written meanwhile.
    ///
    /// # Errors
    /// Those of `read`, and failures of the database.
    fn on_snapshot<R, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&Self) -> Result<R, E>,
    ) -> Result<R, E>;

    /// Visits every row of a projection in the order of its keys.
    ///
    /// # Errors
    /// Failures of the database.
    fn visit_rows<R: Row>(&self, visit: impl FnMut(R)) -> Result<(), StoreError>;

    /// A text as a projection holds it.
    fn kept(text: String) -> String {
        text
    }
}

/// Walks through the whole journal.
///
/// # Errors
/// Those of [`Store::read_from`].
pub fn for_each(store: &dyn Store, mut visit: impl FnMut(Stored)) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let batch = store.read_from(after, READ_BATCH)?;
        let Some(last) = batch.last() else { return Ok(()) };
        after = last.sequence;
        batch.into_iter().for_each(&mut visit);
    }
}

/// A file of a store that may not be used as it was to be, with whose it is.
#[derive(Debug, Error)]
#[error(
    "{}: {problem}; {} belongs to {owner}, and this process runs as {user}: give it to that user \
     (`chown`), or use the owner's account", .path.display(), .found.display()
)]
pub struct AnothersFile {
    /// The file.
    pub path: PathBuf,
    /// What could not be done.
    pub problem: String,
    /// What is another user's: the file, one that belongs to it, or its folder.
    pub found: PathBuf,
    /// Whose it is.
    pub owner: String,
    /// Who asks.
    pub user: String,
}

/// Why a store could not do what it was asked for.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The journal's end is elsewhere: somebody else has written, or an append was lost.
    #[error("the journal ends at record {found}, not {expected}: another writer may be at work")]
    Conflict {
        /// Where the caller believed it to end.
        expected: u64,
        /// Where it ends.
        found: u64,
    },
    /// A volatile event was to be stored.
    #[error("a volatile event has no place in the journal: {0}")]
    Volatile(String),
    /// A record is missing in the middle.
    #[error("record {expected} of the journal is missing; the next one is {found}")]
    Gap {
        /// The position that should come next.
        expected: u64,
        /// The position that does.
        found: u64,
    },
    /// A record is not what was written.
    #[error("record {sequence} of the journal is damaged: {reason}")]
    Damaged {
        /// Its position.
        sequence: u64,
        /// What is wrong.
        reason: String,
    },
    /// A record does not say what a record may say.
    #[error(
        "record {sequence} of the journal cannot be understood ({source}); if a later release wrote it, \
         use that or a later one"
    )]
    Unreadable {
        /// Its position.
        sequence: u64,
        /// The field and what is wrong with it.
        source: ConvertError,
    },
    /// A record says more than this release knows.
    #[error(
        "record {sequence} of the journal was written by a later release and says what this one does \
         not know; use that release or a later one"
    )]
    Later {
        /// Its position.
        sequence: u64,
    },
    /// The place belongs to another program.
    #[error("{0} is not a Cambrian store; choose another place")]
    Foreign(Place),
    /// The store was written by a later release.
    #[error(
        "{place} has schema version {found}, this release knows up to {supported}; use the release \
         that wrote it or a later one"
    )]
    Newer {
        /// The store.
        place: Place,
        /// Its version.
        found: i64,
        /// The latest version known here.
        supported: i64,
    },
    /// The store was written by an earlier release and may only be read.
    #[error(
        "{place} has schema version {found}, expected {expected}; use the release that wrote it, or start \
         the coordinator of this release on it once, which brings it up to date (of a backup, on a copy)"
    )]
    Older {
        /// The store.
        place: Place,
        /// Its version.
        found: i64,
        /// The version known here.
        expected: i64,
    },
    /// Another coordinator has the file.
    #[error("{} is in use by another coordinator", .0.display())]
    Locked(PathBuf),
    /// The file would lie on a file system whose locks cannot be relied upon.
    #[error(
        "{} lies on a network file system ({kind}), where a database gets damaged; choose a local \
         path", .path.display()
    )]
    NetworkFileSystem {
        /// The file.
        path: PathBuf,
        /// The kind of file system.
        kind: String,
    },
    /// The file or its directory cannot be used.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file, or one that belongs to it, is another user's.
    #[error(transparent)]
    Owner(Box<AnothersFile>),
    /// The database refused.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Another coordinator leads: nothing was written, and nothing will be.
    #[error("another coordinator has taken over; what epoch {epoch} would write is refused")]
    Deposed {
        /// The epoch that is over; 0 for a store that never led.
        epoch: i64,
    },
    /// The lease was not renewed in time, so that another coordinator may have taken over.
    #[error("the leadership of epoch {epoch} could not be renewed in time")]
    Lapsed {
        /// The epoch.
        epoch: i64,
    },
    /// The database of PostgreSQL refused, or cannot be reached.
    #[error("the database failed: {0}")]
    Postgres(#[source] postgres::PostgresError),
    /// The URL cannot be used.
    #[error("{place}: {problem}")]
    Url {
        /// The URL, without its password.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// A step of the schema is not the one that this release knows.
    #[error(
        "{place}: step {step} of its schema is not that of this release; use the release that \
         made it"
    )]
    Altered {
        /// The store.
        place: Place,
        /// The step.
        step: i64,
    },
    /// A column does not hold what it should.
    #[error("the database's column {column} cannot be read: {problem}")]
    Column {
        /// Its position in the query, from 0.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// A test's own failure.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether the store may not be written by this process any more.
    #[must_use]
    pub fn is_loss_of_leadership(&self) -> bool {
        matches!(self, Self::Deposed { .. } | Self::Lapsed { .. })
    }

    /// Whether a coordinator that has been running waits for it to pass: another one leads, the database
    /// is away, or what it is reached by (a password, a certificate) is just being replaced.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let is_denied = matches!(self, Self::Postgres(error) if error.is_denied());
        self.is_loss_of_leadership()
            || self.is_outage()
            || is_denied
            || matches!(self, Self::Url { .. })
    }

    /// Whether the database is away and may come back by itself.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.is_outage())
    }
}
