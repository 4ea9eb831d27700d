//! Evaluations that are stopped because their curves are hopeless: the curves of those that were
//! completed, and where a running one stands among them.
//!
//! The rule is median stopping as in Optuna's `MedianPruner`, with non-dominated fronts in place of an
//! order: a candidate is hopeless at a step if more than half of the completed ones stand in better
//! fronts, its own best value so far against theirs at that step, beside what else is known of all of
//! them (ADR 0029). Must not know workers.

use std::collections::{BTreeMap, VecDeque};

use super::campaign::Campaign;
use super::candidate::Candidate;
use super::decide::Decision;
use super::effect::{Effect, StopReason};
use super::event::{Event, ScreenReason, Screening};
use super::failure::Failure;
use super::state::State;
use super::task::TaskProgress;
use crate::id::{AttemptId, Ordinal, SessionId, TaskId, WorkerId};
use crate::objective::{Goal, MetricName};
use crate::pareto::Points;
use crate::pareto::sorting::non_dominated_sort;
use crate::spec::EarlyStop;

/// So many of the latest completed curves of a stage are compared with.
pub(super) const KEPT: usize = 500;
/// The most points of a curve; later ones are not looked at.
const LONGEST: usize = 4_096;

/// One step of a curve and the value there, in the metric's unit.
pub type CurvePoint = (u32, f64);

/// Where a running evaluation stood among the completed ones when it was found hopeless.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The step that it had reached.
    pub step: u32,
    /// Its best value so far, in the metric's unit.
    pub value: f64,
    /// How many of the completed ones stood in better fronts.
    pub behind: u32,
    /// How many it was compared with.
    pub of: u32,
}

/// The curve of a candidate that has completed a stage.
#[derive(Debug, Clone)]
pub(super) struct CompletedCurve {
    pub(super) ordinal: Ordinal,
    /// Ascending.
    pub(super) steps: Box<[u32]>,
    /// The best value up to each step, minimised.
    bests: Box<[f64]>,
}

impl CompletedCurve {
    fn new(ordinal: Ordinal, goal: Goal, points: &[CurvePoint]) -> Self {
        let bests = points.iter().scan(f64::INFINITY, |best, (_, value)| {
            *best = best.min(goal.minimized(*value));
            Some(*best)
        });
        let bests = bests.collect();
        Self { ordinal, steps: points.iter().map(|(step, _)| *step).collect(), bests }
    }

    /// The best value up to a step, minimised, if the curve has begun by then.
    fn best_at(&self, step: u32) -> Option<f64> {
        let known = self.steps.partition_point(|at| *at <= step);
        self.bests.get(known.checked_sub(1)?).copied()
    }
}

impl Campaign {
    /// The rule by which evaluations of a stage are stopped.
    pub(super) fn early_stop(&self, stage: u8) -> Option<&EarlyStop> {
        self.spec.early_stops.get(usize::from(stage))?.as_ref()
    }

    /// Files the curve of a candidate that completes a stage.
    pub(super) fn record_curve(&mut self, ordinal: Ordinal, stage: u8, points: &[CurvePoint]) {
        let Some(goal) = self.early_stop(stage).map(|rule| rule.curve.goal) else { return };
        let curves: &mut VecDeque<CompletedCurve> = self.curves.entry(stage).or_default();
        curves.push_back(CompletedCurve::new(ordinal, goal, points));
        if curves.len() > KEPT {
            curves.pop_front();
        }
    }

    /// Where a candidate stands at the end of `curve` if that is hopeless.
    fn hopeless(&self, ordinal: Ordinal, stage: u8, curve: &[CurvePoint]) -> Option<Standing> {
        let rule = self.early_stop(stage)?;
        let (step, _) = *curve.last().filter(|(step, _)| *step >= rule.after)?;
        let goal = rule.curve.goal;
        let better = |best: f64, (_, value): &CurvePoint| best.min(goal.minimized(*value));
        let best = curve.iter().fold(f64::INFINITY, better);
        let columns: Vec<(u16, Goal)> = rule
            .by
            .iter()
            .filter_map(|criterion| Some((self.column(&criterion.metric)?, criterion.goal)))
            .collect();
        let row = |value: f64, candidate: &Candidate| -> Option<Vec<f64>> {
            let others = columns
                .iter()
                .map(|(column, goal)| Some(goal.minimized(candidate.value(*column)?)));
            std::iter::once(Some(value)).chain(others).collect()
        };
        let completed = self
            .curves
            .get(&stage)?
            .iter()
            .filter_map(|other| row(other.best_at(step)?, self.candidate(other.ordinal)?));
        let mut rows: Vec<Vec<f64>> = completed.collect();
        let of = rows.len();
        if of < rule.least as usize {
            return None;
        }
        rows.push(row(best, self.candidate(ordinal)?)?);
        let points = Points::try_from_rows(1 + columns.len(), rows).ok()?;
        let fronts = non_dominated_sort(&points, None).ok()?;
        let ahead = fronts.iter().take_while(|front| !front.contains(&of)).map(<[usize]>::len);
        let behind = ahead.sum::<usize>();
        (2 * behind > of).then(|| Standing {
            step,
            value: goal.minimized(best),
            behind: behind as u32,
            of: of as u32,
        })
    }

