//! Everything seen, with its non-dominated front, while points come and go. It must not know what
//! an id stands for.
//!
//! Every dominated point remembers one present point that dominates it, so that a removal has to
//! look again only at those that remembered the one removed.

use std::collections::{BTreeMap, BTreeSet};

use super::PointError;
use super::front::{Insertion, NonDominatedFront};

/// Points under ids, and which of them none dominates.
#[derive(Debug, Clone, PartialEq)]
pub struct DominanceArchive<Id: Copy + Ord> {
    front: NonDominatedFront<Id>,
    dominated: BTreeMap<Id, Dominated<Id>>,
    /// For each point the dominated ones that remember it.
    remembered_by: BTreeMap<Id, BTreeSet<Id>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Dominated<Id> {
    objectives: Box<[f64]>,
    by: Id,
}

impl<Id: Copy + Ord> DominanceArchive<Id> {
    /// An empty archive of points with `objectives` values each.
    #[must_use]
    pub fn new(objectives: usize) -> Self {
        Self {
            front: NonDominatedFront::new(objectives),
            dominated: BTreeMap::new(),
            remembered_by: BTreeMap::new(),
        }
    }

    /// The points that none dominates.
    #[must_use]
    pub fn front(&self) -> &NonDominatedFront<Id> {
        &self.front
    }

    /// Number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.front.len() + self.dominated.len()
    }

    /// Whether there is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.front.is_empty()
    }

    /// Whether there is a point under `id`.
    #[must_use]
    pub fn contains(&self, id: Id) -> bool {
        self.front.contains(id) || self.dominated.contains_key(&id)
    }

    /// Adds one point; O(size of the front x M). Of a known id nothing changes.
    ///
    /// # Errors
    /// [`PointError`] when the values have the wrong length or are not finite; the archive is then
    /// as it was.
    pub fn insert(&mut self, id: Id, objectives: &[f64]) -> Result<Insertion<Id>, PointError> {
        if self.dominated.contains_key(&id) {
            return Ok(Insertion::DuplicateId);
        }
        let before: Vec<(Id, Box<[f64]>)> =
            self.front.dominated_by(objectives).map(|(id, row)| (id, row.into())).collect();
        let insertion = self.front.insert(id, objectives)?;
        match &insertion {
            Insertion::Added { .. } => {
                for (member, objectives) in before {
                    self.remember(member, objectives, id);
                }
            }
            Insertion::Dominated { by } => self.remember(id, objectives.into(), *by),
            Insertion::DuplicateId => {}
        }
        Ok(insertion)
    }

    /// Removes a point; whether there was one, and the points that join the front because only it
    /// dominated them, ascending by id. O(size of the front x M) for each that remembered it.
    pub fn remove(&mut self, id: Id) -> Option<Vec<Id>> {
        if let Some(Dominated { by, .. }) = self.dominated.remove(&id) {
            self.forget(id, by);
        } else if !self.front.remove(id) {
            return None;
        }
        let orphans = self.remembered_by.remove(&id).unwrap_or_default();
        let mut risen = Vec::new();
        for orphan in orphans {
            let Some(Dominated { objectives, .. }) = self.dominated.remove(&orphan) else {
                continue;
            };
            // Finite and of the right length, as they were when they came.
            if let Ok(Insertion::Added { removed }) = self.insert(orphan, &objectives) {
                risen.retain(|id| !removed.contains(id));
                risen.push(orphan);
            }
        }
        Some(risen)
    }

    fn remember(&mut self, id: Id, objectives: Box<[f64]>, by: Id) {
        self.dominated.insert(id, Dominated { objectives, by });
        self.remembered_by.entry(by).or_default().insert(id);
    }

    fn forget(&mut self, id: Id, by: Id) {
        if let Some(remembering) = self.remembered_by.get_mut(&by) {
            remembering.remove(&id);
            if remembering.is_empty() {
                self.remembered_by.remove(&by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pareto::test_points::{any_rows, naive_dominates};
    use proptest::prelude::*;

    #[test]
    fn those_that_only_the_removed_one_dominated_come_back() {
        let mut archive = DominanceArchive::new(2);
        for (id, row) in [(1, [2.0, 2.0]), (2, [1.0, 1.0]), (3, [0.0, 3.0]), (4, [4.0, 4.0])] {
            archive.insert(id, &row).unwrap();
        }
        assert_eq!(archive.front().ids(), [2, 3]);
        assert_eq!(archive.insert(4, &[0.0, 0.0]), Ok(Insertion::DuplicateId));
        assert_eq!(archive.remove(2), Some(vec![1]));
        assert_eq!(archive.front().ids(), [1, 3]);
        assert_eq!(archive.remove(1), Some(vec![]), "3 dominates 4 as well");
        assert_eq!(archive.remove(3), Some(vec![4]));
        assert_eq!(archive.remove(3), None);
        assert_eq!(archive.len(), 1);
    }

    #[test]
    fn refused_values_change_nothing() {
        let mut archive = DominanceArchive::new(2);
        archive.insert(1, &[1.0, 1.0]).unwrap();
        let before = archive.clone();
        assert!(archive.insert(2, &[0.0, f64::NAN]).is_err());
        assert!(archive.insert(2, &[0.0]).is_err());
        assert_eq!(archive, before);
    }

    proptest! {
        #[test]
        fn the_front_is_that_of_the_present_points(
            rows in any_rows(1..=25), removals in prop::collection::vec(0usize..25, 0..40),
        ) {
            let mut archive = DominanceArchive::new(rows[0].len());
            let mut present: BTreeSet<usize> = (0..rows.len()).collect();
            for (id, row) in rows.iter().enumerate() {
                archive.insert(id, row).unwrap();
            }
            for id in removals {
                let before: Vec<usize> = archive.front().ids().to_vec();
                let risen = archive.remove(id);
                prop_assert_eq!(risen.is_some(), present.remove(&id));
                let expected: Vec<usize> = present
                    .iter()
                    .copied()
                    .filter(|&a| !present.iter().any(|&b| naive_dominates(&rows[b], &rows[a])))
                    .collect();
                prop_assert_eq!(archive.front().ids(), &expected[..]);
                prop_assert_eq!(archive.len(), present.len());
                let new: Vec<usize> =
                    expected.iter().copied().filter(|id| !before.contains(id)).collect();
                prop_assert_eq!(risen.unwrap_or_default(), new);
            }
        }
    }
}
