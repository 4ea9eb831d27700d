//! `nn_mass`: the density of links that skip layers, times width and depth, summed over cells (Bhardwaj et
//! al., CVPR 2021). The core has the definition; must not know weights or images.
//!
//! Networks with three convolutions behind each other at some resolution alone.

use super::Probe;
use crate::failure::EvaluationError;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    probe.graph().nn_mass().map_err(|reason| EvaluationError::NotApplicable {
        metric: "nn_mass",
        reason: reason.to_string(),
    })
}
