//! The non-dominated front of everything seen, kept point by point. It must not know what an id
//! stands for, and it forgets dominated points: taking a member back would need them.

use super::dominance::{Dominance, compare};
use super::points::check_row;
use super::{PointError, Points};

/// What an insertion did to the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insertion<Id> {
    /// The point is a member; the ids it dominates left the front, ascending.
    Added {
        /// Former members that the point dominates, ascending by id.
        removed: Vec<Id>,
    },
    /// A member dominates the point; the front is as it was.
    Dominated {
        /// The dominating member with the smallest id.
        by: Id,
    },
    /// A member already has this id; the front is as it was, whatever values came along.
    DuplicateId,
}

/// Mutually non-dominated points, each under an id, ascending by id.
///
/// Points with equal values are all members. The content depends only on the set of points
/// inserted, never on their order, as long as an id always comes with the same values.
#[derive(Debug, Clone, PartialEq)]
pub struct NonDominatedFront<Id> {
    ids: Vec<Id>,
    points: Points,
}

impl<Id: Copy + Ord> NonDominatedFront<Id> {
    /// An empty front of points with `objectives` values each.
    #[must_use]
    pub fn new(objectives: usize) -> Self {
        Self { ids: Vec::new(), points: Points::new(objectives) }
    }

    /// Offers one point; O(size of the front x M).
    ///
    /// # Errors
    /// [`PointError`] when the values have the wrong length or are not finite; the front is then
    /// as it was.
    pub fn insert(&mut self, id: Id, objectives: &[f64]) -> Result<Insertion<Id>, PointError> {
        check_row(self.points.objectives(), objectives)?;
        if self.ids.binary_search(&id).is_ok() {
            return Ok(Insertion::DuplicateId);
        }
        let mut dominated = Vec::new();
        for (member, row) in self.points.rows().enumerate() {
            match compare(row, objectives) {
                Dominance::First => return Ok(Insertion::Dominated { by: self.ids[member] }),
                Dominance::Second => dominated.push(member),
                Dominance::Neither | Dominance::Equal => {}
            }
        }
        let removed = self.remove_members(&dominated);
        let at = self.ids.partition_point(|other| *other < id);
        self.points.insert(at, objectives)?;
        self.ids.insert(at, id);
        Ok(Insertion::Added { removed })
    }

    /// Takes a member out; whether there was one. Points that it dominated are forgotten and do not
    /// come back: [`DominanceArchive`](super::archive::DominanceArchive) keeps them.
    pub fn remove(&mut self, id: Id) -> bool {
        let member = self.ids.binary_search(&id);
        member.is_ok_and(|member| !self.remove_members(&[member]).is_empty())
    }

    /// The members that a point would dominate.
    pub(super) fn dominated_by(&self, objectives: &[f64]) -> impl Iterator<Item = (Id, &[f64])> {
        self.iter().filter(move |(_, row)| {
            row.len() == objectives.len() && compare(row, objectives) == Dominance::Second
        })
    }

    /// Takes out members given by ascending position and returns their ids.
    fn remove_members(&mut self, members: &[usize]) -> Vec<Id> {
        if members.is_empty() {
            return Vec::new();
        }
        let removed: Vec<Id> = members.iter().map(|&member| self.ids[member]).collect();
        self.ids.retain(|id| removed.binary_search(id).is_err());
        self.points.remove_rows(members);
        removed
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of objectives, M.
    #[must_use]
    pub fn objectives(&self) -> usize {
        self.points.objectives()
    }

    /// Whether `id` is a member.
    #[must_use]
    pub fn contains(&self, id: Id) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// The objective values of member `id`.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&[f64]> {
        self.ids.binary_search(&id).ok().map(|member| self.points.row(member))
    }

    /// The members' ids, ascending.
    #[must_use]
    pub fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// The members' values, in the order of [`NonDominatedFront::ids`].
    #[must_use]
    pub fn points(&self) -> &Points {
        &self.points
    }

    /// Ids and values, ascending by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Id, &[f64])> + Clone {
        self.ids.iter().copied().zip(self.points.rows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pareto::test_points::{any_rows, naive_dominates};
    use proptest::prelude::*;

    fn added(removed: &[u32]) -> Result<Insertion<u32>, PointError> {
        Ok(Insertion::Added { removed: removed.to_vec() })
    }

    #[test]
    fn a_short_history() {
        let mut front = NonDominatedFront::new(2);
        assert_eq!(front.insert(5, &[2.0, 2.0]), added(&[]));
        assert_eq!(front.insert(9, &[1.0, 3.0]), added(&[]));
        assert_eq!(front.insert(1, &[3.0, 3.0]), Ok(Insertion::Dominated { by: 5 }));
        assert_eq!(front.insert(2, &[2.0, 2.0]), added(&[]));
        assert_eq!(front.insert(2, &[0.0, 0.0]), Ok(Insertion::DuplicateId));
        assert_eq!(front.ids(), [2, 5, 9]);
        assert_eq!(front.get(9), Some(&[1.0, 3.0][..]));
        assert_eq!(front.insert(3, &[1.0, 2.0]), added(&[2, 5, 9]));
        assert_eq!(front.iter().collect::<Vec<_>>(), [(3, &[1.0, 2.0][..])]);
        assert!(!front.contains(9));
        assert!(front.remove(3) && !front.remove(3) && front.is_empty());
    }

    #[test]
    fn refused_values_change_nothing() {
        let mut front = NonDominatedFront::new(2);
        front.insert(1, &[1.0, 1.0]).unwrap();
        let before = front.clone();
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(front.insert(2, &[0.0, bad]).is_err());
        }
        assert!(front.insert(2, &[0.0]).is_err());
        assert_eq!(front, before);
    }

    proptest! {
        #[test]
        fn holds_exactly_the_non_dominated_in_any_order(
            rows in any_rows(1..=40), step in 1usize..40,
        ) {
            let n = rows.len();
            let mut front = NonDominatedFront::new(rows[0].len());
            let mut gone = Vec::new();
            for at in (0..step).flat_map(|start| (start..n).step_by(step)) {
                match front.insert(at, &rows[at]).unwrap() {
                    Insertion::Added { removed } => gone.extend(removed),
                    Insertion::Dominated { by } => {
                        prop_assert!(naive_dominates(&rows[by], &rows[at]));
                        gone.push(at);
                    }
                    Insertion::DuplicateId => prop_assert!(false, "ids are distinct"),
                }
            }
            let expected: Vec<usize> = (0..n)
                .filter(|&i| !rows.iter().any(|other| naive_dominates(other, &rows[i])))
                .collect();
            prop_assert_eq!(front.ids(), &expected[..]);
            prop_assert_eq!(gone.len() + front.len(), n);
            for (id, values) in front.iter() {
                prop_assert_eq!(values, &rows[id][..]);
            }
        }
    }
}
