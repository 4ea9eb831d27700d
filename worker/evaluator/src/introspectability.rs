//! Introspectability: how differently a trained network represents the classes that it tells apart
//! (XNAS: "Learning Debuggable Models Through Multi-Objective NAS", AutoML 2023, arXiv 2112.08645).
//!
//! `a_i` is the concatenation of the outputs of all convolutions (before batch normalisation, so
//! signed) and of all activation layers for sample `i`, without averaging within a layer. `m_c` is
//! the mean of `a_i` over the samples that the network *predicts* to be of class `c`, whatever
//! their label. The score is the mean of `1 - cos(m_c, m_c')` over all pairs of classes, from 0 to
//! 2, larger is better; pairs with a zero vector, such as those of a class that is never predicted,
//! are left out. Sums are 64-bit and streamed by the batch.
//!
//! The paper scores a network that predicts a single class as minus infinity. Non-finite values are
//! never sorted as numbers here, so that is [`Undefined`]: a failure of kind `non_finite` with its
//! reason. A network without any such layer scores 0, as in the paper. It must not know labels or how the network
//! was trained.

use cambrian_core::graph::Op;
use tch::{Kind, TchError, Tensor};
use thiserror::Error;

use crate::data::samples::{Normalization, Samples, batches};
use crate::evaluate::Supervision;
use crate::failure::EvaluationError;
use crate::network::{Mode, Network};

/// The most memory that the layer outputs of one batch may take, in bytes.
const BATCH_BYTES: u64 = 64 << 20;
/// The largest batch, in samples.
const BATCH_SAMPLES: u64 = 128;

/// Why a network has no introspectability.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Undefined {
    /// There is no second class to compare with.
    #[error(
        "introspectability is undefined (minus infinity in the paper): the network predicts class \
         {0} for every sample"
    )]
    OneClass(usize),
    /// Nothing was added.
    #[error("introspectability is undefined: no sample was evaluated")]
    NoSamples,
    /// Class vectors exist but no two of them have a direction.
    #[error(
        "introspectability is undefined: fewer than two classes have activations that are not zero"
    )]
    NoDirection,
    /// An activation is NaN or infinite.
    #[error("introspectability is not finite: an activation is NaN or infinite")]
    NonFinite,
}

/// Whether the outputs of `op` are among those that are compared.
#[must_use]
pub fn is_observed(op: Op) -> bool {
    matches!(op, Op::Conv2d { .. }) || op.is_activation()
}

/// A pair of classes and the cosine distance of their class vectors, 0 to 2.
pub type PairDistances = Vec<((usize, usize), f64)>;

/// Sums of layer outputs by predicted class.
#[derive(Debug)]
pub struct ClassActivations {
    classes: usize,
    /// For each layer `[classes, values]`, 64-bit.
    sums: Vec<Tensor>,
    /// Samples by class, 64-bit integers.
    counts: Option<Tensor>,
}

