//! `stop_early`: which curve an evaluation of a stage is judged by, and from when on. It must not know when a
//! curve is hopeless.

use super::passes::Known;
use crate::objective::MetricName;
use crate::spec::early::EarlyStop;
use crate::spec::evaluator::{Curves, EVALUATORS, EvaluatorEntry};
use crate::spec::pass::Criterion;
use crate::spec::raw::RawEarlyStop;
use crate::spec::{Section, Stage, spelling};

/// The latest first step.
const MAX_AFTER: u32 = 1_000_000;
/// No more completed evaluations are compared with.
const MAX_LEAST: u32 = 500;
const DEFAULT_LEAST: u32 = 20;

/// Reads `stop_early` of every stage.
pub(super) fn early_stops(known: &Known<'_, '_>) -> Vec<Option<EarlyStop>> {
    (0..known.stages.len()).map(|at| early_stop(known, at)).collect()
}

fn early_stop(known: &Known<'_, '_>, at: usize) -> Option<EarlyStop> {
    let stage = &known.stages[at];
    let outer = stage.at.section()?;
    if !outer.contains("stop_early") {
        return None;
    }
    if stage.value.repeats > 1 {
        let message = "a stage that repeats its measurement has more than one curve";
        outer.fault("stop_early", message, "remove it, or `repeats`");
    }
    let section = outer.child("stop_early")?;
    let raw: RawEarlyStop = section.read();
    section.missing("metric", "name the metric whose curve counts, such as `metric: accuracy`");
    let (after, least) = (raw.after.unwrap_or(1), raw.least.unwrap_or(DEFAULT_LEAST));
    section.check_range("after", after, 1..=MAX_AFTER);
    section.check_range("least", least, 1..=MAX_LEAST);
    let curve = known.criterion(&section.item("metric")?)?;
    check_streams(&section, &stage.value, &curve.metric);
    let by = criteria(known, at, &section, &curve.metric);
    Some(EarlyStop { curve, by, after, least })
}

/// The stage measures the metric, and its evaluator reports it on the way.
fn check_streams(section: &Section<'_>, stage: &Stage, metric: &MetricName) {
    if !stage.measures.contains(metric) {
        let measured = stage.measures.iter().map(MetricName::as_str);
        let message = format!("the stage does not measure `{metric}`");
        return section.fault("metric", message, spelling::advice(metric.as_str(), measured));
    }
    let Some(entry) = EvaluatorEntry::find(&stage.evaluator) else { return };
    let asked = stage.asked(metric).as_str();
    match entry.curves {
        Curves::Any => {}
        Curves::Of(names) if names.contains(&asked) => {}
        Curves::Of(names) => section.fault(
            "metric",
            format!("`{}` does not report `{asked}` on the way", stage.evaluator),
            spelling::advice(asked, names.iter().copied()),
        ),
        Curves::None => {
            let able = EVALUATORS.iter().filter(|entry| entry.curves != Curves::None);
            let able: Vec<_> = able.map(|entry| format!("`{}`", entry.name)).collect();
            let message = format!("`{}` reports no values on the way", stage.evaluator);
            let help = format!("leave `stop_early` out; it is for {}", able.join(" and "));
            section.fault("metric", message, help);
        }
    }
}

/// What else is compared: as written, else the other objectives that are known before the stage.
fn criteria(
    known: &Known<'_, '_>,
    at: usize,
    section: &Section<'_>,
    curve: &MetricName,
) -> Vec<Criterion> {
    if !section.contains("by") {
        let goals = known.objectives.iter().map(|placed| &placed.value);
        let others = goals.filter(|objective| objective.metric != *curve);
        let others = others.filter(|objective| known.is_known_before(&objective.metric, at));
        let criterion = |objective: &crate::objective::Objective| Criterion {
            metric: objective.metric.clone(),
            goal: objective.goal,
        };
        return others.map(criterion).collect();
    }
    let mut by: Vec<Criterion> = Vec::new();
    for item in section.items("by") {
        let Some(criterion) = known.criterion(&item) else { continue };
        let listed = by.iter().any(|other| other.metric == criterion.metric);
        if listed || criterion.metric == *curve {
            let message = format!("`{}` is compared already", criterion.metric);
            item.fault(message, "remove one of the two");
        } else if known.complete && !known.is_known_before(&criterion.metric, at) {
            let message = format!("`{}` is not known before the stage", criterion.metric);
            item.fault(
                message,
                "name metrics of earlier stages, or computed ones such as `params`",
            );
        } else {
            by.push(criterion);
        }
    }
    by
}
