//! The turn on a device: measurements run alone although several processes share the machine.
//!
//! Two lock files a device. Whoever works takes `work` shared for one short piece at a time and
//! passes through `turnstile` on the way; whoever measures holds `turnstile`, so that nobody new
//! gets past it, and then takes `work` alone as soon as the pieces in flight are done. Measurers
//! therefore never starve, and the locks of a process that dies vanish with it.
//!
//! Locks are tried again every millisecond rather than waited for, because a stop must end the
//! wait. It must not know what is measured.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use crate::failure::EvaluationError;

const PAUSE: Duration = Duration::from_millis(1);

/// A gate that cannot be used.
#[derive(Debug, Error)]
#[error(
    "the lock file {path} cannot be used ({source}); name a directory that all workers of this \
     machine can write to with --gate-dir",
    path = .path.display()
)]
pub struct GateError {
    path: PathBuf,
    source: io::Error,
}

/// One process's view of a device's two lock files.
#[derive(Debug)]
pub struct Gate {
    turnstile: File,
    work: File,
}

/// Permission for a short piece of work; ends when dropped.
#[derive(Debug)]
#[must_use]
pub struct Passage<'a>(&'a File);

/// The device alone; ends when dropped.
#[derive(Debug)]
#[must_use]
pub struct Quiet<'a> {
    gate: &'a Gate,
}

impl Gate {
    /// The gate of the device called `device` in `directory`, which is created if it is missing.
    ///
    /// # Errors
    /// [`GateError`] if the files cannot be opened for writing.
    pub fn open(directory: &Path, device: &str) -> Result<Self, GateError> {
        let fault = |source| GateError { path: directory.into(), source };
        if !directory.is_dir() {
            fs::create_dir_all(directory).map_err(fault)?;
            share_with_all(directory, 0o1777).map_err(fault)?;
        }
        let plain: String =
            device.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let open = |part: &str| -> Result<File, GateError> {
            let path = directory.join(format!("{plain}.{part}"));
            let file = OpenOptions::new().read(true).append(true).create(true).open(&path);
            let file = file.map_err(|source| GateError { path: path.clone(), source })?;
            // Only the owner can widen the rights; for anyone else they are wide already.
            let _ = share_with_all(&path, 0o666);
            Ok(file)
        };
        Ok(Self { turnstile: open("turnstile")?, work: open("work")? })
    }

    /// Waits until nobody measures, then lets a short piece of work through.
    ///
    /// # Errors
    /// [`EvaluationError::Stopped`] as soon as `stopped` says so, [`EvaluationError::BadNode`] if
    /// the system cannot lock.
    pub fn pass(&self, stopped: &dyn Fn() -> bool) -> Result<Passage<'_>, EvaluationError> {
        wait(|| self.turnstile.try_lock_shared(), stopped)?;
        let turnstile = Passage(&self.turnstile);
        wait(|| self.work.try_lock_shared(), stopped)?;
        drop(turnstile);
        Ok(Passage(&self.work))
    }

    /// Waits until the pieces of work in flight are done and keeps others out until dropped.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub fn close(&self, stopped: &dyn Fn() -> bool) -> Result<Quiet<'_>, EvaluationError> {
        wait(|| self.turnstile.try_lock(), stopped)?;
        let turnstile = Passage(&self.turnstile);
        wait(|| self.work.try_lock(), stopped)?;
        std::mem::forget(turnstile);
        Ok(Quiet { gate: self })
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        release(self.0);
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        release(&self.gate.work);
        release(&self.gate.turnstile);
    }
}

fn release(file: &File) {
    if let Err(error) = file.unlock() {
        // Nothing can be done here; the lock ends with the process at the latest.
        eprintln!("a lock of the gate could not be released: {error}");
    }
}

fn wait(
    mut attempt: impl FnMut() -> Result<(), TryLockError>,
    stopped: &dyn Fn() -> bool,
) -> Result<(), EvaluationError> {
    loop {
        if stopped() {
            return Err(EvaluationError::Stopped);
        }
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => {
                return Err(EvaluationError::BadNode(format!(
                    "the gate that keeps measurements alone on the device cannot be locked: {error}"
                )));
            }
        }
    }
}

fn share_with_all(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::SeqCst};

    fn never() -> bool {
        false
    }

    #[test]
    fn work_runs_side_by_side_and_measurements_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (working, measuring) = (AtomicI32::new(0), AtomicI32::new(0));
        let (together, measured) = (AtomicI32::new(0), AtomicU32::new(0));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let gate = Gate::open(directory.path(), "cpu").unwrap();
                    while !done.load(SeqCst) {
                        let passage = gate.pass(&never).unwrap();
                        together.fetch_max(working.fetch_add(1, SeqCst) + 1, SeqCst);
                        assert_eq!(measuring.load(SeqCst), 0);
                        thread::sleep(Duration::from_millis(1));
                        assert_eq!(measuring.load(SeqCst), 0);
                        working.fetch_sub(1, SeqCst);
                        drop(passage);
                    }
                });
            }
            // Measurers get their turn although workers never pause: this ends.
            let measurers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let gate = Gate::open(directory.path(), "cpu").unwrap();
                        for _ in 0..10 {
                            let quiet = gate.close(&never).unwrap();
                            assert_eq!(measuring.fetch_add(1, SeqCst), 0);
                            assert_eq!(working.load(SeqCst), 0);
                            thread::sleep(Duration::from_millis(1));
                            measuring.fetch_sub(1, SeqCst);
                            measured.fetch_add(1, SeqCst);
                            drop(quiet);
                        }
                    })
                })
                .collect();
            for measurer in measurers {
                measurer.join().unwrap();
            }
            done.store(true, SeqCst);
        });
        assert_eq!(measured.load(SeqCst), 20);
        assert!(together.load(SeqCst) > 1, "work never ran side by side");
    }

    #[test]
    fn a_stop_ends_the_wait_and_leaves_nothing_locked() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Gate::open(directory.path(), "cuda:0").unwrap();
        let (holder, waiter, third) = (open(), open(), open());
        let quiet = holder.close(&never).unwrap();
        assert!(matches!(waiter.pass(&|| true), Err(EvaluationError::Stopped)));
        drop(quiet);
        let passage = holder.pass(&never).unwrap();
        let polls = AtomicU32::new(0);
        let stop_later = || polls.fetch_add(1, SeqCst) > 3;
        assert!(matches!(waiter.close(&stop_later), Err(EvaluationError::Stopped)));
        // The waiter's turnstile is free again.
        drop(third.pass(&never).unwrap());
        drop(passage);
        drop(third.close(&never).unwrap());
    }

    #[test]
    fn devices_do_not_wait_for_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let cpu = Gate::open(directory.path(), "cpu").unwrap();
        let gpu = Gate::open(directory.path(), "GPU-1a/../b").unwrap();
        let _quiet = cpu.close(&never).unwrap();
        drop(gpu.close(&never).unwrap());
    }

    #[test]
    fn a_closed_file_frees_its_locks() {
        let directory = tempfile::tempdir().unwrap();
        let dead = Gate::open(directory.path(), "cpu").unwrap();
        std::mem::forget(dead.close(&never).unwrap());
        drop(dead);
        let gate = Gate::open(directory.path(), "cpu").unwrap();
        drop(gate.close(&never).unwrap());
    }

    #[test]
    fn an_unusable_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Gate::open(&file.join("below"), "cpu").unwrap_err().to_string();
        assert!(error.contains("below") && error.contains("--gate-dir"), "{error}");
    }
}