impl ClassActivations {
    /// Empty sums for `classes` classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self { classes, sums: Vec::new(), counts: None }
    }

    /// Adds a batch: the outputs of the layers, each `[samples, ...]` and in the same order each
    /// time, and the class of each sample, `[samples]`.
    ///
    /// # Errors
    /// Whatever libtorch reports, such as shapes that differ from those of earlier batches.
    pub fn add(&mut self, outputs: &[Tensor], predicted: &Tensor) -> Result<(), TchError> {
        let members = predicted.f_one_hot(self.classes as i64)?;
        let counts = members.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Int64)?;
        let members = members.f_to_kind(Kind::Double)?.f_transpose(0, 1)?;
        for (layer, output) in outputs.iter().enumerate() {
            let values = output.f_flatten(1, -1)?.f_to_kind(Kind::Double)?;
            let sum = members.f_matmul(&values)?;
            match self.sums.get_mut(layer) {
                Some(total) => *total = total.f_add(&sum)?,
                None => self.sums.push(sum),
            }
        }
        self.counts = Some(match &self.counts {
            Some(total) => total.f_add(&counts)?,
            None => counts,
        });
        Ok(())
    }

    /// `1 - cos` of each pair of classes `(c, c')`, `c < c'`, that both have a direction; ascending.
    ///
    /// # Errors
    /// [`EvaluationError::NonFinite`] if an activation was not finite; whatever libtorch reports.
    pub fn pair_distances(&self) -> Result<PairDistances, EvaluationError> {
        let products = self.products()?;
        let product = |a: usize, b: usize| products[a * self.classes + b];
        if products.iter().any(|value| !value.is_finite()) {
            return Err(Undefined::NonFinite.into());
        }
        let mut distances = Vec::new();
        for first in 0..self.classes {
            for second in first + 1..self.classes {
                let norm = (product(first, first) * product(second, second)).sqrt();
                if norm > 0.0 {
                    // Rounding must not carry the cosine beyond its range.
                    let cosine = (product(first, second) / norm).clamp(-1.0, 1.0);
                    distances.push(((first, second), 1.0 - cosine));
                }
            }
        }
        Ok(distances)
    }

    /// The score, 0 to 2; 0 if there are no layers.
    ///
    /// # Errors
    /// [`Undefined`] as [`EvaluationError::NonFinite`]; whatever libtorch reports.
    pub fn score(&self) -> Result<f64, EvaluationError> {
        let counts: Vec<i64> = match &self.counts {
            Some(counts) => Vec::try_from(counts)?,
            None => return Err(Undefined::NoSamples.into()),
        };
        if self.sums.is_empty() {
            return Ok(0.0);
        }
        let mut predicted = (0..self.classes).filter(|&class| counts[class] > 0);
        match (predicted.next(), predicted.next()) {
            (Some(only), None) => return Err(Undefined::OneClass(only).into()),
            (None, _) => return Err(Undefined::NoSamples.into()),
            _ => {}
        }
        let distances = self.pair_distances()?;
        if distances.is_empty() {
            return Err(Undefined::NoDirection.into());
        }
        let sum: f64 = distances.iter().map(|(_, distance)| distance).sum();
        Ok(sum / distances.len() as f64)
    }

    /// The scalar products of all class vectors, row-major `[classes, classes]`.
    fn products(&self) -> Result<Vec<f64>, TchError> {
        let mut total = vec![0.0; self.classes * self.classes];
        for sum in &self.sums {
            let products = sum.f_matmul(&sum.f_transpose(0, 1)?)?.f_contiguous()?.f_view([-1])?;
            for (total, product) in total.iter_mut().zip(Vec::<f64>::try_from(products)?) {
                *total += product;
            }
        }
        Ok(total)
    }
}

/// The introspectability of `network` on the first `limit` of `samples`, in inference mode.
///
/// # Errors
/// [`Undefined`] as [`EvaluationError::NonFinite`], a stop, or whatever libtorch reports.
pub fn introspectability(
    network: &Network,
    samples: &Samples,
    normalization: &Normalization,
    classes: usize,
    limit: usize,
    supervision: &mut Supervision<'_>,
) -> Result<f64, EvaluationError> {
    let bytes = network.values(is_observed).max(1) * network.kind().elt_size_in_bytes() as u64;
    let size = (BATCH_BYTES / bytes).clamp(1, BATCH_SAMPLES) as usize;
    let mut activations = ClassActivations::new(classes);
    for range in batches(samples.count().min(limit), size) {
        supervision.share(|| {
            let _guard = tch::no_grad_guard();
            let (images, _) = samples.batch(range, normalization, network.kind())?;
            let mut outputs = Vec::new();
            let logits =
                network.forward_observed(&images, Mode::Evaluate, &mut |_, op, output| {
                    if is_observed(op) {
                        outputs.push(output.shallow_clone());
                    }
                    Ok(())
                })?;
            Ok(activations.add(&outputs, &logits.f_argmax(1, false)?)?)
        })?;
    }
    activations.score()
}

#[cfg(test)]
mod tests;
