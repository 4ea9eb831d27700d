//! Evaluations that are looked up: a published benchmark, or an earlier campaign, as the workers of
//! a simulated cluster. It must not know files; whoever reads one makes rows of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rand::RngExt;
use thiserror::Error;

use super::worker::{Evaluate, Evaluation};
use crate::engine::{Assignment, Failure, FailureKind, ReportedOutcome};
use crate::graph::CanonicalHash;
use crate::objective::{Measurement, MetricName, Provenance};
use crate::rng::{self, Purpose, Stream};
use crate::space::SearchSpace;
use crate::time::Span;

/// Where values of a table come from.
#[must_use]
pub fn table_provenance() -> Provenance {
    Provenance { source: "table".into(), device_class: "".into() }
}

/// A length of time between two others, drawn evenly in its logarithm.
#[must_use]
pub fn drawn_between(shortest: Span, longest: Span, rng: &mut Stream) -> Span {
    let (low, high) = (shortest.0.max(1) as f64, longest.0.max(1) as f64);
    let drawn = low * libm::pow((high / low).max(1.0), rng.random::<f64>());
    Span((drawn as u64).max(1))
}

/// One architecture of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRow {
    /// The genotype in its space's notation.
    pub key: String,
    /// The values that the table has for it, finite; of a metric with several columns their mean.
    pub values: BTreeMap<MetricName, f64>,
    /// The values of each repeat, finite, of metrics with several columns.
    pub repeats: BTreeMap<MetricName, Vec<f64>>,
    /// How long its evaluation takes, in virtual time, before the noise that [`LookUp::new`] is given.
    pub duration: Span,
}

/// A table that does not fit its space.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TableError {
    /// A key that is no genotype of the space.
    #[error("row {row}: {reason}")]
    Key {
        /// The row, from 1, the header not counted.
        row: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Two rows with the same key.
    #[error("rows {first} and {second} have the same key `{key}`")]
    Repeated {
        /// The earlier row.
        first: usize,
        /// The later row.
        second: usize,
        /// Their key.
        key: String,
    },
}

/// Looks evaluations up.
#[derive(Debug)]
pub struct LookUp {
    space: Arc<dyn SearchSpace>,
    rows: Vec<TableRow>,
    by_key: HashMap<String, usize>,
    by_network: HashMap<CanonicalHash, usize>,
    spread: f64,
    /// The share of a row's duration that a stage takes, by its name.
    shares: BTreeMap<Arc<str>, f64>,
}

impl LookUp {
    /// The table of `rows`; durations are drawn uniformly from those of the table times 1 ±
    /// `spread`, 0 to 1.
    ///
    /// # Errors
    /// [`TableError`] at the first row that does not fit.
    pub fn new(
        space: Arc<dyn SearchSpace>,
        rows: Vec<TableRow>,
        spread: f64,
    ) -> Result<Self, TableError> {
        let mut by_key = HashMap::with_capacity(rows.len());
        let mut by_network = HashMap::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let (spelling, hash) = space
                .parse(&row.key)
                .and_then(|genotype| {
                    Ok((space.format(&genotype), space.canonical_hash(&genotype)?))
                })
                .map_err(|error| TableError::Key { row: at + 1, reason: error.to_string() })?;
            if let Some(first) = by_key.insert(spelling, at) {
                let key = row.key.clone();
                return Err(TableError::Repeated { first: first + 1, second: at + 1, key });
            }
            by_network.entry(hash).or_insert(at);
        }
        Ok(Self { space, rows, by_key, by_network, spread, shares: BTreeMap::new() })
    }

    /// The same table, of whose durations each of these stages takes only a share, above 0; a
    /// short training, say. Other stages take all of it.
    #[must_use]
    pub fn with_stage_shares(self, shares: BTreeMap<Arc<str>, f64>) -> Self {
        Self { shares, ..self }
    }

    /// Every row.
    #[must_use]
    pub fn rows(&self) -> &[TableRow] {
        &self.rows
    }

    /// The row of a genotype: that of its very spelling, else the first of the same network.
    #[must_use]
    pub fn find(&self, genotype: &str) -> Option<&TableRow> {
        let otherwise = || {
            let parsed = self.space.parse(genotype).ok()?;
            let hash = self.space.canonical_hash(&parsed).ok()?;
            let same = self.by_key.get(&self.space.format(&parsed));
            same.or_else(|| self.by_network.get(&hash)).copied()
        };
        self.by_key.get(genotype).copied().or_else(otherwise).map(|at| &self.rows[at])
    }

    fn measurements(&self, assignment: &Assignment) -> Result<Vec<Measurement>, Failure> {
        let invalid =
            |message: String| Failure { kind: FailureKind::Invalid, message: message.into() };
        let row = self.find(&assignment.genotype).ok_or_else(|| {
            invalid(format!("the table has no row for `{}`", assignment.genotype))
        })?;
        let measured = assignment.stage.measures.iter().map(|metric| {
            let of_repeat =
                row.repeats.get(metric).map(|values| values.get(assignment.repeat as usize));
            let value = of_repeat.unwrap_or_else(|| row.values.get(metric));
            let value = *value.ok_or_else(|| {
                invalid(format!("the table has no {metric} for `{}`", assignment.genotype))
            })?;
            Measurement::new(metric.clone(), value, None, table_provenance())
                .map_err(|error| invalid(error.to_string()))
        });
        measured.collect()
    }
}

impl Evaluate for LookUp {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let planned = self.find(&assignment.genotype).map_or(Span(1), |row| row.duration);
        let mut rng = rng::stream(assignment.seed, Purpose::Evaluation, 0);
        let share = self.shares.get(&assignment.stage.name).copied().unwrap_or(1.0);
        let factor = share * (1.0 + self.spread * (2.0 * rng.random::<f64>() - 1.0));
        let duration = Span(((planned.0 as f64 * factor) as u64).max(1));
        let outcome = match self.measurements(assignment) {
            Ok(measurements) => ReportedOutcome::Measured(measurements),
            Err(failure) => ReportedOutcome::Failed(failure),
        };
        Evaluation { outcome, duration }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::SPACES;
    use crate::spec::Section;

    #[test]
    fn an_architecture_has_one_row_however_it_is_spelt() {
        let section = Section::from_text("genes: {a: {int: [1, 2]}, s: {subset: [x, y]}}").unwrap();
        let entry = SPACES.iter().find(|entry| entry.name == "declared").unwrap();
        let space = (entry.build)(&section).unwrap();
        let table = |keys: &[&str]| {
            let row = |key: &&str| TableRow {
                key: (*key).to_owned(),
                values: BTreeMap::new(),
                repeats: BTreeMap::new(),
                duration: Span(1),
            };
            LookUp::new(space.clone(), keys.iter().map(row).collect(), 0.0)
        };
        for twice in [["a=1,s=x|y", "s=x|y,a=1"], ["a=1,s=x|y", "a=1,s=y|x"]] {
            let found = table(&twice).map(|_| ()).unwrap_err();
            assert!(matches!(found, TableError::Repeated { first: 1, second: 2, .. }), "{found}");
        }
        let found = table(&["s=y|x,a=1", "a=2,s=x"]).unwrap();
        assert_eq!(found.find("a=1,s=x|y").map(|row| &*row.key), Some("s=y|x,a=1"));
        assert_eq!(found.find("s=x,a=2").map(|row| &*row.key), Some("a=2,s=x"));
        assert!(found.find("a=2,s=y").is_none());
    }
}
