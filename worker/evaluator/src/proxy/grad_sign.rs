//! `grad_sign`: how far samples agree on the direction of descent (Zhang & Jia, ICLR 2022): the sum
//! over weights of the magnitude of the sum over samples of the sign of the gradient.
//!
//! Each sample is a batch of its own, as in the released code, so batch normalisation sees one image.
//! Applies to every network whose normalised maps have more than one value. Must not know the gradients
//! that a probe keeps, which are those of the whole batch.

use tch::{Kind, Tensor};

use super::Probe;
use super::probe::Gradients;
use crate::failure::EvaluationError;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let (images, labels) = probe.batch(0)?;
    let network = probe.network()?;
    let mut signs: Vec<Tensor> = Vec::new();
    for sample in 0..images.size()[0] {
        probe.check()?;
        let (image, label) = (images.f_narrow(0, sample, 1)?, labels.f_narrow(0, sample, 1)?);
        let found = Gradients::of(&network, &image, &label)?.gradients;
        for (layer, gradient) in found.iter().enumerate() {
            let sign = gradient.f_sign()?;
            match signs.get_mut(layer) {
                Some(sum) => *sum = sum.f_add(&sign)?,
                None => signs.push(sign),
            }
        }
    }
    let mut total = 0.0;
    for sum in &signs {
        total += sum.f_abs()?.f_sum(Kind::Double)?.f_double_value(&[])?;
    }
    Ok(total)
}
