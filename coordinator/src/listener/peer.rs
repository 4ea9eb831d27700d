//! The other side of a connection, and what it has open there.
//!
//! Must not know who calls, nor why somebody may not speak any more.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Whether a caller may still speak.
type Still = Arc<dyn Fn() -> bool + Send + Sync>;

/// Where a connection comes from, and whether it is of use; copies speak of the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: Option<SocketAddr>,
    calls: Arc<Mutex<Calls>>,
}

/// The calls on a connection that are let in.
#[derive(Default)]
struct Calls {
    next: u64,
    open: BTreeMap<u64, Still>,
    /// When the last one began or ended; absent before the first.
    last: Option<Instant>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

/// What a connection is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No call was let in yet.
    New,
    /// Calls are open.
    Busy,
    /// None is open since then.
    Quiet(Instant),
    /// None is open but of those who may not speak any more.
    Expelled,
}

/// A call that is open while this lives.
#[derive(Debug)]
pub(crate) struct Visit {
    number: u64,
    calls: Arc<Mutex<Calls>>,
}

impl Peer {
    pub(super) fn new(address: Option<SocketAddr>) -> Self {
        Self { address, calls: Arc::default() }
    }

    /// `None` if it comes from nowhere.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Somebody who may call has called: the connection may stay while the call is open, unless the
    /// caller may not speak any more.
    pub(crate) fn admit(&self, still: impl Fn() -> bool + Send + Sync + 'static) -> Visit {
        let mut calls = locked(&self.calls);
        let number = calls.next;
        calls.next += 1;
        calls.open.insert(number, Arc::new(still));
        calls.last = Some(Instant::now());
        Visit { number, calls: self.calls.clone() }
    }

    pub(super) fn standing(&self) -> Standing {
        let calls = locked(&self.calls);
        let Some(last) = calls.last else { return Standing::New };
        if calls.open.is_empty() {
            return Standing::Quiet(last);
        }
        let open: Vec<_> = calls.open.values().cloned().collect();
        // Whether they may speak is looked up elsewhere, which may take a while.
        drop(calls);
        if open.iter().any(|still| still()) { Standing::Busy } else { Standing::Expelled }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut calls = locked(&self.calls);
        calls.open.remove(&self.number);
        calls.last = Some(Instant::now());
    }
}

fn locked(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_connection_is_good_for_the_calls_that_are_open() {
        let peer = Peer::new(None);
        assert_eq!(peer.standing(), Standing::New);
        let good = Arc::new(AtomicBool::new(true));
        let still = good.clone();
        let (first, second) =
            (peer.admit(move || still.load(Ordering::Relaxed)), peer.admit(|| true));
        good.store(false, Ordering::Relaxed);
        assert_eq!(peer.standing(), Standing::Busy);
        drop(second);
        assert_eq!(peer.standing(), Standing::Expelled);
        good.store(true, Ordering::Relaxed);
        assert_eq!(peer.standing(), Standing::Busy);
        drop(first);
        assert!(matches!(peer.standing(), Standing::Quiet(_)));
    }
}
