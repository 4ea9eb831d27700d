//! The end of attempts: reports, lost leases, retries, and what they mean for the candidate.
//!
//! Exactly-once rests here: a report counts only if its attempt is the task's latest and the task
//! is still live. Every other report is acknowledged and dropped, so delivery may repeat safely,
//! and a result that arrives after its lease expired still counts unless someone else has the task.
//!
//! Must not know which worker gets a task that is queued again.

use super::campaign::Campaign;
use super::checkpoint::Attached;
use super::command::ReportedOutcome;
use super::decide::Decision;
use super::effect::Effect;
use super::event::{Event, InfeasibleReason, LeaseEnd, ScreenReason, Screening};
use super::failure::{Failure, FailureKind};
use super::task::Task;
use crate::energy::Energy;
use crate::id::{AttemptId, CandidateId, SessionId, TaskId, WorkerId};
use crate::objective::Measurement;
use crate::spec::FailureRule;
use crate::time::Span;

/// Attempts that do not count (undelivered, handed back where they began) are bounded too, by this multiple of
/// the campaign's bound, so that no fault of the fleet can lease a task for ever. Those that were ended for
/// others' sake, or got further than the one before, are not.
const UNCOUNTED_FACTOR: u32 = 20;
/// A candidate that crashed on so many workers is at fault itself, and gets no further one.
const POISON: usize = 2;

impl Campaign {
    /// Whether a task gets another attempt after so many that counted in all, and so many that failed in
    /// this way.
    fn tries_again(&self, task: &Task, kind: FailureKind, (counted, failed): (u32, u32)) -> bool {
        let policy = &self.spec.failures;
        let retried = policy.rule(kind).is_none_or(|rule| failed <= rule.retries());
        retried
            && counted < policy.attempts
            && task.attempt.0.saturating_sub(task.excused)
                < policy.attempts.saturating_mul(UNCOUNTED_FACTOR)
            && !self.status.ends_early()
    }
}

