//! Metrics of the campaign's own: names of good form that no built-in metric has. It must not know who measures
//! them.

use crate::objective::{DeclaredMetric, Goal, Metrics, metric};
use crate::spec::Section;
use crate::spec::document::shortened;
use crate::spec::raw::RawMetric;

/// The most metrics that a campaign can declare.
const MAX_METRICS: usize = 64;
/// The longest name and the longest unit, in bytes.
const MAX_NAME: usize = 64;
const MAX_UNIT: usize = 16;

/// Reads `metrics`; faulty ones are left out.
pub(super) fn metrics(root: &Section<'_>) -> Metrics {
    let Some(section) = root.item("metrics").and_then(|item| item.section()) else {
        return Metrics::default();
    };
    let mut declared = Vec::new();
    for name in section.keys() {
        if let Some(metric) = declared_metric(&section, name) {
            declared.push(metric);
        }
    }
    if declared.len() > MAX_METRICS {
        root.fault(
            "metrics",
            format!("there are {} metrics; at most {MAX_METRICS} are possible", declared.len()),
            "declare those that objectives, constraints and stages name",
        );
    }
    Metrics::with(declared)
}

fn declared_metric(section: &Section<'_>, name: &str) -> Option<DeclaredMetric> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(allowed);
    if !fits {
        section.fault_at_entry(
            name,
            format!("`{}` cannot be the name of a metric", shortened(name)),
            format!("use letters, digits and `_`, at most {MAX_NAME}, and start with a letter"),
        );
        return None;
    }
    if metric(name).is_some() {
        section.fault_at_entry(
            name,
            format!("`{name}` is a built-in metric"),
            "remove it here: stages can measure it, and its unit and goal are known",
        );
        return None;
    }
    let raw: RawMetric = match section.item(name) {
        Some(item) => item.section()?.read(),
        None => RawMetric::default(),
    };
    let unit = raw.unit.unwrap_or_default();
    if unit.len() > MAX_UNIT || unit.chars().any(char::is_control) {
        let help = format!("write a unit of at most {MAX_UNIT} bytes, such as `ms`");
        section.fault(&format!("{name}.unit"), "is no unit", help);
    }
    let goal = raw.goal.unwrap_or(Goal::Minimize);
    Some(DeclaredMetric { name: name.into(), unit: unit.into(), goal })
}
