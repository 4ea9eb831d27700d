//! The objectives and constraints of a campaign that follow from a network alone, as an algorithm is
//! given them. It must not know what an algorithm does with them.

use std::fmt;
use std::sync::Arc;

use super::Stage;
use crate::algorithm::{Computed, ComputedValues};
use crate::graph::Graph;
use crate::objective::{
    Constraint, Goal, MetricKind, MetricName, Objective, metric, total_violation,
};
use crate::rng::{self, Purpose};
use crate::space::{Genotype, SearchSpace};

type Formula = fn(&Graph) -> f64;

/// The layers that may be built for one proposal: some tens of milliseconds.
const LAYERS: usize = 60_000;
/// Genotypes whose largest network says how many layers one has.
const SAMPLED: usize = 5;

/// The formulas of a campaign over the networks of its space.
pub(super) struct ComputedMetrics {
    space: Arc<dyn SearchSpace>,
    objectives: Vec<Option<(Formula, Goal)>>,
    constraints: Vec<(Formula, Constraint)>,
    affordable: usize,
}

impl fmt::Debug for ComputedMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let covered: Vec<bool> = self.objectives.iter().map(Option::is_some).collect();
        let bounds = self.constraints.len();
        f.debug_struct("ComputedMetrics")
            .field("objectives", &covered)
            .field("constraints", &bounds)
            .finish_non_exhaustive()
    }
}

impl ComputedMetrics {
    /// What is computed of a campaign's objectives and constraints; `None` if nothing is. A metric that
    /// a stage measures is not computed, whatever its name.
    pub(super) fn of_campaign<'s>(
        space: &Arc<dyn SearchSpace>,
        objectives: &[Objective],
        constraints: &[Constraint],
        stages: impl Iterator<Item = &'s Stage> + Clone,
    ) -> Option<Arc<dyn Computed>> {
        if !space.has_networks() {
            return None;
        }
        let formula = |name: &MetricName| match metric(name.as_str())?.kind {
            MetricKind::Analytic(formula) => {
                (!stages.clone().any(|stage| stage.measures.contains(name))).then_some(formula)
            }
            MetricKind::Measured | MetricKind::Sealed => None,
        };
        let constraints: Vec<_> = constraints
            .iter()
            .filter_map(|constraint| Some((formula(&constraint.metric)?, constraint.clone())))
            .collect();
        let objectives: Vec<_> = objectives
            .iter()
            .map(|objective| Some((formula(&objective.metric)?, objective.goal)))
            .collect();
        let any = !constraints.is_empty() || objectives.iter().any(Option::is_some);
        any.then(|| {
            let (space, affordable) = (space.clone(), affordable(space.as_ref()));
            Arc::new(Self { space, objectives, constraints, affordable }) as _
        })
    }
}

impl Computed for ComputedMetrics {
    fn covers(&self, objective: usize) -> bool {
        self.objectives.get(objective).is_some_and(Option::is_some)
    }

    fn affordable(&self) -> usize {
        self.affordable
    }

    fn bounds(&self) -> bool {
        !self.constraints.is_empty()
    }

    fn of(&self, genotype: &Genotype) -> Option<ComputedValues> {
        let graph = self.space.lower(genotype).ok()?;
        let value = |(formula, goal): &(Formula, Goal)| goal.minimized(formula(&graph));
        let objectives: Box<[Option<f64>]> =
            self.objectives.iter().map(|computed| computed.as_ref().map(value)).collect();
        let broken = |(formula, bound): &(Formula, Constraint)| bound.violation(formula(&graph));
        let violation = total_violation(self.constraints.iter().map(broken));
        let finite = objectives.iter().flatten().all(|value| value.is_finite());
        finite.then_some(ComputedValues { objectives, violation })
    }
}

/// How many networks of a space have [`LAYERS`] layers together, about.
fn affordable(space: &dyn SearchSpace) -> usize {
    let mut rng = rng::stream(0, Purpose::Model, 0);
    let drawn = (0..SAMPLED).filter_map(|_| space.schema().draw_once(&mut rng));
    let layers = drawn.filter_map(|genotype| Some(space.lower(&genotype).ok()?.nodes().len()));
    (LAYERS / layers.max().unwrap_or(1).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use crate::objective::Bound;
    use crate::rng::stream;
    use crate::spec::CampaignSpec;

    use super::*;

    const CAMPAIGN: &str = "\
version: 1
name: computed
space: {kind: nasbench201}
objectives: [accuracy, macs, params]
constraints: [{metric: depth, at_most: 8}]
stages:
  - {name: score, evaluator: synthetic, measures: [accuracy]}
budget: {evaluations: 10}
";

    fn campaign() -> CampaignSpec {
        let mut spec = CampaignSpec::parse(CAMPAIGN).unwrap_or_else(|faults| panic!("{faults}"));
        // As a table can.
        spec.stages[0].measures.push("params".into());
        spec
    }

    fn of(spec: &CampaignSpec) -> Option<Arc<dyn Computed>> {
        let CampaignSpec { space, objectives, constraints, stages, .. } = spec;
        ComputedMetrics::of_campaign(space, objectives, constraints, stages.iter())
    }

    #[test]
    fn what_no_stage_measures_is_computed_as_the_network_says() {
        let spec = campaign();
        let computed = of(&spec).unwrap();
        assert_eq!([0, 1, 2, 3].map(|at| computed.covers(at)), [false, true, false, false]);
        let mut rng = stream(1, Purpose::Proposal, 1);
        let layers = spec.space.lower(&spec.space.schema().sample(&mut rng)).unwrap().nodes().len();
        assert!((LAYERS / layers / 2..LAYERS).contains(&computed.affordable()));
        let mut broken = 0;
        for _ in 0..50 {
            let genotype = spec.space.schema().sample(&mut rng);
            let graph = spec.space.lower(&genotype).unwrap();
            let found = computed.of(&genotype).unwrap();
            assert_eq!(*found.objectives, [None, Some(graph.macs() as f64), None]);
            let excess = (f64::from(graph.depth()) - 8.0).max(0.0) / 8.0;
            assert_eq!(found.violation, excess);
            broken += u32::from(excess > 0.0);
        }
        assert!((1..50).contains(&broken), "{broken}");
    }

    #[test]
    fn maximised_objectives_are_negated() {
        let mut spec = campaign();
        let metric = MetricName::from("depth");
        spec.objectives =
            vec![Objective { metric, goal: Goal::Maximize, reference: None, min_difference: None }];
        let genotype = spec.space.schema().sample(&mut stream(1, Purpose::Proposal, 1));
        let depth = f64::from(spec.space.lower(&genotype).unwrap().depth());
        assert_eq!(*of(&spec).unwrap().of(&genotype).unwrap().objectives, [Some(-depth)]);
    }

    #[test]
    fn nothing_is_computed_where_all_is_measured() {
        let mut spec = campaign();
        spec.objectives.retain(|objective| objective.metric.as_str() != "macs");
        spec.constraints =
            vec![Constraint { metric: "accuracy".into(), bound: Bound::AtLeast(1.0) }];
        assert!(of(&spec).is_none());
    }
}
