//! The names of metrics at the head of columns and axes: unit, source, better direction.
//!
//! Must not know how a table or a figure is drawn.

use crate::foreign::Foreign;
use crate::results::{Goal, Metric};

/// Sources that a reader expects, so that they are not worth a word in a heading. All others
/// (`modelled`, `synthetic`, a meter) are named.
const EXPECTED_SOURCES: [&str; 6] =
    ["", "analytic", "formula", "trained", "wall-clock", "zero-cost"];

/// `mJ, modelled, mean of 3`: the unit, the source where it is not the expected one, and how many values
/// were averaged where there are several; possibly empty.
fn unit_and_source(metric: &Metric) -> String {
    let expected = EXPECTED_SOURCES.contains(&metric.source.raw());
    let source = if expected { String::new() } else { metric.source.to_string() };
    let mean = match metric.repeats {
        0 | 1 => String::new(),
        repeats => format!("mean of {repeats}"),
    };
    let words = [metric.unit.to_string(), source, mean];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// `energy [mJ, modelled]`: the name with unit, unexpected source and number of values averaged.
pub(crate) fn with_unit(metric: &Metric) -> String {
    match unit_and_source(metric) {
        words if words.is_empty() => metric.name.to_string(),
        words => format!("{} [{words}]", metric.name),
    }
}

/// The head of a column in two lines: the name, for objectives with an arrow to the better values,
/// and below it what [`with_unit`] has in brackets.
pub(crate) fn of_column(metric: &Metric) -> String {
    let arrow = match (metric.objective, metric.goal) {
        (false, _) => "",
        (true, Goal::Maximize) => " ↑",
        (true, Goal::Minimize) => " ↓",
    };
    match unit_and_source(metric) {
        words if words.is_empty() => format!("{}{arrow}", metric.name),
        words => format!("{}{arrow}\n[{words}]", metric.name),
    }
}

/// The stable name of a CSV column: `latency_ms`, `accuracy_percent`, `params`.
pub(crate) fn column_name(metric: &Metric) -> String {
    let unit: String = match metric.unit.raw() {
        "%" => "percent".to_owned(),
        "B" => "bytes".to_owned(),
        unit => unit.chars().filter(char::is_ascii_alphanumeric).collect(),
    };
    let name = metric.name.raw();
    if unit.is_empty() { name.to_owned() } else { format!("{name}_{unit}") }
}

/// Where the values come from, for all metrics that have one: `trained (accuracy); modelled on
/// cpu:x:1t (energy)`.
pub(crate) fn sources(metrics: &[Metric]) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for metric in metrics.iter().filter(|metric| !metric.source.is_empty()) {
        let words = match metric.device_class.is_empty() {
            true => metric.source.to_string(),
            false => format!("{} on {}", metric.source, metric.device_class),
        };
        match groups.iter_mut().find(|(group, _)| *group == words) {
            Some((_, names)) => names.push(metric.name.to_string()),
            None => groups.push((words, vec![metric.name.to_string()])),
        }
    }
    let texts: Vec<_> =
        groups.iter().map(|(words, names)| format!("{words} ({})", names.join(", "))).collect();
    texts.join("; ")
}

/// The unit of a product of the objectives, such as `%·ms·mJ`; empty if all are pure numbers.
pub(crate) fn product_unit<'a>(objectives: impl IntoIterator<Item = &'a Metric>) -> String {
    let units: Vec<_> = objectives
        .into_iter()
        .map(|metric| &metric.unit)
        .filter(|unit| !unit.is_empty())
        .map(Foreign::to_string)
        .collect();
    units.join("·")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples::{metric, metrics};

    #[test]
    fn headings_name_unit_and_direction() {
        let found: Vec<_> = metrics().iter().map(of_column).collect();
        assert_eq!(
            found,
            [
                "accuracy ↑\n[%]",
                "latency ↓\n[ms]",
                "energy ↓\n[mJ, modelled]",
                "introspectability ↑",
                "test_accuracy\n[%]"
            ]
        );
    }

    #[test]
    fn what_is_made_up_is_named() {
        let made_up = Metric { source: "synthetic".into(), ..metric("x", "", Goal::Minimize) };
        assert_eq!(with_unit(&made_up), "x [synthetic]");
        let mean = Metric { repeats: 3, ..metric("accuracy", "%", Goal::Maximize) };
        assert_eq!(with_unit(&mean), "accuracy [%, mean of 3]");
    }

    #[test]
    fn column_names_are_plain_words() {
        let found: Vec<_> = metrics().iter().map(column_name).collect();
        assert_eq!(
            found,
            [
                "accuracy_percent",
                "latency_ms",
                "energy_mJ",
                "introspectability",
                "test_accuracy_percent"
            ]
        );
        assert_eq!(column_name(&metric("memory", "B", Goal::Minimize)), "memory_bytes");
    }

    #[test]
    fn sources_and_products() {
        let all = metrics();
        assert_eq!(
            sources(&all),
            "trained (accuracy, introspectability, test_accuracy); \
             wall-clock on cpu:example:1t (latency); modelled on cpu:example:1t (energy)"
        );
        assert_eq!(product_unit(&all[..4]), "%·ms·mJ");
    }
}
