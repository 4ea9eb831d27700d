//! `jacob_cov`: how little the input gradients of different images correlate (Mellor et al. 2020,
//! first version; as in zero-cost-nas). `J` is the gradient of the sum of logits with respect to
//! each image, `v` the eigenvalues of the correlation matrix of its rows; the score is
//! `-sum(log(v + k) + 1 / (v + k))` with `k = 1e-5`.
//!
//! Applies to every network; it is not a number where an image has no gradient. Must not know labels
//! or a loss.

use tch::{Kind, Tensor};

use super::Probe;
use crate::failure::EvaluationError;
use crate::network::Mode;

const SHIFT: f64 = 1e-5;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let (images, _) = probe.batch(0)?;
    let network = probe.network()?;
    let images = images.f_detach()?.set_requires_grad(true);
    let sum = network.forward(&images, Mode::Train)?.f_sum(None)?;
    let gradients = Tensor::f_run_backward(&[sum], &[&images], false, false)?;
    spread(&gradients[0].f_flatten(1, -1)?)
}

/// The score of gradients, `[samples, values]`.
pub(super) fn spread(gradients: &Tensor) -> Result<f64, EvaluationError> {
    let correlation = gradients.f_to_kind(Kind::Double)?.f_corrcoef()?;
    if correlation.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Ok(f64::NAN);
    }
    let values = Vec::<f64>::try_from(correlation.f_linalg_eigvalsh("L")?)?;
    // A correlation matrix has no negative eigenvalues but by rounding.
    let shifted = values.into_iter().map(|value| value.max(0.0) + SHIFT);
    Ok(-shifted.map(|value| value.ln() + 1.0 / value).sum::<f64>())
}
