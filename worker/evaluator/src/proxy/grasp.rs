//! `grasp`: minus the sum over weights of weight times (Hessian times gradient), the change of the
//! gradient's norm if a weight were removed (Wang et al., ICLR 2020; as in zero-cost-nas). Larger is
//! better. Applies to every network.

use tch::{Kind, Tensor};

use super::Probe;
use crate::failure::EvaluationError;
use crate::network::{Initialization, Mode};
use crate::train::mean_cross_entropy;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let (images, labels) = probe.batch(0)?;
    // libtorch's second derivatives of convolutions are slower with channels innermost.
    let network = probe.build(probe.graph(), Initialization::Uniform, probe.kind())?;
    let weights = network.weights();
    let loss = mean_cross_entropy(&network.forward(&images, Mode::Train)?, &labels)?;
    let gradients = Tensor::f_run_backward(&[loss], &weights, true, true)?;
    probe.check()?;
    // The gradient of <g, grad L> with g held constant is the Hessian times g.
    let mut product = Tensor::f_zeros([], (probe.kind(), probe.device()))?;
    for gradient in &gradients {
        product = product.f_add(&gradient.f_mul(&gradient.f_detach()?)?.f_sum(None)?)?;
    }
    let curved = Tensor::f_run_backward(&[product], &weights, false, false)?;
    let mut total = 0.0;
    for (weight, curved) in weights.iter().zip(&curved) {
        let product = weight.f_detach()?.f_mul(curved)?;
        total -= product.f_sum(Kind::Double)?.f_double_value(&[])?;
    }
    Ok(total)
}
