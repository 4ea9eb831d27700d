//! What is measured about a candidate and what counts as better: metrics, goals, constraints.
//!
//! Knows names, units and signs; must not know how a metric is measured (workers do) nor how
//! candidates are compared beyond a sign (`pareto` does).

mod metric;

pub use metric::{
    DeclaredMetric, FoundMetric, METRICS, MetricDescriptor, MetricKind, Metrics, metric,
};

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of a metric, such as `accuracy`; known ones are listed in [`METRICS`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricName(Arc<str>);

impl MetricName {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MetricName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether larger or smaller values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Smaller is better.
    Minimize,
    /// Larger is better.
    Maximize,
}

impl Goal {
    /// The value with its sign turned so that smaller is better. Its own inverse.
    #[must_use]
    pub fn minimized(self, value: f64) -> f64 {
        match self {
            Goal::Minimize => value,
            Goal::Maximize => -value,
        }
    }
}

/// One objective of a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The metric that is optimised.
    pub metric: MetricName,
    /// The direction.
    pub goal: Goal,
    /// The coordinate of the hypervolume's reference point, in the metric's own unit and sign;
    /// where absent, the worst of the first twenty feasible results and a tenth of their range (of those among the
    /// first hundred results, where fewer are feasible; of all these, where none is).
    pub reference: Option<f64>,
    /// The smallest difference that matters, percentage points above 0; only for metrics in %. The search
    /// does not use it: it is held against what the validation images can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_difference: Option<f64>,
}

/// A limit on a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// The value must not exceed this.
    AtMost(f64),
    /// The value must not be below this.
    AtLeast(f64),
}

/// A hard constraint of a campaign: a candidate that breaks it is infeasible.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    /// The metric that is limited.
    pub metric: MetricName,
    /// The limit.
    pub bound: Bound,
}

impl Constraint {
    /// By how much `value` breaks the constraint, relative to the bound's magnitude (absolute
    /// where the bound is zero); 0 where it holds. Normalised so that violations of different
    /// metrics can be summed (Deb et al. 2002), by [`total_violation`]. At most [`f64::MAX`], however
    /// far off `value` is and however small the bound, since only finite violations are ranked.
    #[must_use]
    pub fn violation(&self, value: f64) -> f64 {
        let (excess, bound) = match self.bound {
            Bound::AtMost(bound) => (value - bound, bound),
            Bound::AtLeast(bound) => (bound - value, bound),
        };
        let scale = if bound == 0.0 { 1.0 } else { bound.abs() };
        total_violation([(excess / scale).max(0.0)])
    }
}

/// The sum of violations, each at least 0; at most [`f64::MAX`].
#[must_use]
pub fn total_violation(violations: impl IntoIterator<Item = f64>) -> f64 {
    violations.into_iter().fold(0.0, |sum: f64, violation| (sum + violation).min(f64::MAX))
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Bound::AtMost(bound) => write!(f, "{} <= {bound}", self.metric),
            Bound::AtLeast(bound) => write!(f, "{} >= {bound}", self.metric),
        }
    }
}

/// Where a value comes from. Values of different provenance never meet in one front.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Provenance {
    /// How it was obtained: `analytic`, `trained`, `wall-clock`, `nvml`, `rapl`, `modelled`, ...
    pub source: Arc<str>,
    /// The class of device it holds for, empty where the device does not matter.
    pub device_class: Arc<str>,
}

/// One value of one metric of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub metric: MetricName,
    /// The value, in the metric's unit; always finite.
    value: f64,
    /// The spread of repeated samples (interquartile range or standard error, as the metric's
    /// documentation says; of a stage with `repeats` the standard error of the mean), in the metric's
    /// unit.
    spread: Option<f64>,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// A value that is not a finite number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{metric} is not a finite number ({value})")]
pub struct NonFinite {
    /// The metric that was to be recorded.
    pub metric: MetricName,
    /// The value as text.
    pub value: String,
}

impl Measurement {
    /// A measurement of `metric`.
    ///
    /// # Errors
    /// [`NonFinite`] if the value or the spread is NaN or infinite.
    pub fn new(
        metric: MetricName,
        value: f64,
        spread: Option<f64>,
        provenance: Provenance,
    ) -> Result<Self, NonFinite> {
        for number in std::iter::once(value).chain(spread) {
            if !number.is_finite() {
                return Err(NonFinite { metric, value: number.to_string() });
            }
        }
        Ok(Self { metric, value, spread, provenance })
    }

    /// The value, in the metric's unit; finite.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The spread of repeated samples, if there were any; finite.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violation_is_relative_to_the_bound() {
        let constraint = Constraint { metric: "params".into(), bound: Bound::AtMost(200.0) };
        assert_eq!(constraint.violation(150.0), 0.0);
        assert_eq!(constraint.violation(300.0), 0.5);
        let constraint = Constraint { metric: "accuracy".into(), bound: Bound::AtLeast(80.0) };
        assert_eq!(constraint.violation(60.0), 0.25);
    }

    #[test]
    fn violations_and_their_sums_stay_finite() {
        for (bound, value) in [
            (Bound::AtMost(0.5), f64::MAX),
            (Bound::AtLeast(0.5), -f64::MAX),
            (Bound::AtMost(-f64::MAX), f64::MAX),
            (Bound::AtMost(f64::MIN_POSITIVE / 2.0), 1e9),
        ] {
            let violation = Constraint { metric: "loss".into(), bound }.violation(value);
            assert!(violation.is_finite() && violation > 1.0, "{value} against {bound:?}");
            assert_eq!(total_violation([violation, f64::MAX, 1.0]), f64::MAX);
        }
        assert_eq!(total_violation([]), 0.0);
    }

    #[test]
    fn non_finite_measurements_are_refused() {
        let provenance = Provenance { source: "trained".into(), device_class: "".into() };
        for (value, spread) in [(f64::NAN, None), (f64::INFINITY, None), (1.0, Some(f64::NAN))] {
            assert!(
                Measurement::new("accuracy".into(), value, spread, provenance.clone()).is_err()
            );
        }
    }
}
