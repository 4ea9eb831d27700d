//! Journal records: durable events with their instants.
//!
//! A record that cannot be read is an error that names its field; what a release wrote, every
//! later release reads. Volatile events have no record. Must not know where records are kept, nor in which
//! order they make sense.

mod curve;
mod written;
mod yielded;

pub use written::record;

use std::sync::Arc;

use cambrian_core::algorithm::{Origin, Proposal};
use cambrian_core::energy::Energy;
use cambrian_core::engine::{
    Capabilities, Event, Failure, FinishReason, FleetPolicy, InfeasibleReason, LeaseEnd, Release,
    ResultKey, ResultOrigin, ScreenReason, Screening,
};
use cambrian_core::graph::CanonicalHash;
use cambrian_core::id::{
    Attempt, AttemptId, CampaignId, CandidateId, Ordinal, SessionId, TaskId, WorkerId,
};
use cambrian_core::space::Genotype;
use cambrian_core::spec::{CampaignSpec, MAX_SPEC_BYTES};
use cambrian_core::time::Timestamp;

use super::campaign::submission;
use super::measurement::{attached, measurements};
use super::{
    ConvertError, MAX_NAME_BYTES, MAX_TEXT_BYTES, Within, instant, list, name, number, positive,
    required, span, text,
};
use crate::v1;
use crate::v1::journal_record::Event as Message;

/// The largest number of genes of one genotype.
const MAX_GENES: usize = 1 << 20;

fn finish_reason(code: i32) -> Result<FinishReason, ConvertError> {
    Ok(match v1::FinishReason::try_from(code) {
        Ok(v1::FinishReason::BudgetSpent) => FinishReason::BudgetSpent,
        Ok(v1::FinishReason::TimeUp) => FinishReason::TimeUp,
        Ok(v1::FinishReason::SlotTimeSpent) => FinishReason::SlotTimeSpent,
        Ok(v1::FinishReason::EnergySpent) => FinishReason::EnergySpent,
        Ok(v1::FinishReason::TargetReached) => FinishReason::TargetReached,
        Ok(v1::FinishReason::Stagnated) => FinishReason::Stagnated,
        Ok(v1::FinishReason::SpaceExhausted) => FinishReason::SpaceExhausted,
        Ok(v1::FinishReason::Cancelled) => FinishReason::Cancelled,
        Ok(v1::FinishReason::NothingFeasible) => FinishReason::NothingFeasible,
        Ok(v1::FinishReason::Unspecified) | Err(_) => {
            return Err(ConvertError::new("reason", format!("{code} is no reason to finish")));
        }
    })
}

fn lease_end(code: i32, by: u32) -> Result<LeaseEnd, ConvertError> {
    Ok(match v1::LeaseEnd::try_from(code) {
        Ok(v1::LeaseEnd::Expired) => LeaseEnd::Expired,
        Ok(v1::LeaseEnd::HandedBack) => LeaseEnd::HandedBack,
        Ok(v1::LeaseEnd::Forgotten) => LeaseEnd::Forgotten,
        Ok(v1::LeaseEnd::Undelivered) => LeaseEnd::Undelivered,
        Ok(v1::LeaseEnd::Cancelled) => LeaseEnd::Cancelled,
        Ok(v1::LeaseEnd::Preempted) => {
            LeaseEnd::Preempted { by: positive("by_campaign", by).map(CampaignId)? }
        }
        Ok(v1::LeaseEnd::Drained) => LeaseEnd::Drained,
        Ok(v1::LeaseEnd::Unspecified) | Err(_) => {
            return Err(ConvertError::new("end", format!("{code} is no end of a lease")));
        }
    })
}

impl TryFrom<v1::JournalRecord> for (Timestamp, Event) {
    type Error = ConvertError;

    fn try_from(record: v1::JournalRecord) -> Result<Self, ConvertError> {
        let at = instant("at_micros", record.at_micros)?;
        Ok((at, event(required("event", record.event)?)?))
    }
}

