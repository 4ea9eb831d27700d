//! Models over a search space's encoding, for algorithms that learn what to try next: Gaussian
//! processes, random forests, Parzen estimators, and the hypervolume scalarisation that turns
//! several predictions into one score. Pure functions of their data and a seed; elementary
//! functions come from `libm`, so that a replay on another machine finds the same bits. They must
//! not know candidates, results in flight or when a model is fitted.

pub(super) mod forest;
pub(super) mod gaussian_process;
pub(super) mod kernel;
pub(super) mod likelihood;
pub(super) mod linear;
pub(super) mod normal;
pub(super) mod parzen;
pub(super) mod regression;
pub(super) mod scalarization;
pub(super) mod warp;
