//! A record as bytes, with the checksum that shows damage.
//!
//! Must not know where records are kept.

use cambrian_core::engine::Event;
use cambrian_core::time::Timestamp;
use cambrian_proto::convert::journal;
use cambrian_proto::v1;
use prost::Message;

use super::{StoreError, Stored};

/// A durable event ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The event's kind for people, such as `task_completed`.
    pub kind: &'static str,
    /// A protobuf `JournalRecord`.
    pub bytes: Vec<u8>,
    /// [`checksum`] of the bytes at their position.
    pub checksum: i64,
}

/// The record of an event at a position.
///
/// # Errors
/// [`StoreError::Volatile`] if the event must not be stored.
pub fn encode(sequence: u64, at: Timestamp, event: &Event) -> Result<Record, StoreError> {
    let message =
        journal::record(at, event).ok_or_else(|| StoreError::Volatile(format!("{event:?}")))?;
    #[cfg(debug_assertions)]
    assert_readable(&message);
    let bytes = message.encode_to_vec();
    let checksum = checksum(sequence, &bytes);
    Ok(Record { kind: kind(event), bytes, checksum })
}

/// Every start reads the whole journal, so whoever decides what no start can read ends a cluster: that
/// shows in whatever test it happens.
#[cfg(debug_assertions)]
fn assert_readable(message: &v1::JournalRecord) {
    let read = <(Timestamp, Event)>::try_from(message.clone());
    let again = read.map(|(at, event)| journal::record(at, &event));
    assert_eq!(
        again.as_ref(),
        Ok(&Some(message.clone())),
        "a record that is not read as it is written"
    );
}

/// The event of a record.
///
/// # Errors
/// [`StoreError::Damaged`] if the bytes are not those that were written at this position,
/// [`StoreError::Later`] if they say what this release does not know, [`StoreError::Unreadable`] if they
/// make no sense.
pub fn decode(sequence: u64, bytes: &[u8], stored_checksum: i64) -> Result<Stored, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { sequence, reason };
    if checksum(sequence, bytes) != stored_checksum {
        return Err(damaged("its checksum does not match".into()));
    }
    let message = v1::JournalRecord::decode(bytes).map_err(|error| damaged(error.to_string()))?;
    // What is not known is dropped in reading. To go on without it would be to forget what a later release
    // has decided, and to write tables and decisions that contradict it.
    if message.encoded_len() != bytes.len() {
        return Err(StoreError::Later { sequence });
    }
    let (at, event) =
        message.try_into().map_err(|source| StoreError::Unreadable { sequence, source })?;
    Ok(Stored { sequence, at, event })
}

/// The first eight bytes of BLAKE3 over the position and the record.
#[must_use]
pub fn checksum(sequence: u64, bytes: &[u8]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&sequence.to_le_bytes()).update(bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    i64::from_le_bytes(first)
}

