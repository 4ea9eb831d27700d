//! Stages as rungs of asynchronous successive halving: who has finished a stage of which only the
//! best go on, who of them may go on now, and what each stage has cost.
//!
//! A candidate goes on while it is among the top share of all that have finished the stage so far,
//! by non-dominated rank and, within a front, by the front's epsilon net (ADR 0016). The ranking is
//! renewed when results arrive: with each one up to [`EXACT_UP_TO`] of them, later each time there
//! are a sixty-fourth more, so that it costs O(log n) a result for up to three criteria. Between
//! two rankings those that the last one let pass are called up. A rung can be of the first candidates
//! alone; it closes with the last of these, and whoever comes later goes on at once. Must not know workers.

use std::collections::{BTreeMap, BTreeSet};

use super::campaign::{Campaign, CampaignStatus};
use super::candidate::{Candidate, CandidateStatus};
use crate::energy::Energy;
use crate::id::{CandidateId, Ordinal};
use crate::pareto::Points;
use crate::pareto::net::spread_order;
use crate::pareto::sorting::non_dominated_sort;
use crate::time::Span;

/// So many results are ranked anew with each one.
pub(super) const EXACT_UP_TO: usize = 512;
/// Beyond that, the share of new results that makes a new ranking due.
pub(super) const RENEWED_BY: usize = 64;

/// A stage after which only the best go on.
#[derive(Debug, Clone, Default)]
pub(super) struct Rung {
    /// Those that have finished the stage and were fit to go on, in order of arrival.
    pub(super) finished: Vec<Ordinal>,
    /// Those among them that have not gone on.
    pub(super) waiting: BTreeSet<Ordinal>,
    /// How many results the last ranking is of.
    pub(super) ranked: usize,
    /// Whether it was made when nobody could come any more.
    pub(super) closed: bool,
    /// Whether it ranks the first candidates alone and none of these can come any more; stays so.
    pub(super) complete: bool,
    /// Those whom the last ranking lets pass and who have not gone on, by their place in it.
    pub(super) promotable: BTreeMap<u32, Ordinal>,
    /// The place of each of them.
    pub(super) places: BTreeMap<Ordinal, u32>,
}

impl Rung {
    pub(super) fn enter(&mut self, ordinal: Ordinal) {
        self.finished.push(ordinal);
        self.waiting.insert(ordinal);
    }

    /// The candidate goes on or is given up.
    pub(super) fn leave(&mut self, ordinal: Ordinal) {
        self.waiting.remove(&ordinal);
        if let Some(place) = self.places.remove(&ordinal) {
            self.promotable.remove(&place);
        }
    }

    fn is_due(&self, closed: bool) -> bool {
        let new = self.finished.len() - self.ranked;
        let grown = new > 0 && (self.ranked < EXACT_UP_TO || new >= self.ranked / RENEWED_BY);
        grown || (closed && (new > 0 || !self.closed))
    }
}

/// What a stage has done and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTally {
    /// Candidates that entered it.
    pub entered: u32,
    /// Candidates that went on from it, or were scored if it is the last.
    pub passed: u32,
    /// Candidates that its `pass` ended.
    pub screened: u32,
    /// Candidates that broke a constraint of the campaign after it.
    pub infeasible: u32,
    /// Candidates that failed in it for good.
    pub failed: u32,
    /// Its tasks that are queued or leased.
    pub live: u32,
    /// Time in slots of all its attempts that have been reported.
    pub slot_time: Span,
    /// Energy of all its attempts whose evaluators reported it.
    pub energy: Energy,
    /// Its tasks that took a known result instead of an evaluation.
    pub taken: u32,
}

impl StageTally {
    /// Counts the end of a candidate that entered no later stage.
    pub(super) fn end(&mut self, status: &CandidateStatus) {
        match status {
            CandidateStatus::Scored { .. } => self.passed += 1,
            CandidateStatus::Screened(_) => self.screened += 1,
            CandidateStatus::Infeasible(_) => self.infeasible += 1,
            CandidateStatus::Failed(_) => self.failed += 1,
            CandidateStatus::Proposed
            | CandidateStatus::InStage { .. }
            | CandidateStatus::Waiting { .. } => {}
        }
    }
}

impl Campaign {
    /// What each stage has done and cost, in order.
    #[must_use]
    pub fn tallies(&self) -> &[StageTally] {
        &self.tallies
    }

    /// How many candidates wait after a stage for being called up to the next one.
    #[must_use]
    pub fn waiting_after(&self, stage: u8) -> usize {
        self.rungs.get(&stage).map_or(0, |rung| rung.waiting.len())
    }

    /// How many candidates wait for being called up, after whatever stage.
    pub(super) fn waiting(&self) -> usize {
        self.rungs.values().map(|rung| rung.waiting.len()).sum()
    }

    /// Whether someone may be called up to a later stage.
    pub(super) fn has_promotable(&self) -> bool {
        let over = matches!(self.status, CampaignStatus::Finished(_)) || self.status.ends_early();
        !over && self.rungs.values().any(|rung| !rung.promotable.is_empty())
    }

