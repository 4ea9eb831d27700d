//! `fisher`: the Fisher information of channels (Theis et al. 2018; as in zero-cost-nas). With `a`
//! the output of a convolution or linear layer, the value of a channel is half the mean over samples
//! of the square of the sum over positions of `a dL/da`. zero-cost-nas spreads the value over the
//! channel's weights, so that each channel counts as often as it has weights.
//!
//! Applies to every network. Must not know gradients of weights: only outputs have any here.

use cambrian_core::graph::Op;
use tch::{Kind, Tensor};

use super::Probe;
use crate::failure::EvaluationError;
use crate::network::{Mode, Network};
use crate::train::mean_cross_entropy;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let (images, labels) = probe.batch(0)?;
    let network = probe.network()?;
    let mut total = 0.0;
    for (channels, weight) in information(&network, &images, &labels)?.iter().zip(network.weights())
    {
        let filter = weight.numel() as f64 / weight.size()[0] as f64;
        total += filter * channels.f_sum(None)?.f_double_value(&[])?;
    }
    Ok(total)
}

/// The information of the channels of each weighted layer, `[channels]`, 64-bit.
pub(super) fn information(
    network: &Network,
    images: &Tensor,
    labels: &Tensor,
) -> Result<Vec<Tensor>, EvaluationError> {
    let mut outputs = Vec::new();
    let logits = network.forward_observed(images, Mode::Train, &mut |_, op, output| {
        if matches!(op, Op::Conv2d { .. } | Op::Linear { .. }) {
            outputs.push(output.shallow_clone());
        }
        Ok(())
    })?;
    let loss = mean_cross_entropy(&logits, labels)?;
    let gradients = Tensor::f_run_backward(&[loss], &outputs, false, false)?;
    let mut layers = Vec::with_capacity(outputs.len());
    for (output, gradient) in outputs.iter().zip(&gradients) {
        let product = output.f_detach()?.f_mul(gradient)?.f_to_kind(Kind::Double)?;
        let product = match product.dim() {
            4 => product.f_sum_dim_intlist([2i64, 3].as_slice(), false, None)?,
            _ => product,
        };
        let squares = product.f_square()?.f_mean_dim([0i64].as_slice(), false, None)?;
        layers.push(squares.f_mul_scalar(0.5)?);
    }
    Ok(layers)
}
