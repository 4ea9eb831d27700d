//! `cambrian reference`: the tables of what a campaign file can name.
//!
//! Must not know coordinators, nor have entries of its own: all of them are the core's.

use cambrian_core::algorithm::ALGORITHMS;
use cambrian_core::objective::{Goal, METRICS, MetricDescriptor, MetricKind};
use cambrian_core::space::SPACES;
use cambrian_core::spec::EVALUATORS;
use serde_json::json;

use super::Context;
use crate::arguments::ReferenceTable;
use crate::error::CliError;
use crate::present::lists::{self, Column, Kind};

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
    let of = |what, cell: fn(&MetricDescriptor) -> String| Column::of(METRICS, what, cell);
    let columns = vec![
        of((1, Kind::Word, "metric"), |entry| entry.name.to_owned()),
        of((3, Kind::Word, "unit"), |entry| entry.unit.to_owned()),
        of((4, Kind::Word, "goal"), |entry| goal(entry.goal).to_owned()),
        of((5, Kind::Word, "kind"), |entry| kind(entry.kind).to_owned()),
        of((2, Kind::Prose, "meaning"), |entry| entry.summary.to_owned()),
    ];
    context.output.text(&lists::list(columns, context.output.look()))
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
    let metrics = EVALUATORS.iter().map(|entry| {
        let any = entry.delivers_any.then_some("any, built in or declared");
        entry.metrics.iter().copied().chain(any).collect::<Vec<_>>().join(", ")
    });
    let names = EVALUATORS.iter().map(|entry| (entry.name, entry.summary));
    let mut columns = described("evaluator", names);
    let cells = metrics.collect();
    columns.push(Column { heading: "metrics", kind: Kind::Prose, rank: 3, cells });
    context.output.text(&lists::list(columns, context.output.look()))
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
    context.output.text(&lists::list(described("name", entries), context.output.look()))
}

/// A column of names and one of what they mean.
fn described(
    heading: &'static str,
    entries: impl Iterator<Item = (&'static str, &'static str)>,
) -> Vec<Column> {
    let (names, meanings) =
        entries.map(|(name, meaning)| (name.to_owned(), meaning.to_owned())).unzip();
    vec![
        Column { heading, kind: Kind::Word, rank: 1, cells: names },
        Column { heading: "meaning", kind: Kind::Prose, rank: 2, cells: meanings },
    ]
}
