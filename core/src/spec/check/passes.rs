//! What it takes to go on after a stage: gates and shares over metrics that are known by then. It must not know
//! how candidates are ranked.

use super::Placed;
use super::objectives::{constraints, find_readable, measuring_help};
use crate::objective::{MetricKind, MetricName, Metrics, Objective};
use crate::spec::pass::{Criterion, Pass, TopShare};
use crate::spec::raw::{RawCriterion, RawPass};
use crate::spec::section::Item;
use crate::spec::{Section, Stage};

/// The most metrics that candidates are ranked by, as many as there can be objectives.
const MAX_CRITERIA: usize = 8;
/// The largest number of candidates that a rung can wait for.
const MAX_LEAST: u32 = 100_000_000;
/// The largest number of first candidates that can be ranked alone: they are looked through with each result.
const MAX_OF_FIRST: u32 = 10_000;
const SHARE_HELP: &str = "write a number between 0 and 1, such as 0.25, or a fraction such as 1/3";

/// The stages with what is known after each of them.
pub(super) struct Known<'c, 'd> {
    pub(super) metrics: &'c Metrics,
    pub(super) objectives: &'c [Placed<'d, Objective>],
    pub(super) stages: &'c [Placed<'d, Stage>],
    /// Whether the candidates have networks, of which metrics are computed.
    pub(super) networks: bool,
    /// Whether every stage was read, so that a missing metric is missing indeed.
    pub(super) complete: bool,
}

/// Reads `pass` of every stage.
pub(super) fn passes(known: &Known<'_, '_>) -> Vec<Pass> {
    (0..known.stages.len()).map(|at| known.pass(at).unwrap_or_default()).collect()
}

impl Known<'_, '_> {
    fn pass(&self, at: usize) -> Option<Pass> {
        let stage = self.stages[at].at.section()?;
        if !stage.contains("pass") {
            return None;
        }
        if at + 1 == self.stages.len() && self.complete {
            let help = "remove it, or add the stage that candidates go on to";
            stage.fault("pass", "no stage follows this one", help);
            return None;
        }
        let section = stage.child("pass")?;
        let raw: RawPass = section.read();
        if !section.contains("gates") && !section.contains("top") {
            let help = "write `gates`, `top` or both, such as `{top: 1/3}`";
            stage.fault("pass", "says neither what to keep nor how many", help);
        }
        let gates = constraints(&section, "gates", self.metrics);
        for gate in &gates {
            self.require_known(&gate.value.metric, at, &gate.at);
        }
        let gates = gates.into_iter().map(|placed| placed.value).collect();
        Some(Pass { gates, top: self.top(at, &section, &raw) })
    }

    fn top(&self, at: usize, section: &Section<'_>, raw: &RawPass) -> Option<TopShare> {
        let Some(written) = section.item("top") else {
            for key in ["by", "least", "of_first"].into_iter().filter(|key| section.contains(key)) {
                let help = "add `top`, the share that goes on, such as `top: 1/3`";
                section.fault(key, "ranks candidates, and nothing says how many go on", help);
            }
            return None;
        };
        let share = written.text().and_then(share);
        if share.is_none() {
            let message = format!("{} is no share", written.description());
            written.fault(message, SHARE_HELP);
        }
        if let Some(first) = raw.of_first {
            section.check_range("of_first", first, 1..=MAX_OF_FIRST);
        }
        // The first ones are one cohort, unless the campaign says otherwise.
        let least = raw.least.or(raw.of_first).unwrap_or(1);
        section.check_range("least", least, 1..=MAX_LEAST);
        let by = self.criteria(at, section);
        Some(TopShare { share: share?, by, least, of_first: raw.of_first })
    }