impl Decision<'_> {
    pub(super) fn report(
        &mut self,
        worker: WorkerId,
        session: SessionId,
        id: AttemptId,
        (outcome, attached): (ReportedOutcome, Attached),
        (elapsed, energy): (Span, Option<Energy>),
    ) {
        let AttemptId { task, attempt } = id;
        self.emit(Event::WorkerSeen(worker));
        self.effect(Effect::Acknowledge { worker, session, task, attempt });
        let Some(found) = self.state.tasks.get(&task) else { return };
        if found.attempt != attempt || found.last_worker != Some(worker) || found.reported {
            self.book_earlier(id, worker, (elapsed, energy));
            return;
        }
        let still_leased = found.lease().is_some();
        let checked = match outcome {
            ReportedOutcome::Measured(measurements) => self.admissible(task, measurements),
            ReportedOutcome::Failed(failure) => Err(failure),
        };
        if let Some(energy) = energy {
            self.emit(Event::EnergyUsed { task, attempt, energy });
        }
        match checked {
            Ok(measurements) => {
                self.complete(id, worker, (measurements, attached), elapsed);
            }
            // The end of the lease has already requeued or failed the task; only its state and its cost are still to
            // be booked.
            Err(failure) if !still_leased => {
                self.take_state(id, worker, (&failure, &attached), elapsed);
                self.end_if_stopped(self.state.tasks[&task].candidate.campaign);
            }
            Err(failure) => {
                self.take_state(id, worker, (&failure, &attached), Span(0));
                let event = Event::AttemptFailed {
                    task,
                    attempt,
                    worker,
                    failure: failure.clone(),
                    elapsed,
                };
                let campaign = self.state.tasks[&task].candidate.campaign;
                self.emit(event);
                self.retry_or_fail(task, failure);
                self.judge(worker);
                self.end_if_stopped(campaign);
            }
        }
        self.dispatch();
    }

    /// Files what an attempt left that was stopped half-way, and what it took where its lease had ended
    /// before; whoever waits for it waits no more.
    fn take_state(
        &mut self,
        id: AttemptId,
        worker: WorkerId,
        (failure, attached): (&Failure, &Attached),
        elapsed: Span,
    ) {
        let AttemptId { task, attempt } = id;
        let owes = self.state.tasks[&task].owes(attempt, worker);
        let preempted = failure.kind == FailureKind::Preempted;
        let Attached { checkpoint, step, .. } = *attached;
        let checkpoint = checkpoint.filter(|_| preempted);
        if owes || checkpoint.is_some() {
            self.emit(Event::AttemptYielded { task, attempt, worker, checkpoint, step, elapsed });
        }
    }

    /// Books what an attempt took that somebody else's has followed; nothing else counts of it.
    fn book_earlier(
        &mut self,
        id: AttemptId,
        worker: WorkerId,
        (elapsed, energy): (Span, Option<Energy>),
    ) {
        let AttemptId { task, attempt } = id;
        let found = &self.state.tasks[&task];
        if !found.owes(attempt, worker) {
            return;
        }
        let campaign = found.candidate.campaign;
        if let Some(energy) = energy {
            self.emit(Event::EnergyUsed { task, attempt, energy });
        }
        let (checkpoint, step) = (None, 0);
        self.emit(Event::AttemptYielded { task, attempt, worker, checkpoint, step, elapsed });
        self.end_if_stopped(campaign);
        self.dispatch();
    }

    /// The stage's metrics in order, or why the report cannot be used.
    fn admissible(
        &self,
        task: TaskId,
        measurements: Vec<Measurement>,
    ) -> Result<Vec<Measurement>, Failure> {
        let task = &self.state.tasks[&task];
        let campaign = &self.state.campaigns[&task.candidate.campaign];
        let stage = &campaign.stages[usize::from(task.stage)];
        let wanted = stage.measures.iter().map(|metric| {
            let asked = stage.asked(metric);
            let Some(found) = measurements.iter().find(|found| found.metric == *asked) else {
                let message = format!("the evaluator {} did not deliver {asked}", stage.evaluator);
                return Err(Failure { kind: FailureKind::Crash, message: message.into() });
            };
            match campaign.pins.provenance(metric) {
                Some(pinned) if *pinned != found.provenance => Err(Failure {
                    kind: FailureKind::Incomparable,
                    message: format!(
                        "{metric} comes from {} on `{}`, but the campaign's values come from {} on \
                         `{}`",
                        found.provenance.source,
                        found.provenance.device_class,
                        pinned.source,
                        pinned.device_class
                    )
                    .into(),
                }),
                _ => {
                    let mut found = found.clone();
                    found.metric = metric.clone();
                    Ok(found)
                }
            }
        });
        wanted.collect()
    }

    fn complete(
        &mut self,
        id: AttemptId,
        worker: WorkerId,
        (measurements, attached): (Vec<Measurement>, Attached),
        elapsed: Span,
    ) {
        let AttemptId { task, attempt } = id;
        let (candidate, stage, repeat, key) = {
            let found = &self.state.tasks[&task];
            (found.candidate, found.stage, found.repeat, found.key)
        };
        let repeats = self.state.campaigns[&candidate.campaign].repeats_of(stage);
        let repeated = repeats > 1;
        self.record_curve(id);
        self.emit(Event::TaskCompleted {
            task,
            attempt,
            worker,
            measurements,
            attached,
            elapsed,
            key,
            repeated,
        });
        if repeated {
            self.repeat_or_average(candidate, stage, (repeat + 1, repeats));
            self.end_if_stopped(candidate.campaign);
            self.settle(candidate.campaign);
        } else {
            self.after_result(candidate, stage);
        }
    }

    /// What follows from the result of a stage.
    pub(super) fn after_result(&mut self, candidate: CandidateId, stage: u8) {
        self.advance(candidate, stage);
        self.end_if_stopped(candidate.campaign);
        self.settle(candidate.campaign);
    }

    /// Measures a candidate once more, or, if it was the last time, gives it the means and moves it on.
    fn repeat_or_average(
        &mut self,
        candidate: CandidateId,
        stage: u8,
        (done, repeats): (u32, u32),
    ) {
        let campaign = &self.state.campaigns[&candidate.campaign];
        if done < repeats && campaign.status.ends_early() {
            let message = format!("the campaign ended after {done} of {repeats} repeats").into();
            let failure = Failure { kind: FailureKind::Preempted, message };
            return self.emit(Event::CandidateFailed { candidate, failure });
        }
        if done < repeats {
            self.queue_repeat(candidate, stage, done);
            return;
        }
        match campaign.averaged(candidate.ordinal, stage) {
            Ok(measurements) => {
                self.emit(Event::RepeatsAveraged { candidate, stage, measurements });
                self.advance(candidate, stage);
            }
            Err(failure) => self.emit(Event::CandidateFailed { candidate, failure }),
        }
    }

    /// Moves a candidate on after `stage`: to the next one, to waiting for it, to its score, or out.
    fn advance(&mut self, candidate: CandidateId, stage: u8) {
        let campaign = &self.state.campaigns[&candidate.campaign];
        let found = campaign.candidate(candidate.ordinal);
        let (violation, broken) =
            found.map(|found| campaign.violation_of(found)).unwrap_or_default();
        let gates = found.map(|found| campaign.broken_gates(found, stage)).unwrap_or_default();
        let is_ranked = campaign.is_ranked(candidate.ordinal, stage);
        let is_last = usize::from(stage) + 1 == campaign.stages.len();
        let ends_early = campaign.status.ends_early();
        if is_last {
            self.emit(Event::CandidateScored { candidate, violation });
        } else if !broken.is_empty() {
            let reason = InfeasibleReason::Constraints(broken.join("; ").into());
            self.emit(Event::CandidateInfeasible { candidate, reason });
        } else if !gates.is_empty() {
            let reason = ScreenReason::Gate(gates.join("; ").into());
            let screening = Screening { stage, reason };
            self.emit(Event::CandidateScreened { candidate, screening });
        } else if is_ranked {
            self.emit(Event::CandidateWaiting { candidate, stage });
        } else if ends_early {
            let failure = Failure {
                kind: FailureKind::Preempted,
                message: "the campaign ended before its last stage".into(),
            };
            self.emit(Event::CandidateFailed { candidate, failure });
        } else {
            self.queue_task(candidate, stage + 1);
        }
    }

    /// Ends a lease without a report, and queues the task again or fails it.
    pub(super) fn end_lease(&mut self, task: TaskId, end: LeaseEnd) {
        let Some(found) = self.state.tasks.get(&task) else { return };
        let Some(lease) = found.lease() else { return };
        let holder = self.state.workers.get(&lease.worker).map(|worker| worker.name.clone());
        let holder = holder.unwrap_or_else(|| "an unknown worker".into());
        let attempt = found.attempt;
        let (kind, message) = match end {
            LeaseEnd::Expired => {
                (FailureKind::LeaseExpired, format!("{holder} fell silent until its lease ran out"))
            }
            LeaseEnd::Forgotten => {
                (FailureKind::LeaseExpired, format!("{holder} came back without it"))
            }
            LeaseEnd::Undelivered => {
                (FailureKind::Preempted, format!("the assignment never reached {holder}"))
            }
            LeaseEnd::Drained => {
                (FailureKind::Preempted, format!("{holder} was told to leave at once"))
            }
            LeaseEnd::Preempted { by } => {
                (FailureKind::Preempted, format!("campaign {by} took its slot on {holder}"))
            }
            LeaseEnd::HandedBack => (FailureKind::Preempted, format!("{holder} handed it back")),
            LeaseEnd::Cancelled => {
                (FailureKind::Preempted, "the campaign was cancelled".to_owned())
            }
        };
        self.emit(Event::LeaseEnded { task, attempt, end });
        self.retry_or_fail(task, Failure { kind, message: message.into() });
    }

    /// Whether the silent holder of a lease that has run out is waited for once more as long: its result
    /// would be the last that can come of the task, so nobody else would begin with it meanwhile.
    pub(super) fn is_worth_waiting_for(&self, task: TaskId) -> bool {
        let Some(found) = self.state.tasks.get(&task) else { return false };
        let Some(lease) = found.lease() else { return false };
        let kind = FailureKind::LeaseExpired;
        let tried = (found.counted + 1, found.failed_as(kind) + 1);
        let campaign = &self.state.campaigns[&found.candidate.campaign];
        found.hopeless.is_none()
            && self.at < lease.deadline + self.lease_length
            && !campaign.tries_again(found, kind, tried)
    }

    fn retry_or_fail(&mut self, task: TaskId, failure: Failure) {
        let found = &self.state.tasks[&task];
        if let Some(standing) = found.hopeless {
            return self.screen_hopeless(task, failure, standing);
        }
        let campaign = &self.state.campaigns[&found.candidate.campaign];
        let rule = campaign.spec.failures.rule(failure.kind);
        let poison = failure.kind == FailureKind::Crash && found.crashed_on().len() >= POISON;
        let ends_early = campaign.status.ends_early();
        let tried = (found.counted, found.failed_as(failure.kind));
        if !poison && campaign.tries_again(found, failure.kind, tried) {
            self.emit(Event::TaskRequeued(task));
        } else if rule == Some(FailureRule::Infeasible) && !ends_early {
            self.reject_task(task, failure);
        } else if poison {
            let message = format!("{}; it crashed on {POISON} workers", failure.message).into();
            self.fail_task(task, Failure { message, ..failure });
        } else {
            self.fail_task(task, failure);
        }
    }

    /// A task failed in a way that makes its candidate infeasible.
    fn reject_task(&mut self, task: TaskId, failure: Failure) {
        let candidate = self.state.tasks[&task].candidate;
        let reason = InfeasibleReason::Evaluation(failure.to_string().into());
        self.emit(Event::TaskFailed { task, failure });
        self.emit(Event::CandidateInfeasible { candidate, reason });
        self.settle(candidate.campaign);
    }

    pub(super) fn fail_task(&mut self, task: TaskId, failure: Failure) {
        let campaign = self.state.tasks[&task].candidate.campaign;
        self.give_up(task, failure);
        self.settle(campaign);
    }

    /// Fails a task and its candidate; whether the campaign ends with them is not its business.
    pub(super) fn give_up(&mut self, task: TaskId, failure: Failure) {
        let candidate = self.state.tasks[&task].candidate;
        self.emit(Event::TaskFailed { task, failure: failure.clone() });
        self.emit(Event::CandidateFailed { candidate, failure });
    }
}
