//! What a campaign would make of an architecture whose measured values are known beforehand, as those of
//! a table are. It must not know where they come from, nor how a search gets at them.

use std::collections::BTreeMap;

use super::CampaignSpec;
use crate::objective::{Constraint, MetricKind, MetricName, metric};

impl CampaignSpec {
    /// The minimised objectives, in the campaign's order, of the architecture written `genotype` whose
    /// measured values are `measured`. What no stage measures and a formula gives is computed from its
    /// network. `None` if an objective has no finite value, or it is no architecture of the space.
    #[must_use]
    pub fn objectives_given(
        &self,
        genotype: &str,
        measured: &BTreeMap<MetricName, f64>,
    ) -> Option<Vec<f64>> {
        let names = self.objectives.iter().map(|objective| &objective.metric);
        let values = self.values_given(genotype, measured, names)?;
        let goals = self.objectives.iter().map(|objective| objective.goal);
        Some(goals.zip(values).map(|(goal, value)| goal.minimized(value)).collect())
    }

    /// Whether an architecture as of [`objectives_given`](Self::objectives_given) keeps all constraints and
    /// gates of the campaign. One that lacks a value for them does not: its evaluation would fail.
    #[must_use]
    pub fn keeps_bounds(&self, genotype: &str, measured: &BTreeMap<MetricName, f64>) -> bool {
        let gates = self.passes.iter().flat_map(|pass| &pass.gates);
        let bounds: Vec<&Constraint> = self.constraints.iter().chain(gates).collect();
        let names = bounds.iter().map(|bound| &bound.metric);
        let Some(values) = self.values_given(genotype, measured, names) else { return false };
        bounds.iter().zip(values).all(|(bound, value)| bound.violation(value) == 0.0)
    }

    /// Finite values of these metrics; the network is built at most once, and only if one follows from it.
    fn values_given<'n>(
        &self,
        genotype: &str,
        measured: &BTreeMap<MetricName, f64>,
        names: impl Iterator<Item = &'n MetricName>,
    ) -> Option<Vec<f64>> {
        let mut network = None;
        let mut computed = |name: &MetricName| {
            let MetricKind::Analytic(formula) = metric(name.as_str())?.kind else { return None };
            if network.is_none() {
                let parsed = self.space.parse(genotype).ok()?;
                network = Some(self.space.lower(&parsed).ok()?);
            }
            network.as_ref().map(formula)
        };
        names
            .map(|name| {
                let is_measured = self.stages.iter().any(|stage| stage.measures.contains(name));
                let value = if is_measured { measured.get(name).copied() } else { computed(name) };
                value.filter(|value| value.is_finite())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: &str = "\
version: 1
name: known
space: {kind: nasbench201}
objectives: [accuracy, macs, params]
constraints: [{metric: accuracy, at_least: 50}, {metric: depth, at_most: 40}]
stages:
  - {name: score, evaluator: synthetic, measures: [accuracy]}
budget: {evaluations: 10}
";
    const SKIPS: &str = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|";

    fn campaign() -> CampaignSpec {
        let mut spec = CampaignSpec::parse(CAMPAIGN).unwrap_or_else(|faults| panic!("{faults}"));
        // As a table can.
        spec.stages[0].measures.push("params".into());
        spec
    }

    fn measured(accuracy: f64) -> BTreeMap<MetricName, f64> {
        [("accuracy".into(), accuracy), ("params".into(), 7.0)].into()
    }

    #[test]
    fn what_no_stage_measures_is_that_of_the_network() {
        let spec = campaign();
        let graph = spec.space.lower(&spec.space.parse(SKIPS).unwrap()).unwrap();
        let found = spec.objectives_given(SKIPS, &measured(60.0));
        assert_eq!(found, Some(vec![-60.0, graph.macs() as f64, 7.0]));
        assert_eq!(spec.objectives_given(SKIPS, &BTreeMap::new()), None);
        assert_eq!(spec.objectives_given(SKIPS, &measured(f64::NAN)), None);
        assert_eq!(spec.objectives_given("|nothing~0|", &measured(60.0)), None);
    }

    #[test]
    fn bounds_on_what_is_measured_and_computed_are_held() {
        let mut spec = campaign();
        let depth = f64::from(spec.space.lower(&spec.space.parse(SKIPS).unwrap()).unwrap().depth());
        assert!(spec.keeps_bounds(SKIPS, &measured(60.0)));
        assert!(!spec.keeps_bounds(SKIPS, &measured(49.0)));
        assert!(!spec.keeps_bounds(SKIPS, &BTreeMap::new()));
        let bound = |at_most| Constraint {
            metric: "depth".into(),
            bound: crate::objective::Bound::AtMost(at_most),
        };
        spec.constraints[1] = bound(depth - 1.0);
        assert!(!spec.keeps_bounds(SKIPS, &measured(60.0)));
        spec.constraints[1] = bound(depth);
        assert!(spec.keeps_bounds(SKIPS, &measured(60.0)));
        spec.passes[0].gates.push(bound(depth - 1.0));
        assert!(!spec.keeps_bounds(SKIPS, &measured(60.0)));
    }
}
