//! Events as the journal's messages. Must not know how a message is read back.

use cambrian_core::algorithm::{Origin, Proposal};
use cambrian_core::engine::{
    Event, FinishReason, InfeasibleReason, LeaseEnd, Release, ScreenReason, Screening,
};
use cambrian_core::id::{AttemptId, CandidateId};
use cambrian_core::objective::Measurement;
use cambrian_core::time::Timestamp;

use super::super::artifact::bytes_of;
use super::super::campaign::submission_bytes;
use super::super::measurement::measurement_messages;
use super::yielded;
use crate::v1;
use crate::v1::journal_record::Event as Message;

/// The record of `event`, `None` if the event is volatile.
#[must_use]
pub fn record(at: Timestamp, event: &Event) -> Option<v1::JournalRecord> {
    message(event).map(|event| v1::JournalRecord { at_micros: at.0, event: Some(event) })
}

fn message(event: &Event) -> Option<Message> {
    Some(match event {
        Event::Started { lease_length } => {
            Message::Started(v1::Started { lease_micros: lease_length.0 })
        }
        Event::CampaignSubmitted { campaign, submission, spec, source, owner } => {
            Message::CampaignSubmitted(v1::CampaignSubmitted {
                campaign: campaign.0,
                submission: submission_bytes(*submission),
                resolved_yaml: spec.to_yaml(),
                source_yaml: source.to_string(),
                owner: owner.as_deref().unwrap_or_default().to_owned(),
            })
        }
        Event::CampaignPaused(campaign) => {
            Message::CampaignPaused(v1::CampaignPaused { campaign: campaign.0 })
        }
        Event::ModelAdopted { campaign, results } => {
            Message::ModelAdopted(v1::ModelAdopted { campaign: campaign.0, results: *results })
        }
        Event::CampaignResumed(campaign) => {
            Message::CampaignResumed(v1::CampaignResumed { campaign: campaign.0 })
        }
        Event::CampaignDraining { campaign, reason } => {
            let reason = v1::FinishReason::from(*reason).into();
            Message::CampaignDraining(v1::CampaignDraining { campaign: campaign.0, reason })
        }
        Event::CampaignFinished { campaign, reason } => {
            let reason = v1::FinishReason::from(*reason).into();
            Message::CampaignFinished(v1::CampaignFinished { campaign: campaign.0, reason })
        }
        Event::CandidateProposed { candidate, proposal, analytic } => {
            Message::CandidateProposed(proposed(*candidate, proposal, analytic))
        }
        Event::CandidateInfeasible { candidate, reason } => {
            Message::CandidateInfeasible(infeasible(*candidate, reason))
        }
        Event::CandidateWaiting { candidate, stage } => {
            let candidate = Some((*candidate).into());
            let stage = u32::from(*stage);
            Message::CandidateWaiting(v1::CandidateWaiting { candidate, stage })
        }
        Event::CandidateScreened { candidate, screening } => {
            Message::CandidateScreened(screened(*candidate, screening))
        }
        Event::CandidateScored { candidate, violation } => {
            let candidate = Some((*candidate).into());
            Message::CandidateScored(v1::CandidateScored { candidate, violation: *violation })
        }
        Event::CandidateFailed { candidate, failure } => {
            let (candidate, failure) = (Some((*candidate).into()), Some(failure.into()));
            Message::CandidateFailed(v1::CandidateFailed { candidate, failure })
        }
        Event::WorkerRegistered { worker, name, session, capabilities } => {
            Message::WorkerRegistered(v1::WorkerRegistered {
                worker: worker.0,
                name: name.to_string(),
                session: session.0,
                capabilities: Some(capabilities.as_ref().into()),
            })
        }
        Event::PolicySet(policy) => Message::PolicySet(policy.as_ref().into()),
        Event::WorkerDraining(worker) => {
            Message::WorkerDraining(v1::WorkerDraining { worker: worker.0 })
        }
        Event::WorkerQuarantined { worker, reason, until } => {
            Message::WorkerQuarantined(v1::WorkerQuarantined {
                worker: worker.0,
                reason: reason.to_string(),
                until_micros: until.map_or(0, |at| at.0),
            })
        }
        Event::WorkerReleased { worker, by } => Message::WorkerReleased(v1::WorkerReleased {
            worker: worker.0,
            in_time: *by == Release::Time,
        }),
        Event::WorkerLeft { worker, goodbye } => {
            Message::WorkerLeft(v1::WorkerLeft { worker: worker.0, goodbye: *goodbye })
        }
        other => return task_message(other),
    })
}

