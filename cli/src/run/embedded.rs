//! The coordinator of a run, inside this process, at a free port of the loopback interface.
//!
//! Its log goes to a file of the run. Nothing else of a run knows the coordinator's library. Must
//! not know the campaign or workers.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cambrian_coordinator::actor::ActorError;
use cambrian_coordinator::config::{ArtifactSettings, Config, Quarantine};
use cambrian_coordinator::handle::Handle;
use cambrian_coordinator::server::{ServeError, Server};
use cambrian_coordinator::store::StoreError;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use super::directory::Directory;
use super::log;
use crate::error::CliError;
use crate::files;

/// What is logged unless the variable `CAMBRIAN_LOG` says otherwise.
const LOG: &str = "info";

/// A running coordinator.
#[derive(Debug)]
pub(super) struct Embedded {
    server: Server,
    handle: Handle,
    endpoint: String,
    traces: Traces,
    /// Keeps the log bounded; ends with this.
    _log: JoinSet<()>,
}

impl Embedded {
    /// Starts it on the journal of `directory` and leaves its address in the file `endpoint`.
    ///
    /// # Errors
    /// When the journal cannot be used.
    pub(super) async fn start(directory: &Directory) -> Result<Self, CliError> {
        let traces = Traces::of(directory);
        start_log(&traces.log)?;
        let mut log = JoinSet::new();
        log.spawn(log::keep_bounded(traces.log.clone(), log::MOST));
        let journal = super::directory::journal(directory.root());
        let server = cambrian_coordinator::embedded::start(&journal, &settings())
            .await
            .map_err(|error| traces.failed(&error))?;
        let endpoint = format!("http://{}", server.address());
        files::replace(&directory.state("endpoint"), format!("{endpoint}\n").as_bytes())?;
        Ok(Self { handle: server.handle().clone(), server, endpoint, traces, _log: log })
    }

    /// Where it listens.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns when it has ended by itself, which it does only if the journal fails; [`Self::stop`] says
    /// why.
    pub(super) async fn ended(&self) -> CliError {
        self.handle.ended().await;
        let log = self.traces.log.display();
        CliError::Coordinator(format!("the journal cannot be written; see {log}"))
    }

    /// Ends it after storing what has arrived.
    ///
    /// # Errors
    /// When the journal failed.
    pub(super) async fn stop(self) -> Result<(), CliError> {
        self.server.stop();
        self.server.join().await.map_err(|error| self.traces.failed(&error))
    }
}

/// The state of trainings goes soon: its workers are on this machine, so that a report follows an upload
/// at once.
fn settings() -> Config {
    let artifacts = ArtifactSettings {
        sweep_seconds: 15.0,
        keep_seconds: 300.0,
        ..ArtifactSettings::default()
    };
    // The workers of one machine are no evidence against each other.
    let quarantine = Quarantine { failures: 0, ..Quarantine::default() };
    Config { artifacts, quarantine, ..Config::default() }
}

/// Where a run's coordinator leaves what it does; both paths are from the root, for messages.
#[derive(Debug, Clone)]
struct Traces {
    journal: PathBuf,
    log: PathBuf,
}

impl Traces {
    fn of(directory: &Directory) -> Self {
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self {
            journal: whole(super::directory::journal(directory.root())),
            log: whole(directory.state("coordinator.log")),
        }
    }

    fn failed(&self, error: &ServeError) -> CliError {
        let (ServeError::Store(found) | ServeError::Actor(ActorError::Store(found))) = error else {
            return CliError::Coordinator(error.to_string());
        };
        if is_full(found) {
            let Self { journal, log } = self.clone();
            return CliError::DiskFull { journal, log };
        }
        let (journal, log) = (self.journal.display(), self.log.display());
        CliError::Coordinator(format!("the journal {journal}: {found}; see {log}"))
    }
}

/// Whether the disk has no room left for the journal.
fn is_full(error: &StoreError) -> bool {
    let StoreError::Sqlite(error) = error else { return false };
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

fn start_log(path: &Path) -> Result<(), CliError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(CliError::io("open", path))?;
    // The parser of filters panics at some characters of several bytes.
    let filter = std::env::var("CAMBRIAN_LOG").ok().filter(|filter| filter.is_ascii());
    let filter = filter.unwrap_or_else(|| LOG.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(LOG));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .log_internal_errors(false)
        .try_init();
    started.map_err(|error| CliError::Internal(format!("cannot start the log: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite says when a file cannot grow.
    fn full() -> rusqlite::Error {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        database.pragma_update(None, "max_page_count", 1).unwrap();
        database.execute_batch("CREATE TABLE a (b); CREATE TABLE c (d)").unwrap_err()
    }

    #[test]
    fn a_full_disk_is_named_with_whole_paths() {
        let root = std::env::temp_dir();
        let traces = Traces { journal: root.join("journal.db"), log: root.join("c.log") };
        let full = ActorError::Store(StoreError::Sqlite(full()));
        let error = traces.failed(&ServeError::Actor(full));
        let text = error.to_string();
        assert!(text.contains("no space left on the disk"), "{text}");
        let names = |path: &Path| text.contains(&*path.to_string_lossy());
        assert!(names(&traces.journal) && names(&traces.log), "{text}");
        assert!(error.help().contains("make room"), "{}", error.help());
        let gap = StoreError::Gap { expected: 2, found: 3 };
        let text = traces.failed(&ServeError::Store(gap)).to_string();
        assert!(text.contains("journal.db: record 2 of the journal is missing"), "{text}");
    }
}
