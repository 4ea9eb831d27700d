//! `knas_mgm` and `knas_mgm_code`: the mean of the Gram matrix of gradients (KNAS, Xu et al., ICML
//! 2021), as the paper defines it and as the released code computes it. They are different numbers.
//!
//! The paper's is `||mean of the samples' gradients||^2`, averaged over layers. The code's takes the
//! first 11 parameters of at least 50 values; for each of their first 50 values it adds the scalar
//! product of the centred gradients of the first half of the samples with those of the second half,
//! over the square of the number of samples; each sample is a batch of its own. Both apply to every
//! network. Must not know the graph: the network says in which order parameters come.

use tch::{Kind, Tensor};

use super::Probe;
use crate::failure::EvaluationError;
use crate::network::{Mode, Network};
use crate::train::mean_cross_entropy;

/// The parameters that the released code reads, at most.
const PARAMETERS: usize = 11;
/// The values of a parameter that it reads, and the fewest that it must have.
const VALUES: i64 = 50;

/// `knas_mgm`. The gradient of the mean loss is the mean of the samples' gradients.
pub(super) fn mean_of_gram(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let gradients = probe.gradients()?;
    let sum = gradients.sum(|_, gradient| gradient.f_square()?.f_sum(None))?;
    Ok(sum / gradients.gradients.len().max(1) as f64)
}

/// `knas_mgm_code`.
pub(super) fn released_code(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let (images, labels) = probe.batch(0)?;
    let network = probe.network()?;
    let read: Vec<Tensor> = network
        .trainable()
        .into_iter()
        .filter(|parameter| parameter.numel() as i64 >= VALUES)
        .take(PARAMETERS)
        .collect();
    if read.is_empty() {
        return Err(EvaluationError::NotApplicable {
            metric: "knas_mgm_code",
            reason: format!("no parameter of the network has {VALUES} values"),
        });
    }
    let mut rows = Vec::new();
    for sample in 0..images.size()[0] {
        probe.check()?;
        rows.push(row(&network, &read, &images, &labels, sample)?);
    }
    halves(&Tensor::f_stack(&rows, 0)?)
}

/// The gradient of one sample, the first values of every parameter that is read.
fn row(
    network: &Network,
    read: &[Tensor],
    images: &Tensor,
    labels: &Tensor,
    sample: i64,
) -> Result<Tensor, EvaluationError> {
    let (image, label) = (images.f_narrow(0, sample, 1)?, labels.f_narrow(0, sample, 1)?);
    let loss = mean_cross_entropy(&network.forward(&image, Mode::Train)?, &label)?;
    let gradients = Tensor::f_run_backward(&[loss], read, false, false)?;
    let first: Result<Vec<Tensor>, _> = gradients
        .iter()
        .map(|gradient| gradient.f_contiguous()?.f_reshape([-1])?.f_narrow(0, 0, VALUES))
        .collect();
    Ok(Tensor::f_cat(&first?, 0)?.f_to_kind(Kind::Double)?)
}

/// The score of gradients, `[samples, values]`, 64-bit.
pub(super) fn halves(gradients: &Tensor) -> Result<f64, EvaluationError> {
    let half = gradients.size()[0] / 2;
    let centred = |start: i64| -> Result<Tensor, EvaluationError> {
        let half = gradients.f_narrow(0, start, half)?;
        Ok(half.f_sub(&half.f_mean_dim([0i64].as_slice(), true, None)?)?)
    };
    let product = centred(0)?.f_mul(&centred(half)?)?.f_sum(None)?.f_double_value(&[])?;
    Ok(product / (4 * half * half).max(1) as f64)
}