    /// What is ranked by: as written, else the objectives that are known by then.
    fn criteria(&self, at: usize, section: &Section<'_>) -> Vec<Criterion> {
        if !section.contains("by") {
            let goals = self.objectives.iter().map(|placed| &placed.value);
            let known = goals.filter(|objective| self.is_known(&objective.metric, at));
            let by: Vec<Criterion> = known
                .map(|objective| Criterion {
                    metric: objective.metric.clone(),
                    goal: objective.goal,
                })
                .collect();
            if by.is_empty() && self.complete {
                section.fault(
                    "top",
                    "no objective is known after this stage, so nothing ranks its candidates",
                    "say by which metrics, such as `by: [accuracy]`",
                );
            }
            return by;
        }
        let items = section.items("by");
        if items.is_empty() && section.item("by").is_some_and(|item| item.is_empty_list()) {
            let help = "name at least one metric, or leave the key out for the objectives";
            section.fault("by", "the list is empty", help);
        }
        if items.len() > MAX_CRITERIA {
            let message =
                format!("there are {} metrics; at most {MAX_CRITERIA} are possible", items.len());
            section.fault("by", message, "rank by the few that tell most");
        }
        let mut by: Vec<Criterion> = Vec::new();
        for item in items.iter().take(MAX_CRITERIA) {
            let Some(criterion) = self.criterion(item) else { continue };
            if by.iter().any(|other| other.metric == criterion.metric) {
                item.fault(
                    format!("`{}` is listed already", criterion.metric),
                    "remove one of the two",
                );
                continue;
            }
            self.require_known(&criterion.metric, at, item);
            by.push(criterion);
        }
        by
    }

    pub(super) fn criterion(&self, item: &Item<'_>) -> Option<Criterion> {
        let (name, goal) = match item.text() {
            Some(name) => (name.to_owned(), None),
            None => {
                let section = item.section()?;
                let raw: RawCriterion = section.read();
                section.missing("metric", "name what is ranked by, such as `metric: accuracy`");
                (raw.metric?, raw.goal)
            }
        };
        let found = find_readable(&name, self.metrics)
            .map_err(|(message, help)| item.fault(message, help))
            .ok()?;
        let objective = self.objectives.iter().find(|placed| placed.value.metric.as_str() == name);
        let usual = objective.map_or(found.goal, |placed| placed.value.goal);
        Some(Criterion { metric: found.name.into(), goal: goal.unwrap_or(usual) })
    }

    /// The stage that measures a metric.
    fn measured_at(&self, metric: &MetricName) -> Option<usize> {
        self.stages.iter().position(|stage| stage.value.measures.contains(metric))
    }

    /// Whether every candidate has a value of `metric` once it has finished the stage at `at`.
    fn is_known(&self, metric: &MetricName, at: usize) -> bool {
        match self.measured_at(metric) {
            Some(stage) => stage <= at,
            None => {
                let found = self.metrics.find(metric.as_str());
                self.networks
                    && found.is_some_and(|found| matches!(found.kind, MetricKind::Analytic(_)))
            }
        }
    }

    /// Whether every candidate has a value of `metric` when it enters the stage at `at`.
    pub(super) fn is_known_before(&self, metric: &MetricName, at: usize) -> bool {
        self.is_known(metric, at) && self.measured_at(metric).is_none_or(|stage| stage < at)
    }

    fn require_known(&self, metric: &MetricName, at: usize, item: &Item<'_>) {
        if !self.complete || self.is_known(metric, at) {
            return;
        }
        match self.measured_at(metric) {
            Some(later) => item.fault(
                format!(
                    "`{metric}` is measured by stage `{}` and not known before",
                    self.stages[later].value.name
                ),
                "move it to the `pass` of that stage, or let an earlier one measure it",
            ),
            None => {
                item.fault(format!("no stage measures `{metric}`"), measuring_help(metric.as_str()))
            }
        }
    }
}

/// Reads `0.25` or `1/4`.
fn share(text: &str) -> Option<f64> {
    let number = |part: &str| part.trim().parse::<f64>().ok();
    let share = match text.split_once('/') {
        Some((part, whole)) => number(part)? / number(whole)?,
        None => number(text)?,
    };
    (share > 0.0 && share < 1.0).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_numbers_or_fractions_within_one() {
        assert_eq!(share("0.25"), Some(0.25));
        assert_eq!(share("1/3"), Some(1.0 / 3.0));
        assert_eq!(share(" 2 / 5 "), Some(0.4));
        for text in ["0", "1", "1.5", "-1/3", "3/2", "1/0", "0/0", "nan", "third", "1/3/2", ""] {
            assert_eq!(share(text), None, "{text}");
        }
    }
}
