//! Stages and rungs recomputed from the candidates: counts of each stage, who waits where, and, for
//! rungs of moderate size, the ranking by definition. Must not call what `rung` ranks by.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::energy::Energy;
use crate::engine::campaign::{Campaign, CampaignStatus};
use crate::engine::candidate::{Candidate, CandidateStatus};
use crate::engine::event::ScreenReason;
use crate::engine::rung::{EXACT_UP_TO, RENEWED_BY, Rung};
use crate::engine::state::State;
use crate::id::Ordinal;
use crate::pareto::dominance::dominates;
use crate::spec::TopShare;
use crate::time::Span;

/// The ranking by definition takes time with the third power of a rung's size, and is that of the
/// engine for fronts of up to so many members.
const RANKED_AGAIN: usize = 128;

impl Campaign {
    pub(super) fn check_tallies(&self, state: &State, findings: &mut Findings) {
        let tasks = || state.tasks().filter(|task| task.candidate().campaign == self.id);
        let last = self.stages.len().saturating_sub(1);
        for (at, (stage, tally)) in self.stages.iter().zip(&self.tallies).enumerate() {
            let count = |wanted: &dyn Fn(&Candidate) -> bool| {
                self.candidates.iter().filter(|candidate| wanted(candidate)).count() as u32
            };
            let ended_here = |candidate: &Candidate| usize::from(candidate.entered) == at + 1;
            let found = (
                count(&|candidate| usize::from(candidate.entered) > at),
                count(&|candidate| match candidate.status() {
                    CandidateStatus::Scored { .. } if at == last => true,
                    _ => usize::from(candidate.entered) > at + 1,
                }),
                count(&|candidate| {
                    ended_here(candidate)
                        && matches!(candidate.status(), CandidateStatus::Screened(_))
                }),
                count(&|candidate| {
                    ended_here(candidate)
                        && matches!(candidate.status(), CandidateStatus::Infeasible(_))
                }),
                count(&|candidate| {
                    ended_here(candidate)
                        && matches!(candidate.status(), CandidateStatus::Failed(_))
                }),
                tasks().filter(|task| usize::from(task.stage()) == at).count() as u32,
            );
            let booked = (
                tally.entered,
                tally.passed,
                tally.screened,
                tally.infeasible,
                tally.failed,
                tally.live,
            );
            findings.require(found == booked, || {
                format!(
                    "campaign {}: stage {} is booked as {booked:?}, not {found:?}",
                    self.id, stage.name
                )
            });
        }
        let slot_time: Span = self.tallies.iter().map(|tally| tally.slot_time).sum();
        findings.require(slot_time == self.slot_time, || {
            format!("campaign {}: the stages' times in slots do not add up", self.id)
        });
        let energy: Energy = self.tallies.iter().map(|tally| tally.energy).sum();
        findings.require(energy == self.energy, || {
            format!("campaign {}: the stages' energies do not add up", self.id)
        });
    }

    pub(super) fn check_rung(&self, stage: u8, rung: &Rung, findings: &mut Findings) {
        let place = || format!("campaign {}, rung after stage {stage}", self.id);
        let ordinals = (1u32..).map(Ordinal);
        let top = self.spec.passes.get(usize::from(stage)).and_then(|pass| pass.top.as_ref());
        let first = top.and_then(|top| top.of_first).map_or(usize::MAX, |first| first as usize);
        // Later candidates have nothing to do with the rung.
        let numbered: Vec<(Ordinal, &Candidate)> =
            ordinals.zip(&self.candidates).take(first).collect();
        let select = |wanted: &dyn Fn(&Candidate) -> bool| -> BTreeSet<Ordinal> {
            let found = numbered.iter().filter(|(_, candidate)| wanted(candidate));
            found.map(|(ordinal, _)| *ordinal).collect()
        };
        let waits =
            |candidate: &Candidate| *candidate.status() == CandidateStatus::Waiting { stage };
        let lost_its_rank = |candidate: &Candidate| match candidate.status() {
            CandidateStatus::Screened(screening) => {
                screening.stage == stage && matches!(screening.reason, ScreenReason::Rank { .. })
            }
            _ => false,
        };
        let waiting = select(&waits);
        let finished = select(&|candidate| {
            candidate.entered > stage + 1 || waits(candidate) || lost_its_rank(candidate)
        });
        findings.require(!rung.complete || self.is_cohort_complete(stage), || {
            format!("{}: one of the first can still come to it", place())
        });
        findings.require(waiting == rung.waiting, || {
            format!("{}: the index of waiting candidates is wrong", place())
        });
        let indexed: BTreeSet<Ordinal> = rung.finished.iter().copied().collect();
        findings.require(finished == indexed && rung.finished.len() == indexed.len(), || {
            format!("{}: the index of those that have finished it is wrong", place())
        });
        let promotable: BTreeSet<Ordinal> = rung.promotable.values().copied().collect();
        findings.require(promotable.is_subset(&rung.waiting), || {
            format!("{}: someone is to go on who does not wait", place())
        });
        let places = rung.promotable.iter().map(|(place, ordinal)| (*ordinal, *place)).collect();
        findings.require(rung.places == places, || {
            format!("{}: the index of places is wrong", place())
        });
        let new = rung.finished.len() - rung.ranked.min(rung.finished.len());
        let allowed =
            if rung.ranked < EXACT_UP_TO { 0 } else { (rung.ranked / RENEWED_BY).max(1) - 1 };
        findings.require(new <= allowed, || format!("{}: its ranking is too old", place()));
        if let (Some(top), 0, true) = (top, new, finished.len() <= RANKED_AGAIN) {
            let expected = self.promotable_by_definition(top, &finished, &waiting, rung.closed);
            findings.require(rung.promotable == expected, || {
                format!("{}: {:?} may go on, not {expected:?}", place(), rung.promotable)
            });
        }
        self.check_closed(stage, rung, first, findings);
    }

