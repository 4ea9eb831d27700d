//! `grad_norm`: the sum over layers of the norm of the loss gradient (zero-cost-nas, Abdelfattah et
//! al., ICLR 2021). Applies to every network. Must not know the weights, only their gradients.

use super::Probe;
use crate::failure::EvaluationError;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    probe.gradients()?.sum(|_, gradient| gradient.f_norm())
}
