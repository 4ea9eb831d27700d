//! Results that candidates took from others instead of being evaluated.
//!
//! Must not know when a result may be taken: the coordinator decides.

use cambrian_proto::v1;
use serde::Serialize;

use super::read::candidate_id;
use crate::foreign::Foreign;

/// A known result that a candidate took at a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CachedResult {
    /// The name of the candidate's stage.
    pub(crate) stage: Foreign,
    /// The candidate that was evaluated, written `CAMPAIGN/ORDINAL`.
    pub(crate) from: String,
    pub(crate) attempt: u32,
    /// The number of the worker that delivered.
    pub(crate) worker: u32,
    pub(crate) evaluator_version: Foreign,
}

impl From<v1::TakenResult> for CachedResult {
    fn from(message: v1::TakenResult) -> Self {
        Self {
            stage: message.stage.into(),
            from: candidate_id(message.candidate).0,
            attempt: message.attempt,
            worker: message.worker,
            evaluator_version: message.version.into(),
        }
    }
}
