//! The kinds of failure; what follows from each is a rule of the campaign (`spec::FailurePolicy`).
//!
//! Must not know how a failure is detected; workers classify, the engine applies the rule.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an attempt did not yield a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The evaluation needed more memory than the device has.
    OutOfMemory,
    /// A loss or a metric was NaN or infinite.
    NonFinite,
    /// The attempt took longer than its stage allows.
    Timeout,
    /// The evaluator process ended or broke its protocol.
    Crash,
    /// The worker was told to go; nothing is wrong with candidate or node.
    Preempted,
    /// The node cannot evaluate (malformed data, broken device). It gets nothing more of that
    /// stage until it registers anew.
    BadNode,
    /// The request itself cannot be evaluated: settings or graph that no worker could run.
    Invalid,
    /// The value's source or device class differs from the campaign's.
    Incomparable,
    /// The worker fell silent until the lease ran out.
    LeaseExpired,
}

impl FailureKind {
    /// Every kind, for tables and tests.
    pub const ALL: [FailureKind; 9] = [
        FailureKind::OutOfMemory,
        FailureKind::NonFinite,
        FailureKind::Timeout,
        FailureKind::Crash,
        FailureKind::Preempted,
        FailureKind::BadNode,
        FailureKind::Invalid,
        FailureKind::Incomparable,
        FailureKind::LeaseExpired,
    ];

    /// Whether such failures of different candidates speak against the worker. The others are of
    /// the candidate's own making, or say nothing about the evaluator.
    #[must_use]
    pub fn speaks_against_worker(self) -> bool {
        matches!(self, FailureKind::Timeout | FailureKind::Crash | FailureKind::BadNode)
    }

    /// Whether the attempt counts against the bound on attempts. A preempted one does not, nor one
    /// on a bad node: the fleet failed, and a candidate must not fail for that.
    #[must_use]
    pub fn counts_as_attempt(self) -> bool {
        !matches!(self, FailureKind::Preempted | FailureKind::BadNode)
    }

    /// The stable name used in files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::OutOfMemory => "out_of_memory",
            FailureKind::NonFinite => "non_finite",
            FailureKind::Timeout => "timeout",
            FailureKind::Crash => "crash",
            FailureKind::Preempted => "preempted",
            FailureKind::BadNode => "bad_node",
            FailureKind::Invalid => "invalid",
            FailureKind::Incomparable => "incomparable",
            FailureKind::LeaseExpired => "lease_expired",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A failed attempt: its kind and what a person should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, which decides what happens next.
    pub kind: FailureKind,
    /// What happened, in a sentence.
    pub message: Box<str>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}
