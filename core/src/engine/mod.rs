//! The state machine of a cluster: commands come in, events decide, effects act.
//!
//! [`Engine::step`] checks a [`Command`], emits [`Event`]s and applies each one to the [`State`],
//! and returns what has to happen outside as [`Effect`]s. `apply` is the only writer of the state,
//! live and on replay alike. Nothing here performs IO, reads a clock or draws randomness other
//! than from (seed, ordinal).

mod apply;
mod best;
mod bound;
mod budget;
mod cache;
mod campaign;
mod candidate;
mod check;
mod checkpoint;
mod command;
mod curve;
mod decide;
mod dispatch;
mod effect;
mod event;
mod explain;
mod failure;
mod fleet;
mod lease_order;
mod pin;
mod placement;
mod policy;
mod preempt;
mod queue;
mod ready;
mod repeat;
mod report;
mod rung;
mod share;
mod state;
mod stop;
mod survival;
mod task;
mod view;
mod worker;

pub use best::ScoredPoints;
pub use cache::{ResultKey, ResultOrigin};
pub use campaign::{Campaign, CampaignStatus, FinishReason};
pub use candidate::{Candidate, CandidateStatus, StoredMeasurement};
pub use check::Inconsistency;
pub use checkpoint::{Attached, Continuation};
pub use command::{Command, Rejected, ReportedOutcome, SubmissionId};
pub use curve::{CurvePoint, Standing};
pub use decide::{Engine, EngineSettings, Step};
pub use effect::{Assignment, Effect, Fit, StopReason};
pub use event::{Event, InfeasibleReason, LeaseEnd, Release, ScreenReason, Screening};
pub use explain::Subject;
pub use failure::{Failure, FailureKind};
pub use policy::{FleetPolicy, QuarantineRule, UserBudget, UserPolicy};
pub use rung::StageTally;
pub use state::State;
pub use task::{Lease, Task, TaskProgress, TaskStatus};
pub use view::{
    CampaignView, CandidateView, EvaluationProgress, Explanation, FrontMember, FrontView,
    MetricView, StageView, TakenView, UnsuitedStage, WorkerView,
};
pub use worker::{Capabilities, EvaluatorOffer, Quarantine, Worker};
