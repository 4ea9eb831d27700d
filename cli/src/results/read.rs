//! The wire's messages about campaigns and candidates, read into values.
//!
//! Must not know which call a message has answered.

use std::collections::BTreeMap;

use cambrian_proto::v1;

use super::{
    Campaign, CampaignStatus, Candidate, CandidateStatus, Explanation, Front, Goal, InWork,
    Instant, Metric, Stage, Update, Value, accuracy,
};
use crate::foreign::{self, Foreign};

/// A candidate's name, `CAMPAIGN/ORDINAL`, and its ordinal.
pub(super) fn candidate_id(id: Option<v1::CandidateId>) -> (String, u32) {
    let id = id.unwrap_or_default();
    (format!("{}/{}", id.campaign, id.ordinal), id.ordinal)
}

impl From<v1::MetricColumn> for Metric {
    fn from(message: v1::MetricColumn) -> Self {
        let provenance = message.provenance.unwrap_or_default();
        Self {
            name: message.name.into(),
            unit: message.unit.into(),
            goal: if message.maximize { Goal::Maximize } else { Goal::Minimize },
            objective: message.objective,
            source: provenance.source.into(),
            device_class: provenance.device_class.into(),
            repeats: message.repeats.max(1),
        }
    }
}

/// What a message has under each name.
pub(super) fn named<T: Into<U>, U>(
    entries: impl IntoIterator<Item = (String, T)>,
) -> BTreeMap<Foreign, U> {
    entries.into_iter().map(|(name, entry)| (name.into(), entry.into())).collect()
}

fn metrics(messages: Vec<v1::MetricColumn>) -> Vec<Metric> {
    messages.into_iter().map(Into::into).collect()
}

impl From<v1::Campaign> for Campaign {
    fn from(message: v1::Campaign) -> Self {
        let status = match message.status() {
            v1::CampaignStatus::Running => CampaignStatus::Running,
            v1::CampaignStatus::Paused => CampaignStatus::Paused,
            v1::CampaignStatus::Draining => CampaignStatus::Draining,
            v1::CampaignStatus::Finished => CampaignStatus::Finished,
            v1::CampaignStatus::Unspecified => CampaignStatus::Unknown,
        };
        let unresolved = message.running.saturating_add(message.queued);
        Self {
            id: message.id,
            name: message.name.into(),
            status,
            reason: message.reason.into(),
            algorithm: message.algorithm.into(),
            space: message.space.into(),
            owner: (!message.owner.is_empty()).then(|| message.owner.into()),
            submitted_at: Instant(message.submitted_at_micros),
            finished_at: Instant::known(message.finished_at_micros),
            evaluations_budget: message.evaluations_budget,
            evaluations_started: message.evaluations_started,
            evaluations_finished: message.evaluations_started.saturating_sub(unresolved),
            scored: message.scored,
            infeasible: message.infeasible,
            failed: message.failed,
            screened: message.screened,
            waiting: message.waiting,
            running: message.running,
            queued: message.queued,
            front_size: message.front_size,
            metrics: metrics(message.metrics),
            hypervolume: (!message.reference_point.is_empty()).then_some(message.hypervolume),
            reference_point: message.reference_point,
            stages: message.stages.into_iter().map(Into::into).collect(),
            priority: message.priority,
            weight: message.weight,
            preempt: message.preempt,
            slot_seconds: message.slot_micros as f64 / 1e6,
            energy_joules: message.energy_joules,
            held: message.held.into(),
        }
    }
}

impl From<v1::StageSummary> for Stage {
    fn from(message: v1::StageSummary) -> Self {
        Self {
            name: message.name.into(),
            entered: message.entered,
            passed: message.passed,
            waiting: message.waiting,
            screened: message.screened,
            infeasible: message.infeasible,
            failed: message.failed,
            live: message.live,
            slot_seconds: message.slot_micros as f64 / 1e6,
            energy_joules: message.energy_joules,
            cached: message.taken,
        }
    }
}

