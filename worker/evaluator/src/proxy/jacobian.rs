//! `jacobian_mean_square` and `jacobian_condition`: the singular values of the Jacobian of logits
//! with respect to the image, averaged over images. Under dynamical isometry all are near 1 (mean
//! field theory; the reading of arXiv 2307.02263 is experimental).
//!
//! The mean of the squares, and the largest over the smallest that is not 0 by rounding. Apply to
//! every network. Where the logits do not depend on an image at all, its Jacobian has no singular value
//! but 0 and no condition; leaving such images out would favour networks that are dead for most of them.
//! Must not know labels or a loss.

use tch::{Kind, Tensor};

use super::Probe;
use crate::failure::EvaluationError;
use crate::network::Mode;

/// Singular values below this share of the largest are rounding.
const NOTHING: f64 = 1e-7;

/// `jacobian_mean_square`.
pub(super) fn mean_square(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    average(probe, |values| {
        Ok(values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64)
    })
}

/// `jacobian_condition`.
pub(super) fn condition(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    average(probe, |values| {
        let largest = values.iter().copied().fold(0.0, f64::max);
        if largest == 0.0 {
            return Err(EvaluationError::NonFinite(
                "`jacobian_condition` has no value: the logits do not depend on one of the images, \
                 so all singular values of its Jacobian are 0"
                    .to_owned(),
            ));
        }
        let present = values.iter().copied().filter(|value| *value > NOTHING * largest);
        Ok(largest / present.fold(f64::INFINITY, f64::min))
    })
}

/// The mean over images of a function of the image's singular values.
fn average(
    probe: &Probe<'_>,
    of: impl Fn(&[f64]) -> Result<f64, EvaluationError>,
) -> Result<f64, EvaluationError> {
    let (count, values) = singular_values(probe)?;
    let images = (values.len() / count) as f64;
    Ok(values.chunks(count).map(of).sum::<Result<f64, _>>()? / images)
}

/// The singular values of all images, and how many of them an image has, at least 1.
fn singular_values(probe: &Probe<'_>) -> Result<(usize, Vec<f64>), EvaluationError> {
    let jacobians = jacobians(probe)?;
    if jacobians.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Err(EvaluationError::NonFinite(
            "a derivative of the logits with respect to an image is NaN or infinite".to_owned(),
        ));
    }
    let (_, values, _) = jacobians.f_svd(true, false)?;
    let count = values.size()[1].max(1) as usize;
    Ok((count, Vec::<f64>::try_from(values.f_contiguous()?.f_view([-1])?)?))
}

/// The smallest and the largest singular value of all images.
#[cfg(test)]
pub(super) fn range(probe: &Probe<'_>) -> Result<(f64, f64), EvaluationError> {
    let (_, values) = singular_values(probe)?;
    Ok((
        values.iter().copied().fold(f64::INFINITY, f64::min),
        values.iter().copied().fold(0.0, f64::max),
    ))
}

/// `[images, classes, values of an image]`, 64-bit.
fn jacobians(probe: &Probe<'_>) -> Result<Tensor, EvaluationError> {
    let (images, _) = probe.batch(0)?;
    let network = probe.network()?;
    let images = images.f_detach()?.set_requires_grad(true);
    let logits = network.forward(&images, Mode::Train)?;
    let classes = logits.size()[1];
    let mut rows = Vec::with_capacity(classes as usize);
    for class in 0..classes {
        probe.check()?;
        let sum = logits.f_select(1, class)?.f_sum(None)?;
        let keep = class + 1 < classes;
        let gradient = Tensor::f_run_backward(&[sum], &[&images], keep, false)?;
        rows.push(gradient[0].f_flatten(1, -1)?);
    }
    Ok(Tensor::f_stack(&rows, 1)?.f_to_kind(Kind::Double)?)
}
