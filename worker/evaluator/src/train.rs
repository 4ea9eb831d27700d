//! Training: stochastic gradient descent with a linear warm-up and a cosine decay to zero, mean
//! cross-entropy, everything random from the assignment's seed.
//!
//! The recipe is that of XNAS (AutoML 2023) and NAS-Bench-201 (Dong & Yang, ICLR 2020). Weights are
//! those after the last epoch. It must not know where samples come from nor what is measured later.

use cambrian_core::rng::{Purpose, Stream, stream};
use cambrian_core::spec::TrainSettings;
use rand::seq::SliceRandom;
use tch::nn::{Optimizer, OptimizerConfig, Sgd};
use tch::{Reduction, Tensor};

use crate::data::Splits;
use crate::data::augment::{Augmentation, Augmenter};
use crate::data::samples::{Normalization, Samples, batches};
use crate::evaluate::Supervision;
use crate::failure::EvaluationError;
use crate::network::{Mode, Network};

/// Samples of one inference batch while accuracy is computed.
const INFERENCE_BATCH: usize = 256;

/// What a seed's streams are for; the position is the stream's ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Randomness {
    /// Initial weights.
    Weights = 0,
    /// The order of training samples.
    Order = 1,
    /// Crops, flips and cutouts.
    Augmentation = 2,
    /// Pauses before energy readings.
    Phases = 3,
    /// Networks after the first, where a score is averaged over several.
    Repeats = 4,
    /// Images and changes of images that are noise: this stream and all after it.
    Noise = 5,
}

impl Randomness {
    /// The stream of this purpose under an assignment's seed.
    #[must_use]
    pub fn stream(self, seed: u64) -> Stream {
        stream(seed, Purpose::Evaluation, self as u64)
    }
}

/// A share of correctly classified samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Correctly classified samples.
    pub correct: u64,
    /// All samples, at least 1.
    pub total: u64,
}

impl Accuracy {
    /// In percent, 0 to 100.
    #[must_use]
    pub fn percent(self) -> f64 {
        100.0 * self.correct as f64 / self.total as f64
    }

    /// The binomial standard error `sqrt(p (1 - p) / n)`, in percentage points.
    #[must_use]
    pub fn standard_error(self) -> f64 {
        let share = self.correct as f64 / self.total as f64;
        100.0 * (share * (1.0 - share) / self.total as f64).sqrt()
    }
}

/// The learning rate over the steps of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    peak: f64,
    warmup_steps: f64,
    steps: f64,
}

impl Schedule {
    /// Rises linearly to `peak` over `warmup_epochs`, then falls along half a cosine to 0 at the
    /// end of `epochs` of `steps_per_epoch` steps.
    #[must_use]
    pub fn new(peak: f64, warmup_epochs: f64, epochs: u32, steps_per_epoch: usize) -> Self {
        let per_epoch = steps_per_epoch as f64;
        Self {
            peak,
            warmup_steps: (warmup_epochs * per_epoch).round(),
            steps: f64::from(epochs) * per_epoch,
        }
    }

    /// The rate of the step with this number, from 0.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        let step = step as f64;
        if step < self.warmup_steps {
            return self.peak * (step + 1.0) / self.warmup_steps;
        }
        let progress = (step - self.warmup_steps) / (self.steps - self.warmup_steps).max(1.0);
        0.5 * self.peak * (1.0 + (std::f64::consts::PI * progress).cos())
    }
}

/// Trains `network` on the training split. Each epoch is reported with its mean loss and, if
/// `validate`, its validation accuracy; returns that of the last epoch.
///
/// # Errors
/// [`EvaluationError::NonFinite`] as soon as a loss is not finite, [`EvaluationError::Stopped`]
/// between two steps of a stop, whatever libtorch reports.
pub fn train(
    network: &Network,
    splits: &Splits,
    settings: &TrainSettings,
    seed: u64,
    validate: bool,
    supervision: &mut Supervision<'_>,
) -> Result<Option<Accuracy>, EvaluationError> {
    let mut training = Training::new(network, splits, settings, seed)?;
    let mut accuracy = None;
    for epoch in 1..=settings.epochs {
        let loss = training.epoch(epoch, supervision)?;
        let mut metrics = vec![("train_loss", loss)];
        if validate {
            let reached =
                evaluate(network, &splits.validation, &splits.normalization, supervision)?;
            metrics.push(("accuracy", reached.percent()));
            accuracy = Some(reached);
        }
        supervision.progress(epoch, settings.epochs, &metrics);
    }
    Ok(accuracy)
}

struct Training<'a> {
    network: &'a Network,
    splits: &'a Splits,
    batch_size: usize,
    augmenter: Augmenter,
    optimizer: Optimizer,
    schedule: Schedule,
    positions: Vec<i64>,
    order: Stream,
    changes: Stream,
    step: u64,
}

