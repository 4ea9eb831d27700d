//! What must hold of a journal, whatever happened: the ledger's rules, checked from the outside.
//!
//! Shares no code with the engine's decisions; it reads events and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::algorithm::Suggestion;
use crate::engine::{
    Assignment, Engine, EngineSettings, Event, FinishReason, Inconsistency, LeaseEnd, ResultOrigin,
    ScreenReason,
};
use crate::id::{Attempt, AttemptId, CampaignId, CandidateId, TaskId};
use crate::objective::Measurement;
use crate::time::{Span, Timestamp};

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Breach(String);

impl Breach {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub(super) fn inconsistent(findings: Vec<Inconsistency>) -> Self {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        Self(lines.join("; "))
    }
}

pub(super) fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(Breach(what())) }
}

/// Rebuilds an engine from a journal and re-derives every proposal on the way: the search itself
/// must come out bit for bit.
pub(super) fn replay(lease_length: Span, journal: &[(Timestamp, Event)]) -> Result<Engine, Breach> {
    let mut engine = Engine::new(EngineSettings { lease_length });
    for (at, event) in journal {
        if let Event::CandidateProposed { candidate, proposal, .. } = event {
            let campaign = engine.state().campaign(candidate.campaign);
            let derived = campaign.map(|campaign| campaign.suggest(*candidate));
            require(derived == Some(Suggestion::Propose((**proposal).clone())), || {
                format!("candidate {candidate} cannot be derived again from what came before it")
            })?;
        }
        engine.apply(event, *at);
    }
    Ok(engine)
}

/// An acknowledged report must be stored, or be one that does not count.
pub(super) fn check_acknowledged(
    engine: &Engine,
    journal: &[(Timestamp, Event)],
    id: AttemptId,
) -> Result<(), Breach> {
    let AttemptId { task, attempt } = id;
    if let Some(live) = engine.state().task(task)
        && live.attempt() == attempt
    {
        let ended = journal.iter().rev().any(|(_, event)| match event {
            Event::AttemptFailed { task: t, attempt: a, .. }
            | Event::LeaseEnded { task: t, attempt: a, .. } => AttemptId::new(*t, *a) == id,
            _ => false,
        });
        return require(ended, || {
            format!("the report of task {task}, attempt {attempt} was acknowledged and forgotten")
        });
    }
    Ok(())
}

/// A further attempt begins with what the latest of those that left something has left.
pub(super) fn check_continued(
    journal: &[(Timestamp, Event)],
    assignment: &Assignment,
) -> Result<(), Breach> {
    if assignment.attempt.0 == 1 {
        return Ok(());
    }
    let left = journal.iter().rev().find_map(|(_, event)| match event {
        Event::AttemptYielded { task, checkpoint, .. } if *task == assignment.task => *checkpoint,
        Event::StateSaved { task, checkpoint, .. } if *task == assignment.task => Some(*checkpoint),
        _ => None,
    });
    require(left.is_none() || left == assignment.resume, || {
        let (task, attempt) = (assignment.task, assignment.attempt);
        format!("attempt {attempt} of task {task} does not go on with what was left")
    })
}

#[derive(Default)]
struct TaskEntry {
    asks: Option<Asked>,
    measurements: Vec<Measurement>,
    leased: BTreeSet<Attempt>,
    yielded: BTreeSet<Attempt>,
    ended: BTreeMap<Attempt, u32>,
    completed: u32,
    failed: u32,
    stopped: bool,
    /// How often others took its slot.
    taken: u32,
    /// Whether that was the last that happened to it.
    just_taken: bool,
}

/// What a task measures.
#[derive(Clone, Copy)]
struct Asked {
    candidate: CandidateId,
    stage: u8,
    repeat: u32,
}

impl TaskEntry {
    fn is_about(&self, candidate: CandidateId, stage: u8) -> bool {
        self.asks.is_some_and(|asks| (asks.candidate, asks.stage) == (candidate, stage))
    }
}

