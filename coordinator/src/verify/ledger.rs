//! The ledger: each task completed at most once, each attempt ended at most once, each candidate
//! resolved exactly once, budgets counted.
//!
//! It knows the rules of delivery and nothing of the engine's state until [`Ledger::close`]
//! compares the two.

use std::collections::{BTreeMap, BTreeSet};

use cambrian_core::engine::{Event, FinishReason, ResultKey, ScreenReason, Screening, State};
use cambrian_core::id::{Attempt, CampaignId, CandidateId, Ordinal, TaskId, WorkerId};
use cambrian_core::objective::Measurement;
use cambrian_core::spec::Stage;
use cambrian_core::time::Span;
use taken::Delivered;

use super::{CampaignLedger, Problems};

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

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Scored,
    Infeasible,
    Screened,
    Failed,
}

#[derive(Debug, Clone, Default)]
struct CandidateAccount {
    /// Completions of each stage.
    completions: Vec<u32>,
    /// What each repeat of the present stage has measured.
    samples: Vec<BTreeMap<String, f64>>,
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
type Completion = ((TaskId, Attempt), WorkerId, Span, Option<ResultKey>);

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
        let booked = match event {
            Event::CampaignSubmitted { campaign, submission, spec, .. } => {
                if !self.submissions.insert(submission.0) {
                    problem(format!("campaign {campaign} repeats an earlier submission"));
                }
                let account = CampaignAccount {
                    repeats: spec.stages.iter().map(|stage| stage.repeats).collect(),
                    stages: spec.stages.clone(),
                    budget: spec.budget.evaluations,
                    started: 0,
                    finished: None,
                    candidates: Vec::new(),
                };
                let known = self.campaigns.insert(*campaign, account).is_some();
                if known { Err(format!("campaign {campaign} is submitted twice")) } else { Ok(()) }
            }
            Event::CampaignFinished { campaign, reason } => self.finish(*campaign, *reason),
            Event::CandidateProposed { candidate, .. } => self.propose(*candidate),
            Event::CandidateInfeasible { candidate, .. } => {
                self.resolve(*candidate, Fate::Infeasible)
            }
            Event::CandidateScored { candidate, .. } => self.resolve(*candidate, Fate::Scored),
            Event::CandidateScreened { candidate, screening } => self.screen(*candidate, screening),
            Event::CandidateWaiting { candidate, stage } => self.wait(*candidate, *stage),
            Event::CandidateFailed { candidate, .. } => self.resolve(*candidate, Fate::Failed),
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
                let ended = ((*task, *attempt), *worker, *elapsed, *key);
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
            Event::RepeatsAveraged { candidate, stage, measurements } => {
                self.average(*candidate, *stage, measurements)
            }
            Event::ResultTaken { task, origin, measurements } => {
                self.take(*task, origin, measurements)
            }
            Event::EnergyUsed { task, attempt, .. } => self.use_energy(*task, *attempt),
            Event::WorkerQuarantined { worker, .. } => self.known_worker(*worker),
            Event::WorkerDraining(worker) => self.known_worker(*worker),
            Event::WorkerReleased { worker, .. } => self.known_worker(*worker),
            Event::AttemptFailed { task, attempt, worker, elapsed, .. } => {
                self.fail_attempt(*task, *attempt, *worker, *elapsed)
            }
            Event::TaskRequeued(task) => self.live(*task).and_then(|account| {
                if account.leased {
                    Err(format!("task {task} is queued while leased"))
                } else {
                    Ok(())
                }
            }),
            Event::TaskFailed { task, .. } => self.fail_task(*task),
            Event::WorkerRegistered { worker, name, .. } => {
                let known = *self.workers.entry(name.to_string()).or_insert(*worker);
                if known == *worker {
                    Ok(())
                } else {
                    Err(format!("worker {name} has the numbers {known} and {worker}"))
                }
            }
            _ => Ok(()),
        };
        if let Err(what) = booked {
            problem(what);
        }
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

    fn propose(&mut self, id: CandidateId) -> Result<(), String> {
        let campaign = self.campaign(id.campaign)?;
        let next = campaign.candidates.len() as u32 + 1;
        if id.ordinal.0 != next {
            return Err(format!("candidate {id} is proposed, but the next one is {next}"));
        }
        campaign.candidates.push(CandidateAccount::default());
        Ok(())
    }

