//! From a journal to the engine that has lived through it.
//!
//! Must not know where the journal is kept, nor who writes it.

use std::sync::mpsc;
use std::thread;

use cambrian_core::engine::{Engine, EngineSettings, State};

use crate::store::record::encode;
use crate::store::{READ_BATCH, Store, StoreError, Stored};

/// An engine that follows a journal which somebody else may write, and which may lose its end: a database
/// whose copy took over without the last transactions.
#[derive(Debug)]
pub struct Follower {
    pub(super) engine: Engine,
    settings: EngineSettings,
    sequence: u64,
    /// The checksum of the last record that it has applied.
    last: i64,
}

impl Follower {
    /// An engine at the beginning of every journal.
    #[must_use]
    pub fn new(settings: EngineSettings) -> Self {
        Self { engine: Engine::new(settings), settings, sequence: 0, last: 0 }
    }

    /// The last record that it has applied; 0 if none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The state that it has followed the journal to.
    #[must_use]
    pub fn state(&self) -> &State {
        self.engine.state()
    }

    /// Applies what the journal holds beyond that. If the journal holds another record there, or none,
    /// it begins anew.
    ///
    /// # Errors
    /// [`StoreError`] if a record is missing, damaged or cannot be understood.
    pub fn catch_up(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        // The last record is read once more, to see whether it is still there.
        let mut batch = store.read_from(self.sequence.saturating_sub(1), READ_BATCH)?;
        if self.sequence > 0 {
            let first = batch.first().filter(|first| first.sequence == self.sequence);
            let kept = first.map(fingerprint).transpose()? == Some(self.last);
            if kept {
                batch.remove(0);
            } else {
                let record = self.sequence;
                tracing::warn!(
                    record,
                    "the journal has lost a record that was read; reading it anew"
                );
                *self = Self::new(self.settings);
                batch = store.read_from(0, READ_BATCH)?;
            }
        }
        self.apply_from(batch, store)
    }

    /// Applies a batch and all that follow it, each while the next is read: reading and applying take about
    /// as long, and a long journal is waited for at every start.
    fn apply_from(&mut self, mut batch: Vec<Stored>, store: &dyn Store) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let Self { engine, sequence, last, .. } = self;
        thread::scope(|scope| {
            let (batches, received) = mpsc::sync_channel::<Vec<Stored>>(1);
            scope.spawn(move || {
                for stored in received.into_iter().flatten() {
                    engine.apply(&stored.event, stored.at);
                }
            });
            while let Some(end) = batch.last() {
                let position = (end.sequence, fingerprint(end)?);
                if batches.send(batch).is_err() {
                    // The other thread has panicked, and so will the scope.
                    break;
                }
                (*sequence, *last) = position;
                batch = store.read_from(*sequence, READ_BATCH)?;
            }
            Ok(())
        })
    }
}

/// What tells a record from every other at its position.
fn fingerprint(stored: &Stored) -> Result<i64, StoreError> {
    Ok(encode(stored.sequence, stored.at, &stored.event)?.checksum)
}

/// The engine in the state that the whole journal leads to.
///
/// # Errors
/// [`StoreError`] if a record is missing, damaged or cannot be understood.
pub fn rebuild(store: &dyn Store, settings: EngineSettings) -> Result<Engine, StoreError> {
    let mut follower = Follower::new(settings);
    follower.catch_up(store)?;
    Ok(follower.engine)
}

#[cfg(test)]
mod tests {
    use cambrian_core::engine::Event;
    use cambrian_core::id::WorkerId;
    use cambrian_core::time::{Span, Timestamp};

    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::testing::simulated_journal;

    const SETTINGS: EngineSettings = EngineSettings { lease_length: Span(20_000_000) };

    #[test]
    fn a_journal_that_lost_its_end_is_read_anew() {
        let (journal, _) = simulated_journal(3);
        let store = |records: &[_]| {
            let mut store = MemoryStore::default();
            store.append(0, records).unwrap();
            store
        };
        let (kept, lost) = journal.split_at(journal.len() - 9);
        // In place of what is lost, nothing was written later, or less, as much, or more.
        let later = (1..20).map(|_| (Timestamp(u64::MAX >> 1), Event::WorkerDraining(WorkerId(1))));
        let other: Vec<_> = kept.iter().cloned().chain(later).collect();
        for more in [0, lost.len() - 2, lost.len(), lost.len() + 5] {
            let present = store(&other[..kept.len() + more]);
            let mut follower = Follower::new(SETTINGS);
            follower.catch_up(&store(&journal)).unwrap();
            assert_eq!(follower.sequence(), journal.len() as u64);
            follower.catch_up(&present).unwrap();
            assert_eq!(follower.sequence(), present.sequence());
            let rebuilt = rebuild(&present, SETTINGS).unwrap();
            assert_eq!(follower.state().digest(), rebuilt.state().digest(), "{more}");
        }
    }

    /// Answers in small batches, and not at all once it has come to a position.
    struct Halting {
        inner: MemoryStore,
        answers_until: u64,
    }

    impl Store for Halting {
        fn sequence(&self) -> u64 {
            self.inner.sequence()
        }

        fn append(&mut self, at: u64, batch: &[(Timestamp, Event)]) -> Result<u64, StoreError> {
            self.inner.append(at, batch)
        }

        fn read_from(&self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
            if after >= self.answers_until {
                let reason = "not now".to_owned();
                return Err(StoreError::Damaged { sequence: after + 1, reason });
            }
            self.inner.read_from(after, limit.min(7))
        }
    }

    #[test]
    fn what_was_read_before_a_failure_is_kept_and_not_applied_twice() {
        let (journal, engine) = simulated_journal(5);
        let mut inner = MemoryStore::default();
        inner.append(0, &journal).unwrap();
        let mut store = Halting { inner, answers_until: 0 };
        let mut follower = Follower::new(SETTINGS);
        for answers_until in [0, 1, 8, 50, 57] {
            store.answers_until = answers_until;
            let error = follower.catch_up(&store).unwrap_err();
            assert!(error.to_string().contains("not now"), "{error}");
            let mut before = MemoryStore::default();
            before.append(0, &journal[..follower.sequence() as usize]).unwrap();
            let rebuilt = rebuild(&before, SETTINGS).unwrap();
            assert_eq!(follower.state().digest(), rebuilt.state().digest(), "{answers_until}");
        }
        store.answers_until = u64::MAX;
        follower.catch_up(&store).unwrap();
        assert_eq!(follower.state().digest(), engine.state().digest());
    }

    #[test]
    fn a_journal_that_goes_on_is_followed() {
        let (journal, engine) = simulated_journal(4);
        let mut store = MemoryStore::default();
        let mut follower = Follower::new(SETTINGS);
        for portion in journal.chunks(37) {
            follower.catch_up(&store).unwrap();
            store.append(store.sequence(), portion).unwrap();
        }
        follower.catch_up(&store).unwrap();
        assert_eq!(follower.state().digest(), engine.state().digest());
    }
}