/// Every task is completed or failed exactly once, every candidate resolved exactly once, every campaign
/// finished once, and a score rests on one completion of each repeat of each stage.
pub(super) fn check_journal(journal: &[(Timestamp, Event)]) -> Result<(), Breach> {
    let mut ledger = Ledger::default();
    for (_, event) in journal {
        ledger.book(event)?;
    }
    ledger.tasks_end_once()?;
    ledger.candidates_are_resolved_once()?;
    ledger.scores_rest_on_every_repeat()
}

/// Whether a campaign that ends so gives up what it has not finished.
fn gives_up(reason: FinishReason) -> bool {
    use FinishReason::{BudgetSpent, NothingFeasible, SpaceExhausted};
    !matches!(reason, BudgetSpent | NothingFeasible | SpaceExhausted)
}

/// What a journal has told so far. Each rule is a method of its own.
#[derive(Default)]
struct Ledger {
    tasks: BTreeMap<TaskId, TaskEntry>,
    /// How often each candidate that was proposed has been resolved.
    resolved: BTreeMap<CandidateId, u32>,
    /// How often each stage of a campaign measures.
    repeats: BTreeMap<CampaignId, Vec<u32>>,
    averaged: BTreeSet<(CandidateId, u8)>,
    scored: BTreeSet<CandidateId>,
    finished: BTreeSet<CampaignId>,
    /// Those that give up what they have not finished.
    giving_up: BTreeSet<CampaignId>,
}

impl Ledger {
    fn book(&mut self, event: &Event) -> Result<(), Breach> {
        match event {
            Event::CampaignSubmitted { campaign, spec, .. } => {
                let of_stages = spec.stages.iter().map(|stage| stage.repeats);
                self.repeats.insert(*campaign, of_stages.collect());
            }
            Event::CampaignDraining { campaign, reason } if gives_up(*reason) => {
                self.giving_up.insert(*campaign);
            }
            Event::CampaignFinished { campaign, .. } => self.campaign_finishes_once(*campaign)?,
            Event::CandidateProposed { candidate, .. } => {
                self.candidate_is_proposed_once(*candidate)?;
            }
            Event::TaskQueued { task, candidate, stage, repeat } => {
                let asks = Asked { candidate: *candidate, stage: *stage, repeat: *repeat };
                self.entry(*task).asks = Some(asks);
            }
            Event::RepeatsAveraged { candidate, stage, measurements } => {
                self.repeats_are_averaged_once(*candidate, *stage)?;
                self.means_are_those_of_the_repeats(*candidate, *stage, measurements)?;
            }
            Event::TaskLeased { task, attempt, .. } => {
                self.entry(*task).leased.insert(*attempt);
            }
            Event::TaskCompleted { task, attempt, measurements, .. } => {
                let entry = self.entry(*task);
                entry.completed += 1;
                entry.measurements.clone_from(measurements);
                self.attempt_was_leased(*task, *attempt)?;
            }
            Event::ResultTaken { task, origin, .. } => {
                self.entry(*task).completed += 1;
                self.result_is_there_to_take(*task, origin)?;
            }
            Event::AttemptYielded { task, attempt, checkpoint, .. } => {
                self.attempt_yields_in_turn(*task, *attempt, checkpoint.is_some())?;
            }
            Event::StateSaved { task, attempt, .. } => {
                self.state_is_saved_in_turn(*task, *attempt)?
            }
            Event::AttemptFailed { task, attempt, .. } => {
                *self.entry(*task).ended.entry(*attempt).or_default() += 1;
            }
            Event::StopDecided { task, attempt, .. } => {
                self.task_is_stopped_once(*task, *attempt)?
            }
            Event::LeaseEnded { task, end: LeaseEnd::Preempted { .. }, .. } => {
                let entry = self.entry(*task);
                entry.taken += 1;
                entry.just_taken = true;
            }
            Event::TaskRequeued(task) => self.entry(*task).just_taken = false,
            Event::TaskFailed { task, .. } => {
                self.entry(*task).failed += 1;
                self.nobody_fails_for_a_slot_that_was_taken(*task)?;
            }
            Event::CandidateScored { candidate, .. } => {
                self.scored.insert(*candidate);
                self.resolve(*candidate);
            }
            Event::CandidateScreened { candidate, screening } => {
                if matches!(screening.reason, ScreenReason::Curve(_)) {
                    self.hopeless_was_stopped(*candidate, screening.stage)?;
                }
                self.resolve(*candidate);
            }
            Event::CandidateInfeasible { candidate, .. }
            | Event::CandidateFailed { candidate, .. } => {
                self.resolve(*candidate);
            }
            _ => {}
        }
        Ok(())
    }

