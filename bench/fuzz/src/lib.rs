//! Readers of what comes from outside as functions of bytes: none may panic, hang or take memory
//! without bound, whatever the bytes are.
//!
//! A new reader is one entry of [`TARGETS`]; readers of data sets and checkpoints
//! are in `libfuzzer/src/files.rs`. The tests feed each with mutations of valid inputs;
//! `libfuzzer` beside this package feeds them millions, guided by coverage. Must not check what a
//! reader makes of its input beyond what every input must hold.

use std::path::{Path, PathBuf};

mod configuration;
mod messages;
mod recorded;

/// A reader with what it is fed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Reads; panics where a property that holds for every input is violated.
    pub read: fn(&[u8]),
    /// Valid inputs, from which mutations begin.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every reader.
pub const TARGETS: [Target; 11] = [
    Target { name: "campaign", read: configuration::campaign, seeds: configuration::campaigns },
    Target {
        name: "coordinator_config",
        read: configuration::coordinator,
        seeds: configuration::coordinators,
    },
    Target { name: "worker_config", read: configuration::worker, seeds: configuration::workers },
    Target { name: "artifact", read: configuration::artifact, seeds: configuration::artifacts },
    Target { name: "database", read: configuration::database, seeds: configuration::databases },
    Target { name: "token", read: configuration::token, seeds: configuration::tokens },
    Target { name: "graph", read: messages::graph, seeds: messages::graphs },
    Target { name: "worker_message", read: messages::worker, seeds: messages::workers },
    Target { name: "assignment", read: messages::assignment, seeds: messages::assignments },
    Target { name: "journal", read: messages::journal, seeds: recorded::records },
    Target { name: "evaluator_stream", read: messages::stream, seeds: messages::streams },
];

/// The reader of this name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// Calls `read` with a file that holds `bytes`.
pub fn with_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    let path = scratch();
    if std::fs::write(&path, bytes).is_ok() {
        read(&path);
        let _ = std::fs::remove_file(path);
    }
}

/// A file of this thread, in memory where the system has such a place.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    folder.join(format!("cambrian-fuzz-{}-{:?}", std::process::id(), std::thread::current().id()))
}
