//! The read model as messages. What is computed outside the actor (hypervolume) is an argument. Must not know
//! who looks, nor how a value is shown.

use cambrian_core::engine::{
    CampaignStatus, CampaignView, CandidateStatus, CandidateView, EvaluationProgress, Explanation,
    FrontView, MetricView, StageView, TakenView, UnsuitedStage, WorkerView,
};
use cambrian_core::objective::Goal;

use super::measurement::measurement_messages;
use crate::v1;

impl From<CampaignStatus> for v1::CampaignStatus {
    fn from(status: CampaignStatus) -> Self {
        match status {
            CampaignStatus::Running => Self::Running,
            CampaignStatus::Paused => Self::Paused,
            CampaignStatus::Draining(_) => Self::Draining,
            CampaignStatus::Finished(_) => Self::Finished,
        }
    }
}

impl From<&MetricView> for v1::MetricColumn {
    fn from(view: &MetricView) -> Self {
        Self {
            name: view.name.to_string(),
            unit: view.unit.to_string(),
            maximize: view.goal == Goal::Maximize,
            objective: view.objective,
            provenance: view.provenance.as_ref().map(Into::into),
            repeats: view.repeats,
        }
    }
}

/// The messages of a campaign's metrics.
#[must_use]
pub fn metric_columns(views: &[MetricView]) -> Vec<v1::MetricColumn> {
    views.iter().map(Into::into).collect()
}

/// A campaign in numbers. `reference_point` is in natural signs, empty until fixed; `hypervolume`
/// is that of the present front.
#[must_use]
pub fn campaign(view: &CampaignView, reference_point: Vec<f64>, hypervolume: f64) -> v1::Campaign {
    v1::Campaign {
        id: view.id.0,
        name: view.name.to_string(),
        status: v1::CampaignStatus::from(view.status).into(),
        reason: view.status.reason().map(|reason| reason.to_string()).unwrap_or_default(),
        submitted_at_micros: view.submitted_at.0,
        finished_at_micros: view.finished_at.map_or(0, |at| at.0),
        evaluations_budget: view.budget,
        evaluations_started: view.started,
        scored: view.scored,
        infeasible: view.infeasible,
        failed: view.failed,
        running: view.running,
        queued: view.queued,
        front_size: view.front_size,
        metrics: metric_columns(&view.metrics),
        reference_point,
        hypervolume,
        algorithm: view.algorithm.to_owned(),
        space: view.space.to_owned(),
        screened: view.screened,
        waiting: view.waiting,
        stages: view.stages.iter().map(Into::into).collect(),
        owner: view.owner.as_deref().unwrap_or_default().to_owned(),
        slot_micros: view.slot_time.0,
        energy_joules: view.energy.as_joules(),
        priority: view.share.priority,
        weight: view.share.weight,
        preempt: view.share.preempt,
        held: view.held.clone().unwrap_or_default(),
    }
}

impl From<&StageView> for v1::StageSummary {
    fn from(view: &StageView) -> Self {
        Self {
            name: view.name.to_string(),
            entered: view.tally.entered,
            passed: view.tally.passed,
            waiting: view.waiting,
            screened: view.tally.screened,
            infeasible: view.tally.infeasible,
            failed: view.tally.failed,
            live: view.tally.live,
            slot_micros: view.tally.slot_time.0,
            energy_joules: view.tally.energy.as_joules(),
            taken: view.tally.taken,
        }
    }
}

/// The status of a candidate as users see it: one that is proposed or between leases is queued.
#[must_use]
pub fn candidate_status(status: &CandidateStatus, running: bool) -> v1::CandidateStatus {
    match status {
        CandidateStatus::InStage { .. } if running => v1::CandidateStatus::Running,
        CandidateStatus::Proposed | CandidateStatus::InStage { .. } => v1::CandidateStatus::Queued,
        CandidateStatus::Waiting { .. } => v1::CandidateStatus::Waiting,
        CandidateStatus::Screened(_) => v1::CandidateStatus::Screened,
        CandidateStatus::Scored { .. } => v1::CandidateStatus::Scored,
        CandidateStatus::Infeasible(_) => v1::CandidateStatus::Infeasible,
        CandidateStatus::Failed(_) => v1::CandidateStatus::Failed,
    }
}

impl From<&CandidateView> for v1::Candidate {
    fn from(view: &CandidateView) -> Self {
        Self {
            id: Some(view.id.into()),
            status: candidate_status(&view.status, view.running).into(),
            genotype: view.genotype.clone(),
            canonical_hash: view.canonical_hash.to_string(),
            origin: view.origin.to_string(),
            measurements: measurement_messages(&view.measurements),
            violation: view.violation(),
            reason: view.reason(),
            proposed_at_micros: view.proposed_at.0,
            resolved_at_micros: view.resolved_at.map_or(0, |at| at.0),
            elapsed_micros: view.elapsed.0,
            attempts: view.attempts,
            repeated_attempts: view.repeated_attempts,
            on_front: view.on_front,
            taken: view.taken.iter().map(Into::into).collect(),
        }
    }
}

impl From<&TakenView> for v1::TakenResult {
    fn from(view: &TakenView) -> Self {
        Self {
            stage: view.stage.to_string(),
            candidate: Some(view.origin.candidate.into()),
            attempt: view.origin.attempt.0,
            worker: view.origin.worker.0,
            version: view.origin.version.to_string(),
        }
    }
}

/// A front; `hypervolume` is [`FrontView::hypervolume`], computed by the caller where it is cheap.
#[must_use]
pub fn front(view: &FrontView, hypervolume: f64) -> v1::Front {
    v1::Front {
        metrics: metric_columns(&view.metrics),
        members: view.members.iter().map(Into::into).collect(),
        reference_point: view.natural_reference(),
        hypervolume,
    }
}