    /// A rung of the first candidates is closed only if none of these can come to it any more.
    fn check_closed(&self, stage: u8, rung: &Rung, first: usize, findings: &mut Findings) {
        let running = matches!(self.status, CampaignStatus::Running | CampaignStatus::Paused);
        let proposing = running && self.candidates.len() < first;
        let coming = self.candidates.iter().take(first).any(|candidate| match candidate.status() {
            CandidateStatus::InStage { stage: at, .. } => *at <= stage,
            _ => false,
        });
        findings.require(!rung.closed || !(proposing || coming), || {
            format!("campaign {}: the rung after stage {stage} closed too early", self.id)
        });
    }

    /// Those that may go on with their places from 0, by the definition of the ranking.
    fn promotable_by_definition(
        &self,
        top: &TopShare,
        finished: &BTreeSet<Ordinal>,
        waiting: &BTreeSet<Ordinal>,
        closed: bool,
    ) -> BTreeMap<u32, Ordinal> {
        let row = |ordinal: &Ordinal| -> Option<Vec<f64>> {
            let candidate = self.candidate(*ordinal)?;
            let value = |criterion: &crate::spec::Criterion| {
                let column = self.columns.iter().position(|name| *name == criterion.metric)?;
                let stored = candidate.measurements.iter();
                let stored = stored.filter(|stored| usize::from(stored.column) == column);
                stored.map(|stored| criterion.goal.minimized(stored.value)).next()
            };
            top.by.iter().map(value).collect()
        };
        let mut rest: Vec<(Ordinal, Vec<f64>)> =
            finished.iter().filter_map(|id| Some((*id, row(id)?))).collect();
        let count = rest.len();
        let mut ranking = Vec::new();
        while !rest.is_empty() {
            let beaten = |(_, row): &(Ordinal, Vec<f64>)| {
                rest.iter().any(|(_, other)| dominates(other, row))
            };
            let (behind, front): (Vec<_>, Vec<_>) =
                rest.iter().cloned().partition(|entry| beaten(entry));
            ranking.extend(farthest_first(front));
            rest = behind;
        }
        let share = (count as f64 * top.share + 1e-9).floor() as usize;
        let passing = match closed {
            true => share.max(1),
            false if count < top.least as usize => 0,
            false => share,
        };
        let places = (0u32..).zip(ranking.into_iter().take(passing));
        places.filter(|(_, ordinal)| waiting.contains(ordinal)).collect()
    }
}

/// A front, ascending by id, from the lowest first value on, each time the member farthest from all
/// before; values as shares of the front's range.
fn farthest_first(front: Vec<(Ordinal, Vec<f64>)>) -> Vec<Ordinal> {
    let width = front.first().map_or(0, |(_, row)| row.len());
    let range = |at: usize| {
        let values = front.iter().map(|(_, row)| row[at]);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
    };
    let ranges: Vec<(f64, f64)> = (0..width).map(range).collect();
    let share = |value: f64, (low, high): (f64, f64)| {
        if low < high { (value - low) / (high - low) } else { 0.0 }
    };
    let scaled = |row: &[f64]| -> Vec<f64> {
        row.iter().zip(&ranges).map(|(value, range)| share(*value, *range)).collect()
    };
    let mut rest: Vec<(Ordinal, f64, Vec<f64>)> =
        front.iter().map(|(id, row)| (*id, row[0], scaled(row))).collect();
    let mut order: Vec<(Ordinal, Vec<f64>)> = Vec::new();
    while !rest.is_empty() {
        let gap = |(_, first, row): &(Ordinal, f64, Vec<f64>)| {
            let square = |(x, y): (&f64, &f64)| (x - y) * (x - y);
            let distance =
                |(_, other): &(Ordinal, Vec<f64>)| row.iter().zip(other).map(square).sum::<f64>();
            match order.is_empty() {
                true => -*first,
                false => order.iter().map(distance).fold(f64::INFINITY, f64::min),
            }
        };
        let mut best = 0;
        for at in 1..rest.len() {
            if gap(&rest[at]) > gap(&rest[best]) {
                best = at;
            }
        }
        let (id, _, row) = rest.remove(best);
        order.push((id, row));
    }
    order.into_iter().map(|(id, _)| id).collect()
}