fn event(message: Message) -> Result<Event, ConvertError> {
    match message {
        Message::Started(v1::Started { lease_micros }) => {
            let lease_length = span("lease_micros", lease_micros).within("started")?;
            Ok(Event::Started { lease_length })
        }
        Message::CampaignSubmitted(message) => {
            campaign_submitted(message).within("campaign_submitted")
        }
        Message::CampaignPaused(message) => {
            campaign(message.campaign).map(Event::CampaignPaused).within("campaign_paused")
        }
        Message::ModelAdopted(message) => {
            let campaign = campaign(message.campaign).within("model_adopted")?;
            let results = positive("results", message.results).within("model_adopted")?;
            Ok(Event::ModelAdopted { campaign, results })
        }
        Message::CampaignResumed(message) => {
            campaign(message.campaign).map(Event::CampaignResumed).within("campaign_resumed")
        }
        Message::CampaignDraining(v1::CampaignDraining { campaign, reason }) => {
            let (campaign, reason) = ended(campaign, reason).within("campaign_draining")?;
            Ok(Event::CampaignDraining { campaign, reason })
        }
        Message::CampaignFinished(v1::CampaignFinished { campaign, reason }) => {
            let (campaign, reason) = ended(campaign, reason).within("campaign_finished")?;
            Ok(Event::CampaignFinished { campaign, reason })
        }
        Message::CandidateProposed(message) => {
            candidate_proposed(message).within("candidate_proposed")
        }
        Message::CandidateInfeasible(message) => {
            candidate_infeasible(message).within("candidate_infeasible")
        }
        Message::CandidateWaiting(message) => {
            candidate_waiting(message).within("candidate_waiting")
        }
        Message::CandidateScreened(message) => {
            candidate_screened(message).within("candidate_screened")
        }
        Message::CandidateScored(message) => candidate_scored(message).within("candidate_scored"),
        Message::CandidateFailed(v1::CandidateFailed { candidate: id, failure: message }) => {
            let candidate = candidate(id).within("candidate_failed")?;
            let failure = failure(message).within("candidate_failed")?;
            Ok(Event::CandidateFailed { candidate, failure })
        }
        Message::TaskQueued(message) => task_queued(message).within("task_queued"),
        Message::TaskLeased(message) => task_leased(message).within("task_leased"),
        Message::LeaseEnded(v1::LeaseEnded { task, attempt, end, by_campaign }) => {
            let AttemptId { task, attempt } = task_attempt(task, attempt).within("lease_ended")?;
            let end = lease_end(end, by_campaign).within("lease_ended")?;
            Ok(Event::LeaseEnded { task, attempt, end })
        }
        Message::TaskCompleted(message) => task_completed(message).within("task_completed"),
        Message::ResultTaken(message) => result_taken(message).within("result_taken"),
        Message::StopDecided(message) => curve::stop_decided(message).within("stop_decided"),
        Message::CurveRecorded(message) => curve::curve_recorded(message).within("curve_recorded"),
        Message::RepeatsAveraged(message) => repeats_averaged(message).within("repeats_averaged"),
        Message::AttemptYielded(message) => yielded::event(message).within("attempt_yielded"),
        Message::StateSaved(message) => yielded::saved_event(message).within("state_saved"),
        Message::AttemptFailed(message) => attempt_failed(message).within("attempt_failed"),
        Message::TaskRequeued(message) => {
            task(message.task).map(Event::TaskRequeued).within("task_requeued")
        }
        Message::TaskFailed(v1::TaskFailed { task: id, failure: message }) => {
            let task = task(id).within("task_failed")?;
            Ok(Event::TaskFailed { task, failure: failure(message).within("task_failed")? })
        }
        Message::WorkerRegistered(message) => {
            worker_registered(message).within("worker_registered")
        }
        Message::WorkerDraining(message) => {
            worker(message.worker).map(Event::WorkerDraining).within("worker_draining")
        }
        Message::WorkerQuarantined(message) => {
            worker_quarantined(message).within("worker_quarantined")
        }
        Message::WorkerReleased(v1::WorkerReleased { worker: id, in_time }) => {
            let by = if in_time { Release::Time } else { Release::Operator };
            Ok(Event::WorkerReleased { worker: worker(id).within("worker_released")?, by })
        }
        Message::PolicySet(message) => {
            let policy = FleetPolicy::try_from(message).within("policy_set")?;
            Ok(Event::PolicySet(Arc::new(policy)))
        }
        Message::EnergyUsed(v1::EnergyUsed { task, attempt, microjoules }) => {
            let AttemptId { task, attempt } = task_attempt(task, attempt).within("energy_used")?;
            Ok(Event::EnergyUsed { task, attempt, energy: Energy(microjoules) })
        }
        Message::WorkerLeft(v1::WorkerLeft { worker: id, goodbye }) => {
            Ok(Event::WorkerLeft { worker: worker(id).within("worker_left")?, goodbye })
        }
    }
}

fn campaign(number: u32) -> Result<CampaignId, ConvertError> {
    positive("campaign", number).map(CampaignId)
}

fn worker(number: u32) -> Result<WorkerId, ConvertError> {
    positive("worker", number).map(WorkerId)
}

