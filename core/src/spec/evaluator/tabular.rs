//! Settings of `tabular`: results looked up in a table of known evaluations (a benchmark, or an
//! earlier campaign). It must not know how a table is read.

use std::collections::BTreeMap;

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{CheckedSettings, Curves, EvaluatorEntry, Needs, Objection, to_json};
use crate::spec::Section;

/// The table's line.
pub(super) const ENTRY: EvaluatorEntry = EvaluatorEntry {
    name: "tabular",
    summary: "looks every metric up in a table of known evaluations, by the genotype's text",
    metrics: METRICS,
    delivers_any: true,
    needs: Needs::Text,
    continues: None,
    repeats: columns_differ,
    curves: Curves::None,
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
    /// The columns of each metric that the table holds, at least one metric; values in the metric's unit.
    pub columns: BTreeMap<String, TableColumns>,
}

/// Where a table has a metric: one column, or one for each repeat of the measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumns(pub Vec<String>);

impl Serialize for TableColumns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TableColumns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = TableColumns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a column, or a list with one for each repeat")
            }

            fn visit_str<E>(self, name: &str) -> Result<TableColumns, E> {
                Ok(TableColumns(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TableColumns, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(TableColumns(names))
            }
        }

        deserializer.deserialize_any(Names)
    }
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
    for (metric, TableColumns(columns)) in &settings.columns {
        let key = format!("columns.{metric}");
        if columns.is_empty() || columns.iter().any(String::is_empty) {
            section.fault(&key, "is empty", "name the column that holds the metric");
        }
    }
    section.is_clean().then(|| CheckedSettings {
        settings: to_json(&settings),
        dataset: None,
        delivers: Some(settings.columns.keys().cloned().collect()),
    })
}

/// Each repeat reads a column of its own.
fn columns_differ(settings: &serde_json::Value, repeats: u32) -> Option<Objection> {
    let settings: TabularSettings = serde_json::from_value(settings.clone()).ok()?;
    let several = || settings.columns.iter().filter(|(_, columns)| columns.0.len() > 1);
    if several().next().is_none() {
        return Some(Objection {
            message: "every repeat would read the same column".to_owned(),
            help: "list a column for each repeat under `columns`, such as `accuracy: [seed_1, seed_2]`"
                .to_owned(),
        });
    }
    let mut short = several().filter(|(_, columns)| columns.0.len() < repeats as usize);
    short.next().map(|(metric, columns)| Objection {
        message: format!("the table has {} columns of `{metric}`", columns.0.len()),
        help: format!("write a number up to {}, or list more columns", columns.0.len()),
    })
}

/// Whether `name` stays below the folder that it is looked up in, on every system.
fn is_relative_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && !name.chars().any(|c| c.is_control() || c == '\\' || c == ':')
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}