    /// The best candidate of each rung that may go on, from the highest rung down, with the stage
    /// that it has finished.
    pub(super) fn promotable(&self) -> impl Iterator<Item = (CandidateId, u8)> {
        let best = |(stage, rung): (&u8, &Rung)| {
            let (_, ordinal) = rung.promotable.first_key_value()?;
            Some((CandidateId::new(self.id, *ordinal), *stage))
        };
        self.rungs.iter().rev().filter_map(best)
    }

    /// Whether the campaign does nothing any more but keep candidates waiting.
    pub(super) fn only_waits(&self) -> bool {
        let draining = matches!(self.status, CampaignStatus::Draining(_));
        draining && self.queue.is_empty() && self.leased.is_empty() && !self.has_promotable()
    }

    /// Those that have finished the stage so far, the best first; what is ranked is in the text of
    /// this module. O(n log n) for n results and two criteria.
    pub(super) fn ranking(&self, stage: u8) -> Vec<Ordinal> {
        let (Some(rung), Some(top)) = (self.rungs.get(&stage), self.top_after(stage)) else {
            return Vec::new();
        };
        let columns: Vec<_> = top
            .by
            .iter()
            .filter_map(|criterion| Some((self.column(&criterion.metric)?, criterion.goal)))
            .collect();
        let values = |ordinal: &Ordinal| -> Option<Vec<f64>> {
            let candidate = self.candidate(*ordinal)?;
            let value = |(column, goal): &(u16, crate::objective::Goal)| {
                Some(goal.minimized(candidate.value(*column)?))
            };
            columns.iter().map(value).collect()
        };
        let mut ids = rung.finished.clone();
        ids.sort_unstable();
        // Only a damaged journal lacks a value here; it must stay verifiable.
        ids.retain(|id| values(id).is_some_and(|row| row.len() == top.by.len()));
        let rows = ids.iter().filter_map(values);
        let Ok(points) = Points::try_from_rows(top.by.len(), rows) else { return Vec::new() };
        let Ok(fronts) = non_dominated_sort(&points, None) else { return Vec::new() };
        fronts.iter().flat_map(|front| spread_order(&points, front)).map(|at| ids[at]).collect()
    }

    /// Whether the candidate waits after the stage until it is among the best.
    pub(super) fn is_ranked(&self, candidate: Ordinal, stage: u8) -> bool {
        self.top_after(stage).is_some_and(|top| top.ranks(candidate))
    }

    /// Whether the stage ranks the first candidates alone and none of these can come to it any more.
    pub(super) fn is_cohort_complete(&self, stage: u8) -> bool {
        let Some(first) = self.top_after(stage).and_then(|top| top.of_first) else { return false };
        let first = first as usize;
        let called_up = |at: u8, ordinal: Ordinal| {
            let rung = self.rungs.get(&at);
            rung.is_some_and(|rung| !rung.closed || rung.places.contains_key(&ordinal))
        };
        let may_come = |(ordinal, candidate): (u32, &Candidate)| match candidate.status() {
            CandidateStatus::Proposed => true,
            CandidateStatus::InStage { stage: at, .. } => *at <= stage,
            CandidateStatus::Waiting { stage: at } => {
                *at < stage && called_up(*at, Ordinal(ordinal))
            }
            _ => false,
        };
        let mut cohort = (1u32..).zip(self.candidates.iter().take(first));
        self.candidates.len() >= first && !cohort.any(may_come)
    }

    /// Ranks those rungs anew for which it is time.
    pub(super) fn renew_rankings(&mut self) {
        if self.rungs.is_empty() {
            return;
        }
        // Whether anyone can still come to the stage at hand.
        let mut open = matches!(self.status, CampaignStatus::Running | CampaignStatus::Paused);
        for stage in 0..self.stages.len() as u8 {
            open |= self.tallies[usize::from(stage)].live > 0;
            let Some(rung) = self.rungs.get(&stage) else { continue };
            let complete = rung.complete || self.is_cohort_complete(stage);
            let Some(rung) = self.rungs.get_mut(&stage) else { continue };
            rung.complete = complete;
            let closed = !open || complete;
            if rung.is_due(closed) {
                self.renew_ranking(stage, closed);
            }
            open |= self.rungs.get(&stage).is_some_and(|rung| !rung.promotable.is_empty());
        }
    }

    fn renew_ranking(&mut self, stage: u8, closed: bool) {
        let ranking = self.ranking(stage);
        let Some(top) = self.top_after(stage) else { return };
        let passing = if closed { top.of_all(ranking.len()) } else { top.of(ranking.len()) };
        let Some(rung) = self.rungs.get_mut(&stage) else { return };
        let ranked = (0u32..).zip(ranking.into_iter().take(passing));
        rung.promotable = ranked.filter(|(_, ordinal)| rung.waiting.contains(ordinal)).collect();
        rung.places = rung.promotable.iter().map(|(place, ordinal)| (*ordinal, *place)).collect();
        rung.ranked = rung.finished.len();
        rung.closed = closed;
    }

    fn top_after(&self, stage: u8) -> Option<&crate::spec::TopShare> {
        self.spec.passes.get(usize::from(stage))?.top.as_ref()
    }
}
