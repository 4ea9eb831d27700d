//! Published tables for tests of spaces and of searches: read from beside the repository, never part of it.
//! Must not know what their columns mean.

#[path = "../../tests/support/shared.rs"]
mod shared;

use std::collections::BTreeMap;

/// A row by its columns' names.
pub(crate) type Row = BTreeMap<String, String>;

/// A table's rows; `None`, and a message, where there are no tables.
pub(crate) fn table(name: &str) -> Option<Vec<Row>> {
    let path = shared::data(name)?;
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(file));
    let rows = reader.deserialize().map(|row| row.expect("a published table is well-formed"));
    Some(rows.collect())
}

/// A number of a row.
pub(crate) fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("`{}` in {column} is no number", row[column]))
}
