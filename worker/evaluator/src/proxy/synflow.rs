//! `synflow`: the synaptic flow (Tanaka et al., NeurIPS 2020; as in zero-cost-nas). With every
//! parameter replaced by its magnitude, batch normalisation left out and one image of ones,
//! `R` is the sum of the outputs and the score is the sum over weights of `w dR/dw`.
//!
//! Reads no data. In double precision: values grow by the product of all layers. For a chain of `L`
//! layers without biases it is `L R`. Applies to every network.

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
    let weights = network.weights();
    let flow = network.forward(&image, Mode::Unnormalized)?.f_sum(None)?;
    let gradients = Tensor::f_run_backward(&[flow], &weights, false, false)?;
    let mut total = 0.0;
    for (weight, gradient) in weights.iter().zip(&gradients) {
        total += weight.f_detach()?.f_mul(gradient)?.f_abs()?.f_sum(None)?.f_double_value(&[])?;
    }
    Ok(total)
}