fn task_message(event: &Event) -> Option<Message> {
    Some(match event {
        Event::TaskQueued { task, candidate, stage, repeat } => {
            Message::TaskQueued(v1::TaskQueued {
                task: task.0,
                candidate: Some((*candidate).into()),
                stage: u32::from(*stage),
                repeat: *repeat,
            })
        }
        Event::TaskLeased { task, attempt, worker, session, deadline } => {
            Message::TaskLeased(v1::TaskLeased {
                task: task.0,
                attempt: attempt.0,
                worker: worker.0,
                session: session.0,
                deadline_micros: deadline.0,
            })
        }
        Event::LeaseEnded { task, attempt, end } => Message::LeaseEnded(v1::LeaseEnded {
            task: task.0,
            attempt: attempt.0,
            end: v1::LeaseEnd::from(*end).into(),
            by_campaign: match end {
                LeaseEnd::Preempted { by } => by.0,
                _ => 0,
            },
        }),
        Event::EnergyUsed { task, attempt, energy } => Message::EnergyUsed(v1::EnergyUsed {
            task: task.0,
            attempt: attempt.0,
            microjoules: energy.0,
        }),
        Event::TaskCompleted {
            task,
            attempt,
            worker,
            measurements,
            attached,
            elapsed,
            repeated,
            key,
        } => Message::TaskCompleted(v1::TaskCompleted {
            task: task.0,
            attempt: attempt.0,
            worker: worker.0,
            measurements: measurement_messages(measurements),
            elapsed_micros: elapsed.0,
            checkpoint: bytes_of(attached.checkpoint),
            note: attached.note.as_deref().unwrap_or_default().to_owned(),
            repeated: *repeated,
            result_key: key.map(|key| key.as_bytes().to_vec()).unwrap_or_default(),
        }),
        Event::StopDecided { task, attempt, standing } => Message::StopDecided(v1::StopDecided {
            task: task.0,
            attempt: attempt.0,
            step: standing.step,
            value: standing.value,
            behind: standing.behind,
            of: standing.of,
        }),
        Event::CurveRecorded { task, attempt, points } => {
            let (steps, values) = points.iter().copied().unzip();
            let (task, attempt) = (task.0, attempt.0);
            Message::CurveRecorded(v1::CurveRecorded { task, attempt, steps, values })
        }
        Event::AttemptYielded { task, attempt, worker, checkpoint, step, elapsed } => {
            Message::AttemptYielded(yielded::message(
                AttemptId::new(*task, *attempt),
                *worker,
                *checkpoint,
                (*step, *elapsed),
            ))
        }
        Event::StateSaved { task, attempt, worker, checkpoint, step } => Message::StateSaved(
            yielded::saved_message(AttemptId::new(*task, *attempt), *worker, *checkpoint, *step),
        ),
        Event::RepeatsAveraged { candidate, stage, measurements } => {
            Message::RepeatsAveraged(v1::RepeatsAveraged {
                candidate: Some((*candidate).into()),
                stage: u32::from(*stage),
                measurements: measurement_messages(measurements),
            })
        }
        Event::ResultTaken { task, origin, measurements } => {
            Message::ResultTaken(v1::ResultTaken {
                task: task.0,
                candidate: Some(origin.candidate.into()),
                stage: u32::from(origin.stage),
                attempt: origin.attempt.0,
                worker: origin.worker.0,
                version: origin.version.to_string(),
                content: origin.content.as_deref().unwrap_or_default().to_owned(),
                measurements: measurement_messages(measurements),
            })
        }
        Event::AttemptFailed { task, attempt, worker, failure, elapsed } => {
            Message::AttemptFailed(v1::AttemptFailed {
                task: task.0,
                attempt: attempt.0,
                worker: worker.0,
                failure: Some(failure.into()),
                elapsed_micros: elapsed.0,
            })
        }
        Event::TaskRequeued(task) => Message::TaskRequeued(v1::TaskRequeued { task: task.0 }),
        Event::TaskFailed { task, failure } => {
            Message::TaskFailed(v1::TaskFailed { task: task.0, failure: Some(failure.into()) })
        }
        _ => return None,
    })
}