    fn resolve(&mut self, id: CandidateId, fate: Fate) -> Result<(), String> {
        let repeats = self.campaign(id.campaign)?.repeats.clone();
        let candidate = self.candidate(id)?;
        if let Some(before) = candidate.fate.replace(fate) {
            return Err(format!("candidate {id} is resolved twice: {before:?}, then {fate:?}"));
        }
        if let Some(task) = candidate.live_task {
            return Err(format!("candidate {id} is resolved while its task {task} is under way"));
        }
        let averaged = repeats.last().is_none_or(|last| *last == 1) || candidate.averaged;
        if fate == Fate::Scored && (candidate.completions != repeats || !averaged) {
            return Err(format!(
                "candidate {id} is scored with completions {:?} of its stages, expected {repeats:?}, \
                 and their means",
                candidate.completions
            ));
        }
        Ok(())
    }

    /// The means of a stage are those of all its repeats, once.
    fn average(&mut self, id: CandidateId, stage: u8, means: &[Measurement]) -> Result<(), String> {
        let repeats = self.repeats_of(id, stage)?;
        let candidate = self.candidate(id)?;
        let twice = std::mem::replace(&mut candidate.averaged, true);
        let samples = std::mem::take(&mut candidate.samples);
        let present = candidate.completions.len() == usize::from(stage) + 1;
        if twice || !present || repeats < 2 || samples.len() != repeats as usize {
            return Err(format!(
                "candidate {id} is averaged at stage {stage} over {} of {repeats} repeats",
                samples.len()
            ));
        }
        for mean in means {
            let found: Vec<f64> = samples
                .iter()
                .filter_map(|sample| sample.get(mean.metric.as_str()).copied())
                .collect();
            let count = found.len() as f64;
            let expected = found.iter().sum::<f64>() / count;
            let squares: f64 = found.iter().map(|value| (value - expected).powi(2)).sum();
            let error = (squares / (count - 1.0) / count).sqrt();
            // Relative to the largest value, of which rounding is a part.
            let scale = found.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
            let close =
                |one: f64, other: f64| (one - other).abs() <= 1e-9 * scale || !other.is_finite();
            let spread = mean.spread().is_some_and(|spread| close(spread, error));
            if found.len() != samples.len() || !close(mean.value(), expected) || !spread {
                return Err(format!(
                    "{} of candidate {id} is {} ± {:?}, its repeats say {expected} ± {error}",
                    mean.metric,
                    mean.value(),
                    mean.spread()
                ));
            }
        }
        Ok(())
    }

    /// A candidate that waits, or is screened, has finished that stage and no later one.
    fn require_finished(&mut self, id: CandidateId, stage: u8) -> Result<(), String> {
        let repeats = self.repeats_of(id, stage)?;
        let CandidateAccount { completions, averaged, .. } = self.candidate(id)?;
        let finished = completions.last() == Some(&repeats) && (repeats == 1 || *averaged);
        if completions.len() == usize::from(stage) + 1 && finished {
            return Ok(());
        }
        Err(format!("candidate {id} is held after stage {stage} with completions {completions:?}"))
    }

    fn screen(&mut self, id: CandidateId, screening: &Screening) -> Result<(), String> {
        let stage = screening.stage;
        if !matches!(screening.reason, ScreenReason::Curve(_)) {
            self.require_finished(id, stage)?;
        } else if self.candidate(id)?.stopped != Some(stage) {
            return Err(format!(
                "candidate {id} is screened as stopped in stage {stage}, and was not"
            ));
        }
        self.resolve(id, Fate::Screened)
    }

