//! What must hold of a journal, whatever happened: the ledger's rules, checked from the outside.
//!
//! Shares no code with the engine's decisions; it reads events and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::algorithm::Suggestion;
use crate::engine::{Assignment, Engine, EngineSettings, Event, Inconsistency, ScreenReason};
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
    /// The candidate, the stage and the repeat.
    asks: Option<(CandidateId, u8, u32)>,
    measurements: Vec<Measurement>,
    leased: BTreeSet<Attempt>,
    yielded: BTreeSet<Attempt>,
    ended: BTreeMap<Attempt, u32>,
    completed: u32,
    failed: u32,
    stopped: bool,
}

/// Every task is completed or failed exactly once, every candidate resolved exactly once, every campaign
/// finished once, and a score rests on one completion of each repeat of each stage.
pub(super) fn check_journal(journal: &[(Timestamp, Event)]) -> Result<(), Breach> {
    let mut tasks: BTreeMap<TaskId, TaskEntry> = BTreeMap::new();
    let mut resolved: BTreeMap<CandidateId, u32> = BTreeMap::new();
    let mut repeats: BTreeMap<CampaignId, Vec<u32>> = BTreeMap::new();
    let mut averaged: BTreeSet<(CandidateId, u8)> = BTreeSet::new();
    let (mut scored, mut finished) = (BTreeSet::new(), BTreeSet::new());
    for (_, event) in journal {
        match event {
            Event::CampaignSubmitted { campaign, spec, .. } => {
                let of_stages = spec.stages.iter().map(|stage| stage.repeats);
                repeats.insert(*campaign, of_stages.collect());
            }
            Event::CampaignFinished { campaign, .. } => {
                let once = finished.insert(*campaign);
                require(once, || format!("campaign {campaign} finishes twice"))?;
            }
            Event::CandidateProposed { candidate, .. } => {
                let before = resolved.insert(*candidate, 0);
                require(before.is_none(), || format!("candidate {candidate} is proposed twice"))?;
            }
            Event::TaskQueued { task, candidate, stage, repeat } => {
                tasks.entry(*task).or_default().asks = Some((*candidate, *stage, *repeat));
            }
            Event::RepeatsAveraged { candidate, stage, measurements } => {
                require(averaged.insert((*candidate, *stage)), || {
                    format!("candidate {candidate} is averaged twice at stage {stage}")
                })?;
                check_means(*candidate, *stage, measurements, &tasks)?;
            }
            Event::TaskLeased { task, attempt, .. } => {
                tasks.entry(*task).or_default().leased.insert(*attempt);
            }
            Event::TaskCompleted { task, attempt, measurements, .. } => {
                let entry = tasks.entry(*task).or_default();
                entry.completed += 1;
                entry.measurements.clone_from(measurements);
                require(entry.leased.contains(attempt), || {
                    format!("task {task} is completed by attempt {attempt}, which nobody had")
                })?;
            }
            Event::ResultTaken { task, origin, .. } => {
                tasks.entry(*task).or_default().completed += 1;
                let known = tasks.values().any(|entry| {
                    entry.asks.is_some_and(|(of, ..)| of == origin.candidate)
                        && entry.completed > 0
                        && entry.leased.contains(&origin.attempt)
                });
                require(known, || {
                    format!("task {task} took what candidate {} has not", origin.candidate)
                })?;
            }
            Event::AttemptYielded { task, attempt, checkpoint, .. } => {
                let entry = tasks.entry(*task).or_default();
                let latest = entry.leased.last() == Some(attempt);
                let known = latest || checkpoint.is_none() && entry.leased.contains(attempt);
                require(known && entry.yielded.insert(*attempt), || {
                    format!("attempt {attempt} of task {task} leaves its state out of turn")
                })?;
            }
            Event::StateSaved { task, attempt, .. } => {
                let entry = tasks.entry(*task).or_default();
                let latest = entry.leased.last() == Some(attempt);
                let over = entry.completed + entry.failed > 0 || entry.yielded.contains(attempt);
                require(latest && !over && !entry.ended.contains_key(attempt), || {
                    format!("attempt {attempt} of task {task} saves its state out of turn")
                })?;
            }
            Event::AttemptFailed { task, attempt, .. } => {
                *tasks.entry(*task).or_default().ended.entry(*attempt).or_default() += 1;
            }
            Event::StopDecided { task, attempt, .. } => {
                let entry = tasks.entry(*task).or_default();
                require(entry.leased.contains(attempt) && !entry.stopped, || {
                    format!("task {task} is stopped twice, or without an attempt")
                })?;
                entry.stopped = true;
            }
            Event::TaskFailed { task, .. } => tasks.entry(*task).or_default().failed += 1,
            Event::CandidateScored { candidate, .. } => {
                scored.insert(*candidate);
                *resolved.entry(*candidate).or_default() += 1;
            }
            Event::CandidateScreened { candidate, screening }
                if matches!(screening.reason, ScreenReason::Curve(_)) =>
            {
                let asks = |entry: &&TaskEntry| {
                    entry.asks.is_some_and(|(of, at, _)| (of, at) == (*candidate, screening.stage))
                };
                let stopped = tasks
                    .values()
                    .filter(asks)
                    .all(|entry| entry.stopped && (entry.completed, entry.failed) == (0, 1));
                require(stopped, || format!("candidate {candidate} was not stopped"))?;
                *resolved.entry(*candidate).or_default() += 1;
            }
            Event::CandidateInfeasible { candidate, .. }
            | Event::CandidateScreened { candidate, .. }
            | Event::CandidateFailed { candidate, .. } => {
                *resolved.entry(*candidate).or_default() += 1;
            }
            _ => {}
        }
    }
    for (task, entry) in &tasks {
        require(entry.completed + entry.failed == 1, || {
            format!(
                "task {task} is completed {} and failed {} times",
                entry.completed, entry.failed
            )
        })?;
        require(entry.ended.values().all(|times| *times == 1), || {
            format!("an attempt of task {task} failed twice")
        })?;
    }
    for (candidate, times) in &resolved {
        require(*times == 1, || format!("candidate {candidate} is resolved {times} times"))?;
    }
    let mut completed: BTreeMap<CandidateId, Vec<(u8, u32)>> = BTreeMap::new();
    for (candidate, stage, repeat) in
        tasks.values().filter(|entry| entry.completed == 1).filter_map(|entry| entry.asks)
    {
        completed.entry(candidate).or_default().push((stage, repeat));
    }
    for candidate in scored {
        let of_stages = repeats.get(&candidate.campaign).into_iter().flatten();
        let each = (0u8..).zip(of_stages.clone());
        let wanted: Vec<(u8, u32)> = each
            .clone()
            .flat_map(|(stage, repeats)| (0..*repeats).map(move |repeat| (stage, repeat)))
            .collect();
        let found = completed.get(&candidate).cloned().unwrap_or_default();
        require(found == wanted, || {
            format!("candidate {candidate} is scored on {found:?}, not on each of {wanted:?}")
        })?;
        for (stage, repeats) in each {
            require((*repeats > 1) == averaged.contains(&(candidate, stage)), || {
                format!("candidate {candidate} has no means, or too many, at stage {stage}")
            })?;
        }
    }
    Ok(())
}

/// Means by definition over what the tasks of a candidate have measured at a stage.
fn check_means(
    candidate: CandidateId,
    stage: u8,
    means: &[Measurement],
    tasks: &BTreeMap<TaskId, TaskEntry>,
) -> Result<(), Breach> {
    for mean in means {
        let asked = |entry: &&TaskEntry| {
            entry.completed == 1
                && entry.asks.is_some_and(|(of, at, _)| (of, at) == (candidate, stage))
        };
        let values: Vec<f64> = tasks
            .values()
            .filter(asked)
            .flat_map(|entry| &entry.measurements)
            .filter(|found| found.metric == mean.metric)
            .map(Measurement::value)
            .collect();
        let expected = values.iter().sum::<f64>() / values.len() as f64;
        require((mean.value() - expected).abs() <= 1e-9 * (1.0 + expected.abs()), || {
            format!("{} of candidate {candidate} is {}, not {expected}", mean.metric, mean.value())
        })?;
    }
    Ok(())
}

impl fmt::Debug for super::Simulation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("settings", &self.settings).finish_non_exhaustive()
    }
}
