//! A candidate's way through the stages of its evaluation.
//!
//! ```text
//! Proposed --> InStage(0) --> [Waiting(0)] --> InStage(1) --> ... --> Scored
//!     |             |             |                 +--> Failed(why)
//!     |             +-------------+--> Screened(why)     (what `pass` asks for)
//!     +--> Infeasible(why)  <--- after any stage         (the campaign's constraints)
//! ```
//!
//! Must not know by which rules it goes on, nor what a stage measures.

use std::sync::Arc;

use super::event::{InfeasibleReason, Screening};
use super::failure::Failure;
use crate::algorithm::Proposal;
use crate::energy::Energy;
use crate::id::TaskId;
use crate::time::{Span, Timestamp};

/// Where a candidate is.
#[derive(Debug, Clone, PartialEq)]
pub enum CandidateStatus {
    /// Exists; nothing decided yet. Never seen outside a step.
    Proposed,
    /// A task for this stage is queued or leased: for one of its repeats after the other, if it has
    /// several.
    InStage {
        /// The stage's position.
        stage: u8,
        /// The task.
        task: TaskId,
    },
    /// Has finished this stage and waits for being among the best of those that have.
    Waiting {
        /// The stage's position.
        stage: u8,
    },
    /// Was found not worth its later stages.
    Screened(Screening),
    /// Has passed all stages.
    Scored {
        /// Summed normalised constraint violation, 0 if feasible.
        violation: f64,
    },
    /// Was rejected.
    Infeasible(InfeasibleReason),
    /// Will never have a score.
    Failed(Failure),
}

/// A value in a campaign's column order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredMeasurement {
    /// The position among the campaign's columns.
    pub column: u16,
    /// The value, finite.
    pub value: f64,
    /// The spread of repeated samples; of a stage with repeats the standard error of the mean.
    pub spread: Option<f64>,
}

/// A candidate's state. Fields are written by `apply` alone.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub(super) proposal: Arc<Proposal>,
    pub(super) status: CandidateStatus,
    pub(super) measurements: Vec<StoredMeasurement>,
    pub(super) proposed_at: Timestamp,
    pub(super) resolved_at: Option<Timestamp>,
    pub(super) elapsed: Span,
    pub(super) energy: Energy,
    pub(super) attempts: u32,
    pub(super) repeated_attempts: u32,
    /// How many stages it has entered.
    pub(super) entered: u8,
}

impl Candidate {
    pub(super) fn new(proposal: Arc<Proposal>, at: Timestamp) -> Self {
        Self {
            proposal,
            status: CandidateStatus::Proposed,
            measurements: Vec::new(),
            proposed_at: at,
            resolved_at: None,
            elapsed: Span(0),
            energy: Energy(0),
            attempts: 0,
            repeated_attempts: 0,
            entered: 0,
        }
    }

    /// Its genotype, canonical hash and origin.
    #[must_use]
    pub fn proposal(&self) -> &Arc<Proposal> {
        &self.proposal
    }

    /// Where it is.
    #[must_use]
    pub fn status(&self) -> &CandidateStatus {
        &self.status
    }

    /// Whether its fate is decided.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        !matches!(
            self.status,
            CandidateStatus::Proposed
                | CandidateStatus::InStage { .. }
                | CandidateStatus::Waiting { .. }
        )
    }

    /// Its values so far.
    #[must_use]
    pub fn measurements(&self) -> &[StoredMeasurement] {
        &self.measurements
    }

    /// Its value in a campaign's column.
    #[must_use]
    pub fn value(&self, column: u16) -> Option<f64> {
        self.measurements.iter().find(|stored| stored.column == column).map(|stored| stored.value)
    }

    /// When it was proposed.
    #[must_use]
    pub fn proposed_at(&self) -> Timestamp {
        self.proposed_at
    }

    /// When its fate was decided.
    #[must_use]
    pub fn resolved_at(&self) -> Option<Timestamp> {
        self.resolved_at
    }

    /// Slot time over all its attempts.
    #[must_use]
    pub fn elapsed(&self) -> Span {
        self.elapsed
    }

    /// Energy over all its attempts, as far as evaluators reported it.
    #[must_use]
    pub fn energy(&self) -> Energy {
        self.energy
    }

    /// How many stages it has entered, including the one that it is in.
    #[must_use]
    pub fn stages_entered(&self) -> u8 {
        self.entered
    }

    /// How often it was leased, over all stages.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How many of them repeated one of the same task that had failed, was lost or was taken back; the
    /// first attempts of further stages and repeats are none.
    #[must_use]
    pub fn repeated_attempts(&self) -> u32 {
        self.repeated_attempts
    }
}
