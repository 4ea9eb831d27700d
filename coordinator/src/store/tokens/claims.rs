//! Claims on workers' names that wait for a file to be written: those that wait together share a
//! transaction. Must not know how a claim is decided.
//!
//! A transaction costs a flush of the disk, whatever it holds, and all workers of a new fleet come at
//! once, each with a name that nobody has claimed before. One of those who wait writes for the others as
//! well, and meanwhile the next ones gather.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use cambrian_core::time::Timestamp;

use super::Claim;
use crate::store::StoreError;

/// How many share a transaction at most: the journal waits for it.
pub(super) const TOGETHER: usize = 64;

/// Who claims what.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) worker: String,
    pub(super) holder: String,
    /// How many names the holder may have.
    pub(super) most: u32,
    pub(super) now: Timestamp,
}

/// What has become of a claim; the failure of a transaction is that of all who share it.
pub(super) type Outcome = Result<Claim, Arc<StoreError>>;

/// A claim and, once it is decided, its outcome.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) wanted: Wanted,
    pub(super) outcome: OnceLock<Outcome>,
}

/// The claims that are not decided, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Claims {
    queue: Mutex<Queue>,
    decided: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Waiting>>,
    /// Whether somebody decides for others.
    led: bool,
}

impl Claims {
    /// Makes a claim and waits until it is decided, by whoever comes to it first. `begin` waits until
    /// the file may be written, and `transact` decides claims by one transaction.
    pub(super) fn settle<W>(
        &self,
        wanted: Wanted,
        begin: impl Fn() -> W,
        transact: impl Fn(&mut W, &[Arc<Waiting>]) -> Result<Vec<Claim>, StoreError>,
    ) -> Outcome {
        let own = self.add(wanted);
        let mut queue = self.queue();
        loop {
            if let Some(outcome) = own.outcome.get() {
                return outcome.clone();
            }
            if queue.led {
                queue = self.decided.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.led = true;
            drop(queue);
            let lead = Lead(self);
            self.decide(&mut begin(), &transact);
            drop(lead);
            queue = self.queue();
        }
    }

    /// Adds a claim.
    pub(super) fn add(&self, wanted: Wanted) -> Arc<Waiting> {
        let waiting = Arc::new(Waiting { wanted, outcome: OnceLock::new() });
        self.queue().waiting.push_back(waiting.clone());
        waiting
    }

    /// Decides those that have waited longest. They stay in the queue until then, so that none is
    /// forgotten if `transact` panics.
    pub(super) fn decide<W>(
        &self,
        writing: &mut W,
        transact: impl Fn(&mut W, &[Arc<Waiting>]) -> Result<Vec<Claim>, StoreError>,
    ) {
        let first: Vec<_> = self.queue().waiting.iter().take(TOGETHER).cloned().collect();
        let outcomes: Vec<Outcome> = match transact(writing, &first) {
            Ok(decided) => decided.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(Arc::new(error)); first.len()],
        };
        self.queue().waiting.drain(..first.len());
        for (waiting, outcome) in first.iter().zip(outcomes) {
            // Nobody else decides them.
            let _ = waiting.outcome.set(outcome);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue().waiting.len()
    }
}

/// The right to decide for others, until it is dropped, also by a panic.
struct Lead<'c>(&'c Claims);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.queue().led = false;
        self.0.decided.notify_all();
    }
}
