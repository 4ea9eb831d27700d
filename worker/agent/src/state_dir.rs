//! What a worker keeps across restarts besides its reports: its name, and the number of its last
//! session. A lock keeps a second process out.
//!
//! Must not know the network or the reports.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tracing::warn;

use crate::durable;

/// How long the disk may take over the number of a session, for which everything else waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// The file with the number of the last session.
const SESSION: &str = "session";
/// The longest name of a worker, characters.
pub const MAX_NAME: usize = 128;

/// A state directory that cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another process works on it.
    #[error(
        "another worker is running on {}; stop it, or give this one a state directory of its own \
         with --state-dir", .0.display()
    )]
    Locked(PathBuf),
    /// A file in it cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// An exclusively held state directory. The lock ends with the value, or with the process.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    /// The number of the last session, of this process or an earlier one; 0 if there was none.
    session: u64,
    /// Whether that number is nowhere but here.
    unstored: bool,
    /// The disk's answer to an earlier number, if there is none yet.
    storing: Option<Receiver<Result<(), StateError>>>,
    lock: File,
}

impl StateDir {
    /// Creates the directory where it is missing, locks it, and reads the number of the last session.
    ///
    /// # Errors
    /// When another process holds it or it cannot be written.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(root).map_err(StateError::io("create", root))?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(StateError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                root: root.to_owned(),
                session: stored_session(&root.join(SESSION)),
                unstored: false,
                storing: None,
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => Err(StateError::io("lock", &path)(error)),
        }
    }

    /// What tells processes that work for this directory from those of all others on this machine.
    ///
    /// # Errors
    /// When the system does not say which file the lock is.
    pub fn mark(&self) -> Result<String, StateError> {
        let path = self.root.join("lock");
        let lock = self.lock.metadata().map_err(StateError::io("look at", &path))?;
        Ok(format!("{:x}-{:x}", lock.dev(), lock.ino()))
    }

    /// Where finished reports are kept.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.root.join("outbox")
    }

    /// The worker's name: `wanted`, else the one kept here, else a new one, which is kept.
    ///
    /// # Errors
    /// When the name cannot be stored.
    pub fn name(&self, wanted: Option<&str>) -> Result<String, StateError> {
        let path = self.root.join("name");
        if let Some(name) = wanted {
            return Ok(name.to_owned());
        }
        match fs::read_to_string(&path) {
            Ok(text) if is_name(text.trim()) => return Ok(text.trim().to_owned()),
            Ok(text) => {
                warn!(file = %path.display(), content = ?text, "not a worker name: taking a new one");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(file = %path.display(), %error, "unreadable: taking a new name"),
        }
        let name = new_name(&host());
        store(&path, &name)?;
        Ok(name)
    }

    /// The number of a new session: `now_micros` (microseconds of Unix time), but always more than
    /// any number given before.
    ///
    /// A disk that does not take it is warned about and keeps nobody from working: within this process the
    /// numbers grow all the same. The next process then goes on from the last number that was stored, and from
    /// the clock, which has gone on meanwhile. What remains is a clock that is set back by more than that
    /// before the restart: coordinators refuse the new process until it has caught up.
    pub fn next_session(&mut self, now_micros: u64) -> u64 {
        let session = now_micros.max(self.session.saturating_add(1));
        self.session = session;
        match self.store_in_time(self.root.join(SESSION), session) {
            Ok(()) => self.unstored = false,
            Err(error) if !self.unstored => {
                warn!(
                    "the number of a session is not kept ({error}); free some space or mend the disk \
                     before the clock is ever set back"
                );
                self.unstored = true;
            }
            Err(_) => {}
        }
        session
    }

    /// A disk that does not answer is not waited for, and gets no second number before it has answered.
    fn store_in_time(&mut self, path: PathBuf, session: u64) -> Result<(), StateError> {
        let silent = || io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
        if let Some(storing) = self.storing.take()
            && let Err(TryRecvError::Empty) = storing.try_recv()
        {
            self.storing = Some(storing);
            return Err(StateError::io("write", &path)(silent()));
        }
        let (say, storing) = mpsc::channel();
        let file = path.clone();
        // Nobody listens any more if the process ends.
        thread::spawn(move || drop(say.send(store(&file, &session.to_string()))));
        match storing.recv_timeout(PATIENCE) {
            Ok(stored) => stored,
            Err(RecvTimeoutError::Timeout) => {
                self.storing = Some(storing);
                Err(StateError::io("write", &path)(silent()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let source = io::Error::other("the thread that writes it has ended");
                Err(StateError::io("write", &path)(source))
            }
        }
    }
}

fn store(path: &Path, text: &str) -> Result<(), StateError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    durable::replace(path, format!("{text}\n").as_bytes())
        .and_then(|()| durable::sync_directory(directory))
        .map_err(StateError::io("write", path))
}

/// The number that an earlier process has left; 0 if there is none.
fn stored_session(path: &Path) -> u64 {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().unwrap_or_else(|_| {
            warn!(file = %path.display(), content = ?text, "not a session number: ignored");
            0
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => {
            warn!(file = %path.display(), %error, "unreadable session number: ignored");
            0
        }
    }
}

/// Whether `text` can name a worker: 1 to [`MAX_NAME`] letters, digits, `-`, `_` and `.`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn new_name(host: &str) -> String {
    let prefix: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .take(64)
        .collect();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let prefix = if prefix.is_empty() { "worker" } else { &prefix };
    format!("{prefix}-{}", &unique[..12])
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let first = StateDir::open(root.path()).unwrap();
        let error = StateDir::open(root.path()).unwrap_err();
        assert!(matches!(error, StateError::Locked(_)), "{error}");
        assert!(error.to_string().contains("--state-dir"));
        drop(first);
        StateDir::open(root.path()).unwrap();
    }

    #[test]
    fn a_new_name_is_kept_and_a_wanted_one_wins() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path()).unwrap();
        let name = state.name(None).unwrap();
        assert!(is_name(&name), "{name}");
        assert_eq!(state.name(None).unwrap(), name);
        assert_eq!(state.name(Some("left")).unwrap(), "left");
        drop(state);
        assert_eq!(StateDir::open(root.path()).unwrap().name(None).unwrap(), name);
    }

    #[test]
    fn two_workers_of_one_host_have_different_names() {
        assert_ne!(new_name("node 7"), new_name("node 7"));
        assert!(new_name("node 7").starts_with("node-7-"));
        assert!(is_name(&new_name(&"ü".repeat(300))));
        assert!(new_name("").starts_with("worker-"));
    }

    #[test]
    fn sessions_only_grow_even_if_the_clock_steps_back_or_the_process_restarts() {
        let root = tempfile::tempdir().unwrap();
        let mut state = StateDir::open(root.path()).unwrap();
        assert_eq!(state.next_session(1_000), 1_000);
        assert_eq!(state.next_session(1_000), 1_001);
        assert_eq!(state.next_session(10), 1_002);
        drop(state);
        let mut state = StateDir::open(root.path()).unwrap();
        assert_eq!(state.next_session(500), 1_003);
        assert_eq!(state.next_session(2_000), 2_000);
    }

    #[test]
    fn sessions_grow_also_while_the_disk_takes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut state = StateDir::open(root.path()).unwrap();
        assert_eq!(state.next_session(1_000), 1_000);
        // Nothing can be written in its place.
        let obstacle = root.path().join("session.tmp");
        fs::create_dir(&obstacle).unwrap();
        assert_eq!(state.next_session(1_000), 1_001);
        assert_eq!(state.next_session(900), 1_002);
        assert_eq!(state.next_session(2_000), 2_000);
        assert_eq!(fs::read_to_string(root.path().join("session")).unwrap(), "1000\n");
        drop(state);
        // The clock takes the place of what was not stored.
        let mut state = StateDir::open(root.path()).unwrap();
        assert_eq!(state.next_session(3_000), 3_000);
        fs::remove_dir(&obstacle).unwrap();
        assert_eq!(state.next_session(10), 3_001);
        drop(state);
        let mut state = StateDir::open(root.path()).unwrap();
        assert_eq!(state.next_session(10), 3_002);
    }

    /// A pipe that nobody reads takes the place of a disk that does not answer: opening it waits.
    #[test]
    fn sessions_grow_also_while_the_disk_does_not_answer() {
        let root = tempfile::tempdir().unwrap();
        let mut state = StateDir::open(root.path()).unwrap();
        let pipe = root.path().join("session.tmp");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(state.next_session(1_000), 1_000);
        assert_eq!(state.next_session(1_000), 1_001);
        let reader = File::open(&pipe).unwrap();
        fs::remove_file(&pipe).unwrap();
        // The answer comes at some time; the next number is stored then.
        while state.storing.as_ref().is_some_and(|storing| storing.try_recv().is_err()) {
            thread::yield_now();
        }
        state.storing = None;
        drop(reader);
        assert_eq!(state.next_session(1_000), 1_002);
        assert_eq!(fs::read_to_string(root.path().join("session")).unwrap(), "1002\n");
    }

    #[test]
    fn broken_files_are_replaced() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("session"), "\0\0\0").unwrap();
        fs::write(root.path().join("name"), "no name/at all").unwrap();
        let mut state = StateDir::open(root.path()).unwrap();
        assert_eq!(state.next_session(7), 7);
        let name = state.name(None).unwrap();
        assert!(is_name(&name));
        assert_eq!(state.name(None).unwrap(), name);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateDir::open(&file.join("state")).unwrap_err();
        assert!(error.to_string().contains("file/state"), "{error}");
    }
}
