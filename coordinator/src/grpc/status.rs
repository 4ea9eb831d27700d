//! Errors as gRPC statuses, in one place.
//!
//! Must not know which call an error has ended, nor log it.

use cambrian_core::engine::Rejected;
use cambrian_proto::convert::ConvertError;
use tonic::Status;

use crate::connection::Closed;
use crate::handle::CallError;

/// A message that cannot be read.
pub(super) fn bad_message(error: &ConvertError) -> Status {
    Status::invalid_argument(error.to_string())
}

/// A call that had no effect.
pub(super) fn of_call(error: &CallError) -> Status {
    match error {
        CallError::Rejected(rejected) => of_rejection(rejected),
        CallError::Storage(_) | CallError::ShuttingDown => Status::unavailable(error.to_string()),
    }
}

/// A command that does not fit the state.
pub(super) fn of_rejection(rejected: &Rejected) -> Status {
    let text = rejected.to_string();
    match rejected {
        Rejected::UnknownCampaign(_) | Rejected::NoSuchWorker(_) => Status::not_found(text),
        Rejected::WrongStatus { .. }
        | Rejected::NotHeld(_)
        | Rejected::Leaves(_)
        | Rejected::UnknownWorker(_)
        | Rejected::SessionAhead { .. } => Status::failed_precondition(text),
        Rejected::TooManyCampaigns { .. } => Status::resource_exhausted(text),
        Rejected::StaleSession { .. } => Status::aborted(text),
    }
}

/// A connection that the coordinator ends.
pub(super) fn of_closed(why: &Closed) -> Status {
    match why {
        Closed::Replaced => Status::aborted(
            "a newer connection of the same worker has taken over; if no second process is meant \
             to use this worker's name, give each its own",
        ),
        Closed::Rejected(rejected) => of_rejection(rejected),
        Closed::TooSlow => Status::resource_exhausted(
            "the worker does not take its messages; connect again and read while writing",
        ),
        Closed::StorageFailed => Status::unavailable(
            "the journal could not be written; keep what is not acknowledged and connect again",
        ),
        Closed::ShuttingDown => Status::unavailable(
            "the coordinator is shutting down; keep what is not acknowledged and connect again",
        ),
    }
}

/// The campaign that a user named.
pub(super) fn unknown_campaign(reference: &str) -> Status {
    Status::not_found(format!(
        "there is no campaign `{reference}`; `cambrian list` shows those that exist"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cambrian_core::id::{CampaignId, SessionId, WorkerId};
    use tonic::Code;

    #[test]
    fn every_rejection_has_its_code() {
        let stale = Rejected::StaleSession {
            worker: WorkerId(1),
            session: SessionId(1),
            latest: SessionId(2),
        };
        let wrong =
            Rejected::WrongStatus { campaign: CampaignId(1), status: "finished", wish: "paused" };
        let cases = [
            (Rejected::UnknownCampaign(CampaignId(9)), Code::NotFound),
            (Rejected::NoSuchWorker(WorkerId(9)), Code::NotFound),
            (Rejected::NotHeld("gpu-1".into()), Code::FailedPrecondition),
            (Rejected::Leaves("gpu-1".into()), Code::FailedPrecondition),
            (wrong, Code::FailedPrecondition),
            (Rejected::UnknownWorker(WorkerId(1)), Code::FailedPrecondition),
            (stale, Code::Aborted),
            (Rejected::SessionAhead { name: "gpu-1".into() }, Code::FailedPrecondition),
            (Rejected::TooManyCampaigns { open: 1_000 }, Code::ResourceExhausted),
        ];
        for (rejected, code) in cases {
            let status = of_call(&CallError::Rejected(rejected.clone()));
            assert_eq!(status.code(), code);
            assert_eq!(status.message(), rejected.to_string());
        }
        assert_eq!(of_call(&CallError::ShuttingDown).code(), Code::Unavailable);
    }
}
