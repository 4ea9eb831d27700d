//! The coordinator of a run, inside this process, at a free port of the loopback interface.
//!
//! Its log goes to a file of the run. Nothing else here knows the coordinator's library.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use cambrian_coordinator::config::{ArtifactSettings, Config, Quarantine};
use cambrian_coordinator::handle::Handle;
use cambrian_coordinator::server::{ServeError, Server};
use tracing_subscriber::EnvFilter;

use super::directory::Directory;
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
}

impl Embedded {
    /// Starts it on the journal of `directory` and leaves its address in the file `endpoint`.
    ///
    /// # Errors
    /// When the journal cannot be used.
    pub(super) async fn start(directory: &Directory) -> Result<Self, CliError> {
        start_log(&directory.state("coordinator.log"))?;
        let journal = super::directory::journal(directory.root());
        let server = cambrian_coordinator::embedded::start(&journal, &settings())
            .await
            .map_err(|error| failed(&error))?;
        let endpoint = format!("http://{}", server.address());
        files::replace(&directory.state("endpoint"), format!("{endpoint}\n").as_bytes())?;
        Ok(Self { handle: server.handle().clone(), server, endpoint })
    }

    /// Where it listens.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns when it has ended by itself, which it does only if the journal fails.
    pub(super) async fn ended(&self) -> CliError {
        self.handle.ended().await;
        CliError::Coordinator("the journal cannot be written; see state/coordinator.log".to_owned())
    }

    /// Ends it after storing what has arrived.
    ///
    /// # Errors
    /// When the journal failed.
    pub(super) async fn stop(self) -> Result<(), CliError> {
        self.server.stop();
        self.server.join().await.map_err(|error| failed(&error))
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

fn failed(error: &ServeError) -> CliError {
    CliError::Coordinator(error.to_string())
}

fn start_log(path: &Path) -> Result<(), CliError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(CliError::io("open", path))?;
    let filter = std::env::var("CAMBRIAN_LOG").unwrap_or_else(|_| LOG.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(LOG));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .log_internal_errors(false)
        .try_init();
    started.map_err(|error| CliError::Internal(format!("cannot start the log: {error}")))
}