fn proposed(
    candidate: CandidateId,
    proposal: &Proposal,
    analytic: &[Measurement],
) -> v1::CandidateProposed {
    let parents = match proposal.origin {
        Origin::Sampled | Origin::Given => vec![],
        Origin::Mutated { parent } => vec![parent.0],
        Origin::Crossed { first, second } => vec![first.0, second.0],
    };
    v1::CandidateProposed {
        candidate: Some(candidate.into()),
        genes: proposal.genotype.0.to_vec(),
        canonical_hash: proposal.key.as_bytes().to_vec(),
        origin: Some(v1::Origin { parents, given: proposal.origin == Origin::Given }),
        analytic: measurement_messages(analytic),
    }
}

fn infeasible(candidate: CandidateId, reason: &InfeasibleReason) -> v1::CandidateInfeasible {
    use v1::candidate_infeasible::Reason;
    let reason = match reason {
        InfeasibleReason::Constraints(text) => Reason::Constraints(text.to_string()),
        InfeasibleReason::NoNetwork(text) => Reason::NoNetwork(text.to_string()),
        InfeasibleReason::Evaluation(text) => Reason::Evaluation(text.to_string()),
    };
    v1::CandidateInfeasible { candidate: Some(candidate.into()), reason: Some(reason) }
}

fn screened(candidate: CandidateId, screening: &Screening) -> v1::CandidateScreened {
    use v1::candidate_screened::Reason;
    let reason = match &screening.reason {
        ScreenReason::Gate(text) => Reason::Gate(text.to_string()),
        ScreenReason::Curve(text) => Reason::Curve(text.to_string()),
        ScreenReason::Rank { rank, of } => Reason::Rank(v1::Rank { rank: *rank, of: *of }),
    };
    v1::CandidateScreened {
        candidate: Some(candidate.into()),
        stage: u32::from(screening.stage),
        reason: Some(reason),
    }
}

impl From<FinishReason> for v1::FinishReason {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::BudgetSpent => Self::BudgetSpent,
            FinishReason::TimeUp => Self::TimeUp,
            FinishReason::SlotTimeSpent => Self::SlotTimeSpent,
            FinishReason::EnergySpent => Self::EnergySpent,
            FinishReason::TargetReached => Self::TargetReached,
            FinishReason::Stagnated => Self::Stagnated,
            FinishReason::SpaceExhausted => Self::SpaceExhausted,
            FinishReason::Cancelled => Self::Cancelled,
            FinishReason::NothingFeasible => Self::NothingFeasible,
        }
    }
}

impl From<LeaseEnd> for v1::LeaseEnd {
    fn from(end: LeaseEnd) -> Self {
        match end {
            LeaseEnd::Expired => Self::Expired,
            LeaseEnd::HandedBack => Self::HandedBack,
            LeaseEnd::Forgotten => Self::Forgotten,
            LeaseEnd::Undelivered => Self::Undelivered,
            LeaseEnd::Cancelled => Self::Cancelled,
            LeaseEnd::Preempted { .. } => Self::Preempted,
            LeaseEnd::Drained => Self::Drained,
        }
    }
}