impl<'a> Training<'a> {
    fn new(
        network: &'a Network,
        splits: &'a Splits,
        settings: &TrainSettings,
        seed: u64,
    ) -> Result<Self, EvaluationError> {
        // No operation draws from libtorch's own generator; seeded all the same, so that one which
        // ever did would not depend on earlier assignments of this process.
        tch::manual_seed(seed as i64);
        let count = splits.train.count();
        let batch_size = (settings.batch_size as usize).min(count);
        let steps = batches(count, batch_size).filter(|range| is_used(range, count)).count();
        let augment = settings.augment;
        let augmentation = Augmentation {
            crop_padding: augment.crop_padding,
            flip: augment.flip,
            cutout: augment.cutout,
        };
        let descent = Sgd {
            momentum: settings.momentum,
            dampening: 0.0,
            wd: settings.weight_decay,
            nesterov: settings.nesterov,
        };
        let TrainSettings { learning_rate, warmup_epochs, epochs, .. } = *settings;
        Ok(Self {
            network,
            splits,
            batch_size,
            augmenter: Augmenter::new(&splits.train.images, augmentation)?,
            optimizer: descent.build(network.store(), learning_rate)?,
            schedule: Schedule::new(learning_rate, warmup_epochs, epochs, steps),
            positions: (0..count as i64).collect(),
            order: Randomness::Order.stream(seed),
            changes: Randomness::Augmentation.stream(seed),
            step: 0,
        })
    }

    /// One pass over the training samples; the mean of the steps' losses.
    fn epoch(
        &mut self,
        epoch: u32,
        supervision: &mut Supervision<'_>,
    ) -> Result<f64, EvaluationError> {
        self.positions.shuffle(&mut self.order);
        let count = self.positions.len();
        let (mut sum, mut steps) = (0.0, 0u32);
        for range in batches(count, self.batch_size).filter(|range| is_used(range, count)) {
            let positions = self.positions[range].to_vec();
            let loss = supervision.share(|| self.descend(&positions))?;
            if !loss.is_finite() {
                return Err(EvaluationError::NonFinite(format!(
                    "the training loss is {loss} in step {} (epoch {epoch}); a lower learning rate \
                     may help",
                    self.step
                )));
            }
            sum += loss;
            steps += 1;
        }
        Ok(sum / f64::from(steps.max(1)))
    }

    fn descend(&mut self, positions: &[i64]) -> Result<f64, EvaluationError> {
        let (network, splits) = (self.network, self.splits);
        let images = self.augmenter.batch(
            positions,
            &mut self.changes,
            &splits.normalization,
            network.kind(),
        )?;
        let index = Tensor::f_from_slice(positions)?.f_to_device(network.device())?;
        let labels = splits.train.labels.f_index_select(0, &index)?;
        self.optimizer.set_lr(self.schedule.rate(self.step));
        self.step += 1;
        self.optimizer.zero_grad();
        let loss = mean_cross_entropy(&network.forward(&images, Mode::Train)?, &labels)?;
        let value = loss.f_double_value(&[])?;
        if value.is_finite() {
            loss.f_backward()?;
            self.optimizer.step();
        }
        Ok(value)
    }
}

/// A last batch of one sample is left out: its batch statistics would have no variance.
fn is_used(range: &std::ops::Range<usize>, count: usize) -> bool {
    range.len() > 1 || count == 1
}

/// The mean over samples of the cross-entropy between `logits`, `[samples, classes]`, and `labels`.
///
/// # Errors
/// Whatever libtorch reports.
pub fn mean_cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, tch::TchError> {
    logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, 0.0)
}

/// The accuracy of `network` on `samples` in inference mode.
///
/// # Errors
/// [`EvaluationError::NonFinite`] if an output is not finite, a stop, whatever libtorch reports.
pub fn evaluate(
    network: &Network,
    samples: &Samples,
    normalization: &Normalization,
    supervision: &mut Supervision<'_>,
) -> Result<Accuracy, EvaluationError> {
    let mut correct = 0;
    for range in batches(samples.count(), INFERENCE_BATCH) {
        correct += supervision.share(|| {
            let _guard = tch::no_grad_guard();
            let (images, labels) = samples.batch(range, normalization, network.kind())?;
            let logits = network.forward(&images, Mode::Evaluate)?;
            if logits.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Err(EvaluationError::NonFinite(
                    "an output of the trained network is NaN or infinite".into(),
                ));
            }
            let hits = logits.f_argmax(1, false)?.f_eq_tensor(&labels)?;
            Ok(hits.f_sum(tch::Kind::Int64)?.f_int64_value(&[])? as u64)
        })?;
    }
    Ok(Accuracy { correct, total: samples.count() as u64 })
}

#[cfg(test)]
mod tests;
