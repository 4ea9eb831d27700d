//! `synflow`: the synaptic flow (Tanaka et al., NeurIPS 2020; as in zero-cost-nas). With every
//! parameter replaced by its magnitude, batch normalisation left out and one image of ones,
//! `R` is the sum of the outputs and the score is the sum over weights of `w dR/dw`.
//!
//! Must not know data or a loss. In double precision: values grow by the product of all layers. For a chain of `L`
//! layers without biases it is `L R`. Applies to every network.

use cambrian_core::graph::Op;
use tch::{Kind, Tensor};

use super::Probe;
use super::probe::sample_size;
use crate::failure::EvaluationError;
use crate::network::{Initialization, Mode};

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let network = probe.build(probe.graph(), Initialization::Uniform, Kind::Double)?;
    {
        let _guard = tch::no_grad_guard();
        for mut parameter in network.trainable() {
            let _ = parameter.f_abs_()?;
        }
    }
    let size = sample_size(1, probe.graph().input_shape());
    let image = Tensor::f_ones(size, (Kind::Double, probe.device()))?;
    let mut outputs = Vec::new();
    let logits = network.forward_observed(&image, Mode::Unnormalized, &mut |_, op, output| {
        if matches!(op, Op::Conv2d { .. } | Op::Linear { .. }) {
            outputs.push(output.shallow_clone());
        }
        Ok(())
    })?;
    let flow = logits.f_sum(None)?;
    let gradients = Tensor::f_run_backward(&[flow], &outputs, false, false)?;
    // A layer's output is linear in its weights, so that the sum of `w dR/dw` over the weights is that
    // of `a dR/da` over what they add to the output: gradients of weights are never computed.
    let mut total = 0.0;
    for ((output, gradient), bias) in outputs.iter().zip(&gradients).zip(network.biases()) {
        let added = match bias {
            Some(bias) if output.dim() == 4 => output.f_sub(&bias.f_view([1, -1, 1, 1])?)?,
            Some(bias) => output.f_sub(&bias)?,
            None => output.shallow_clone(),
        };
        total += added.f_detach()?.f_mul(gradient)?.f_sum(None)?.f_double_value(&[])?;
    }
    Ok(total)
}
