//! A checked campaign as YAML with every value written out.
//!
//! The text does not depend on the defaults of the release that reads it, so it is what a journal
//! keeps. It must not know how the campaign was written.

use serde_yaml::{Mapping, Value};

use super::check::FORMAT_VERSION;
use super::{
    CampaignSpec, Criterion, EarlyStop, Pass, Stage, Stagnation, StopRules, TopShare, amount,
    custom_name, duration,
};
use crate::objective::{Bound, Constraint, DeclaredMetric, Goal, MetricName, Objective};

/// The campaign as YAML; see [`CampaignSpec::to_yaml`].
pub(super) fn to_yaml(spec: &CampaignSpec) -> String {
    text(&campaign(spec))
}

/// The campaign as YAML, but for one evaluation of the architecture written `genotype`. Without an
/// objective, the first metric that is measured is one.
pub(super) fn of_one(spec: &CampaignSpec, genotype: &str) -> String {
    let mut campaign = campaign(spec);
    let first = spec.stages.first().and_then(|stage| stage.measures.first());
    if let Some(first) = first.filter(|_| spec.objectives.is_empty()) {
        campaign.insert("objectives".into(), vec![Value::from(first.as_str())].into());
    }
    campaign.insert("algorithm".into(), "random".into());
    campaign.insert("start".into(), vec![Value::from(genotype)].into());
    campaign.insert("budget".into(), mapping([("evaluations", 1.into())]).into());
    text(&campaign)
}

fn text(campaign: &Mapping) -> String {
    let text =
        serde_yaml::to_string(campaign).expect("keys are texts and no value is a foreign type");
    let means_the_same = |quoted: &String| {
        serde_yaml::from_str::<Mapping>(quoted).is_ok_and(|again| again == *campaign)
    };
    with_quoted_merge_keys(&text).filter(means_the_same).unwrap_or(text)
}

/// The text with quotes around keys `<<`, which the writer leaves out and without which they are merge
/// keys; `None` if there is no such line. A line of a longer text may look the same.
fn with_quoted_merge_keys(text: &str) -> Option<String> {
    let quoted = |line: &str| {
        let rest = line.trim_start_matches([' ', '-']).strip_prefix("<<:")?;
        let indent = &line[..line.len() - rest.len() - "<<:".len()];
        Some(format!("{indent}'<<':{rest}"))
    };
    let is_found = text.lines().any(|line| quoted(line).is_some());
    let lines = text.split_inclusive('\n');
    is_found.then(|| lines.map(|line| quoted(line).unwrap_or_else(|| line.to_owned())).collect())
}

fn campaign(spec: &CampaignSpec) -> Mapping {
    let mut budget = mapping([("evaluations", spec.budget.evaluations.into())]);
    if let Some(span) = spec.budget.duration {
        budget.insert("duration".into(), duration::format(span).into());
    }
    if let Some(span) = spec.budget.slot_time {
        budget.insert("slot_time".into(), duration::format(span).into());
    }
    if let Some(energy) = spec.budget.energy {
        budget.insert("energy".into(), amount::format(energy).into());
    }
    mapping([
        ("version", FORMAT_VERSION.into()),
        ("name", spec.name.as_ref().into()),
        ("seed", spec.seed.into()),
        ("space", choice(spec.space.name(), spec.space.parameters())),
        ("metrics", metrics(spec.metrics.declared())),
        ("objectives", list(&spec.objectives, objective)),
        ("constraints", list(&spec.constraints, constraint)),
        ("algorithm", choice(spec.algorithm.name(), spec.algorithm.parameters())),
        (
            "start",
            spec.start
                .iter()
                .map(|(given, _)| spec.space.format(given).into())
                .collect::<Vec<Value>>()
                .into(),
        ),
        (
            "stages",
            spec.stages
                .iter()
                .zip(spec.passes.iter().zip(&spec.early_stops))
                .map(|(stage, (pass, early))| staged(stage, pass, early.as_ref()))
                .collect::<Vec<Value>>()
                .into(),
        ),
        ("budget", budget.into()),
        ("stop", stop(&spec.stop)),
        ("failures", spec.failures.to_yaml()),
        ("share", spec.share.to_yaml()),
        ("cache", spec.cache.name().into()),
    ])
}

fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Mapping {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

fn list<T>(values: &[T], write: fn(&T) -> Value) -> Value {
    Value::Sequence(values.iter().map(write).collect())
}

/// An entry of a table with its parameters.
fn choice(kind: &str, parameters: serde_json::Value) -> Value {
    let mut choice = mapping([("kind", kind.into())]);
    if let Value::Mapping(parameters) = value(&parameters) {
        choice.extend(parameters);
    }
    choice.into()
}

fn value(json: &serde_json::Value) -> Value {
    serde_yaml::to_value(json).expect("every JSON value is a YAML value")
}

fn goal(goal: Goal) -> Value {
    serde_yaml::to_value(goal).expect("a goal is written as its name")
}

fn metrics(declared: &[DeclaredMetric]) -> Value {
    let metric = |metric: &DeclaredMetric| {
        let facts = mapping([("unit", metric.unit.as_ref().into()), ("goal", goal(metric.goal))]);
        (metric.name.as_str().into(), facts.into())
    };
    Value::Mapping(declared.iter().map(metric).collect())
}

fn objective(objective: &Objective) -> Value {
    let goal = goal(objective.goal);
    let mut written = mapping([("metric", objective.metric.as_str().into()), ("goal", goal)]);
    if let Some(reference) = objective.reference {
        written.insert("reference".into(), reference.into());
    }
    if let Some(difference) = objective.min_difference {
        written.insert("min_difference".into(), difference.into());
    }
    written.into()
}

fn constraint(constraint: &Constraint) -> Value {
    let (key, bound) = match constraint.bound {
        Bound::AtMost(bound) => ("at_most", bound),
        Bound::AtLeast(bound) => ("at_least", bound),
    };
    mapping([("metric", constraint.metric.as_str().into()), (key, bound.into())]).into()
}

fn stop(rules: &StopRules) -> Value {
    let mut written = mapping([("target", list(&rules.target, constraint))]);
    if let Some(hypervolume) = rules.hypervolume {
        written.insert("hypervolume".into(), hypervolume.into());
    }
    if let Some(Stagnation { evaluations, improvement }) = rules.stagnation {
        let stagnation =
            mapping([("evaluations", evaluations.into()), ("improvement", improvement.into())]);
        written.insert("stagnation".into(), stagnation.into());
    }
    written.into()
}

fn staged(stage: &Stage, pass: &Pass, early: Option<&EarlyStop>) -> Value {
    let measure = |name: &MetricName| match stage.asked(name) {
        asked if asked == name => name.as_str().into(),
        asked => mapping([("metric", asked.as_str().into()), ("as", name.as_str().into())]).into(),
    };
    let labels: Mapping = stage
        .labels
        .iter()
        .map(|(name, value)| (name.as_ref().into(), value.as_ref().into()))
        .collect();
    let mut written = mapping([
        ("name", stage.name.as_ref().into()),
        ("evaluator", stage.evaluator.as_ref().into()),
        ("measures", stage.measures.iter().map(measure).collect::<Vec<Value>>().into()),
        ("timeout", duration::format(stage.timeout).into()),
        ("labels", labels.into()),
        ("settings", value(&stage.settings)),
    ]);
    // Elsewhere the settings hold it.
    if let (Some(_), Some(dataset)) = (custom_name(&stage.evaluator), &stage.dataset) {
        written.insert("dataset".into(), dataset.as_ref().into());
    }
    if stage.repeats > 1 {
        written.insert("repeats".into(), stage.repeats.into());
    }
    if let Some(before) = &stage.resume {
        written.insert("resume".into(), before.as_ref().into());
    }
    if let Some(early) = early {
        written.insert("stop_early".into(), stopped_early(early));
    }
    if !pass.is_open() {
        written.insert("pass".into(), passed(pass));
    }
    written.into()
}

fn passed(pass: &Pass) -> Value {
    let mut written = Mapping::new();
    if !pass.gates.is_empty() {
        written.insert("gates".into(), list(&pass.gates, constraint));
    }
    if let Some(TopShare { share, by, least, of_first }) = &pass.top {
        written.insert("top".into(), (*share).into());
        written.insert("by".into(), list(by, criterion));
        written.insert("least".into(), (*least).into());
        if let Some(first) = of_first {
            written.insert("of_first".into(), (*first).into());
        }
    }
    written.into()
}

fn criterion(criterion: &Criterion) -> Value {
    let goal = goal(criterion.goal);
    mapping([("metric", criterion.metric.as_str().into()), ("goal", goal)]).into()
}

fn stopped_early(EarlyStop { curve, by, after, least }: &EarlyStop) -> Value {
    mapping([
        ("metric", criterion(curve)),
        ("rule", "median".into()),
        ("by", list(by, criterion)),
        ("after", (*after).into()),
        ("least", (*least).into()),
    ])
    .into()
}

#[cfg(test)]
mod tests;