fn task(id: u64) -> Result<TaskId, ConvertError> {
    number("task", positive("task", id)?).map(TaskId)
}

fn task_attempt(task: u64, attempt: u32) -> Result<AttemptId, ConvertError> {
    v1::TaskAttempt { task, attempt }.try_into()
}

fn candidate(message: Option<v1::CandidateId>) -> Result<CandidateId, ConvertError> {
    required("candidate", message)?.try_into().within("candidate")
}

fn failure(message: Option<v1::Failure>) -> Result<Failure, ConvertError> {
    required("failure", message)?.try_into().within("failure")
}

fn ended(number: u32, reason: i32) -> Result<(CampaignId, FinishReason), ConvertError> {
    Ok((campaign(number)?, finish_reason(reason)?))
}

fn campaign_submitted(message: v1::CampaignSubmitted) -> Result<Event, ConvertError> {
    text("source_yaml", &message.source_yaml, MAX_SPEC_BYTES)?;
    text("owner", &message.owner, MAX_NAME_BYTES)?;
    let spec = CampaignSpec::parse_resolved(&message.resolved_yaml)
        .map_err(|faults| ConvertError::new("resolved_yaml", faults.to_string()))?;
    Ok(Event::CampaignSubmitted {
        campaign: campaign(message.campaign)?,
        submission: submission(&message.submission)?,
        spec: Arc::new(spec),
        source: message.source_yaml.into(),
        owner: (!message.owner.is_empty()).then(|| message.owner.into()),
    })
}

fn candidate_proposed(message: v1::CandidateProposed) -> Result<Event, ConvertError> {
    let hash: [u8; 16] = message.canonical_hash[..].try_into().map_err(|_| {
        let reason = format!("has {} bytes, expected 16", message.canonical_hash.len());
        ConvertError::new("canonical_hash", reason)
    })?;
    let proposal = Proposal {
        genotype: genotype(&message.genes)?,
        key: CanonicalHash::from_bytes(hash),
        origin: origin(required("origin", message.origin)?).within("origin")?,
    };
    Ok(Event::CandidateProposed {
        candidate: candidate(message.candidate)?,
        proposal: Arc::new(proposal),
        analytic: measurements("analytic", message.analytic)?,
    })
}

fn genotype(genes: &[u32]) -> Result<Genotype, ConvertError> {
    positive("genes", genes.len())?;
    list("genes", genes.len(), MAX_GENES)?;
    Ok(Genotype(genes.into()))
}

fn origin(message: v1::Origin) -> Result<Origin, ConvertError> {
    let parent = |index: usize| {
        positive("", message.parents[index]).map(Ordinal).within_entry("parents", index)
    };
    match message.parents.len() {
        0 if message.given => Ok(Origin::Given),
        0 => Ok(Origin::Sampled),
        1 => Ok(Origin::Mutated { parent: parent(0)? }),
        2 => Ok(Origin::Crossed { first: parent(0)?, second: parent(1)? }),
        more => {
            Err(ConvertError::new("parents", format!("has {more} entries, at most 2 are allowed")))
        }
    }
}

fn candidate_infeasible(message: v1::CandidateInfeasible) -> Result<Event, ConvertError> {
    use v1::candidate_infeasible::Reason;
    let candidate = candidate(message.candidate)?;
    let reason = match required("reason", message.reason)? {
        Reason::Constraints(text) => InfeasibleReason::Constraints(text.into()),
        Reason::NoNetwork(text) => InfeasibleReason::NoNetwork(text.into()),
        Reason::Evaluation(text) => InfeasibleReason::Evaluation(text.into()),
    };
    Ok(Event::CandidateInfeasible { candidate, reason })
}

fn candidate_waiting(message: v1::CandidateWaiting) -> Result<Event, ConvertError> {
    let stage = stage(message.stage)?;
    Ok(Event::CandidateWaiting { candidate: candidate(message.candidate)?, stage })
}

fn candidate_screened(message: v1::CandidateScreened) -> Result<Event, ConvertError> {
    use v1::candidate_screened::Reason;
    let reason = match required("reason", message.reason)? {
        Reason::Gate(text) => ScreenReason::Gate(text.into()),
        Reason::Curve(text) => ScreenReason::Curve(text.into()),
        Reason::Rank(v1::Rank { rank, of }) => ScreenReason::Rank {
            rank: positive("rank", rank).within("rank")?,
            of: positive("of", of).within("rank")?,
        },
    };
    let screening = Screening { stage: stage(message.stage)?, reason };
    Ok(Event::CandidateScreened { candidate: candidate(message.candidate)?, screening })
}

