//! What must hold of a journal, whatever happened: the ledger's rules, checked from the outside.
//!
//! Shares no code with the engine's decisions; it reads events and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::algorithm::Suggestion;
use crate::engine::{Engine, EngineSettings, Event, Inconsistency};
use crate::id::{Attempt, CandidateId, TaskId};
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

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), Breach> {
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
    task: TaskId,
    attempt: Attempt,
) -> Result<(), Breach> {
    if let Some(live) = engine.state().task(task)
        && live.attempt() == attempt
    {
        let ended = journal.iter().rev().any(|(_, event)| match event {
            Event::AttemptFailed { task: t, attempt: a, .. }
            | Event::LeaseEnded { task: t, attempt: a, .. } => (*t, *a) == (task, attempt),
            _ => false,
        });
        return require(ended, || {
            format!("the report of task {task}, attempt {attempt} was acknowledged and forgotten")
        });
    }
    Ok(())
}

#[derive(Default)]
struct TaskEntry {
    candidate: Option<CandidateId>,
    leased: BTreeSet<Attempt>,
    ended: BTreeMap<Attempt, u32>,
    completed: u32,
    failed: u32,
}

/// Every task is completed or failed exactly once, every candidate resolved exactly once, and a
/// score rests on one completion per stage.
pub(super) fn check_journal(journal: &[(Timestamp, Event)]) -> Result<(), Breach> {
    let mut tasks: BTreeMap<TaskId, TaskEntry> = BTreeMap::new();
    let mut resolved: BTreeMap<CandidateId, u32> = BTreeMap::new();
    let mut stages = BTreeMap::new();
    let mut scored = BTreeSet::new();
    for (_, event) in journal {
        match event {
            Event::CampaignSubmitted { campaign, spec, .. } => {
                stages.insert(*campaign, spec.stages.len());
            }
            Event::CandidateProposed { candidate, .. } => {
                let before = resolved.insert(*candidate, 0);
                require(before.is_none(), || format!("candidate {candidate} is proposed twice"))?;
            }
            Event::TaskQueued { task, candidate, .. } => {
                tasks.entry(*task).or_default().candidate = Some(*candidate);
            }
            Event::TaskLeased { task, attempt, .. } => {
                tasks.entry(*task).or_default().leased.insert(*attempt);
            }
            Event::TaskCompleted { task, attempt, .. } => {
                let entry = tasks.entry(*task).or_default();
                entry.completed += 1;
                require(entry.leased.contains(attempt), || {
                    format!("task {task} is completed by attempt {attempt}, which nobody had")
                })?;
            }
            Event::ResultTaken { task, origin, .. } => {
                tasks.entry(*task).or_default().completed += 1;
                let known = tasks.values().any(|entry| {
                    entry.candidate == Some(origin.candidate)
                        && entry.completed > 0
                        && entry.leased.contains(&origin.attempt)
                });
                require(known, || {
                    format!("task {task} took what candidate {} has not", origin.candidate)
                })?;
            }
            Event::AttemptFailed { task, attempt, .. } => {
                *tasks.entry(*task).or_default().ended.entry(*attempt).or_default() += 1;
            }
            Event::TaskFailed { task, .. } => tasks.entry(*task).or_default().failed += 1,
            Event::CandidateScored { candidate, .. } => {
                scored.insert(*candidate);
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
    for candidate in scored {
        let completed =
            tasks.values().filter(|entry| entry.candidate == Some(candidate)).map(|e| e.completed);
        let completed = completed.sum::<u32>() as usize;
        require(Some(&completed) == stages.get(&candidate.campaign), || {
            format!("candidate {candidate} is scored on {completed} completions")
        })?;
    }
    Ok(())
}

impl fmt::Debug for super::Simulation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("settings", &self.settings).finish_non_exhaustive()
    }
}