impl From<&EvaluationProgress> for v1::EvaluationInWork {
    fn from(view: &EvaluationProgress) -> Self {
        Self {
            task: view.task.0,
            attempt: view.attempt.0,
            candidate: Some(view.candidate.into()),
            worker: view.worker.to_string(),
            stage: view.stage.to_string(),
            step: view.step,
            steps: view.steps,
            metrics: view.metrics.iter().map(|(name, value)| (name.to_string(), *value)).collect(),
            started_at_micros: view.since.0,
            repeat: view.repeat,
            repeats: view.repeats,
        }
    }
}

impl From<&WorkerView> for v1::Worker {
    fn from(view: &WorkerView) -> Self {
        Self {
            id: view.id.0,
            name: view.name.to_string(),
            connected: view.connected,
            last_seen_micros: view.last_seen.0,
            capabilities: Some(view.capabilities.as_ref().into()),
            leases: view.leases.iter().map(|lease| (*lease).into()).collect(),
            completed: view.completed,
            failed: view.failed,
            unsuited: view.unsuited.iter().map(Into::into).collect(),
            draining: view.draining,
            quarantine: view.quarantine.as_ref().map(|found| v1::Quarantine {
                reason: found.reason.to_string(),
                since_micros: found.since.0,
                until_micros: found.until.map_or(0, |at| at.0),
            }),
        }
    }
}

impl From<&UnsuitedStage> for v1::UnsuitedStage {
    fn from(view: &UnsuitedStage) -> Self {
        Self {
            campaign: view.campaign.0,
            stage: view.stage.to_string(),
            reason: view.reason.clone(),
        }
    }
}

impl From<Explanation> for v1::ExplainResponse {
    fn from(explanation: Explanation) -> Self {
        Self { headline: explanation.headline, details: explanation.details }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cambrian_core::algorithm::Origin;
    use cambrian_core::engine::{
        Failure, FailureKind, FinishReason, InfeasibleReason, ScreenReason, Screening,
    };
    use cambrian_core::graph::CanonicalHash;
    use cambrian_core::id::{CampaignId, CandidateId, Ordinal, TaskId};
    use cambrian_core::time::{Span, Timestamp};

    fn view(status: CandidateStatus, running: bool) -> CandidateView {
        CandidateView {
            id: CandidateId::new(CampaignId(1), Ordinal(2)),
            status,
            running,
            genotype: "g".into(),
            canonical_hash: CanonicalHash::from_bytes([7; 16]),
            origin: Origin::Mutated { parent: Ordinal(1) },
            measurements: vec![],
            proposed_at: Timestamp(5),
            resolved_at: None,
            held_after: Some("short".into()),
            elapsed: Span(9),
            attempts: 3,
            repeated_attempts: 2,
            on_front: false,
            taken: vec![],
        }
    }

    #[test]
    fn every_status_of_a_candidate_has_its_message() {
        let in_stage = CandidateStatus::InStage { stage: 0, task: TaskId(1) };
        let failure = Failure { kind: FailureKind::Crash, message: "gone".into() };
        let reason = InfeasibleReason::NoNetwork("nothing left".into());
        let rank = Screening { stage: 0, reason: ScreenReason::Rank { rank: 7, of: 9 } };
        let gate =
            Screening { stage: 0, reason: ScreenReason::Gate("a >= 2 is broken by 1".into()) };
        let cases = [
            (CandidateStatus::Proposed, false, v1::CandidateStatus::Queued, ""),
            (in_stage.clone(), false, v1::CandidateStatus::Queued, ""),
            (in_stage, true, v1::CandidateStatus::Running, ""),
            (CandidateStatus::Scored { violation: 0.5 }, false, v1::CandidateStatus::Scored, ""),
            (
                CandidateStatus::Infeasible(reason),
                false,
                v1::CandidateStatus::Infeasible,
                "nothing left",
            ),
            (CandidateStatus::Failed(failure), false, v1::CandidateStatus::Failed, "crash: gone"),
            (CandidateStatus::Waiting { stage: 0 }, false, v1::CandidateStatus::Waiting, ""),
            (
                CandidateStatus::Screened(rank),
                false,
                v1::CandidateStatus::Screened,
                "after stage short: rank 7 of 9",
            ),
            (
                CandidateStatus::Screened(gate),
                false,
                v1::CandidateStatus::Screened,
                "after stage short: a >= 2 is broken by 1",
            ),
        ];
        for (status, running, expected, reason) in cases {
            let message = v1::Candidate::from(&view(status, running));
            assert_eq!(message.status(), expected);
            assert_eq!(message.reason, reason);
        }
    }

    #[test]
    fn candidates_keep_lineage_and_hash_as_text() {
        let message = v1::Candidate::from(&view(CandidateStatus::Proposed, false));
        assert_eq!(message.origin, "mutated from 1");
        assert_eq!(message.canonical_hash, "07".repeat(16));
        assert_eq!((message.resolved_at_micros, message.attempts), (0, 3));
        assert_eq!(message.repeated_attempts, 2);
    }

    #[test]
    fn draining_and_finished_campaigns_say_why() {
        let status = CampaignStatus::Finished(FinishReason::BudgetSpent);
        assert_eq!(v1::CampaignStatus::from(status), v1::CampaignStatus::Finished);
        let status = CampaignStatus::Draining(FinishReason::TimeUp);
        assert_eq!(v1::CampaignStatus::from(status), v1::CampaignStatus::Draining);
    }
}
