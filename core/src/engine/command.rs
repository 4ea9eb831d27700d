//! The closed set of causes: everything that can change the state arrives as one of these.
//!
//! Must not know transports; a command is complete and checked when it gets here, but what it says
//! about tasks and sessions may be stale or wrong, and `decide` says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::checkpoint::Attached;
use super::failure::Failure;
use super::policy::FleetPolicy;
use super::worker::Capabilities;
use crate::artifact::ArtifactId;
use crate::energy::Energy;
use crate::id::{Attempt, AttemptId, CampaignId, SessionId, TaskId, WorkerId};
use crate::objective::{Measurement, MetricName};
use crate::spec::CampaignSpec;
use crate::time::Span;

/// Chosen by whoever submits, so that a repeated submission creates no second campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmissionId(pub u128);

/// What a worker says an attempt ended with.
#[derive(Debug, Clone, PartialEq)]
pub enum ReportedOutcome {
    /// The stage's metrics.
    Measured(Vec<Measurement>),
    /// A classified failure.
    Failed(Failure),
}

/// A cause. Every command is handled at an instant that the caller supplies.
#[derive(Debug, Clone)]
pub enum Command {
    /// The coordinator has loaded its journal and goes on; leases get a full period of grace.
    Start,
    /// The coordinator itself stood still for so long that workers were not heard; their silence
    /// meanwhile counts against nobody, so leases get a full period of grace.
    Stalled,
    /// Create a campaign.
    SubmitCampaign {
        /// Makes a repeated submission harmless.
        submission: SubmissionId,
        /// The checked campaign.
        spec: Arc<CampaignSpec>,
        /// The file as the user wrote it.
        source: Arc<str>,
        /// Who submits, where that is known.
        owner: Option<Arc<str>>,
    },
    /// Dispatch nothing more of a campaign until it is resumed; running evaluations go on.
    PauseCampaign(CampaignId),
    /// Undo a pause.
    ResumeCampaign(CampaignId),
    /// End a campaign: running evaluations are stopped.
    CancelCampaign(CampaignId),
    /// A worker connects, for the first time or again.
    RegisterWorker {
        /// The name it keeps for life.
        name: Arc<str>,
        /// Larger than that of every earlier connection of this worker.
        session: SessionId,
        /// What it can do.
        capabilities: Arc<Capabilities>,
        /// The attempts that it is working on or holds finished reports of.
        holding: Vec<AttemptId>,
    },
    /// A worker's stream ended without a goodbye; its leases run on until they expire.
    WorkerDisconnected {
        /// The worker.
        worker: WorkerId,
        /// The connection that ended.
        session: SessionId,
    },
    /// A worker leaves on purpose and hands back what it holds.
    WorkerGoodbye {
        /// The worker.
        worker: WorkerId,
        /// The connection that it came on.
        session: SessionId,
    },
    /// A worker is alive and holds these attempts; their leases are renewed.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
        /// The connection that it came on.
        session: SessionId,
        /// The attempts that it works on or holds reports of.
        holding: Vec<AttemptId>,
    },
    /// A worker can take this many more tasks than it has been assigned.
    Ready {
        /// The worker.
        worker: WorkerId,
        /// The connection that it came on.
        session: SessionId,
        /// How many, added to what it announced before.
        credit: u32,
    },
    /// An evaluation has got somewhere; renews its lease and is shown, but never stored.
    Progress {
        /// The worker.
        worker: WorkerId,
        /// The connection that it came on.
        session: SessionId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Steps (epochs, say) done.
        step: u32,
        /// Steps in all.
        steps: u32,
        /// What is known so far, by metric; finite values only.
        metrics: BTreeMap<MetricName, f64>,
    },
    /// The state of an attempt that goes on is stored: if its worker is lost, the next one begins with it.
    SaveState {
        /// The worker.
        worker: WorkerId,
        /// The connection that it came on.
        session: SessionId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// The state.
        checkpoint: ArtifactId,
        /// The steps that are done in it, as progress counts them.
        step: u32,
    },
    /// An attempt has ended.
    Report {
        /// The worker.
        worker: WorkerId,
        /// The connection that it came on.
        session: SessionId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// What it ended with.
        outcome: ReportedOutcome,
        /// What comes with a result.
        attached: Attached,
        /// How long the attempt kept its slot.
        elapsed: Span,
        /// The energy that it used, if the evaluator knows.
        energy: Option<Energy>,
    },
    /// The model that a campaign's algorithm wanted has been fitted.
    ModelFitted {
        /// The campaign.
        campaign: CampaignId,
        /// The number of results that it was fitted on.
        results: u32,
    },
    /// A worker takes nothing more, finishes what it runs and leaves.
    DrainWorker {
        /// The worker.
        worker: WorkerId,
        /// Whether it hands back what it runs instead.
        at_once: bool,
    },
    /// A worker says that it drains: somebody on its machine told it to.
    WorkerDrains {
        /// The worker.
        worker: WorkerId,
        /// The connection that it came on.
        session: SessionId,
    },
    /// A worker gets work again: ends its quarantine and its drain.
    ReleaseWorker(WorkerId),
    /// The operator's rules are these.
    Govern(Arc<FleetPolicy>),
    /// Time has passed: leases and budgets may have run out.
    Tick,
}