    fn entry(&mut self, task: TaskId) -> &mut TaskEntry {
        self.tasks.entry(task).or_default()
    }

    fn resolve(&mut self, candidate: CandidateId) {
        *self.resolved.entry(candidate).or_default() += 1;
    }

    fn campaign_finishes_once(&mut self, campaign: CampaignId) -> Result<(), Breach> {
        let once = self.finished.insert(campaign);
        require(once, || format!("campaign {campaign} finishes twice"))
    }

    fn candidate_is_proposed_once(&mut self, candidate: CandidateId) -> Result<(), Breach> {
        let before = self.resolved.insert(candidate, 0);
        require(before.is_none(), || format!("candidate {candidate} is proposed twice"))
    }

    fn repeats_are_averaged_once(
        &mut self,
        candidate: CandidateId,
        stage: u8,
    ) -> Result<(), Breach> {
        require(self.averaged.insert((candidate, stage)), || {
            format!("candidate {candidate} is averaged twice at stage {stage}")
        })
    }

    /// Means by definition over what the tasks of a candidate have measured at a stage.
    fn means_are_those_of_the_repeats(
        &self,
        candidate: CandidateId,
        stage: u8,
        means: &[Measurement],
    ) -> Result<(), Breach> {
        let asked = |entry: &&TaskEntry| entry.completed == 1 && entry.is_about(candidate, stage);
        let measured = || self.tasks.values().filter(asked).flat_map(|entry| &entry.measurements);
        for mean in means {
            let samples = measured().filter(|found| found.metric == mean.metric);
            let values: Vec<f64> = samples.map(Measurement::value).collect();
            let expected = values.iter().sum::<f64>() / values.len() as f64;
            require((mean.value() - expected).abs() <= 1e-9 * (1.0 + expected.abs()), || {
                let (metric, found) = (&mean.metric, mean.value());
                format!("{metric} of candidate {candidate} is {found}, not {expected}")
            })?;
        }
        Ok(())
    }

    fn attempt_was_leased(&mut self, task: TaskId, attempt: Attempt) -> Result<(), Breach> {
        require(self.entry(task).leased.contains(&attempt), || {
            format!("task {task} is completed by attempt {attempt}, which nobody had")
        })
    }

    fn result_is_there_to_take(&self, task: TaskId, origin: &ResultOrigin) -> Result<(), Breach> {
        let known = self.tasks.values().any(|entry| {
            entry.asks.is_some_and(|asks| asks.candidate == origin.candidate)
                && entry.completed > 0
                && entry.leased.contains(&origin.attempt)
        });
        require(known, || format!("task {task} took what candidate {} has not", origin.candidate))
    }

    /// Once at most; a state is left by the latest attempt alone, what an earlier one took may come later.
    fn attempt_yields_in_turn(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        leaves_state: bool,
    ) -> Result<(), Breach> {
        let entry = self.entry(task);
        let latest = entry.leased.last() == Some(&attempt);
        let known = latest || !leaves_state && entry.leased.contains(&attempt);
        require(known && entry.yielded.insert(attempt), || {
            format!("attempt {attempt} of task {task} leaves its state out of turn")
        })
    }

    /// By the latest attempt, before it has ended in any way.
    fn state_is_saved_in_turn(&mut self, task: TaskId, attempt: Attempt) -> Result<(), Breach> {
        let entry = self.entry(task);
        let latest = entry.leased.last() == Some(&attempt);
        let over = entry.completed + entry.failed > 0 || entry.yielded.contains(&attempt);
        require(latest && !over && !entry.ended.contains_key(&attempt), || {
            format!("attempt {attempt} of task {task} saves its state out of turn")
        })
    }

