//! `cambrian reference`: the tables of what a campaign file can name.

use cambrian_core::algorithm::ALGORITHMS;
use cambrian_core::objective::{Goal, METRICS, MetricKind};
use cambrian_core::space::SPACES;
use cambrian_core::spec::EVALUATORS;
use serde_json::json;

use super::Context;
use crate::arguments::ReferenceTable;
use crate::error::CliError;
use crate::present::table;

fn goal(goal: Goal) -> &'static str {
    match goal {
        Goal::Minimize => "minimize",
        Goal::Maximize => "maximize",
    }
}

fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Analytic(_) => "computed",
        MetricKind::Measured => "measured",
        MetricKind::Sealed => "for the record",
    }
}

/// # Errors
/// When standard output cannot be written.
pub(super) fn run(context: &Context, which: ReferenceTable) -> Result<(), CliError> {
    match which {
        ReferenceTable::Metrics => metrics(context),
        ReferenceTable::Evaluators => evaluators(context),
        ReferenceTable::Spaces => {
            named(context, "spaces", SPACES.iter().map(|entry| (entry.name, entry.summary)))
        }
        ReferenceTable::Algorithms => {
            named(context, "algorithms", ALGORITHMS.iter().map(|entry| (entry.name, entry.summary)))
        }
    }
}

fn metrics(context: &Context) -> Result<(), CliError> {
    if context.output.json {
        let entries: Vec<_> = METRICS
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name,
                    "unit": entry.unit,
                    "goal": goal(entry.goal),
                    "kind": kind(entry.kind),
                    "summary": entry.summary,
                })
            })
            .collect();
        return context.output.object(&json!({ "metrics": entries }));
    }
    let rows = METRICS.iter().map(|entry| {
        [entry.name, entry.unit, goal(entry.goal), kind(entry.kind), entry.summary]
            .map(str::to_owned)
            .to_vec()
    });
    let headings = ["metric", "unit", "goal", "kind", "meaning"];
    context.output.text(&table::texts(&headings, rows, context.output.look()))
}

fn evaluators(context: &Context) -> Result<(), CliError> {
    if context.output.json {
        let entries: Vec<_> = EVALUATORS
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name,
                    "summary": entry.summary,
                    "metrics": entry.metrics,
                    "delivers_any": entry.delivers_any,
                })
            })
            .collect();
        return context.output.object(&json!({ "evaluators": entries }));
    }
    let rows = EVALUATORS.iter().map(|entry| {
        let mut metrics = entry.metrics.to_vec();
        if entry.delivers_any {
            metrics.push("any that a campaign declares");
        }
        vec![entry.name.to_owned(), entry.summary.to_owned(), metrics.join(", ")]
    });
    let headings = ["evaluator", "meaning", "metrics"];
    context.output.text(&table::texts(&headings, rows, context.output.look()))
}

fn named(
    context: &Context,
    what: &'static str,
    entries: impl Iterator<Item = (&'static str, &'static str)>,
) -> Result<(), CliError> {
    if context.output.json {
        let entries: Vec<_> =
            entries.map(|(name, summary)| json!({ "name": name, "summary": summary })).collect();
        return context.output.object(&json!({ what: entries }));
    }
    let rows = entries.map(|(name, summary)| vec![name.to_owned(), summary.to_owned()]);
    context.output.text(&table::texts(&["name", "meaning"], rows, context.output.look()))
}
