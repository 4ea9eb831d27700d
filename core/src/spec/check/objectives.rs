//! Objectives and constraints: known metrics, possible bounds, and that someone measures them. It must not know
//! how candidates are compared by them.

use std::collections::BTreeMap;

use super::{Placed, difference};
use crate::objective::{
    Bound, Constraint, FoundMetric, Goal, MetricKind, MetricName, Metrics, Objective,
};
use crate::spec::document::shortened;
use crate::spec::evaluator::EVALUATORS;
use crate::spec::raw::{RawConstraint, RawObjective};
use crate::spec::section::Item;
use crate::spec::{Section, Stage, spelling};

/// The most objectives. Non-dominated ranking tells little apart beyond a handful (Deb and Jain
/// 2014), and exact hypervolume takes time exponential in their number.
const MAX_OBJECTIVES: usize = 8;
/// The most constraints.
const MAX_CONSTRAINTS: usize = 64;

/// The metrics that an objective or constraint may read.
fn readable(metrics: &Metrics) -> impl Iterator<Item = &str> {
    metrics.iter().filter(|found| !matches!(found.kind, MetricKind::Sealed)).map(|found| found.name)
}

/// The readable metric called `name`, or why there is none and what to write instead.
pub(super) fn find_readable<'m>(
    name: &str,
    metrics: &'m Metrics,
) -> Result<FoundMetric<'m>, (String, String)> {
    match metrics.find(name) {
        Some(found) if matches!(found.kind, MetricKind::Sealed) => Err((
            format!("`{name}` is sealed: a search that reads it would fit the test data"),
            "read `accuracy`, the validation split's; sealed metrics are only recorded".to_owned(),
        )),
        Some(found) => Ok(found),
        None => Err((
            format!("there is no metric called `{}`", shortened(name)),
            format!("{}; or declare it under `metrics`", spelling::advice(name, readable(metrics))),
        )),
    }
}

/// The values that a metric can take, both ends included.
fn possible(descriptor: &FoundMetric<'_>) -> (f64, f64) {
    match (descriptor.name, descriptor.unit) {
        _ if descriptor.is_declared => (f64::NEG_INFINITY, f64::INFINITY),
        ("introspectability", _) => (0.0, 2.0),
        (_, "%") => (0.0, 100.0),
        _ => (0.0, f64::INFINITY),
    }
}

/// A value with its unit, for messages.
fn with_unit(value: f64, descriptor: &FoundMetric<'_>) -> String {
    format!("{value} {}", descriptor.unit).trim_end().to_owned()
}

/// Reads `objectives`.
pub(super) fn objectives<'d>(
    root: &'d Section<'_>,
    metrics: &Metrics,
) -> Vec<Placed<'d, Objective>> {
    root.missing("objectives", "list what is optimised, such as `objectives: [accuracy, latency]`");
    let items = root.items("objectives");
    if items.is_empty() && root.item("objectives").is_some_and(|item| item.is_empty_list()) {
        root.fault("objectives", "the list is empty", "name at least one metric");
    }
    if items.len() > MAX_OBJECTIVES {
        root.fault(
            "objectives",
            format!("there are {} objectives; at most {MAX_OBJECTIVES} are possible", items.len()),
            "turn some of them into constraints",
        );
    }
    let mut objectives: Vec<Placed<'d, Objective>> = Vec::new();
    for item in items.into_iter().take(MAX_OBJECTIVES) {
        let Some(value) = objective(&item, metrics) else { continue };
        if objectives.iter().any(|other| other.value.metric == value.metric) {
            item.fault(
                format!("`{}` is an objective already", value.metric),
                "remove one of the two",
            );
            continue;
        }
        objectives.push(Placed { value, at: item });
    }
    objectives
}

fn objective(item: &Item<'_>, metrics: &Metrics) -> Option<Objective> {
    if let Some(name) = item.text() {
        let descriptor =
            find_readable(name, metrics).map_err(|(message, help)| item.fault(message, help));
        let descriptor = descriptor.ok()?;
        return Some(Objective {
            metric: name.into(),
            goal: descriptor.goal,
            reference: None,
            min_difference: None,
        });
    }
    let section = item.section()?;
    let raw: RawObjective = section.read();
    section.missing("metric", "name what is optimised, such as `metric: latency`");
    let name = raw.metric?;
    let descriptor = find_readable(&name, metrics)
        .map_err(|(message, help)| section.fault("metric", message, help))
        .ok()?;
    let goal = raw.goal.unwrap_or(descriptor.goal);
    if let Some(reference) = raw.reference {
        check_reference(&section, &descriptor, goal, reference);
    }
    if let Some(difference) = raw.min_difference {
        difference::check(&section, &descriptor, difference);
    }
    Some(Objective {
        metric: descriptor.name.into(),
        goal,
        reference: raw.reference,
        min_difference: raw.min_difference,
    })
}

/// A reference point that no candidate can beat gives a hypervolume of zero for ever.
fn check_reference(
    section: &Section<'_>,
    descriptor: &FoundMetric<'_>,
    goal: Goal,
    reference: f64,
) {
    let (least, most) = possible(descriptor);
    let (beatable, side, limit) = match goal {
        Goal::Minimize => (reference > least, "above", least),
        Goal::Maximize => (reference < most, "below", most),
    };
    if !reference.is_finite() {
        section.fault(
            "reference",
            "is not a finite number",
            "write a value that every useful candidate beats, or leave the key out",
        );
    } else if !beatable {
        section.fault(
            "reference",
            format!("no candidate can be better than {}", with_unit(reference, descriptor)),
            format!("write a value {side} {}", with_unit(limit, descriptor)),
        );
    }
}

