//! The closed set of facts. A journal of these is the whole truth: the state is their replay.
//!
//! What was random or slow is stored here as its result, so replay needs neither randomness nor a
//! worker. Events marked volatile are applied but not stored: they carry liveness, which a restart
//! makes obsolete.
//!
//! Must not know what an event does to the state, nor how it is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::{ResultKey, ResultOrigin};
use super::campaign::FinishReason;
use super::checkpoint::Attached;
use super::command::SubmissionId;
use super::curve::{CurvePoint, Standing};
use super::failure::Failure;
use super::policy::FleetPolicy;
use super::worker::Capabilities;
use crate::algorithm::Proposal;
use crate::artifact::ArtifactId;
use crate::energy::Energy;
use crate::id::{Attempt, CampaignId, CandidateId, SessionId, TaskId, WorkerId};
use crate::objective::{Measurement, MetricName};
use crate::spec::CampaignSpec;
use crate::time::{Span, Timestamp};

/// Why a candidate is infeasible: before anything was leased, or by what an evaluation showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InfeasibleReason {
    /// It breaks these constraints, in words, on computed or measured metrics.
    Constraints(Box<str>),
    /// The genotype has no network.
    NoNetwork(Box<str>),
    /// An evaluation failed in a way that counts as infeasible, in words.
    Evaluation(Box<str>),
}

/// Why a candidate was found not worth its later stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screening {
    /// The last stage that it finished; the one in which it was stopped, if it was.
    pub stage: u8,
    /// What held it there.
    pub reason: ScreenReason,
}

impl Screening {
    /// The reason for people; `stage` is the name of [`Self::stage`].
    #[must_use]
    pub fn after(&self, stage: &str) -> String {
        match &self.reason {
            ScreenReason::Gate(broken) => format!("after stage {stage}: {broken}"),
            ScreenReason::Rank { rank, of } => format!("after stage {stage}: rank {rank} of {of}"),
            ScreenReason::Curve(words) => format!("in stage {stage}: {words}"),
        }
    }
}

/// What keeps a candidate from going on after a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScreenReason {
    /// It breaks these gates of the stage, in words.
    Gate(Box<str>),
    /// Its evaluation was stopped at a step, in words: its curve was hopeless.
    Curve(Box<str>),
    /// It was never among the best of those that finished the stage.
    Rank {
        /// Its place at the end, from 1.
        rank: u32,
        /// How many had finished the stage.
        of: u32,
    },
}

/// How a lease ended without a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEnd {
    /// Its deadline passed without a sign of life.
    Expired,
    /// The worker said goodbye.
    HandedBack,
    /// The worker had confirmed it and reconnected without it: its process restarted.
    Forgotten,
    /// The worker reconnected without it and had never confirmed it: the assignment was lost on
    /// the way. Not the candidate's fault, so it does not count as an attempt.
    Undelivered,
    /// The campaign was cancelled.
    Cancelled,
    /// A campaign of a higher priority took the slot.
    Preempted {
        /// That campaign.
        by: CampaignId,
    },
    /// The worker was told to leave at once.
    Drained,
}

/// Who gave a worker work again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Somebody who may.
    Operator,
    /// The quarantine's time was over.
    Time,
}

