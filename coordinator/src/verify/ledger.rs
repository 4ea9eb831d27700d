//! The ledger: each task completed at most once, each attempt ended at most once, each candidate
//! resolved exactly once, budgets counted.
//!
//! It knows the rules of delivery and nothing of the engine's state until [`Ledger::close`]
//! compares the two.

use std::collections::{BTreeMap, BTreeSet};

use cambrian_core::engine::{Event, FinishReason, ResultKey, SubmissionId};
use cambrian_core::id::{Attempt, AttemptId, CampaignId, CandidateId, TaskId, WorkerId};
use cambrian_core::objective::Measurement;
use cambrian_core::spec::{CampaignSpec, Stage};
use cambrian_core::time::Span;
use taken::Delivered;

use super::Problems;

mod candidates;
mod close;
mod taken;
mod unfinished;

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskEnd {
    Done,
    Failed,
}

/// A task's account.
#[derive(Debug, Clone)]
pub(super) struct TaskAccount {
    pub(super) candidate: CandidateId,
    pub(super) stage: u8,
    repeat: u32,
    /// Whether it was found hopeless.
    stopped: bool,
    /// Whether the curve of its result was recorded.
    curve: bool,
    /// The latest attempt.
    pub(super) attempt: Attempt,
    pub(super) worker: Option<WorkerId>,
    /// Whether a lease is open.
    pub(super) leased: bool,
    pub(super) end: Option<TaskEnd>,
    pub(super) elapsed: Span,
    /// The key under which its result is kept.
    pub(super) key: Option<ResultKey>,
    /// The candidate whose result it took.
    pub(super) taken_from: Option<CandidateId>,
    /// The latest attempt that was ended by a report.
    reported: Attempt,
    /// The latest attempt that said what it leaves.
    yielded: Attempt,
    /// Attempts whose leases ended without a report, and who may still say what they took.
    owing: BTreeSet<(Attempt, WorkerId)>,
    /// The attempts whose energy was counted.
    energy_of: BTreeSet<Attempt>,
}

impl TaskAccount {
    /// That of a task which nobody has had yet.
    fn queued(candidate: CandidateId, stage: u8, repeat: u32) -> Self {
        Self {
            candidate,
            stage,
            repeat,
            stopped: false,
            curve: false,
            attempt: Attempt(0),
            worker: None,
            leased: false,
            end: None,
            elapsed: Span(0),
            key: None,
            taken_from: None,
            reported: Attempt(0),
            yielded: Attempt(0),
            owing: BTreeSet::new(),
            energy_of: BTreeSet::new(),
        }
    }
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Scored,
    Infeasible,
    Screened,
    Failed,
}

/// What one of a stage's repeats has measured.
type Sample = BTreeMap<String, f64>;

#[derive(Debug, Clone, Default)]
struct CandidateAccount {
    /// Completions of each stage.
    completions: Vec<u32>,
    /// What each repeat of the present stage has measured.
    samples: Vec<Sample>,
    /// Whether the present stage's repeats have been averaged.
    averaged: bool,
    /// The stage in which its evaluation was stopped and ended without a result.
    stopped: Option<u8>,
    live_task: Option<TaskId>,
    fate: Option<Fate>,
    attempts: u32,
    elapsed: Span,
    /// Who delivered each stage whose result is kept under a key.
    delivered: BTreeMap<u8, Delivered>,
}

#[derive(Debug)]
struct CampaignAccount {
    stages: Vec<Stage>,
    /// How often each stage is repeated.
    repeats: Vec<u32>,
    budget: u32,
    started: u32,
    finished: Option<FinishReason>,
    candidates: Vec<CandidateAccount>,
}

/// An attempt that delivered, its worker, its time in a slot, and the key of its result.
type Completion = (AttemptId, WorkerId, Span, Option<ResultKey>);

/// The accounts of everything in a journal.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) leases: u64,
    pub(super) completed: u64,
    pub(super) lost_attempts: u64,
    pub(super) tasks: BTreeMap<TaskId, TaskAccount>,
    campaigns: BTreeMap<CampaignId, CampaignAccount>,
    submissions: BTreeSet<u128>,
    workers: BTreeMap<String, WorkerId>,
}

impl Ledger {
    /// Books one event.
    pub(super) fn record(&mut self, record: u64, event: &Event, problems: &mut Problems) {
        let mut problem = |what: String| problems.add(format!("record {record}: {what}"));
        if let Event::CampaignSubmitted { campaign, submission, .. } = event {
            self.submit_once(*campaign, *submission).unwrap_or_else(&mut problem);
        }
        self.book(event).unwrap_or_else(problem);
    }

