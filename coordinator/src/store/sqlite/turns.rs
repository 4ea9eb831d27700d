//! Whose turn it is to write to a file that has two writers in this process: the journal's, and that of
//! the tokens beside it. Must not know what is written.
//!
//! SQLite lets one connection write at a time and keeps no order among those that wait: they sleep, look
//! again, and fail when their patience is over. Against writers that come back to back, one that sleeps
//! can miss every moment at which the file is free. Here, whoever comes first writes first. The tokens
//! have one writer, which draws its number when it has written what it had before, so an append waits for
//! one transaction of theirs at most, and they for one append. A writer of another process, such as
//! `cambrian-coordinator token create`, is still waited for by SQLite's means.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Turns in the order in which they were asked for.
#[derive(Debug, Default)]
pub(in crate::store) struct Turns {
    numbers: Mutex<Numbers>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct Numbers {
    drawn: u64,
    served: u64,
}

impl Turns {
    /// Waits for a turn, which lasts while it lives. Whoever has one must not ask for another.
    pub(in crate::store) fn take(&self) -> Turn<'_> {
        let mut numbers = self.numbers();
        let own = numbers.drawn;
        numbers.drawn += 1;
        while numbers.served != own {
            numbers = self.over.wait(numbers).unwrap_or_else(PoisonError::into_inner);
        }
        Turn(self)
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many would write before whoever asks now.
    #[cfg(test)]
    pub(in crate::store) fn ahead(&self) -> u64 {
        let numbers = self.numbers();
        numbers.drawn - numbers.served
    }
}

/// The right to write, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(in crate::store) struct Turn<'t>(&'t Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.numbers().served += 1;
        self.0.over.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use cambrian_core::engine::Event;
    use cambrian_core::time::{Span, Timestamp};

    use super::*;
    use crate::access::Role;
    use crate::store::Store;
    use crate::store::sqlite::SqliteStore;
    use crate::store::tokens::Claim;

    fn store() -> (tempfile::TempDir, SqliteStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("cambrian.db")).unwrap();
        (directory, store)
    }

    fn append(store: &mut SqliteStore) {
        let started = (Timestamp(1), Event::Started { lease_length: Span(1) });
        store.append(store.sequence(), &[started]).unwrap();
    }

    /// Waits until so many have a turn or wait for one.
    fn until_there_are(turns: &Turns, wanted: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while turns.ahead() != wanted {
            assert!(Instant::now() < deadline, "{} of {wanted}", turns.ahead());
            thread::yield_now();
        }
    }

    #[test]
    fn nobody_is_passed_over() {
        let (turns, order) = (Turns::default(), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            let held = turns.take();
            for number in 0..50 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let _turn = turns.take();
                    order.lock().unwrap().push(number);
                });
                // Each has drawn its number before the next one is there.
                until_there_are(turns, number + 2);
            }
            drop(held);
        });
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
        assert_eq!(turns.ahead(), 0);
    }

    #[test]
    fn appends_and_tokens_wait_for_their_turn() {
        let (_directory, mut store) = store();
        let (turns, register) = (store.turns.clone(), store.tokens().unwrap());
        let claim = || {
            let claimed = register.claim_worker("gpu", "site", 9, Timestamp(1));
            assert_eq!(claimed.unwrap(), Claim::Held);
        };
        let token = || register.create(Role::View, "ada", None, Timestamp(1)).unwrap().0.id();
        let id = token();
        let writes: [Box<dyn FnMut() + Send>; 4] = [
            Box::new(|| append(&mut store)),
            Box::new(claim),
            Box::new(|| {
                let _id = token();
            }),
            Box::new(|| drop(register.revoke(id, Timestamp(2)).unwrap())),
        ];
        for mut write in writes {
            let held = turns.take();
            thread::scope(|scope| {
                scope.spawn(&mut write);
                until_there_are(&turns, 2);
                drop(held);
            });
        }
    }

    #[test]
    fn appends_among_thousands_of_new_names_are_passed_over_once_at_most() {
        const CLAIMANTS: u32 = 64;
        const NAMES: u32 = 50;
        let (_directory, mut store) = store();
        let (turns, register) = (store.turns.clone(), store.tokens().unwrap());
        let claim_all = |claimant| {
            for name in 0..NAMES {
                let worker = format!("gpu-{claimant}-{name}");
                let claim = register.claim_worker(&worker, "site", u32::MAX, Timestamp(1));
                assert_eq!(claim.unwrap(), Claim::Held);
            }
        };
        let mut appends = 0;
        thread::scope(|scope| {
            let held = turns.take();
            let claimants: Vec<_> =
                (0..CLAIMANTS).map(|claimant| scope.spawn(move || claim_all(claimant))).collect();
            until_there_are(&turns, 2);
            drop(held);
            while claimants.iter().any(|claimant| !claimant.is_finished()) {
                // Those that ask later write later.
                assert!(turns.ahead() <= 1);
                append(&mut store);
                appends += 1;
            }
        });
        assert!(appends > 0);
        assert_eq!(store.sequence(), appends);
        let names = "SELECT count(*) FROM worker_holders";
        let names: u32 = store.connection.query_row(names, [], |row| row.get(0)).unwrap();
        assert_eq!(names, CLAIMANTS * NAMES);
    }
}
