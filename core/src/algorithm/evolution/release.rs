//! Results that wait for those of older candidates, so that quick evaluations do not breed before
//! slow ones that were proposed earlier. It must not know how a population is kept.

use std::collections::BTreeMap;

use crate::algorithm::ranking::Scored;
use crate::id::Ordinal;

/// Results by candidate; `None` for one that will never be a parent.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(BTreeMap<Ordinal, Option<Scored>>);

impl Held {
    /// Keeps a result back.
    pub(super) fn hold(&mut self, id: Ordinal, scored: Option<Scored>) {
        self.0.insert(id, scored);
    }

    /// The results that need not wait longer, in the order of their proposals: those older than
    /// every candidate in flight, and so many of the others that no more are held than `window`.
    pub(super) fn release(
        &mut self,
        oldest_in_flight: Option<Ordinal>,
        window: usize,
    ) -> Vec<Scored> {
        let mut released = Vec::new();
        while let Some(entry) = self.0.first_entry() {
            let waits = oldest_in_flight.is_some_and(|oldest| oldest < *entry.key());
            if waits && self.0.len() <= window {
                break;
            }
            if let Some((_, scored)) = self.0.pop_first() {
                released.extend(scored);
            }
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::ranking::Objectives;
    use crate::space::Genotype;

    fn scored(id: u32) -> Option<Scored> {
        let genotype = Genotype([id].into());
        let objectives = Objectives::of(&[0.0]);
        Some(Scored { id: Ordinal(id), genotype, objectives, violation: 0.0 })
    }

    fn released(held: &mut Held, oldest: Option<u32>, window: usize) -> Vec<u32> {
        held.release(oldest.map(Ordinal), window).iter().map(|member| member.id.0).collect()
    }

    #[test]
    fn results_leave_in_the_order_of_their_proposals() {
        let mut held = Held::default();
        held.hold(Ordinal(3), scored(3));
        assert_eq!(released(&mut held, Some(1), 2), [0; 0]);
        held.hold(Ordinal(1), scored(1));
        assert_eq!(released(&mut held, Some(2), 2), [1]);
        held.hold(Ordinal(2), scored(2));
        assert_eq!(released(&mut held, None, 0), [2, 3]);
    }

    #[test]
    fn a_lost_candidate_holds_nobody_back_and_a_slow_one_only_a_window() {
        let mut held = Held::default();
        held.hold(Ordinal(2), None);
        held.hold(Ordinal(3), scored(3));
        assert_eq!(released(&mut held, Some(4), 2), [3]);
        for id in [6, 5, 7] {
            held.hold(Ordinal(id), scored(id));
        }
        assert_eq!(released(&mut held, Some(4), 2), [5]);
        assert_eq!(released(&mut held, Some(4), 2), [0; 0]);
    }
}
