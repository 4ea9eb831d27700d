//! Repeats recomputed from tasks: whose measurements are kept, and how many of each. Must not know how repeats
//! are averaged.

use std::collections::BTreeMap;

use super::Findings;
use crate::engine::campaign::Campaign;
use crate::engine::state::State;
use crate::id::Ordinal;

impl Campaign {
    /// The present repeat's number is that of the measurements before it, and nobody else keeps any.
    pub(super) fn check_samples(&self, state: &State, findings: &mut Findings) {
        let tasks = state.tasks().filter(|task| task.candidate().campaign == self.id);
        let expected: BTreeMap<Ordinal, usize> = tasks
            .filter(|task| task.repeat() > 0)
            .map(|task| (task.candidate().ordinal, task.repeat() as usize))
            .collect();
        let found: BTreeMap<Ordinal, usize> =
            self.samples.iter().map(|(ordinal, samples)| (*ordinal, samples.len())).collect();
        findings.require(found == expected, || {
            format!(
                "campaign {}: measurements of repeats are kept for {found:?}, not {expected:?}",
                self.id
            )
        });
        for task in state.tasks().filter(|task| task.candidate().campaign == self.id) {
            let stage = self.stages.get(usize::from(task.stage()));
            let repeats = stage.map_or(1, |stage| stage.repeats);
            findings.require(task.repeat() < repeats, || {
                format!("task {} is repeat {} of {repeats}", task.id(), task.repeat() + 1)
            });
        }
    }
}
