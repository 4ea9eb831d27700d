//! Workers that take work and have room, and of what kind each is: those that register with the same
//! capabilities lack the same, so that a campaign which nothing of a kind can serve is decided for all of
//! them at once. Must not know campaigns.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::worker::Capabilities;
use crate::id::WorkerId;

/// Workers with the same capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind(u32);

/// The kinds of the registered workers.
#[derive(Debug, Clone, Default)]
pub(super) struct Kinds {
    /// With how many workers there are of each.
    found: BTreeMap<Arc<Capabilities>, (Kind, u32)>,
    named: u32,
}

impl Kinds {
    /// One worker more has these capabilities.
    pub(super) fn join(&mut self, capabilities: &Arc<Capabilities>) -> Kind {
        let named = &mut self.named;
        let (kind, workers) = self.found.entry(capabilities.clone()).or_insert_with(|| {
            *named += 1;
            (Kind(*named), 0)
        });
        *workers += 1;
        *kind
    }

    /// One worker less has them.
    pub(super) fn leave(&mut self, capabilities: &Arc<Capabilities>) {
        if let Some((_, workers)) = self.found.get_mut(capabilities) {
            *workers -= 1;
            if *workers == 0 {
                self.found.remove(capabilities);
            }
        }
    }

    /// The kind of workers with these capabilities, and how many there are.
    pub(super) fn find(&self, capabilities: &Arc<Capabilities>) -> Option<(Kind, u32)> {
        self.found.get(capabilities).copied()
    }
}

/// Workers with room that take work, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ready {
    workers: BTreeMap<WorkerId, Kind>,
}

impl Ready {
    pub(super) fn insert(&mut self, worker: WorkerId, kind: Kind) {
        self.workers.insert(worker, kind);
    }

    pub(super) fn remove(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
    }

    pub(super) fn clear(&mut self) {
        self.workers.clear();
    }

    /// The first one after `last` whose kind `wanted` lets through.
    pub(super) fn after(
        &self,
        last: Option<WorkerId>,
        mut wanted: impl FnMut(Kind) -> bool,
    ) -> Option<(WorkerId, Kind)> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut others = self.workers.range((after, Bound::Unbounded));
        others.find(|(_, kind)| wanted(**kind)).map(|(worker, kind)| (*worker, *kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(slots: u32) -> Arc<Capabilities> {
        Arc::new(Capabilities { slots, ..Capabilities::default() })
    }

    #[test]
    fn workers_of_equal_capabilities_are_of_one_kind_while_there_are_any() {
        let mut kinds = Kinds::default();
        let (one, two) = (kinds.join(&slots(1)), kinds.join(&slots(2)));
        assert_ne!(one, two);
        assert_eq!(kinds.join(&slots(1)), one);
        assert_eq!(kinds.find(&slots(1)), Some((one, 2)));
        kinds.leave(&slots(1));
        kinds.leave(&slots(1));
        kinds.leave(&slots(3));
        assert_eq!(kinds.find(&slots(1)), None);
        let again = kinds.join(&slots(1));
        assert!(again != one && again != two, "a kind that is gone may still be remembered");
    }

    #[test]
    fn the_next_worker_is_of_a_wanted_kind() {
        let (mut kinds, mut ready) = (Kinds::default(), Ready::default());
        let (one, two) = (kinds.join(&slots(1)), kinds.join(&slots(2)));
        for (worker, kind) in [(1, one), (4, two), (5, one), (9, two)] {
            ready.insert(WorkerId(worker), kind);
        }
        assert_eq!(ready.after(None, |_| true), Some((WorkerId(1), one)));
        assert_eq!(ready.after(None, |kind| kind == two), Some((WorkerId(4), two)));
        assert_eq!(ready.after(Some(WorkerId(4)), |kind| kind == two), Some((WorkerId(9), two)));
        assert_eq!(ready.after(Some(WorkerId(5)), |kind| kind == one), None);
        ready.remove(WorkerId(4));
        assert_eq!(ready.after(Some(WorkerId(1)), |kind| kind == two), Some((WorkerId(9), two)));
        ready.clear();
        assert_eq!(ready.after(None, |_| true), None);
    }
}
