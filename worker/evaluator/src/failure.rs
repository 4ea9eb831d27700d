//! Why an evaluation did not yield a result, and which kind of failure that is on the wire.
//!
//! libtorch reports every fault as text, so the distinction between a network that needs too much
//! memory and a broken program is made here, once. It must not know the rules that follow from a
//! kind; the coordinator applies them.

use cambrian_core::objective::NonFinite;
use cambrian_proto::v1::{Failure, FailureKind};
use tch::TchError;
use thiserror::Error;

use crate::data::DataError;
use crate::introspectability::Undefined;

/// Why an evaluation did not yield a result.
#[derive(Debug, Error)]
pub enum EvaluationError {
    /// Network or batch need more memory than the device has.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// A loss, a logit or a metric is NaN, infinite or undefined.
    #[error("{0}")]
    NonFinite(String),
    /// The assignment contradicts itself or this evaluator; no node could run it.
    #[error("{0}")]
    Invalid(String),
    /// A metric has no meaning for the network.
    #[error("{metric} does not apply: {reason}")]
    NotApplicable {
        /// The metric that was asked for.
        metric: &'static str,
        /// What of the network it needs.
        reason: String,
    },
    /// This node lacks something, such as a dataset.
    #[error("{0}")]
    BadNode(String),
    /// The supervisor asked for the end.
    #[error("stopped on request")]
    Stopped,
    /// Anything else, with libtorch's own words.
    #[error("{0}")]
    Crash(String),
}

impl EvaluationError {
    /// The error with the kind that its text reveals; only the first line is kept, because
    /// libtorch appends its C++ stack.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let lower = text.to_lowercase();
        let exhausted = ["out of memory", "can't allocate", "bad_alloc", "not enough memory"];
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        let line = line.unwrap_or("no message").to_owned();
        if exhausted.iter().any(|sign| lower.contains(sign)) {
            Self::OutOfMemory(line)
        } else {
            Self::Crash(line)
        }
    }

    /// The failure as the worker reports it.
    #[must_use]
    pub fn to_failure(&self) -> Failure {
        let kind = match self {
            Self::OutOfMemory(_) => FailureKind::OutOfMemory,
            Self::NonFinite(_) => FailureKind::NonFinite,
            Self::Invalid(_) | Self::NotApplicable { .. } => FailureKind::Invalid,
            Self::BadNode(_) => FailureKind::BadNode,
            Self::Stopped => FailureKind::Preempted,
            Self::Crash(_) => FailureKind::Crash,
        };
        Failure { kind: kind.into(), message: self.to_string() }
    }
}

impl From<TchError> for EvaluationError {
    fn from(error: TchError) -> Self {
        Self::from_text(&error.to_string())
    }
}

impl From<NonFinite> for EvaluationError {
    fn from(error: NonFinite) -> Self {
        Self::NonFinite(error.to_string())
    }
}

impl From<Undefined> for EvaluationError {
    fn from(error: Undefined) -> Self {
        Self::NonFinite(error.to_string())
    }
}

impl From<DataError> for EvaluationError {
    fn from(error: DataError) -> Self {
        Self::BadNode(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocation_failures_are_told_from_crashes() {
        let table = [
            (
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate \
                 memory: you tried to allocate 4398046511104 bytes.",
                FailureKind::OutOfMemory,
            ),
            ("CUDA out of memory. Tried to allocate 2.00 GiB", FailureKind::OutOfMemory),
            ("std::bad_alloc", FailureKind::OutOfMemory),
            ("mat1 and mat2 shapes cannot be multiplied", FailureKind::Crash),
            ("", FailureKind::Crash),
        ];
        for (text, kind) in table {
            assert_eq!(EvaluationError::from_text(text).to_failure().kind(), kind, "{text}");
        }
    }

    #[test]
    fn only_the_first_line_of_a_torch_error_is_kept() {
        let error = EvaluationError::from_text("\n bad shape\nframe #0: c10::Error\n");
        assert_eq!(error.to_string(), "bad shape");
    }
}
