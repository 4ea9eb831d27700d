//! The campaign file as written: which keys exist, before anything is known about their values.
//!
//! Parts whose form is open (a name or a mapping, parameters of an entry of a table) are only
//! listed here and read by `check`. It must not know which values go together, nor what stands for a missing
//! one.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, Unexpected, Visitor};

use super::amount::Amount;
use super::cache::CacheUse;
use super::duration::Duration;
use crate::objective::Goal;

/// The top of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCampaign {
    pub(super) version: Option<u32>,
    pub(super) name: Option<String>,
    pub(super) seed: Option<u64>,
    #[serde(rename = "space")]
    _space: Option<IgnoredAny>,
    #[serde(rename = "metrics")]
    _metrics: Option<IgnoredAny>,
    #[serde(rename = "objectives")]
    _objectives: Option<IgnoredAny>,
    #[serde(rename = "constraints")]
    _constraints: Option<IgnoredAny>,
    #[serde(rename = "algorithm")]
    _algorithm: Option<IgnoredAny>,
    #[serde(rename = "start")]
    _start: Option<IgnoredAny>,
    #[serde(rename = "stages")]
    _stages: Option<IgnoredAny>,
    #[serde(rename = "budget")]
    _budget: Option<IgnoredAny>,
    #[serde(rename = "stop")]
    _stop: Option<IgnoredAny>,
    #[serde(rename = "failures")]
    _failures: Option<IgnoredAny>,
    #[serde(rename = "share")]
    _share: Option<IgnoredAny>,
    pub(super) cache: Option<CacheUse>,
}

/// A metric of the campaign's own.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMetric {
    pub(super) unit: Option<String>,
    pub(super) goal: Option<Goal>,
}

/// An objective that is more than a name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawObjective {
    pub(super) metric: Option<String>,
    pub(super) goal: Option<Goal>,
    pub(super) reference: Option<f64>,
    pub(super) min_difference: Option<f64>,
}

/// A constraint, possibly with both bounds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConstraint {
    pub(super) metric: Option<String>,
    pub(super) at_most: Option<f64>,
    pub(super) at_least: Option<f64>,
}

/// A stage.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStage {
    pub(super) name: Option<String>,
    pub(super) evaluator: Option<String>,
    pub(super) repeats: Option<u32>,
    pub(super) resume: Option<String>,
    pub(super) dataset: Option<String>,
    #[serde(rename = "measures")]
    _measures: Option<IgnoredAny>,
    pub(super) timeout: Option<Duration>,
    #[serde(rename = "labels")]
    _labels: Option<IgnoredAny>,
    #[serde(rename = "settings")]
    _settings: Option<IgnoredAny>,
    #[serde(rename = "stop_early")]
    _stop_early: Option<IgnoredAny>,
    #[serde(rename = "pass")]
    _pass: Option<IgnoredAny>,
}

/// A metric of a stage that the campaign calls otherwise than the evaluator.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMeasure {
    pub(super) metric: Option<String>,
    #[serde(rename = "as")]
    pub(super) called: Option<String>,
}

/// What it takes to go on after a stage.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPass {
    #[serde(rename = "gates")]
    _gates: Option<IgnoredAny>,
    #[serde(rename = "top")]
    _top: Option<IgnoredAny>,
    #[serde(rename = "by")]
    _by: Option<IgnoredAny>,
    pub(super) least: Option<u32>,
    pub(super) of_first: Option<u32>,
}

/// When an evaluation of a stage is stopped.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEarlyStop {
    #[serde(rename = "metric")]
    _metric: Option<IgnoredAny>,
    #[serde(rename = "rule")]
    _rule: Option<RawStopping>,
    #[serde(rename = "by")]
    _by: Option<IgnoredAny>,
    pub(super) after: Option<u32>,
    pub(super) least: Option<u32>,
}

/// The rules by which evaluations are stopped.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawStopping {
    Median,
}

/// A metric to rank by that is more than a name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCriterion {
    pub(super) metric: Option<String>,
    pub(super) goal: Option<Goal>,
}

/// The largest budget: more than a cluster of 10,000 workers evaluates in a year of short
/// trainings, and few enough for every id to fit.
pub(super) const MAX_EVALUATIONS: u32 = 100_000_000;

/// A number of candidates, whose messages name the range that a budget has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evaluations(pub(super) u32);

impl<'de> Deserialize<'de> for Evaluations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u32(EvaluationsVisitor)
    }
}

struct EvaluationsVisitor;

impl Visitor<'_> for EvaluationsVisitor {
    type Value = Evaluations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {MAX_EVALUATIONS}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Evaluations, E> {
        let found = Unexpected::Unsigned(number);
        u32::try_from(number).map(Evaluations).map_err(|_| E::invalid_value(found, &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Evaluations, E> {
        let found = Unexpected::Signed(number);
        u32::try_from(number).map(Evaluations).map_err(|_| E::invalid_value(found, &self))
    }
}

/// The budget.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBudget {
    pub(super) evaluations: Option<Evaluations>,
    pub(super) duration: Option<Duration>,
    pub(super) slot_time: Option<Duration>,
    pub(super) energy: Option<Amount>,
}

/// A file or an earlier campaign to begin with.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStartSource {
    pub(super) from: Option<String>,
    pub(super) column: Option<String>,
    #[serde(rename = "from_campaign")]
    _from_campaign: Option<IgnoredAny>,
    pub(super) front_only: Option<bool>,
    pub(super) at_most: Option<u32>,
}

/// When a campaign ends early.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStop {
    #[serde(rename = "target")]
    _target: Option<IgnoredAny>,
    pub(super) hypervolume: Option<f64>,
    pub(super) stagnation: Option<IgnoredAny>,
}

/// When a campaign makes no progress.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStagnation {
    pub(super) evaluations: Option<u32>,
    pub(super) improvement: Option<f64>,
}
