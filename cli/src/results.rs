//! What a coordinator says about campaigns, candidates and workers, as plain values.
//!
//! The only place where these messages become values of this program; the JSON that commands print
//! and write is these values, so a field here is a promise to scripts (`docs/cli.md`). Must not
//! know how they are asked for, nor how they are shown.

pub(crate) mod accuracy;
pub(crate) mod cached;
mod read;
pub(crate) mod token;
pub(crate) mod worker;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::foreign::Foreign;
use cached::CachedResult;
#[cfg(test)]
pub(crate) use worker::UnsuitedStage;
pub(crate) use worker::{Worker, WorkerState};

/// A point in time, microseconds since the Unix epoch; written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(pub(crate) u64);

impl Instant {
    /// The instant, or `None` for 0, which means "not yet" on the wire.
    pub(crate) fn known(micros: u64) -> Option<Self> {
        (micros > 0).then_some(Self(micros))
    }

    /// Seconds since `earlier`, 0 if that is later.
    pub(crate) fn seconds_since(self, earlier: Instant) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }
}

impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match i64::try_from(self.0).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok()) {
            Some(at) => write!(f, "{at:.3}"),
            None => f.write_str("beyond the calendar"),
        }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a campaign is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CampaignStatus {
    Running,
    Paused,
    Draining,
    Finished,
    /// A status of a newer coordinator.
    Unknown,
}

impl CampaignStatus {
    /// The status in a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Finished => "finished",
            Self::Unknown => "unknown",
        }
    }
}

/// A metric that a campaign's candidates carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Metric {
    pub(crate) name: Foreign,
    /// Empty for a pure number.
    pub(crate) unit: Foreign,
    /// `maximize` or `minimize`.
    pub(crate) goal: Goal,
    /// Whether it is an objective, rather than shown besides.
    pub(crate) objective: bool,
    /// Where the values come from, such as `wall-clock` or `modelled`; empty until the first one.
    pub(crate) source: Foreign,
    /// The class of device they hold for, empty where it does not matter.
    pub(crate) device_class: Foreign,
    /// How often it is measured for each candidate; from 2 on values are means, and spreads the standard
    /// errors of the means.
    pub(crate) repeats: u32,
}

/// Which values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    Minimize,
    Maximize,
}

impl Goal {
    /// The value with its sign turned so that smaller is better.
    pub(crate) fn minimized(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}

/// A campaign in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Campaign {
    pub(crate) id: u32,
    pub(crate) name: Foreign,
    pub(crate) status: CampaignStatus,
    /// Why it drains or ended; empty before.
    pub(crate) reason: Foreign,
    pub(crate) algorithm: Foreign,
    pub(crate) space: Foreign,
    /// Whose token submitted it; `None` where there was none.
    pub(crate) owner: Option<Foreign>,
    pub(crate) submitted_at: Instant,
    pub(crate) finished_at: Option<Instant>,
    /// Evaluations that may be dispatched at most.
    pub(crate) evaluations_budget: u32,
    /// Evaluations charged to the budget.
    pub(crate) evaluations_started: u32,
    /// Those charged whose candidate is not in work: ended, well or not, or waiting after a stage.
    pub(crate) evaluations_finished: u32,
    pub(crate) scored: u32,
    pub(crate) infeasible: u32,
    pub(crate) failed: u32,
    /// Candidates that an early stage found not worth the later ones.
    pub(crate) screened: u32,
    /// Candidates that wait for being called up to a later stage.
    pub(crate) waiting: u32,
    pub(crate) running: u32,
    pub(crate) queued: u32,
    pub(crate) front_size: u32,
    /// The objectives in order, then the other metrics.
    pub(crate) metrics: Vec<Metric>,
    /// One coordinate an objective, in the metric's unit and natural sign; empty until fixed.
    pub(crate) reference_point: Vec<f64>,
    /// `None` until the reference point is fixed.
    pub(crate) hypervolume: Option<f64>,
    /// What each stage has done and cost, in order.
    pub(crate) stages: Vec<Stage>,
    /// Whoever has the higher one is served first.
    pub(crate) priority: i32,
    /// Its weight among its owner's campaigns of this priority.
    pub(crate) weight: u32,
    /// Whether it takes slots from lower priorities.
    pub(crate) preempt: bool,
    /// Time in slots of all reported attempts.
    pub(crate) slot_seconds: f64,
    /// Energy of all reported attempts, as far as evaluators report it.
    pub(crate) energy_joules: f64,
    /// Why it gets no more work although it runs; empty otherwise.
    pub(crate) held: Foreign,
}

/// What a stage has done and cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Stage {
    pub(crate) name: Foreign,
    /// Candidates that entered it.
    pub(crate) entered: u32,
    /// Candidates that went on, or were scored if it is the last.
    pub(crate) passed: u32,
    /// Candidates that wait after it for being called up.
    pub(crate) waiting: u32,
    /// Candidates that its `pass` ended.
    pub(crate) screened: u32,
    /// Candidates that broke a constraint after it.
    pub(crate) infeasible: u32,
    pub(crate) failed: u32,
    /// Its tasks that are queued or in work.
    pub(crate) live: u32,
    /// Time in slots of all its reported attempts.
    pub(crate) slot_seconds: f64,
    /// Energy of all its attempts whose evaluators reported it.
    pub(crate) energy_joules: f64,
    /// Its tasks that took a known result instead of an evaluation.
    pub(crate) cached: u32,
}

impl Campaign {
    /// The objectives, in order.
    pub(crate) fn objectives(&self) -> impl Iterator<Item = &Metric> {
        self.metrics.iter().filter(|metric| metric.objective)
    }
}