impl From<v1::Candidate> for Candidate {
    fn from(message: v1::Candidate) -> Self {
        let status = match message.status() {
            v1::CandidateStatus::Queued => CandidateStatus::Queued,
            v1::CandidateStatus::Running => CandidateStatus::Running,
            v1::CandidateStatus::Waiting => CandidateStatus::Waiting,
            v1::CandidateStatus::Scored => CandidateStatus::Scored,
            v1::CandidateStatus::Screened => CandidateStatus::Screened,
            v1::CandidateStatus::Infeasible => CandidateStatus::Infeasible,
            v1::CandidateStatus::Failed => CandidateStatus::Failed,
            v1::CandidateStatus::Unspecified => CandidateStatus::Unknown,
        };
        let (id, ordinal) = candidate_id(message.id);
        let value = |measurement: v1::Measurement| {
            let provenance = measurement.provenance.unwrap_or_default();
            let value = Value {
                value: measurement.value,
                spread: measurement.spread,
                interval_95: None,
                source: provenance.source.into(),
                device_class: provenance.device_class.into(),
            };
            (measurement.metric.into(), value)
        };
        Self {
            id,
            ordinal,
            status,
            on_front: message.on_front,
            genotype: message.genotype.into(),
            canonical_hash: message.canonical_hash.into(),
            origin: message.origin.into(),
            metrics: message.measurements.into_iter().map(value).collect(),
            violation: message.violation,
            reason: message.reason.into(),
            proposed_at: Instant(message.proposed_at_micros),
            resolved_at: Instant::known(message.resolved_at_micros),
            elapsed_seconds: message.elapsed_micros as f64 / 1e6,
            attempts: message.attempts,
            repeated_attempts: message.repeated_attempts,
            cached: message.taken.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<v1::Front> for Front {
    fn from(message: v1::Front) -> Self {
        let columns = metrics(message.metrics);
        Self {
            hypervolume: (!message.reference_point.is_empty()).then_some(message.hypervolume),
            reference_point: message.reference_point,
            members: accuracy::candidates(&columns, message.members),
            metrics: columns,
        }
    }
}

impl From<v1::EvaluationInWork> for InWork {
    fn from(message: v1::EvaluationInWork) -> Self {
        Self {
            task: message.task,
            attempt: message.attempt,
            candidate: candidate_id(message.candidate).0,
            worker: message.worker.into(),
            stage: message.stage.into(),
            repeat: message.repeat.max(1),
            repeats: message.repeats.max(1),
            step: message.step,
            steps: message.steps,
            metrics: named(message.metrics),
            started_at: Instant(message.started_at_micros),
        }
    }
}

impl Update {
    /// The update, `None` if it lacks the campaign.
    pub(crate) fn read(message: v1::WatchCampaignResponse) -> Option<Self> {
        Some(Self {
            now: Instant(message.now_micros),
            workers_connected: message.workers_connected,
            campaign: message.campaign?.into(),
            in_work: message.in_work.into_iter().map(Into::into).collect(),
            front: message.front.map(Into::into),
        })
    }
}

impl From<v1::ExplainResponse> for Explanation {
    fn from(message: v1::ExplainResponse) -> Self {
        Self { headline: message.headline.into(), details: foreign::all(message.details) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_evaluations_are_those_neither_running_nor_queued() {
        let message =
            v1::Campaign { evaluations_started: 20, running: 2, queued: 3, ..Default::default() };
        assert_eq!(Campaign::from(message).evaluations_finished, 15);
    }

    #[test]
    fn a_hypervolume_needs_a_reference_point() {
        let without = v1::Front { hypervolume: 0.0, ..Default::default() };
        assert_eq!(Front::from(without).hypervolume, None);
        let with = v1::Front { reference_point: vec![1.0], ..Default::default() };
        assert_eq!(Front::from(with).hypervolume, Some(0.0));
    }

    #[test]
    fn an_unknown_status_is_shown_as_such() {
        let message = v1::Candidate { status: 77, ..Default::default() };
        assert_eq!(Candidate::from(message).status, CandidateStatus::Unknown);
    }
}
