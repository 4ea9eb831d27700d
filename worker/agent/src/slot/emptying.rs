//! The emptying of a slot's folder before a process starts in it: one at a time, whoever waits for it.
//!
//! A thread that the disk holds cannot be stopped, and deletes whatever it finds when the disk answers. So no
//! process starts, and no second thread begins, before the first has ended. Must not know what is in a folder
//! or how it is removed.

use std::io;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// How long the disk may take to empty a folder before the start of a process is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The emptying that has not ended, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Emptying(Option<JoinHandle<io::Result<()>>>);

impl Emptying {
    /// Waits for the emptying that goes on, or else begins `work`. Whoever gives up waiting, also by dropping
    /// this, leaves it to the next.
    pub(super) async fn done(
        &mut self,
        patience: Duration,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let running = self.0.get_or_insert_with(|| spawn_blocking(work));
        let Ok(ended) = timeout(patience, running).await else {
            let why = format!(
                "after {patience:?} it still goes on: the disk does not answer, or very much is in it"
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        };
        self.0 = None;
        ended.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::super::confine;
    use super::*;

    #[tokio::test]
    async fn an_emptying_that_was_given_up_takes_nothing_of_whoever_starts_next() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("0");
        let mut emptying = Emptying::default();
        let (answer, disk) = mpsc::channel();
        let slow = folder.clone();
        let given_up = emptying.done(Duration::ZERO, move || {
            disk.recv().unwrap();
            confine::empty_folder(&slow)
        });
        assert_eq!(given_up.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let second = || -> io::Result<()> { panic!("a second one beside the first") };
        let error = emptying.done(Duration::ZERO, second).await.unwrap_err();
        assert!(error.to_string().contains("still goes on"), "{error}");
        answer.send(()).unwrap();
        emptying.done(PATIENCE, second).await.unwrap();
        fs::write(folder.join("of the evaluator"), "").unwrap();
        // Nothing is left that would take it away; the next start does.
        assert!(emptying.0.is_none());
        let next = folder.clone();
        emptying.done(PATIENCE, move || confine::empty_folder(&next)).await.unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