    fn task_is_stopped_once(&mut self, task: TaskId, attempt: Attempt) -> Result<(), Breach> {
        let entry = self.entry(task);
        let first = !std::mem::replace(&mut entry.stopped, true);
        require(first && entry.leased.contains(&attempt), || {
            format!("task {task} is stopped twice, or without an attempt")
        })
    }

    /// Whoever is screened for a curve has at that stage only tasks that were stopped and failed.
    fn hopeless_was_stopped(&self, candidate: CandidateId, stage: u8) -> Result<(), Breach> {
        let mut tasks = self.tasks.values().filter(|entry| entry.is_about(candidate, stage));
        let stopped = tasks.all(|entry| entry.stopped && (entry.completed, entry.failed) == (0, 1));
        require(stopped, || format!("candidate {candidate} was not stopped"))
    }

    /// To lose a slot to others is no failure: whoever does goes on later, unless the campaign has ended or the
    /// evaluation was hopeless.
    fn nobody_fails_for_a_slot_that_was_taken(&self, task: TaskId) -> Result<(), Breach> {
        let Some(entry) = self.tasks.get(&task) else { return Ok(()) };
        let Some(Asked { candidate, .. }) = entry.asks else { return Ok(()) };
        let over = entry.stopped || self.giving_up.contains(&candidate.campaign);
        require(over || !entry.just_taken, || {
            let (taken, attempts) = (entry.taken, entry.leased.len());
            format!(
                "candidate {candidate} fails because others took its slot, {taken} of {attempts} times"
            )
        })
    }

    fn tasks_end_once(&self) -> Result<(), Breach> {
        for (task, entry) in &self.tasks {
            let TaskEntry { completed, failed, .. } = entry;
            require(completed + failed == 1, || {
                format!("task {task} is completed {completed} and failed {failed} times")
            })?;
            require(entry.ended.values().all(|times| *times == 1), || {
                format!("an attempt of task {task} failed twice")
            })?;
        }
        Ok(())
    }

    fn candidates_are_resolved_once(&self) -> Result<(), Breach> {
        for (candidate, times) in &self.resolved {
            require(*times == 1, || format!("candidate {candidate} is resolved {times} times"))?;
        }
        Ok(())
    }

    fn scores_rest_on_every_repeat(&self) -> Result<(), Breach> {
        let completed = self.completed_repeats();
        for candidate in &self.scored {
            let of_stages = self.repeats.get(&candidate.campaign).into_iter().flatten();
            let each = (0u8..).zip(of_stages);
            let repeats_of =
                |(stage, repeats): (u8, &u32)| (0..*repeats).map(move |repeat| (stage, repeat));
            let wanted: Vec<(u8, u32)> = each.clone().flat_map(repeats_of).collect();
            let found = completed.get(candidate).cloned().unwrap_or_default();
            require(found == wanted, || {
                format!("candidate {candidate} is scored on {found:?}, not on each of {wanted:?}")
            })?;
            for (stage, repeats) in each {
                require((*repeats > 1) == self.averaged.contains(&(*candidate, stage)), || {
                    format!("candidate {candidate} has no means, or too many, at stage {stage}")
                })?;
            }
        }
        Ok(())
    }

    /// The stages and repeats of each candidate that were completed, in the order of their tasks.
    fn completed_repeats(&self) -> BTreeMap<CandidateId, Vec<(u8, u32)>> {
        let mut completed: BTreeMap<CandidateId, Vec<(u8, u32)>> = BTreeMap::new();
        let once = self.tasks.values().filter(|entry| entry.completed == 1);
        for Asked { candidate, stage, repeat } in once.filter_map(|entry| entry.asks) {
            completed.entry(candidate).or_default().push((stage, repeat));
        }
        completed
    }
}

impl fmt::Debug for super::Simulation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("settings", &self.settings).finish_non_exhaustive()
    }
}