impl Command {
    /// The connection of a worker that it came on.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self {
            Self::RegisterWorker { session, .. }
            | Self::WorkerDisconnected { session, .. }
            | Self::WorkerGoodbye { session, .. }
            | Self::Heartbeat { session, .. }
            | Self::Ready { session, .. }
            | Self::Progress { session, .. }
            | Self::SaveState { session, .. }
            | Self::Report { session, .. }
            | Self::WorkerDrains { session, .. } => Some(*session),
            Self::Start
            | Self::SubmitCampaign { .. }
            | Self::PauseCampaign(_)
            | Self::ResumeCampaign(_)
            | Self::CancelCampaign(_)
            | Self::ModelFitted { .. }
            | Self::DrainWorker { .. }
            | Self::ReleaseWorker(_)
            | Self::Govern(_)
            | Self::Stalled
            | Self::Tick => None,
        }
    }
}

/// A command that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejected {
    /// There is no such campaign.
    #[error("there is no campaign {0}; `cambrian list` shows those that exist")]
    UnknownCampaign(CampaignId),
    /// The campaign's status does not allow it.
    #[error("campaign {campaign} is {status}, so it cannot be {wish}")]
    WrongStatus {
        /// The campaign.
        campaign: CampaignId,
        /// Its status in a word.
        status: &'static str,
        /// What was asked for, as a participle.
        wish: &'static str,
    },
    /// There is no such worker.
    #[error("worker {0} is not registered; it has to register before anything else")]
    UnknownWorker(WorkerId),
    /// There is no worker of this number to steer.
    #[error("there is no worker {0}; `cambrian workers` shows those that exist")]
    NoSuchWorker(WorkerId),
    /// A worker that gets work already cannot be released.
    #[error("worker {0} is neither in quarantine nor draining, so there is nothing to release")]
    NotHeld(Arc<str>),
    /// A worker that was told to leave does so.
    #[error(
        "worker {0} finishes what it has and leaves, which cannot be taken back; started again, it works"
    )]
    Leaves(Arc<str>),
    /// Each of them is looked at in every step, and its text is kept for ever.
    #[error(
        "{open} campaigns of this owner are not finished, and no more are taken; cancel some, or wait"
    )]
    TooManyCampaigns {
        /// How many are not finished.
        open: usize,
    },
    /// A session whose number no later one would exceed for long.
    #[error(
        "the session of worker {name} is of a clock that is more than 30 days ahead of the coordinator's: set \
         whichever is wrong, restart the coordinator if it is its own, or remove the file `session` of the \
         worker's state directory if it is the worker's"
    )]
    SessionAhead {
        /// The worker's name.
        name: Arc<str>,
    },
    /// A newer connection of the same worker has replaced this one.
    #[error(
        "session {session} of worker {worker} is not its latest ({latest}); another process may \
         be using the same worker name"
    )]
    StaleSession {
        /// The worker.
        worker: WorkerId,
        /// The session that spoke.
        session: SessionId,
        /// The session that holds.
        latest: SessionId,
    },
}