/// A value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Value {
    pub(crate) value: f64,
    /// Of repeated samples, in the metric's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spread: Option<f64>,
    /// Where an accuracy lies with 95 % certainty by its validation images, in the metric's unit; absent
    /// where it is not known or the accuracy is a mean of repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval_95: Option<[f64; 2]>,
    pub(crate) source: Foreign,
    #[serde(skip_serializing_if = "Foreign::is_empty")]
    pub(crate) device_class: Foreign,
}

/// Where a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CandidateStatus {
    Queued,
    Running,
    Waiting,
    Scored,
    Screened,
    Infeasible,
    Failed,
    /// A status of a newer coordinator.
    Unknown,
}

impl CandidateStatus {
    /// The status in a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Scored => "scored",
            Self::Screened => "screened",
            Self::Infeasible => "infeasible",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// A candidate with everything known about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Candidate {
    /// Written `CAMPAIGN/ORDINAL`.
    pub(crate) id: String,
    pub(crate) ordinal: u32,
    pub(crate) status: CandidateStatus,
    pub(crate) on_front: bool,
    pub(crate) genotype: Foreign,
    pub(crate) canonical_hash: Foreign,
    pub(crate) origin: Foreign,
    pub(crate) metrics: BTreeMap<Foreign, Value>,
    /// Summed normalised constraint violation of a scored candidate; 0 of any other.
    pub(crate) violation: f64,
    /// Why it failed, is infeasible or was screened; empty otherwise.
    pub(crate) reason: Foreign,
    pub(crate) proposed_at: Instant,
    pub(crate) resolved_at: Option<Instant>,
    /// Time in slots over all attempts.
    pub(crate) elapsed_seconds: f64,
    pub(crate) attempts: u32,
    /// How many of these repeated one that had failed, was lost or was taken back.
    pub(crate) repeated_attempts: u32,
    /// The stages at which it took a known result instead of being evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cached: Vec<CachedResult>,
}

impl Candidate {
    /// The value of a metric, if known.
    pub(crate) fn value(&self, metric: &str) -> Option<f64> {
        self.metrics.get(metric).map(|found| found.value)
    }

    /// The values of all of `metrics`, `None` if one is missing.
    pub(crate) fn values(&self, metrics: &[Metric]) -> Option<Vec<f64>> {
        metrics.iter().map(|metric| self.value(metric.name.raw())).collect()
    }

    /// Whether it is scored and keeps all constraints.
    pub(crate) fn is_feasible(&self) -> bool {
        self.status == CandidateStatus::Scored && self.violation == 0.0
    }

    /// The kind of failure, such as `timeout`, of a failed candidate.
    pub(crate) fn failure_kind(&self) -> Option<&str> {
        (self.status == CandidateStatus::Failed)
            .then(|| self.reason.raw().split(':').next().unwrap_or_default())
    }
}

/// A front with its members.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Front {
    /// The objectives in order, then the other metrics.
    pub(crate) metrics: Vec<Metric>,
    /// One coordinate an objective, natural sign; empty until fixed.
    pub(crate) reference_point: Vec<f64>,
    /// `None` until the reference point is fixed.
    pub(crate) hypervolume: Option<f64>,
    /// Ascending by id.
    pub(crate) members: Vec<Candidate>,
}

impl Front {
    /// The members, best first in the first objective; ties by id.
    pub(crate) fn best_first(&self) -> Vec<&Candidate> {
        let mut members: Vec<_> = self.members.iter().collect();
        if let Some(first) = self.metrics.iter().find(|metric| metric.objective) {
            let key = |candidate: &Candidate| {
                candidate.value(first.name.raw()).map_or(f64::INFINITY, |v| first.goal.minimized(v))
            };
            members.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.ordinal.cmp(&b.ordinal)));
        }
        members
    }
}

/// One evaluation in work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct InWork {
    pub(crate) task: u64,
    pub(crate) attempt: u32,
    pub(crate) candidate: String,
    pub(crate) worker: Foreign,
    pub(crate) stage: Foreign,
    /// Which of the stage's repeats it is, from 1, and how many there are.
    pub(crate) repeat: u32,
    pub(crate) repeats: u32,
    pub(crate) step: u32,
    /// 0 until the first report.
    pub(crate) steps: u32,
    pub(crate) metrics: BTreeMap<Foreign, f64>,
    pub(crate) started_at: Instant,
}

/// One update of a watch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Update {
    pub(crate) now: Instant,
    pub(crate) workers_connected: u32,
    pub(crate) campaign: Campaign,
    pub(crate) in_work: Vec<InWork>,
    /// If it has changed since the last update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) front: Option<Front>,
}

/// Why something is, or is not, running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Explanation {
    pub(crate) headline: Foreign,
    pub(crate) details: Vec<Foreign>,
}

#[cfg(test)]
mod documented;
#[cfg(test)]
pub(crate) mod examples;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rfc_3339() {
        assert_eq!(Instant(1_795_262_400_123_456).to_string(), "2026-11-21T12:00:00.123Z");
        assert_eq!(Instant(u64::MAX).to_string(), "beyond the calendar");
        assert_eq!(Instant::known(0), None);
    }

    #[test]
    fn failures_have_kinds() {
        let failed = Candidate {
            status: CandidateStatus::Failed,
            reason: "timeout: took longer than 5m".into(),
            ..examples::candidate(1, &[])
        };
        assert_eq!(failed.failure_kind(), Some("timeout"));
        assert_eq!(examples::candidate(1, &[]).failure_kind(), None);
    }
}