    /// What an event of a campaign, a candidate or a worker says.
    fn book(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::CampaignSubmitted { campaign, spec, .. } => self.open(*campaign, spec),
            Event::CampaignFinished { campaign, reason } => self.finish(*campaign, *reason),
            Event::CandidateProposed { candidate, .. } => self.propose(*candidate),
            Event::CandidateInfeasible { candidate, .. } => {
                self.resolve(*candidate, Fate::Infeasible)
            }
            Event::CandidateScored { candidate, .. } => self.resolve(*candidate, Fate::Scored),
            Event::CandidateScreened { candidate, screening } => self.screen(*candidate, screening),
            Event::CandidateWaiting { candidate, stage } => self.wait(*candidate, *stage),
            Event::CandidateFailed { candidate, .. } => self.resolve(*candidate, Fate::Failed),
            Event::RepeatsAveraged { candidate, stage, measurements } => {
                self.average(*candidate, *stage, measurements)
            }
            Event::WorkerRegistered { worker, name, .. } => self.register(*worker, name),
            Event::WorkerQuarantined { worker, .. }
            | Event::WorkerDraining(worker)
            | Event::WorkerReleased { worker, .. } => self.known_worker(*worker),
            task => self.book_task(task),
        }
    }

    /// What an event of a task or one of its attempts says.
    fn book_task(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::TaskQueued { task, candidate, stage, repeat } => {
                self.queue(*task, *candidate, (*stage, *repeat))
            }
            Event::TaskLeased { task, attempt, worker, .. } => self.lease(*task, *attempt, *worker),
            Event::LeaseEnded { task, attempt, .. } => self.end_lease(*task, *attempt),
            Event::TaskCompleted {
                task,
                attempt,
                worker,
                elapsed,
                measurements,
                repeated,
                key,
                ..
            } => {
                let ended = (AttemptId::new(*task, *attempt), *worker, *elapsed, *key);
                self.complete(ended, measurements, *repeated)
            }
            Event::StopDecided { task, attempt, .. } => self.stop(*task, *attempt),
            Event::CurveRecorded { task, attempt, .. } => self.record_curve(*task, *attempt),
            Event::AttemptYielded { task, attempt, worker, checkpoint, elapsed, .. } => {
                self.yield_attempt(*task, (*attempt, *worker), checkpoint.is_some(), *elapsed)
            }
            Event::StateSaved { task, attempt, worker, .. } => {
                self.save_state(*task, *attempt, *worker)
            }
            Event::ResultTaken { task, origin, measurements } => {
                self.take(*task, origin, measurements)
            }
            Event::EnergyUsed { task, attempt, .. } => self.use_energy(*task, *attempt),
            Event::AttemptFailed { task, attempt, worker, elapsed, .. } => {
                self.fail_attempt(*task, *attempt, *worker, *elapsed)
            }
            Event::TaskRequeued(task) => self.requeue(*task),
            Event::TaskFailed { task, .. } => self.fail_task(*task),
            _ => Ok(()),
        }
    }

    /// A submission makes one campaign, however often it is sent.
    fn submit_once(&mut self, id: CampaignId, submission: SubmissionId) -> Result<(), String> {
        match self.submissions.insert(submission.0) {
            true => Ok(()),
            false => Err(format!("campaign {id} repeats an earlier submission")),
        }
    }

    fn open(&mut self, id: CampaignId, spec: &CampaignSpec) -> Result<(), String> {
        let account = CampaignAccount {
            repeats: spec.stages.iter().map(|stage| stage.repeats).collect(),
            stages: spec.stages.clone(),
            budget: spec.budget.evaluations,
            started: 0,
            finished: None,
            candidates: Vec::new(),
        };
        match self.campaigns.insert(id, account) {
            None => Ok(()),
            Some(_) => Err(format!("campaign {id} is submitted twice")),
        }
    }

    /// A name has one number.
    fn register(&mut self, worker: WorkerId, name: &str) -> Result<(), String> {
        let known = *self.workers.entry(name.to_owned()).or_insert(worker);
        if known == worker {
            return Ok(());
        }
        Err(format!("worker {name} has the numbers {known} and {worker}"))
    }

    fn finish(&mut self, id: CampaignId, reason: FinishReason) -> Result<(), String> {
        let campaign = self.campaign(id)?;
        let before = campaign.finished.replace(reason);
        // Of a campaign that was cancelled while it drained, earlier releases have written both ends.
        let cancelled = reason == FinishReason::Cancelled && before != Some(reason);
        if before.is_some() && !cancelled {
            return Err(format!("campaign {id} finishes twice"));
        }
        let open = campaign.candidates.iter().filter(|candidate| candidate.fate.is_none()).count();
        if open > 0 {
            return Err(format!("campaign {id} finishes with {open} candidates under way"));
        }
        Ok(())
    }

    fn queue(
        &mut self,
        task: TaskId,
        id: CandidateId,
        (stage, repeat): (u8, u32),
    ) -> Result<(), String> {
        let next = self.tasks.last_key_value().map_or(1, |(last, _)| last.0 + 1);
        if task.0 != next {
            return Err(format!("task {task} is queued, but the next one is {next}"));
        }
        self.tasks.insert(task, TaskAccount::queued(id, stage, repeat));
        if stage == 0 && repeat == 0 {
            self.charge(id.campaign)?;
        }
        self.occupy(id, task)?;
        self.enter(id, stage, repeat)
    }

    /// The first task of a candidate costs its campaign an evaluation.
    fn charge(&mut self, id: CampaignId) -> Result<(), String> {
        let campaign = self.campaign(id)?;
        campaign.started += 1;
        if campaign.started > campaign.budget {
            return Err(format!("campaign {id} overspends its budget"));
        }
        Ok(())
    }

    /// A candidate that is not resolved has one task at a time.
    fn occupy(&mut self, id: CandidateId, task: TaskId) -> Result<(), String> {
        let candidate = self.candidate(id)?;
        if candidate.fate.is_some() {
            return Err(format!("task {task} is queued for candidate {id}, which is resolved"));
        }
        match candidate.live_task.replace(task) {
            None => Ok(()),
            Some(other) => Err(format!("candidate {id} has the tasks {other} and {task} at once")),
        }
    }

    /// Stages come in their order, and the repeats of each in theirs.
    fn enter(&mut self, id: CandidateId, stage: u8, repeat: u32) -> Result<(), String> {
        let candidate = self.candidate(id)?;
        let (entered, at) = (candidate.completions.len(), usize::from(stage));
        let in_order = match repeat {
            0 => entered == at,
            _ => entered == at + 1 && candidate.completions[at] == repeat,
        };
        if repeat == 0 {
            (candidate.averaged, candidate.samples) = (false, Vec::new());
        }
        if in_order {
            return Ok(());
        }
        Err(format!(
            "candidate {id} enters repeat {} of stage {stage} out of order",
            u64::from(repeat) + 1
        ))
    }

    fn lease(&mut self, task: TaskId, attempt: Attempt, worker: WorkerId) -> Result<(), String> {
        self.leases += 1;
        let account = self.live(task)?;
        let (before, reported) = (account.attempt, account.reported);
        let was_leased = std::mem::replace(&mut account.leased, true);
        account.attempt = attempt;
        account.owing.retain(|(owing, _)| *owing != attempt);
        let last = account.worker.replace(worker);
        let candidate = account.candidate;
        let is_new = attempt == before.next();
        if is_new {
            self.candidate(candidate)?.attempts += 1;
        }
        if was_leased {
            return Err(format!("task {task} is leased twice at once"));
        }
        if !is_new && (attempt != before || last != Some(worker) || reported == attempt) {
            return Err(format!("task {task} goes from attempt {before} to {attempt}"));
        }
        Ok(())
    }

    fn end_lease(&mut self, task: TaskId, attempt: Attempt) -> Result<(), String> {
        self.lost_attempts += 1;
        let account = self.live(task)?;
        let was_leased = std::mem::replace(&mut account.leased, false);
        account.owing.extend(account.worker.map(|worker| (attempt, worker)));
        if !was_leased || account.attempt != attempt {
            return Err(format!("attempt {attempt} of task {task} ends without a lease"));
        }
        Ok(())
    }

    /// An attempt is stopped once, while it runs.
    fn stop(&mut self, task: TaskId, attempt: Attempt) -> Result<(), String> {
        let account = self.live(task)?;
        let twice = std::mem::replace(&mut account.stopped, true);
        if twice || !account.leased || account.attempt != attempt {
            return Err(format!("attempt {attempt} of task {task} is stopped out of turn"));
        }
        Ok(())
    }

    /// The curve of a result comes once, before it.
    fn record_curve(&mut self, task: TaskId, attempt: Attempt) -> Result<(), String> {
        let account = self.live(task)?;
        let twice = std::mem::replace(&mut account.curve, true);
        if twice || account.attempt != attempt || account.reported == attempt {
            return Err(format!("a curve of attempt {attempt} of task {task} comes out of turn"));
        }
        Ok(())
    }

    fn known_worker(&self, worker: WorkerId) -> Result<(), String> {
        let known = self.workers.values().any(|known| *known == worker);
        if known { Ok(()) } else { Err(format!("there is no worker {worker}")) }
    }

    fn complete(
        &mut self,
        (AttemptId { task, attempt }, worker, elapsed, key): Completion,
        measurements: &[Measurement],
        repeated: bool,
    ) -> Result<(), String> {
        let sample = repeated.then_some(measurements);
        self.completed += 1;
        let account = self.reported(task, attempt, worker, elapsed)?;
        (account.end, account.key) = (Some(TaskEnd::Done), key);
        let (id, stage, repeat) = (account.candidate, usize::from(account.stage), account.repeat);
        let candidate = self.candidate(id)?;
        let values = |sample: &[Measurement]| -> Sample {
            sample.iter().map(|found| (found.metric.to_string(), found.value())).collect()
        };
        candidate.samples.extend(sample.map(values));
        candidate.elapsed = candidate.elapsed + elapsed;
        if key.is_some() {
            let measurements = measurements.to_vec();
            candidate.delivered.insert(stage as u8, Delivered { attempt, worker, measurements });
        }
        let times = self.finish_stage(id, stage)?;
        let repeats = self.repeats_of(id, stage as u8)?;
        if times != repeat + 1 || repeat >= repeats {
            return Err(format!(
                "repeat {} of {repeats} of stage {stage} of candidate {id} is the {times}th completion",
                repeat + 1,
            ));
        }
        if sample.is_some() != (repeats > 1) {
            return Err(format!(
                "task {task} is counted as what it is not: one of {repeats} repeats"
            ));
        }
        Ok(())
    }

    /// Counts a completion of a stage; returns how many there are.
    fn finish_stage(&mut self, id: CandidateId, stage: usize) -> Result<u32, String> {
        let candidate = self.candidate(id)?;
        candidate.live_task = None;
        if candidate.completions.len() <= stage {
            candidate.completions.resize(stage + 1, 0);
        }
        candidate.completions[stage] += 1;
        Ok(candidate.completions[stage])
    }

    fn fail_attempt(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        elapsed: Span,
    ) -> Result<(), String> {
        self.lost_attempts += 1;
        let was_leased = self.live(task)?.leased;
        let id = self.reported(task, attempt, worker, elapsed)?.candidate;
        let candidate = self.candidate(id)?;
        candidate.elapsed = candidate.elapsed + elapsed;
        if !was_leased {
            return Err(format!("attempt {attempt} of task {task} fails without a lease"));
        }
        Ok(())
    }

    /// The account of a task whose present attempt is ended by a report.
    fn reported(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        elapsed: Span,
    ) -> Result<&mut TaskAccount, String> {
        let account = self.live(task)?;
        if account.attempt != attempt || account.worker != Some(worker) {
            return Err(format!(
                "attempt {attempt} of task {task} is reported by worker {worker}, but the latest is \
                 attempt {} of another",
                account.attempt
            ));
        }
        if account.reported == attempt {
            return Err(format!("attempt {attempt} of task {task} is counted twice"));
        }
        account.reported = attempt;
        account.leased = false;
        account.elapsed = account.elapsed + elapsed;
        Ok(account)
    }

    /// A task waits for its next attempt without a lease.
    fn requeue(&mut self, task: TaskId) -> Result<(), String> {
        if self.live(task)?.leased {
            return Err(format!("task {task} is queued while leased"));
        }
        Ok(())
    }

    fn fail_task(&mut self, task: TaskId) -> Result<(), String> {
        let account = self.live(task)?;
        account.end = Some(TaskEnd::Failed);
        let (id, was_leased) = (account.candidate, account.leased);
        let stopped = account.stopped.then_some(account.stage);
        let candidate = self.candidate(id)?;
        candidate.live_task = None;
        candidate.stopped = stopped;
        if was_leased {
            return Err(format!("task {task} fails while leased"));
        }
        Ok(())
    }

    fn campaign(&mut self, id: CampaignId) -> Result<&mut CampaignAccount, String> {
        self.campaigns.get_mut(&id).ok_or_else(|| format!("there is no campaign {id}"))
    }

    /// How often a stage of a candidate is repeated.
    fn repeats_of(&mut self, id: CandidateId, stage: u8) -> Result<u32, String> {
        let repeats = self.campaign(id.campaign)?.repeats.get(usize::from(stage)).copied();
        repeats.ok_or_else(|| format!("campaign {} has no stage {stage}", id.campaign))
    }

    fn candidate(&mut self, id: CandidateId) -> Result<&mut CandidateAccount, String> {
        let campaign = self.campaign(id.campaign)?;
        let index = (id.ordinal.0 as usize).checked_sub(1);
        let found = index.and_then(|index| campaign.candidates.get_mut(index));
        found.ok_or_else(|| format!("there is no candidate {id}"))
    }

    fn live(&mut self, task: TaskId) -> Result<&mut TaskAccount, String> {
        let account =
            self.tasks.get_mut(&task).ok_or_else(|| format!("there is no task {task}"))?;
        match account.end {
            None => Ok(account),
            Some(TaskEnd::Done) => Err(format!("task {task} goes on after its completion")),
            Some(TaskEnd::Failed) => Err(format!("task {task} goes on after its failure")),
        }
    }
}
