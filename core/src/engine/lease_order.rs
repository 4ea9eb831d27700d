//! All leases in the order in which they end for campaigns that do not wait: of each kind of worker, the lowest
//! priority first, then the youngest. Must not know who would have a use of their slots.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::ready::Kind;
use crate::id::TaskId;
use crate::time::Timestamp;

/// Where a lease stands among those of one kind of worker: its campaign's priority, since when it is, its task. Of
/// those of one instant the first was sent first, and begins first.
pub(super) type LeasePlace = (i32, Reverse<Timestamp>, Reverse<TaskId>);

/// The places of all leases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LeaseOrder {
    places: BTreeSet<(Kind, LeasePlace)>,
}

impl LeaseOrder {
    pub(super) fn insert(&mut self, kind: Kind, place: LeasePlace) {
        self.places.insert((kind, place));
    }

    pub(super) fn remove(&mut self, kind: Kind, place: LeasePlace) {
        self.places.remove(&(kind, place));
    }

    /// The leases of workers of a kind whose campaigns have a lower priority, in order.
    pub(super) fn below(&self, kind: Kind, priority: i32) -> impl Iterator<Item = LeasePlace> {
        let latest = (Reverse(Timestamp(u64::MAX)), Reverse(TaskId(u64::MAX)));
        let first = |priority| (kind, (priority, latest.0, latest.1));
        self.places.range(first(i32::MIN)..first(priority)).map(|(_, place)| *place)
    }
}

impl FromIterator<(Kind, LeasePlace)> for LeaseOrder {
    fn from_iter<I: IntoIterator<Item = (Kind, LeasePlace)>>(places: I) -> Self {
        Self { places: places.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_priorities_of_one_kind_come_first_and_then_the_youngest() {
        let place =
            |priority, since, task| (priority, Reverse(Timestamp(since)), Reverse(TaskId(task)));
        let (one, other) = (Kind::numbered(1), Kind::numbered(2));
        let mut order: LeaseOrder = [
            (one, place(0, 5, 1)),
            (one, place(0, 9, 2)),
            (one, place(-3, 1, 3)),
            (one, place(4, 0, 4)),
            (one, place(0, 5, 8)),
            (other, place(-9, 2, 5)),
        ]
        .into_iter()
        .collect();
        let below = |order: &LeaseOrder, kind, priority| {
            order.below(kind, priority).map(|(.., task)| task.0.0).collect::<Vec<_>>()
        };
        assert_eq!(below(&order, one, 4), [3, 2, 8, 1]);
        assert_eq!(below(&order, one, 0), [3]);
        assert_eq!(below(&order, other, i32::MAX), [5]);
        order.remove(one, place(0, 9, 2));
        order.insert(one, place(0, u64::MAX, 6));
        assert_eq!(below(&order, one, i32::MAX), [3, 6, 8, 1, 4]);
        assert!(below(&order, one, i32::MIN).is_empty());
    }
}
