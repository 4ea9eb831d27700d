//! Settings of `tabular`: results looked up in a table of known evaluations (a benchmark, or an
//! earlier campaign).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CheckedSettings, EvaluatorEntry, Needs, to_json};
use crate::spec::Section;

/// The table's line.
pub(super) const ENTRY: EvaluatorEntry = EvaluatorEntry {
    name: "tabular",
    summary: "looks every metric up in a table of known evaluations, by the genotype's text",
    metrics: METRICS,
    delivers_any: true,
    needs: Needs::Text,
    continues: None,
    check,
};

const METRICS: &[&str] = &["accuracy", "test_accuracy", "introspectability", "latency", "energy"];

/// Settings of the evaluator `tabular`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TabularSettings {
    /// The table: a relative path under the folder where a worker keeps its tables.
    pub table: String,
    /// The column that holds the genotype in the space's notation.
    pub key: String,
    /// The column of each metric that the table holds, at least one; values in the metric's unit.
    pub columns: BTreeMap<String, String>,
}

impl Default for TabularSettings {
    fn default() -> Self {
        Self { table: String::new(), key: "genotype".to_owned(), columns: BTreeMap::new() }
    }
}

fn check(section: &Section<'_>) -> Option<CheckedSettings> {
    let settings: TabularSettings = section.read();
    section.missing("table", "name the file, such as `nasbench201/cifar10.csv`");
    if section.contains("table") && !is_relative_name(&settings.table) {
        section.fault(
            "table",
            "is not a path inside the workers' folder of tables",
            "write a relative path without `..`, such as `nasbench201/cifar10.csv`",
        );
    }
    if settings.key.is_empty() {
        section.fault("key", "is empty", "name the column that holds the genotypes");
    }
    section.missing("columns", "say where each metric is, such as `{accuracy: valid_accuracy}`");
    for (metric, column) in &settings.columns {
        let key = format!("columns.{metric}");
        if column.is_empty() {
            section.fault(&key, "is empty", "name the column that holds the metric");
        }
    }
    section.is_clean().then(|| CheckedSettings {
        settings: to_json(&settings),
        dataset: None,
        delivers: Some(settings.columns.keys().cloned().collect()),
    })
}

/// Whether `name` stays below the folder that it is looked up in, on every system.
fn is_relative_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && !name.chars().any(|c| c.is_control() || c == '\\' || c == ':')
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}
