//! Results for the eye and for files: numbers, tables, CSV.
//!
//! Pure functions from values to text. Must not know files, terminals or the coordinator.

pub(crate) mod confidence;
pub(crate) mod csv;
pub(crate) mod heading;
pub(crate) mod health;
pub(crate) mod lists;
pub(crate) mod number;
pub(crate) mod summary;
pub(crate) mod table;
