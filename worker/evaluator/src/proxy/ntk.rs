//! `ntk_condition`: the condition number of the neural tangent kernel at initialisation (TE-NAS,
//! Chen et al., ICLR 2021), with weights after He et al. Smaller is better.
//!
//! Row `i` of `G` is the gradient of the sum of logits of image `i` with respect to every tensor
//! that PyTorch calls `weight`, the scales of batch normalisation included; the score is the largest
//! over the smallest eigenvalue of `G G^T`. One backward pass through the whole batch for each image:
//! by far the most expensive proxy. Applies to every network; 1e5 where the kernel is not a number, as
//! in TE-NAS. A kernel that is singular by all that double precision can tell has no condition: its
//! smallest eigenvalue is the rounding of a 0, of either sign. Must not know labels or a loss.

use tch::{Kind, Tensor};

use super::Probe;
use crate::failure::EvaluationError;
use crate::network::{Initialization, Mode, Network};

/// What TE-NAS puts in the place of a condition that is not a number.
const UNDEFINED: f64 = 1e5;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let (images, _) = probe.batch(0)?;
    let network = probe.network_with(Initialization::KaimingFanOut)?;
    condition(&kernel(&network, &images, &|| probe.check())?)
}

/// The kernel, `[samples, samples]`, 64-bit.
pub(super) fn kernel(
    network: &Network,
    images: &Tensor,
    check: &dyn Fn() -> Result<(), EvaluationError>,
) -> Result<Tensor, EvaluationError> {
    let weights = network.weights_and_scales();
    let logits = network.forward(images, Mode::Train)?;
    let samples = logits.size()[0];
    let mut rows = Vec::with_capacity(samples as usize);
    for sample in 0..samples {
        check()?;
        let sum = logits.f_get(sample)?.f_sum(None)?;
        let keep = sample + 1 < samples;
        let gradients = Tensor::f_run_backward(&[sum], &weights, keep, false)?;
        let parts: Result<Vec<Tensor>, _> =
            gradients.iter().map(|gradient| gradient.f_reshape([-1])).collect();
        rows.push(Tensor::f_cat(&parts?, 0)?);
    }
    let rows = Tensor::f_stack(&rows, 0)?.f_to_kind(Kind::Double)?;
    Ok(rows.f_matmul(&rows.f_transpose(0, 1)?)?)
}

/// Largest over smallest eigenvalue, which is 1 at least.
///
/// # Errors
/// [`EvaluationError::NonFinite`] if the smallest is not told from 0.
pub(super) fn condition(kernel: &Tensor) -> Result<f64, EvaluationError> {
    if kernel.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Ok(UNDEFINED);
    }
    let values = Vec::<f64>::try_from(kernel.f_linalg_eigvalsh("L")?)?;
    let (Some(&smallest), Some(&largest)) = (values.first(), values.last()) else {
        return Ok(UNDEFINED);
    };
    let rounding = f64::EPSILON * values.len() as f64 * largest;
    if smallest <= rounding {
        return Err(EvaluationError::NonFinite(format!(
            "`ntk_condition` has no finite value: the tangent kernel of {} images is singular, with \
             eigenvalues from {smallest:.1e} to {largest:.1e}",
            values.len()
        )));
    }
    let condition = largest / smallest;
    Ok(if condition.is_nan() { UNDEFINED } else { condition })
}