/// The event's kind in the journal's spelling.
#[must_use]
pub fn kind(event: &Event) -> &'static str {
    match event {
        Event::Started { .. } => "started",
        Event::CampaignSubmitted { .. } => "campaign_submitted",
        Event::CampaignPaused(_) => "campaign_paused",
        Event::CampaignResumed(_) => "campaign_resumed",
        Event::CampaignDraining { .. } => "campaign_draining",
        Event::CampaignFinished { .. } => "campaign_finished",
        Event::FitStarted { .. } => "fit_started",
        Event::ModelAdopted { .. } => "model_adopted",
        Event::CandidateProposed { .. } => "candidate_proposed",
        Event::CandidateInfeasible { .. } => "candidate_infeasible",
        Event::TaskQueued { .. } => "task_queued",
        Event::TaskLeased { .. } => "task_leased",
        Event::LeaseRenewed { .. } => "lease_renewed",
        Event::LeaseEnded { .. } => "lease_ended",
        Event::EnergyUsed { .. } => "energy_used",
        Event::TaskCompleted { .. } => "task_completed",
        Event::ResultTaken { .. } => "result_taken",
        Event::RepeatsAveraged { .. } => "repeats_averaged",
        Event::StopDecided { .. } => "stop_decided",
        Event::CurveRecorded { .. } => "curve_recorded",
        Event::AttemptYielded { .. } => "attempt_yielded",
        Event::StateSaved { .. } => "state_saved",
        Event::AttemptFailed { .. } => "attempt_failed",
        Event::TaskRequeued(_) => "task_requeued",
        Event::TaskFailed { .. } => "task_failed",
        Event::CandidateWaiting { .. } => "candidate_waiting",
        Event::CandidateScreened { .. } => "candidate_screened",
        Event::CandidateScored { .. } => "candidate_scored",
        Event::CandidateFailed { .. } => "candidate_failed",
        Event::WorkerRegistered { .. } => "worker_registered",
        Event::WorkerLeft { .. } => "worker_left",
        Event::WorkerDraining(_) => "worker_draining",
        Event::WorkerLeaving(_) => "worker_leaving",
        Event::WorkerQuarantined { .. } => "worker_quarantined",
        Event::WorkerReleased { .. } => "worker_released",
        Event::PolicySet(_) => "policy_set",
        Event::TimePassed => "time_passed",
        Event::WorkerSeen(_) => "worker_seen",
        Event::CreditSet { .. } => "credit_set",
        Event::ProgressMade { .. } => "progress_made",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cambrian_core::engine::{Failure, FailureKind, InfeasibleReason};
    use cambrian_core::id::{CampaignId, CandidateId, Ordinal, TaskId, WorkerId};

    #[test]
    fn a_changed_byte_or_place_is_damage() {
        let event = Event::TaskRequeued(TaskId(7));
        let record = encode(3, Timestamp(5), &event).unwrap();
        let stored = decode(3, &record.bytes, record.checksum).unwrap();
        assert_eq!(stored.at, Timestamp(5));
        assert!(matches!(stored.event, Event::TaskRequeued(TaskId(7))));
        let mut flipped = record.bytes.clone();
        flipped[1] ^= 1;
        for (sequence, bytes) in [(3, &flipped), (4, &record.bytes)] {
            let error = decode(sequence, bytes, record.checksum).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn senseless_records_are_refused_by_field() {
        let error = decode(1, &[], checksum(1, &[])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "record 1 of the journal cannot be understood (event: is missing); if a later release wrote \
             it, use that or a later one"
        );
        let noise = [0xff; 9];
        let error = decode(1, &noise, checksum(1, &noise)).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }

    #[test]
    fn what_only_a_later_release_knows_is_refused_and_not_forgotten() {
        let known = encode(1, Timestamp(5), &Event::TaskRequeued(TaskId(7))).unwrap().bytes;
        // A field of the number 1000 with the value 1: of the record, of its event, or as its event.
        let field = [0xc0, 0x3e, 1];
        let of_record = [&known[..], &field].concat();
        let [.., length, _, _] = known[..] else { panic!("{known:?}") };
        let mut of_event = of_record.clone();
        of_event[known.len() - 3] = length + 3;
        for bytes in [of_record, of_event, field.to_vec()] {
            let error = decode(1, &bytes, checksum(1, &bytes)).unwrap_err();
            assert!(matches!(error, StoreError::Later { sequence: 1 }), "{error}");
            assert!(error.to_string().contains("a later release"), "{error}");
        }
    }

    /// The longest message that a release has let in, and what the engine adds to it.
    #[test]
    fn failures_are_read_however_long_their_messages_are() {
        let message = format!("{}; it crashed on 2 workers", "x".repeat(64 << 10));
        let failure = Failure { kind: FailureKind::Crash, message: message.into() };
        let candidate = CandidateId::new(CampaignId(1), Ordinal(1));
        let events = [
            Event::TaskFailed { task: TaskId(1), failure: failure.clone() },
            Event::CandidateFailed { candidate, failure: failure.clone() },
            Event::CandidateInfeasible {
                candidate,
                reason: InfeasibleReason::Evaluation(failure.to_string().into()),
            },
        ];
        for event in events {
            let record = encode(1, Timestamp(0), &event).unwrap();
            let stored = decode(1, &record.bytes, record.checksum).unwrap();
            assert_eq!(format!("{:?}", stored.event), format!("{event:?}"));
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "a record that is not read as it is written")]
    fn what_cannot_be_read_is_not_written() {
        let _ = encode(1, Timestamp(0), &Event::TaskRequeued(TaskId(0)));
    }

    #[test]
    fn volatile_events_are_refused() {
        let error = encode(1, Timestamp(0), &Event::WorkerSeen(WorkerId(1))).unwrap_err();
        assert!(matches!(error, StoreError::Volatile(_)), "{error}");
    }
}
