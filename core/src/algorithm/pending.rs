//! Candidates that may still get a score: those in flight, and those set aside until they are called
//! up. It must not know what is kept of each.

use std::collections::BTreeMap;

use super::Outcome;
use crate::id::Ordinal;

/// What an algorithm keeps of each candidate without a final outcome.
#[derive(Debug, Clone)]
pub(super) struct Pending<T> {
    in_flight: BTreeMap<Ordinal, T>,
    aside: BTreeMap<Ordinal, T>,
}

impl<T: Clone> Pending<T> {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self { in_flight: BTreeMap::new(), aside: BTreeMap::new() }
    }

    /// Records a proposal.
    pub(super) fn propose(&mut self, id: Ordinal, kept: T) {
        self.in_flight.insert(id, kept);
    }

    /// What is kept of the candidate that an outcome is of; `None` for a stranger. Only one that is
    /// set aside stays.
    pub(super) fn resolve(&mut self, id: Ordinal, outcome: Outcome<'_>) -> Option<T> {
        let kept = self.in_flight.remove(&id).or_else(|| self.aside.remove(&id))?;
        if outcome == Outcome::SetAside {
            self.aside.insert(id, kept.clone());
        }
        Some(kept)
    }

    /// Those in flight, ascending.
    pub(super) fn in_flight(&self) -> &BTreeMap<Ordinal, T> {
        &self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
