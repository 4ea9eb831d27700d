//! Candidates that may still get a score: those in flight, and those set aside until they are called
//! up. It must not know what is kept of each.

use std::collections::{BTreeMap, VecDeque};

use super::Outcome;
use crate::id::Ordinal;

/// What an algorithm keeps of each candidate without a final outcome.
#[derive(Debug, Clone)]
pub(super) struct Pending<T> {
    in_flight: InFlight<T>,
    aside: BTreeMap<Ordinal, T>,
}

impl<T: Clone> Pending<T> {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self { in_flight: InFlight::default(), aside: BTreeMap::new() }
    }

    /// Records a proposal.
    pub(super) fn propose(&mut self, id: Ordinal, kept: T) {
        self.in_flight.insert(id, kept);
    }

    /// What is kept of the candidate that an outcome is of; `None` for a stranger. Only one that is
    /// set aside stays.
    pub(super) fn resolve(&mut self, id: Ordinal, outcome: Outcome<'_>) -> Option<T> {
        let kept = self.in_flight.remove(id).or_else(|| self.aside.remove(&id))?;
        if outcome == Outcome::SetAside {
            self.aside.insert(id, kept.clone());
        }
        Some(kept)
    }

    /// Those in flight, ascending.
    pub(super) fn in_flight(&self) -> &InFlight<T> {
        &self.in_flight
    }
}

/// Candidates in the order of their numbers, which is that in which they come; most of them leave about in
/// the same order.
#[derive(Debug, Clone)]
pub(super) struct InFlight<T> {
    /// Ascending; `None` for one that has left before those in front of it. The first one is there.
    places: VecDeque<(Ordinal, Option<T>)>,
    present: usize,
}

/// So many places without a candidate are always borne.
const SPARE: usize = 32;

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { places: VecDeque::new(), present: 0 }
    }
}

impl<T> InFlight<T> {
    /// Their number.
    pub(super) fn len(&self) -> usize {
        self.present
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// The lowest number.
    pub(super) fn first(&self) -> Option<Ordinal> {
        self.places.front().map(|(id, _)| *id)
    }

    /// All, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Ordinal, &T)> {
        self.places.iter().filter_map(|(id, kept)| Some((*id, kept.as_ref()?)))
    }

    fn insert(&mut self, id: Ordinal, kept: T) {
        if self.places.back().is_none_or(|(last, _)| *last < id) {
            self.places.push_back((id, Some(kept)));
            self.present += 1;
            return;
        }
        match self.find(id) {
            Ok(at) => self.present += usize::from(self.places[at].1.replace(kept).is_none()),
            Err(at) => {
                self.places.insert(at, (id, Some(kept)));
                self.present += 1;
            }
        }
    }

    fn remove(&mut self, id: Ordinal) -> Option<T> {
        let at = if self.first() == Some(id) { 0 } else { self.find(id).ok()? };
        let kept = self.places[at].1.take()?;
        self.present -= 1;
        while self.places.front().is_some_and(|(_, kept)| kept.is_none()) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.present + SPARE {
            self.places.retain(|(_, kept)| kept.is_some());
        }
        Some(kept)
    }

    fn find(&self, id: Ordinal) -> Result<usize, usize> {
        self.places.binary_search_by_key(&id, |(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In any order, one of them staying while many come and leave.
        #[test]
        fn those_in_flight_are_a_map(steps in prop::collection::vec((0u32..300, any::<bool>()), 0..600)) {
            let (mut found, mut expected) = (InFlight::default(), BTreeMap::new());
            for (step, (id, comes)) in steps.into_iter().enumerate() {
                if comes {
                    found.insert(Ordinal(id), step);
                    expected.insert(Ordinal(id), step);
                } else {
                    prop_assert_eq!(found.remove(Ordinal(id)), expected.remove(&Ordinal(id)));
                }
                prop_assert_eq!(found.len(), expected.len());
                prop_assert_eq!(found.is_empty(), expected.is_empty());
                prop_assert_eq!(found.first(), expected.first_key_value().map(|(id, _)| *id));
                prop_assert!(found.iter().eq(expected.iter().map(|(id, kept)| (*id, kept))));
                prop_assert!(found.places.len() <= 2 * found.len() + SPARE);
            }
        }
    }

    #[test]
    fn a_straggler_does_not_keep_the_places_of_those_that_left() {
        let mut in_flight = InFlight::default();
        in_flight.insert(Ordinal(0), ());
        for id in 1..10_000 {
            in_flight.insert(Ordinal(id), ());
            assert_eq!(in_flight.remove(Ordinal(id)), Some(()));
        }
        assert!(in_flight.places.len() <= SPARE + 2);
        assert_eq!(in_flight.first(), Some(Ordinal(0)));
    }

    #[test]
    fn one_set_aside_is_not_in_flight_and_can_still_be_scored() {
        let mut pending = Pending::new();
        pending.propose(Ordinal(1), 'a');
        assert_eq!(pending.resolve(Ordinal(1), Outcome::SetAside), Some('a'));
        assert!(pending.in_flight().is_empty());
        let scored = Outcome::Scored { objectives: &[1.0], violation: 0.0 };
        assert_eq!(pending.resolve(Ordinal(1), scored), Some('a'));
        assert_eq!(pending.resolve(Ordinal(1), scored), None);
    }

    #[test]
    fn one_that_is_screened_is_forgotten() {
        let mut pending = Pending::new();
        pending.propose(Ordinal(1), 'a');
        assert_eq!(pending.resolve(Ordinal(1), Outcome::SetAside), Some('a'));
        assert_eq!(pending.resolve(Ordinal(1), Outcome::Screened), Some('a'));
        assert_eq!(pending.resolve(Ordinal(1), Outcome::Lost), None);
    }
}
