//! Settings of `problem`: the objectives of a mathematical test problem; it has none.

use serde::{Deserialize, Serialize};

use super::{CheckedSettings, EvaluatorEntry, Needs, to_json};
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
    check,
};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProblemSettings {}

fn check(section: &Section<'_>) -> Option<CheckedSettings> {
    let settings: ProblemSettings = section.read();
    section.is_clean().then(|| CheckedSettings {
        settings: to_json(&settings),
        dataset: None,
        delivers: None,
    })
}
