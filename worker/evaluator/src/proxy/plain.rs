//! `plain`: the sum over weights of weight times gradient, with its sign (zero-cost-nas, Abdelfattah
//! et al., ICLR 2021). Applies to every network. Must not know layers: every weight counts alike.

use super::Probe;
use crate::failure::EvaluationError;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    probe.gradients()?.sum(|weight, gradient| weight.f_mul(gradient)?.f_sum(None))
}
