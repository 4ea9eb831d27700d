//! `zico`: how little gradients vary between two batches, relative to their size (Li et al., ICLR
//! 2023): the sum over layers of the logarithm of the sum over weights of `mean |g| / std(g)`.
//!
//! Mean and standard deviation are over the batches; weights whose gradient does not vary are left
//! out, as is a layer of such weights alone. The standard deviation is that of the signed gradient,
//! as in the released code. Applies to every network. Must not know the weights, only their gradients.

use tch::{Kind, Tensor};

use super::Probe;
use super::probe::Gradients;
use crate::failure::EvaluationError;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let first = probe.gradients()?;
    probe.check()?;
    let (images, labels) = probe.batch(1)?;
    // The same weights, since a probe draws them once.
    let second = Gradients::of(&probe.network()?, &images, &labels)?;
    let mut total = 0.0;
    for (first, second) in first.gradients.iter().zip(&second.gradients) {
        total += layer(first, second)?.unwrap_or(0.0);
    }
    Ok(total)
}

/// The logarithm for one layer, `None` if no gradient varies.
fn layer(first: &Tensor, second: &Tensor) -> Result<Option<f64>, EvaluationError> {
    let [first, second] = [first.f_to_kind(Kind::Double)?, second.f_to_kind(Kind::Double)?];
    // Of two values, the mean magnitude is half their sum and the deviation half their distance.
    let size = first.f_abs()?.f_add(&second.f_abs()?)?;
    let deviation = first.f_sub(&second)?.f_abs()?;
    let ratio = size.f_div(&deviation)?.f_where_self(
        &deviation.f_gt(0.0)?,
        &Tensor::f_zeros([], (Kind::Double, deviation.device()))?,
    )?;
    let sum = ratio.f_sum(None)?.f_double_value(&[])?;
    Ok((sum != 0.0).then(|| sum.ln()))
}
