//! Objectives and constraints: known metrics, possible bounds, and that someone measures them.

use std::collections::BTreeMap;

use super::Placed;
use crate::objective::{
    Bound, Constraint, Goal, METRICS, MetricDescriptor, MetricKind, MetricName, Objective, metric,
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
fn readable() -> impl Iterator<Item = &'static str> {
    METRICS
        .iter()
        .filter(|descriptor| !matches!(descriptor.kind, MetricKind::Sealed))
        .map(|descriptor| descriptor.name)
}

/// The readable metric called `name`, or why there is none and what to write instead.
fn find_readable(name: &str) -> Result<&'static MetricDescriptor, (String, String)> {
    match metric(name) {
        Some(descriptor) if matches!(descriptor.kind, MetricKind::Sealed) => Err((
            format!("`{name}` is sealed: a search that reads it would fit the test data"),
            "read `accuracy`, the validation split's; sealed metrics are only recorded".to_owned(),
        )),
        Some(descriptor) => Ok(descriptor),
        None => Err((
            format!("there is no metric called `{}`", shortened(name)),
            spelling::advice(name, readable()),
        )),
    }
}

/// The values that a metric can take, both ends included.
fn possible(descriptor: &MetricDescriptor) -> (f64, f64) {
    match (descriptor.name, descriptor.unit) {
        ("introspectability", _) => (0.0, 2.0),
        (_, "%") => (0.0, 100.0),
        _ => (0.0, f64::INFINITY),
    }
}

/// A value with its unit, for messages.
fn with_unit(value: f64, descriptor: &MetricDescriptor) -> String {
    format!("{value} {}", descriptor.unit).trim_end().to_owned()
}

/// Reads `objectives`.
pub(super) fn objectives<'d>(root: &'d Section<'_>) -> Vec<Placed<'d, Objective>> {
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
        let Some(value) = objective(&item) else { continue };
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

fn objective(item: &Item<'_>) -> Option<Objective> {
    if let Some(name) = item.text() {
        let descriptor = find_readable(name).map_err(|(message, help)| item.fault(message, help));
        let descriptor = descriptor.ok()?;
        return Some(Objective { metric: name.into(), goal: descriptor.goal, reference: None });
    }
    let section = item.section()?;
    let raw: RawObjective = section.read();
    section.missing("metric", "name what is optimised, such as `metric: latency`");
    let name = raw.metric?;
    let descriptor = find_readable(&name)
        .map_err(|(message, help)| section.fault("metric", message, help))
        .ok()?;
    let goal = raw.goal.unwrap_or(descriptor.goal);
    if let Some(reference) = raw.reference {
        check_reference(&section, descriptor, goal, reference);
    }
    Some(Objective { metric: descriptor.name.into(), goal, reference: raw.reference })
}

/// A reference point that no candidate can beat gives a hypervolume of zero for ever.
fn check_reference(
    section: &Section<'_>,
    descriptor: &MetricDescriptor,
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

/// Reads `constraints`.
pub(super) fn constraints<'d>(root: &'d Section<'_>) -> Vec<Placed<'d, Constraint>> {
    let items = root.items("constraints");
    if items.len() > MAX_CONSTRAINTS {
        root.fault(
            "constraints",
            format!("there are {} constraints; at most {MAX_CONSTRAINTS} are read", items.len()),
            "merge those of the same metric",
        );
    }
    let mut limits = BTreeMap::new();
    let mut constraints = Vec::new();
    for item in items.into_iter().take(MAX_CONSTRAINTS) {
        for value in constraint(&item, &mut limits) {
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

fn constraint(item: &Item<'_>, limits: &mut BTreeMap<&'static str, Limits>) -> Vec<Constraint> {
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
    let descriptor = match find_readable(&name) {
        Ok(descriptor) => descriptor,
        Err((message, help)) => {
            section.fault("metric", message, help);
            return Vec::new();
        }
    };
    let limits = limits.entry(descriptor.name).or_default();
    let bounds = [
        ("at_least", raw.at_least, &mut limits.at_least, Bound::AtLeast as fn(f64) -> Bound),
        ("at_most", raw.at_most, &mut limits.at_most, Bound::AtMost),
    ];
    let mut constraints = Vec::new();
    for (key, value, limit, bound) in bounds {
        let Some(value) = value else { continue };
        check_bound(&section, descriptor, key, value);
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
                with_unit(least, descriptor),
                with_unit(most, descriptor)
            ),
            "swap the two bounds or widen one",
        );
    }
    constraints
}

/// A bound that no candidate can keep would make the whole campaign infeasible.
fn check_bound(section: &Section<'_>, descriptor: &MetricDescriptor, key: &str, value: f64) {
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
    objectives: &[Placed<'_, Objective>],
    constraints: &[Placed<'_, Constraint>],
    stages: &[Placed<'_, Stage>],
) {
    // Stages with faults may be left out, so a metric that one of them measures would seem missing.
    if !root.is_clean_at("stages") {
        return;
    }
    let measured =
        |name: &MetricName| stages.iter().any(|stage| stage.value.measures.contains(name));
    let objectives = objectives.iter().map(|placed| (&placed.value.metric, &placed.at));
    let constraints = constraints.iter().map(|placed| (&placed.value.metric, &placed.at));
    for (name, at) in objectives.chain(constraints) {
        let computed = metric(name.as_str())
            .is_some_and(|descriptor| matches!(descriptor.kind, MetricKind::Analytic(_)));
        if !computed && !measured(name) {
            at.fault(format!("no stage measures `{name}`"), measuring_help(name.as_str()));
        }
    }
}

fn measuring_help(name: &str) -> String {
    let evaluators: Vec<_> = EVALUATORS
        .iter()
        .filter(|entry| entry.metrics.contains(&name))
        .map(|entry| format!("`{}`", entry.name))
        .collect();
    format!(
        "add `{name}` to the `measures` of a stage; evaluators that deliver it: {}",
        evaluators.join(", ")
    )
}
