//! `snip`: the sum over weights of |weight times gradient| (Lee et al., ICLR 2019; as in
//! zero-cost-nas, element by element). Applies to every network. Must not know layers: every weight
//! counts alike.

use super::Probe;
use crate::failure::EvaluationError;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    probe.gradients()?.sum(|weight, gradient| weight.f_mul(gradient)?.f_abs()?.f_sum(None))
}