/// Reads a list of bounds: `constraints`, the target of `stop`, or the gates of a stage.
pub(super) fn constraints<'d>(
    root: &'d Section<'_>,
    key: &'static str,
    metrics: &Metrics,
) -> Vec<Placed<'d, Constraint>> {
    let items = root.items(key);
    if items.len() > MAX_CONSTRAINTS {
        root.fault(
            key,
            format!("there are {} constraints; at most {MAX_CONSTRAINTS} are read", items.len()),
            "merge those of the same metric",
        );
    }
    let mut limits = BTreeMap::new();
    let mut constraints = Vec::new();
    for item in items.into_iter().take(MAX_CONSTRAINTS) {
        for value in constraint(&item, metrics, &mut limits) {
            constraints.push(Placed { value, at: item.clone() });
        }
    }
    constraints
}

/// The bounds of a metric so far, over all constraints.
#[derive(Default)]
struct Limits {
    at_least: Option<f64>,
    at_most: Option<f64>,
}

fn constraint(
    item: &Item<'_>,
    metrics: &Metrics,
    limits: &mut BTreeMap<String, Limits>,
) -> Vec<Constraint> {
    let Some(section) = item.section() else { return Vec::new() };
    let raw: RawConstraint = section.read();
    section.missing("metric", "name what is limited, such as `metric: params`");
    if !section.contains("at_most") && !section.contains("at_least") {
        section.fault(
            "at_most",
            "the constraint has no bound",
            "add `at_most`, `at_least` or both, in the metric's unit",
        );
    }
    let Some(name) = raw.metric else { return Vec::new() };
    let descriptor = match find_readable(&name, metrics) {
        Ok(descriptor) => descriptor,
        Err((message, help)) => {
            section.fault("metric", message, help);
            return Vec::new();
        }
    };
    let limits = limits.entry(descriptor.name.to_owned()).or_default();
    let bounds = [
        ("at_least", raw.at_least, &mut limits.at_least, Bound::AtLeast as fn(f64) -> Bound),
        ("at_most", raw.at_most, &mut limits.at_most, Bound::AtMost),
    ];
    let mut constraints = Vec::new();
    for (key, value, limit, bound) in bounds {
        let Some(value) = value else { continue };
        check_bound(&section, &descriptor, key, value);
        if limit.replace(value).is_some() {
            section.fault(
                key,
                format!("`{}` has such a bound already", descriptor.name),
                "keep the stricter one",
            );
        }
        constraints.push(Constraint { metric: descriptor.name.into(), bound: bound(value) });
    }
    if let Limits { at_least: Some(least), at_most: Some(most) } = *limits
        && least > most
    {
        section.fault(
            if raw.at_most.is_some() { "at_most" } else { "at_least" },
            format!(
                "no candidate can have `{}` both at least {} and at most {}",
                descriptor.name,
                with_unit(least, &descriptor),
                with_unit(most, &descriptor)
            ),
            "swap the two bounds or widen one",
        );
    }
    constraints
}

/// A bound that no candidate can keep would make the whole campaign infeasible.
fn check_bound(section: &Section<'_>, descriptor: &FoundMetric<'_>, key: &str, value: f64) {
    let (least, most) = possible(descriptor);
    if !value.is_finite() {
        section.fault(key, "is not a finite number", "write a number, or leave the key out");
        return;
    }
    let (impossible, relation, limit) = match key {
        "at_most" => (value < least, "never below", least),
        _ => (value > most, "never above", most),
    };
    if impossible {
        section.fault(
            key,
            format!(
                "no candidate can keep this bound: `{}` is {relation} {}",
                descriptor.name,
                with_unit(limit, descriptor)
            ),
            match most.is_finite() {
                true => format!("write a number from {least} to {}", with_unit(most, descriptor)),
                false => "write a positive number".to_owned(),
            },
        );
    }
}

/// Every objective and constraint reads a metric that is computed from the network or measured by a
/// stage.
pub(super) fn check_measured(
    root: &Section<'_>,
    metrics: &Metrics,
    networks: bool,
    objectives: &[Placed<'_, Objective>],
    limits: [&[Placed<'_, Constraint>]; 2],
    stages: &[Placed<'_, Stage>],
) {
    // Stages with faults may be left out, so a metric that one of them measures would seem missing.
    if !root.is_clean_at("stages") {
        return;
    }
    let measured =
        |name: &MetricName| stages.iter().any(|stage| stage.value.measures.contains(name));
    let objectives = objectives.iter().map(|placed| (&placed.value.metric, &placed.at));
    let limits = limits.into_iter().flatten();
    let limits = limits.map(|placed| (&placed.value.metric, &placed.at));
    for (name, at) in objectives.chain(limits) {
        let found = metrics.find(name.as_str());
        let computed = found.is_some_and(|found| matches!(found.kind, MetricKind::Analytic(_)));
        if measured(name) {
            continue;
        }
        if computed && !networks {
            at.fault(
                format!("`{name}` is computed from a network, and this space has none"),
                "let a stage measure it (`tabular` can), or choose a space of networks",
            );
        } else if !computed {
            at.fault(format!("no stage measures `{name}`"), measuring_help(name.as_str()));
        }
    }
}

pub(super) fn measuring_help(name: &str) -> String {
    let evaluators: Vec<_> = EVALUATORS
        .iter()
        .filter(|entry| entry.delivers_any || entry.metrics.contains(&name))
        .map(|entry| format!("`{}`", entry.name))
        .collect();
    format!(
        "add `{name}` to the `measures` of a stage; evaluators that deliver it: {}",
        evaluators.join(", ")
    )
}