    /// A standing in words.
    pub(super) fn words_of(&self, stage: u8, standing: Standing) -> String {
        let Standing { step, value, behind, of } = standing;
        let Some(rule) = self.early_stop(stage) else { return String::new() };
        let metric = rule.curve.metric.as_str();
        let unit = self.spec.metrics.find(metric).map_or("", |found| found.unit);
        let space = if unit.is_empty() { "" } else { " " };
        format!(
            "stopped at step {step}: with {metric} {value}{space}{unit} at best it stood behind \
             {behind} of {of} completed ones"
        )
    }
}

impl State {
    /// An evaluation has got somewhere.
    pub(super) fn note_progress(
        &mut self,
        id: TaskId,
        (step, steps): (u32, u32),
        metrics: &BTreeMap<MetricName, f64>,
    ) {
        let value = self.value_of_curve(id, metrics);
        let Some(lease) = self.lease_mut(id) else { return };
        lease.progress = Some(TaskProgress { step, steps, metrics: metrics.clone() });
        if let (Some(value), Some(curve)) = (value, &mut lease.curve)
            && curve.last().is_none_or(|(last, _)| *last < step)
            && curve.len() < LONGEST
        {
            curve.push((step, value));
        }
    }

    /// The value of the metric whose curve the task's stage is judged by.
    fn value_of_curve(&self, id: TaskId, metrics: &BTreeMap<MetricName, f64>) -> Option<f64> {
        let task = self.tasks.get(&id)?;
        let campaign = self.campaigns.get(&task.candidate.campaign)?;
        let metric = &campaign.early_stop(task.stage)?.curve.metric;
        let stage = campaign.stages.get(usize::from(task.stage))?;
        metrics.get(stage.asked(metric)).copied()
    }
}

impl Decision<'_> {
    /// Stops an evaluation that has got so far and is hopeless.
    pub(super) fn stop_if_hopeless(&mut self, id: AttemptId) {
        let AttemptId { task, attempt } = id;
        let Some(found) = self.state.tasks.get(&task) else { return };
        let Some(lease) = found.lease().filter(|_| found.hopeless.is_none()) else { return };
        let campaign = &self.state.campaigns[&found.candidate.campaign];
        // A curve whose beginning was not heard says too little.
        let Some(curve) = &lease.curve else { return };
        let Some(standing) = campaign.hopeless(found.candidate.ordinal, found.stage, curve) else {
            return;
        };
        let (worker, session) = (lease.worker, lease.session);
        self.emit(Event::StopDecided { task, attempt, standing });
        self.tell_hopeless(worker, session, id);
    }

    /// Tells the holder of a hopeless task to stop it; again and again, since messages may be lost.
    pub(super) fn tell_hopeless(
        &mut self,
        worker: WorkerId,
        session: SessionId,
        AttemptId { task, attempt }: AttemptId,
    ) {
        if self.state.tasks.get(&task).is_some_and(|found| found.hopeless.is_some()) {
            let reason = StopReason::Hopeless;
            self.effect(Effect::Stop { worker, session, task, attempt, reason });
        }
    }

    /// Keeps the curve of an attempt that delivers.
    pub(super) fn record_curve(&mut self, AttemptId { task, attempt }: AttemptId) {
        let lease = self.state.tasks.get(&task).and_then(|found| found.lease());
        let curve = lease.and_then(|lease| lease.curve.clone()).unwrap_or_default();
        if !curve.is_empty() {
            self.emit(Event::CurveRecorded { task, attempt, points: curve.into() });
        }
    }

    /// Screens the candidate of a hopeless task whose attempt has ended without a result.
    pub(super) fn screen_hopeless(&mut self, task: TaskId, failure: Failure, standing: Standing) {
        let (candidate, stage) = {
            let found = &self.state.tasks[&task];
            (found.candidate, found.stage)
        };
        let words = self.state.campaigns[&candidate.campaign].words_of(stage, standing);
        self.emit(Event::TaskFailed { task, failure });
        let screening = Screening { stage, reason: ScreenReason::Curve(words.into()) };
        self.emit(Event::CandidateScreened { candidate, screening });
        self.settle(candidate.campaign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_value_is_that_of_the_points_up_to_a_step() {
        let points = [(2, 10.0), (3, 5.0), (7, 60.0)];
        let curve = CompletedCurve::new(Ordinal(1), Goal::Maximize, &points);
        let found = [1, 2, 3, 6, 7, 9].map(|step| curve.best_at(step));
        let (early, late) = (Some(-10.0), Some(-60.0));
        assert_eq!(found, [None, early, early, early, late, late]);
    }
}
