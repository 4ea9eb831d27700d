//! Pareto kernels: dominance, non-dominated sorting, crowding distance, hypervolume, other
//! measures of a front's quality, and fronts that are kept while points come and go.
//!
//! Conventions, the same in every kernel: all objectives are minimised; a point is a row of M
//! finite values; every result is a pure function of its arguments and ties break by index (or
//! by the id a caller gives), so a replay reproduces every decision bit for bit.
//!
//! These kernels must not know what an objective means, who proposed a point, or whether a goal
//! was to maximise: callers flip signs and name things before and after.

pub mod archive;
pub mod crowding;
pub mod dominance;
pub mod front;
pub mod hypervolume;
pub mod net;
pub mod points;
pub mod quality;
pub mod sorting;

pub use points::{PointError, Points, RowError};

#[cfg(test)]
pub(crate) mod test_points;