fn stage(number: u32) -> Result<u8, ConvertError> {
    u8::try_from(number).map_err(|_| {
        let reason = format!("is {number}, at most {} is allowed", u8::MAX);
        ConvertError::new("stage", reason)
    })
}

fn candidate_scored(message: v1::CandidateScored) -> Result<Event, ConvertError> {
    let violation = message.violation;
    // Earlier releases wrote infinite ones. They stay so: algorithms have bred without those
    // candidates, and the tables hold what was written.
    if violation.is_nan() || violation < 0.0 {
        let reason = format!("is {violation}, expected a number of at least 0");
        return Err(ConvertError::new("violation", reason));
    }
    Ok(Event::CandidateScored { candidate: candidate(message.candidate)?, violation })
}

fn task_queued(message: v1::TaskQueued) -> Result<Event, ConvertError> {
    let stage = stage(message.stage)?;
    let candidate = candidate(message.candidate)?;
    let (task, repeat) = (task(message.task)?, message.repeat);
    Ok(Event::TaskQueued { task, candidate, stage, repeat })
}

fn task_leased(message: v1::TaskLeased) -> Result<Event, ConvertError> {
    let AttemptId { task, attempt } = task_attempt(message.task, message.attempt)?;
    Ok(Event::TaskLeased {
        task,
        attempt,
        worker: worker(message.worker)?,
        session: SessionId(message.session),
        deadline: instant("deadline_micros", message.deadline_micros)?,
    })
}

fn task_completed(message: v1::TaskCompleted) -> Result<Event, ConvertError> {
    let AttemptId { task, attempt } = task_attempt(message.task, message.attempt)?;
    Ok(Event::TaskCompleted {
        task,
        attempt,
        worker: worker(message.worker)?,
        measurements: measurements("measurements", message.measurements)?,
        attached: attached(&message.checkpoint, message.note)?,
        elapsed: span("elapsed_micros", message.elapsed_micros)?,
        repeated: message.repeated,
        key: result_key(&message.result_key)?,
    })
}

fn result_key(bytes: &[u8]) -> Result<Option<ResultKey>, ConvertError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key: [u8; 16] = bytes.try_into().map_err(|_| {
        let reason = format!("has {} bytes, expected 16 or none", bytes.len());
        ConvertError::new("result_key", reason)
    })?;
    Ok(Some(ResultKey::from_bytes(key)))
}

fn result_taken(message: v1::ResultTaken) -> Result<Event, ConvertError> {
    text("version", &message.version, MAX_NAME_BYTES)?;
    text("content", &message.content, MAX_NAME_BYTES)?;
    Ok(Event::ResultTaken {
        task: task(message.task)?,
        origin: ResultOrigin {
            candidate: candidate(message.candidate)?,
            stage: stage(message.stage)?,
            attempt: positive("attempt", message.attempt).map(Attempt)?,
            worker: worker(message.worker)?,
            version: message.version.into(),
            content: (!message.content.is_empty()).then(|| message.content.into()),
        },
        measurements: measurements("measurements", message.measurements)?,
    })
}

fn repeats_averaged(message: v1::RepeatsAveraged) -> Result<Event, ConvertError> {
    Ok(Event::RepeatsAveraged {
        candidate: candidate(message.candidate)?,
        stage: stage(message.stage)?,
        measurements: measurements("measurements", message.measurements)?,
    })
}

fn attempt_failed(message: v1::AttemptFailed) -> Result<Event, ConvertError> {
    let AttemptId { task, attempt } = task_attempt(message.task, message.attempt)?;
    Ok(Event::AttemptFailed {
        task,
        attempt,
        worker: worker(message.worker)?,
        failure: failure(message.failure)?,
        elapsed: span("elapsed_micros", message.elapsed_micros)?,
    })
}

fn worker_registered(message: v1::WorkerRegistered) -> Result<Event, ConvertError> {
    let capabilities = required("capabilities", message.capabilities)?;
    name("name", &message.name)?;
    Ok(Event::WorkerRegistered {
        worker: worker(message.worker)?,
        name: message.name.into(),
        session: SessionId(message.session),
        capabilities: Arc::new(Capabilities::try_from(capabilities).within("capabilities")?),
    })
}

fn worker_quarantined(message: v1::WorkerQuarantined) -> Result<Event, ConvertError> {
    text("reason", &message.reason, MAX_TEXT_BYTES)?;
    let until = instant("until_micros", message.until_micros)?;
    Ok(Event::WorkerQuarantined {
        worker: worker(message.worker)?,
        reason: message.reason.into(),
        until: (until.0 > 0).then_some(until),
    })
}

#[cfg(test)]
mod tests;
