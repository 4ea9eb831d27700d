//! Published tables for the tests of spaces: read from beside the repository, never part of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A row by its columns' names.
pub(crate) type Row = BTreeMap<String, String>;

/// A table's rows; `None`, and a message, where there are no tables.
pub(crate) fn table(name: &str) -> Option<Vec<Row>> {
    let shared = std::env::var_os("CAMBRIAN_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = shared.join("data").join(name);
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(file));
    let rows = reader.deserialize().map(|row| row.expect("a published table is well-formed"));
    Some(rows.collect())
}

/// A number of a row.
pub(crate) fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("`{}` in {column} is no number", row[column]))
}
