//! Workers that take work and have room, and of what kind each is: those that offer the same lack the same,
//! so that a campaign which nothing of a kind can serve is decided for all of them at once. Must not know
//! campaigns.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::worker::Capabilities;
use crate::id::WorkerId;

/// Workers that offer the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind(u32);

#[cfg(test)]
impl Kind {
    pub(super) fn numbered(number: u32) -> Self {
        Self(number)
    }
}

/// Capabilities as far as a stage asks for them. Of memory and slots hardly two machines have the same.
#[derive(Debug, Clone)]
struct Offered(Arc<Capabilities>);

impl PartialEq for Offered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Offered {}

impl PartialOrd for Offered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Offered {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (&self.0, &other.0);
        let evaluators = one.evaluators.cmp(&other.evaluators);
        let datasets = || one.datasets.cmp(&other.datasets);
        let contents = || one.fingerprints.cmp(&other.fingerprints);
        let labels = || one.labels.cmp(&other.labels);
        evaluators.then_with(datasets).then_with(contents).then_with(labels)
    }
}

/// The kinds of the registered workers.
#[derive(Debug, Clone, Default)]
pub(super) struct Kinds {
    /// With how many workers there are of each.
    found: BTreeMap<Offered, (Kind, u32)>,
    named: u32,
}

impl Kinds {
    /// One worker more offers this.
    pub(super) fn join(&mut self, capabilities: &Arc<Capabilities>) -> Kind {
        let named = &mut self.named;
        let (kind, workers) =
            self.found.entry(Offered(capabilities.clone())).or_insert_with(|| {
                *named += 1;
                (Kind(*named), 0)
            });
        *workers += 1;
        *kind
    }

    /// One worker less offers it.
    pub(super) fn leave(&mut self, capabilities: &Arc<Capabilities>) {
        let offered = Offered(capabilities.clone());
        if let Some((_, workers)) = self.found.get_mut(&offered) {
            *workers -= 1;
            if *workers == 0 {
                self.found.remove(&offered);
            }
        }
    }

    /// The kinds that there are workers of, with what these offer.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Capabilities, Kind)> {
        self.found.iter().map(|(offered, (kind, _))| (&*offered.0, *kind))
    }

    /// The kind of workers that offer this, and how many there are.
    pub(super) fn find(&self, capabilities: &Arc<Capabilities>) -> Option<(Kind, u32)> {
        self.found.get(&Offered(capabilities.clone())).copied()
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

    fn on(dataset: &str, slots: u32) -> Arc<Capabilities> {
        let datasets = [dataset.into()].into();
        Arc::new(Capabilities { datasets, slots, ..Capabilities::default() })
    }

    #[test]
    fn workers_that_offer_the_same_are_of_one_kind_while_there_are_any() {
        let mut kinds = Kinds::default();
        let (one, two) = (kinds.join(&on("a", 1)), kinds.join(&on("b", 1)));
        assert_ne!(one, two);
        assert_eq!(kinds.join(&on("a", 7)), one, "whatever its slots");
        assert_eq!(kinds.find(&on("a", 1)), Some((one, 2)));
        kinds.leave(&on("a", 1));
        kinds.leave(&on("a", 1));
        kinds.leave(&on("c", 1));
        assert_eq!(kinds.find(&on("a", 1)), None);
        let again = kinds.join(&on("a", 1));
        assert!(again != one && again != two, "a kind that is gone may still be remembered");
    }

    #[test]
    fn the_next_worker_is_of_a_wanted_kind() {
        let (mut kinds, mut ready) = (Kinds::default(), Ready::default());
        let (one, two) = (kinds.join(&on("a", 1)), kinds.join(&on("b", 1)));
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
