//! When a campaign ends before its evaluations are spent: time, time in slots, energy, a target, or a front
//! that has stopped growing. Must not know what happens then.

use super::campaign::{Campaign, FinishReason};
use crate::id::Ordinal;
use crate::pareto::hypervolume::{HypervolumeError, exclusive_contribution, hypervolume};
use crate::time::Timestamp;

/// Growth below this share of a hypervolume is rounding: a sum over the same front in another order.
const ROUNDING: f64 = 1e-12;

/// What stop rules look at; derived from the events like everything else.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Progress {
    /// Whether a feasible candidate has kept every bound of the target.
    target_met: bool,
    /// The front's hypervolume, once a rule needs it and the reference point is fixed.
    hypervolume: Option<f64>,
    /// The hypervolume that counted as progress last, and how many candidates were scored then.
    last: Option<(f64, u32)>,
    /// The front that the hypervolume is of.
    front_version: u64,
    /// How many members that front has.
    members: usize,
}

impl Campaign {
    /// Why the campaign has to end, if it has to.
    pub(super) fn stop_reason(&self, now: Timestamp) -> Option<FinishReason> {
        let rules = &self.spec.stop;
        let time_is_up =
            self.spec.budget.duration.is_some_and(|limit| now.since(self.submitted_at) >= limit);
        let slot_time_is_spent =
            self.spec.budget.slot_time.is_some_and(|limit| self.slot_time >= limit);
        let energy_is_spent = self.spec.budget.energy.is_some_and(|limit| self.energy >= limit);
        let Progress { target_met, hypervolume, last, .. } = self.progress;
        let volume_is_reached =
            rules.hypervolume.zip(hypervolume).is_some_and(|(wanted, found)| found >= wanted);
        let stands_still = rules.stagnation.zip(last).is_some_and(|(rule, (_, scored))| {
            self.scored.saturating_sub(scored) >= rule.evaluations
        });
        let reasons = [
            (time_is_up, FinishReason::TimeUp),
            (slot_time_is_spent, FinishReason::SlotTimeSpent),
            (energy_is_spent, FinishReason::EnergySpent),
            (target_met || volume_is_reached, FinishReason::TargetReached),
            (stands_still, FinishReason::Stagnated),
        ];
        reasons.into_iter().find_map(|(holds, reason)| holds.then_some(reason))
    }

    /// Takes a candidate into account that was just scored.
    pub(super) fn record_progress(&mut self, ordinal: Ordinal, feasible: bool) {
        let target = &self.spec.stop.target;
        if feasible && !target.is_empty() && self.keeps_target(ordinal) {
            self.progress.target_met = true;
        }
        let rules = &self.spec.stop;
        let (Some(reference), true) =
            (&self.reference, rules.hypervolume.is_some() || rules.stagnation.is_some())
        else {
            return;
        };
        // The first look counts even if there is no front yet, so that a search without any feasible
        // candidate stands still too.
        if self.progress.last.is_some() && self.progress.front_version == self.front_version {
            return;
        }
        // Too large a volume is no progress that a rule could compare.
        let Ok(volume) = self.front_volume(ordinal, reference) else { return };
        let needed = rules.stagnation.map_or(0.0, |rule| rule.improvement).max(ROUNDING);
        let progress = &mut self.progress;
        progress.front_version = self.front_version;
        progress.members = self.front.len();
        progress.hypervolume = Some(volume);
        if progress.last.is_none_or(|(before, _)| volume > before * (1.0 + needed)) {
            progress.last = Some((volume, self.scored));
        }
    }

    /// The front's hypervolume after `ordinal` was scored: where nobody left the front for it, the last one and what
    /// it adds, since all of it anew would take seconds where objectives and members are many.
    fn front_volume(&self, ordinal: Ordinal, reference: &[f64]) -> Result<f64, HypervolumeError> {
        let (points, before) = (self.front.points(), self.progress);
        let newcomer = self.front.ids().iter().position(|id| *id == ordinal);
        let joined = newcomer.filter(|_| {
            before.front_version + 1 == self.front_version && before.members + 1 == points.len()
        });
        match before.hypervolume.zip(joined) {
            Some((volume, index)) => Ok(volume + exclusive_contribution(points, index, reference)?),
            None => hypervolume(points, reference),
        }
    }

    fn keeps_target(&self, ordinal: Ordinal) -> bool {
        let Some(candidate) = self.candidate(ordinal) else { return false };
        self.spec.stop.target.iter().all(|bound| {
            let column = self.column(&bound.metric);
            let value = column.and_then(|column| candidate.value(column));
            value.is_some_and(|value| bound.violation(value) == 0.0)
        })
    }
}