    fn wait(&mut self, id: CandidateId, stage: u8) -> Result<(), String> {
        self.require_finished(id, stage)?;
        let candidate = self.candidate(id)?;
        match (candidate.fate, candidate.live_task) {
            (None, None) => Ok(()),
            (fate, task) => {
                Err(format!("candidate {id} waits, and its fate is {fate:?}, its task {task:?}"))
            }
        }
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
        self.tasks.insert(
            task,
            TaskAccount {
                candidate: id,
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
            },
        );
        if stage == 0 && repeat == 0 {
            let campaign = self.campaign(id.campaign)?;
            campaign.started += 1;
            if campaign.started > campaign.budget {
                return Err(format!("campaign {} overspends its budget", id.campaign));
            }
        }
        let candidate = self.candidate(id)?;
        if candidate.fate.is_some() {
            return Err(format!("task {task} is queued for candidate {id}, which is resolved"));
        }
        if let Some(other) = candidate.live_task.replace(task) {
            return Err(format!("candidate {id} has the tasks {other} and {task} at once"));
        }
        let (entered, at) = (candidate.completions.len(), usize::from(stage));
        let in_order = match repeat {
            0 => entered == at,
            _ => entered == at + 1 && candidate.completions[at] == repeat,
        };
        if repeat == 0 {
            (candidate.averaged, candidate.samples) = (false, Vec::new());
        }
        if !in_order {
            return Err(format!(
                "candidate {id} enters repeat {} of stage {stage} out of order",
                u64::from(repeat) + 1
            ));
        }
        Ok(())
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
        ((task, attempt), worker, elapsed, key): Completion,
        measurements: &[Measurement],
        repeated: bool,
    ) -> Result<(), String> {
        let sample = repeated.then_some(measurements);
        self.completed += 1;
        let account = self.reported(task, attempt, worker, elapsed)?;
        (account.end, account.key) = (Some(TaskEnd::Done), key);
        let (id, stage, repeat) = (account.candidate, usize::from(account.stage), account.repeat);
        let candidate = self.candidate(id)?;
        let values = |sample: &[Measurement]| -> BTreeMap<String, f64> {
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

    /// Compares the ledger with the engine's replay of the same journal.
    pub(super) fn close(&self, state: &State, problems: &mut Problems) {
        let live = self.tasks.values().filter(|account| account.end.is_none()).count();
        problems.require(live == state.tasks().count(), || {
            format!("{live} tasks are under way, the replay has {}", state.tasks().count())
        });
        problems.require(self.campaigns.len() == state.campaigns().count(), || {
            format!(
                "{} campaigns, the replay has {}",
                self.campaigns.len(),
                state.campaigns().count()
            )
        });
        for (id, account) in &self.campaigns {
            let Some(campaign) = state.campaign(*id) else { continue };
            let view = campaign.view();
            let booked = account.counts(*id);
            let replayed = (view.started, view.scored, view.infeasible, view.failed, view.screened);
            let expected =
                (booked.started, booked.scored, booked.infeasible, booked.failed, booked.screened);
            problems.require(replayed == expected, || {
                format!(
                    "campaign {id}: started, scored, infeasible, failed, screened are {expected:?} \
                     by the ledger and {replayed:?} by the replay"
                )
            });
            let times = account.candidates.iter().map(|candidate| candidate.elapsed);
            let slot_time = times.fold(Span(0), |sum, elapsed| sum + elapsed);
            problems.require(view.slot_time == slot_time, || {
                format!("campaign {id}: {slot_time} in slots, the replay has {}", view.slot_time)
            });
            for (candidate, ordinal) in account.candidates.iter().zip(1..) {
                let found = campaign.candidate(Ordinal(ordinal));
                let agrees = found.is_some_and(|found| {
                    found.attempts() == candidate.attempts && found.elapsed() == candidate.elapsed
                });
                problems.require(agrees, || {
                    format!(
                        "candidate {id}/{ordinal}: attempts or slot time differ from the replay"
                    )
                });
            }
        }
    }

    pub(super) fn campaigns(&self) -> Vec<CampaignLedger> {
        self.campaigns.iter().map(|(id, account)| account.counts(*id)).collect()
    }
}

impl CampaignAccount {
    fn counts(&self, id: CampaignId) -> CampaignLedger {
        let count = |fate: Option<Fate>| {
            self.candidates.iter().filter(|candidate| candidate.fate == fate).count() as u32
        };
        CampaignLedger {
            id,
            budget: self.budget,
            started: self.started,
            proposed: self.candidates.len() as u32,
            scored: count(Some(Fate::Scored)),
            infeasible: count(Some(Fate::Infeasible)),
            failed: count(Some(Fate::Failed)),
            screened: count(Some(Fate::Screened)),
            pending: count(None),
        }
    }
}
