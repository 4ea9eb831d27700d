//! Settings of `problem`: the objectives of a mathematical test problem, possibly with noise.

use serde::{Deserialize, Serialize};

use super::{CheckedSettings, Curves, EvaluatorEntry, Needs, differ_by_noise, to_json};
use crate::space::problem::OBJECTIVES;
use crate::spec::Section;

/// The table's line.
pub(super) const ENTRY: EvaluatorEntry = EvaluatorEntry {
    name: "problem",
    summary: "computes the objectives f1, f2, ... of a mathematical test problem",
    metrics: OBJECTIVES,
    delivers_any: false,
    needs: Needs::Problem,
    continues: None,
    repeats: differ_by_noise,
    curves: Curves::None,
    check,
};

/// Settings of the evaluator `problem`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProblemSettings {
    /// The standard deviation of the normal noise that is added to each objective, 0 to 1,000; drawn by
    /// the assignment's seed.
    pub noise: f64,
}

fn check(section: &Section<'_>) -> Option<CheckedSettings> {
    let settings: ProblemSettings = section.read();
    section.check_range("noise", settings.noise, 0.0..=1_000.0);
    section.is_clean().then(|| CheckedSettings {
        settings: to_json(&settings),
        dataset: None,
        delivers: None,
    })
}