/// A fact. Every event happens at an instant that travels with it.
#[derive(Debug, Clone)]
pub enum Event {
    /// The coordinator started on this journal; every lease runs for a full period from here.
    Started {
        /// How long a lease lasts without a sign of life.
        lease_length: Span,
    },
    /// A campaign exists.
    CampaignSubmitted {
        /// Its number.
        campaign: CampaignId,
        /// The submission that created it.
        submission: SubmissionId,
        /// The checked campaign.
        spec: Arc<CampaignSpec>,
        /// The file as written.
        source: Arc<str>,
        /// Who submitted it, where that was known.
        owner: Option<Arc<str>>,
    },
    /// A campaign dispatches nothing until resumed.
    CampaignPaused(CampaignId),
    /// A campaign goes on.
    CampaignResumed(CampaignId),
    /// A campaign proposes nothing more and waits for what is in flight.
    CampaignDraining {
        /// The campaign.
        campaign: CampaignId,
        /// Why.
        reason: FinishReason,
    },
    /// A campaign is over.
    CampaignFinished {
        /// The campaign.
        campaign: CampaignId,
        /// Why.
        reason: FinishReason,
    },
    /// Volatile: a model is being fitted.
    FitStarted {
        /// The campaign.
        campaign: CampaignId,
        /// The number of results that it is fitted on.
        results: u32,
    },
    /// From here on a campaign's algorithm uses the model fitted on so many results. The model
    /// itself is derived again where a replay needs it.
    ModelAdopted {
        /// The campaign.
        campaign: CampaignId,
        /// The number of results that it was fitted on.
        results: u32,
    },
    /// A candidate exists.
    CandidateProposed {
        /// The candidate.
        candidate: CandidateId,
        /// Its genotype, canonical hash and origin.
        proposal: Arc<Proposal>,
        /// Its analytic metrics, in the order of the metric table; empty without a network.
        analytic: Vec<Measurement>,
    },
    /// A candidate will not be evaluated.
    CandidateInfeasible {
        /// The candidate.
        candidate: CandidateId,
        /// Why.
        reason: InfeasibleReason,
    },
    /// A candidate enters a stage: there is a task for it.
    TaskQueued {
        /// The task.
        task: TaskId,
        /// The candidate that it evaluates.
        candidate: CandidateId,
        /// The stage's position in the campaign.
        stage: u8,
        /// Which of the stage's repeats it is, from 0.
        repeat: u32,
    },
    /// A task is assigned to a worker.
    TaskLeased {
        /// The task.
        task: TaskId,
        /// The attempt: one more than the last, or the same when the holder of an expired lease
        /// comes back still working before anyone else got the task.
        attempt: Attempt,
        /// The worker.
        worker: WorkerId,
        /// The connection that it was assigned on.
        session: SessionId,
        /// When the lease runs out unless renewed.
        deadline: Timestamp,
    },
    /// Volatile: a lease was renewed.
    LeaseRenewed {
        /// The task.
        task: TaskId,
        /// The new deadline.
        deadline: Timestamp,
        /// Whether its holder has mentioned it; else it was given time.
        heard: bool,
    },
    /// A lease ended without a report; the task is queued again or fails (a separate event).
    LeaseEnded {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// How.
        end: LeaseEnd,
    },
    /// A reported attempt used so much energy; its end follows.
    EnergyUsed {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// How much.
        energy: Energy,
    },
    /// An evaluation is hopeless: its worker is told to stop it. If a result comes nevertheless, it
    /// counts; however else the attempt ends, the candidate is screened.
    StopDecided {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Where it stood.
        standing: Standing,
    },
    /// The curve of an attempt whose result follows; later ones are compared with it.
    CurveRecorded {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// The value at each step, ascending; values in the metric's unit.
        points: Box<[CurvePoint]>,
    },
    /// An attempt delivered its metrics: the task is done.
    TaskCompleted {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// The worker that delivered.
        worker: WorkerId,
        /// What was measured.
        measurements: Vec<Measurement>,
        /// What came with it.
        attached: Attached,
        /// How long the attempt kept its slot.
        elapsed: Span,
        /// The key under which the result is kept for others, if it is.
        key: Option<ResultKey>,
        /// Whether this is one repeat of several, so that the candidate's values follow in
        /// [`Event::RepeatsAveraged`].
        repeated: bool,
    },
    /// A task is done without an attempt: what it would deliver is known from another candidate.
    ResultTaken {
        /// The task.
        task: TaskId,
        /// Where the result comes from.
        origin: ResultOrigin,
        /// What was measured there, by this campaign's names.
        measurements: Vec<Measurement>,
    },
    /// All repeats of a stage are in: these are the candidate's values.
    RepeatsAveraged {
        /// The candidate.
        candidate: CandidateId,
        /// The stage's position in the campaign.
        stage: u8,
        /// The mean of each metric, with the standard error of the mean as its spread.
        measurements: Vec<Measurement>,
    },
    /// The holder of an unfinished attempt has said what it leaves: the next attempt goes on with it. The
    /// attempt's lease has ended before, or its end follows. An earlier attempt than the latest leaves
    /// nothing, and its time counts all the same.
    AttemptYielded {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// The worker that reported it.
        worker: WorkerId,
        /// Its state; none if it has left nothing.
        checkpoint: Option<ArtifactId>,
        /// The steps that are done in it, as progress counts them.
        step: u32,
        /// How long the attempt kept its slot, if its lease had ended before; zero if the attempt's end
        /// follows, which says it.
        elapsed: Span,
    },
    /// The state of an attempt that goes on is stored: if its worker is lost, the next one begins with it.
    StateSaved {
        /// The task.
        task: TaskId,
        /// The attempt, the task's latest.
        attempt: Attempt,
        /// The worker that works on it.
        worker: WorkerId,
        /// Its state.
        checkpoint: ArtifactId,
        /// The steps that are done in it, as progress counts them.
        step: u32,
    },
    /// An attempt failed; the task is queued again or fails (a separate event).
    AttemptFailed {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// The worker that reported it.
        worker: WorkerId,
        /// What happened.
        failure: Failure,
        /// How long the attempt kept its slot.
        elapsed: Span,
    },
    /// A task waits for another attempt.
    TaskRequeued(TaskId),
    /// A task will not be tried again.
    TaskFailed {
        /// The task.
        task: TaskId,
        /// The last failure.
        failure: Failure,
    },
    /// A candidate has finished a stage of which only the best go on, and waits until it is among
    /// them; then the task of its next stage is queued.
    CandidateWaiting {
        /// The candidate.
        candidate: CandidateId,
        /// The stage that it has finished.
        stage: u8,
    },
    /// A candidate is over: what its early stages measured does not warrant the later ones.
    CandidateScreened {
        /// The candidate.
        candidate: CandidateId,
        /// Why.
        screening: Screening,
    },
    /// A candidate has passed all stages.
    CandidateScored {
        /// The candidate.
        candidate: CandidateId,
        /// Summed normalised constraint violation, 0 if feasible.
        violation: f64,
    },
    /// A candidate will never have a score.
    CandidateFailed {
        /// The candidate.
        candidate: CandidateId,
        /// Why.
        failure: Failure,
    },
    /// A worker registered, for the first time or again.
    WorkerRegistered {
        /// Its number.
        worker: WorkerId,
        /// Its name.
        name: Arc<str>,
        /// The connection.
        session: SessionId,
        /// What it can do.
        capabilities: Arc<Capabilities>,
    },
    /// A worker's connection ended.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
        /// Whether it said goodbye.
        goodbye: bool,
    },
    /// A worker was told to finish what it has and to leave; it gets nothing more until it has left or is
    /// released.
    WorkerDraining(WorkerId),
    /// Volatile: a worker says that it finishes what it has and leaves. Its next process may work.
    WorkerLeaving(WorkerId),
    /// A worker gets nothing more because of its failures.
    WorkerQuarantined {
        /// The worker.
        worker: WorkerId,
        /// What happened, in words.
        reason: Box<str>,
        /// When it ends by itself, if it does.
        until: Option<Timestamp>,
    },
    /// A worker gets work again: it is neither in quarantine nor draining.
    WorkerReleased {
        /// The worker.
        worker: WorkerId,
        /// Who said so.
        by: Release,
    },
    /// The operator's rules are these from now on.
    PolicySet(Arc<FleetPolicy>),
    /// Volatile: nothing else need have happened, but it is later now; silences are as long as they are.
    TimePassed,
    /// Volatile: a worker gave a sign of life.
    WorkerSeen(WorkerId),
    /// Volatile: a worker can take this many tasks in all.
    CreditSet {
        /// The worker.
        worker: WorkerId,
        /// Its credit.
        credit: u32,
    },
    /// Volatile: an evaluation has got somewhere.
    ProgressMade {
        /// The task.
        task: TaskId,
        /// Steps done.
        step: u32,
        /// Steps in all.
        steps: u32,
        /// What is known so far.
        metrics: BTreeMap<MetricName, f64>,
    },
}

impl Event {
    /// The time in a slot that a worker says an attempt took, if this is its end.
    #[must_use]
    pub fn elapsed(&self) -> Option<Span> {
        match self {
            Event::TaskCompleted { elapsed, .. }
            | Event::AttemptFailed { elapsed, .. }
            | Event::AttemptYielded { elapsed, .. } => Some(*elapsed),
            _ => None,
        }
    }

    /// Whether the event belongs into the journal.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !matches!(
            self,
            Event::LeaseRenewed { .. }
                | Event::FitStarted { .. }
                | Event::WorkerLeaving(_)
                | Event::TimePassed
                | Event::WorkerSeen(_)
                | Event::CreditSet { .. }
                | Event::ProgressMade { .. }
        )
    }
}
