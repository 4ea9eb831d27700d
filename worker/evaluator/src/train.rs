//! Training: an optimizer follows the gradients of the mean cross-entropy, its learning rate a
//! schedule; everything random comes from the assignment's seed.
//!
//! The default recipe is that of XNAS (AutoML 2023) and NAS-Bench-201 (Dong & Yang, ICLR 2020):
//! stochastic gradient descent, a linear warm-up and a cosine decay to zero. Weights are those after
//! the last epoch, or their moving average. A training can begin with the state that an earlier one has
//! left, and goes on as if there had been no end. It must not know where samples come from nor what is
//! measured later.

mod average;
mod checkpoint;
mod loss_scale;
mod optimizer;
mod schedule;

use std::collections::BTreeMap;

use cambrian_core::rng::{Purpose, Stream, stream};
use cambrian_core::spec::{Precision, TrainSettings};
use rand::seq::SliceRandom;
use tch::{Kind, Reduction, TchError, Tensor};

use crate::data::Splits;
use crate::data::augment::{Augmentation, Augmenter, Randoms};
use crate::data::samples::{Normalization, Samples, batches};
use crate::evaluate::Supervision;
use crate::failure::EvaluationError;
use crate::network::{Mode, Network};
use average::Average;
pub use checkpoint::{CheckpointFault, Files, Identity};
use checkpoint::{Part, Position};
use loss_scale::LossScale;
pub(crate) use optimizer::NORM_AND_BIAS;
use optimizer::Optimizer;
pub use schedule::Schedule;

/// Samples of one inference batch while accuracy is computed.
const INFERENCE_BATCH: usize = 256;

/// What a seed's streams are for; the position is the stream's ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
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
    /// Images and changes of images that are noise: this stream and those after it.
    Noise = 5,
    /// Erased rectangles.
    Erasing = u64::MAX,
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

/// Trains `network` on the training split, or goes on where `files` says that an earlier training has
/// ended; its state at the end is written where `files` says. Each epoch is reported with its mean
/// loss and, if `validate`, its validation accuracy; returns that of the last epoch.
///
/// If it is stopped and its state is wanted, it is written where `files` says, in the middle of an epoch as
/// well: whoever goes on with it ends with the same bits. So is the state that is asked for on the way.
///
/// A state that cannot be continued, or cannot be written, leaves a note and no error.
///
/// # Errors
/// [`EvaluationError::NonFinite`] as soon as a loss is not finite, [`EvaluationError::Stopped`]
/// between two steps of a stop, whatever libtorch reports.
pub fn train(
    network: &Network,
    splits: &Splits,
    settings: &TrainSettings,
    validate: bool,
    files: &Files,
    supervision: &mut Supervision<'_>,
) -> Result<Option<Accuracy>, EvaluationError> {
    let mut training = Training::new(network, splits, settings, files.identity.clone())?;
    if let Err(fault) = training.resume(files)? {
        let state = "it began anew, because of the state that it was to go on with";
        supervision.note(format!("{state}: {fault}"));
    }
    let mut accuracy = None;
    for epoch in training.epochs + 1..=settings.epochs {
        let passed = training.pass(epoch, validate, supervision);
        if matches!(passed, Err(EvaluationError::Stopped)) {
            training.leave(files, supervision);
        }
        let (loss, reached) = passed?;
        let mut metrics = vec![("train_loss", loss)];
        metrics.extend(reached.map(|reached| ("accuracy", reached.percent())));
        accuracy = reached;
        supervision.progress(epoch, settings.epochs, &metrics);
    }
    if let Some(path) = &files.write
        && let Err(error) = training.write(path)
    {
        supervision.note(format!("its state could not be written: {error}"));
    }
    training.exchange_average()?;
    Ok(accuracy)
}

struct Training<'a> {
    identity: Identity,
    network: &'a Network,
    splits: &'a Splits,
    batch_size: usize,
    label_smoothing: f64,
    augmenter: Augmenter,
    optimizer: Optimizer,
    schedule: Schedule,
    average: Option<Average>,
    /// Of mixed precision.
    scale: Option<LossScale>,
    positions: Vec<i64>,
    order: Stream,
    randoms: Randoms,
    /// Finished epochs.
    epochs: u32,
    /// What is done of the next one.
    part: Option<Part>,
    step: u64,
    /// The epochs of the whole training.
    until: u32,
}

/// The name of the order of samples among the tensors of a checkpoint.
const POSITIONS: &str = "positions";

impl<'a> Training<'a> {
    fn new(
        network: &'a Network,
        splits: &'a Splits,
        settings: &TrainSettings,
        identity: Identity,
    ) -> Result<Self, EvaluationError> {
        let seed = identity.seed;
        // No operation draws from libtorch's own generator; seeded all the same, so that one which
        // ever did would not depend on earlier assignments of this process.
        tch::manual_seed(seed as i64);
        let count = splits.train.count();
        let batch_size = (settings.batch_size as usize).min(count);
        let steps = batches(count, batch_size).filter(|range| is_used(range, count)).count();
        let augmentation = Augmentation::from(settings.augment);
        let average = settings.ema_decay.map(|decay| Average::new(decay, &network.variables()));
        Ok(Self {
            identity,
            network,
            splits,
            batch_size,
            label_smoothing: settings.label_smoothing,
            augmenter: Augmenter::new(&splits.train.images, augmentation)?,
            optimizer: Optimizer::new(network.store(), settings)?,
            schedule: Schedule::new(settings, steps),
            average: average.transpose()?,
            scale: (settings.precision == Precision::Mixed).then(LossScale::default),
            positions: (0..count as i64).collect(),
            order: Randomness::Order.stream(seed),
            randoms: Randoms {
                changes: Randomness::Augmentation.stream(seed),
                erasing: Randomness::Erasing.stream(seed),
            },
            epochs: 0,
            part: None,
            step: 0,
            until: settings.epochs,
        })
    }

    /// An epoch: its mean loss, and, if `validate`, its validation accuracy.
    fn pass(
        &mut self,
        epoch: u32,
        validate: bool,
        supervision: &mut Supervision<'_>,
    ) -> Result<(f64, Option<Accuracy>), EvaluationError> {
        let loss = self.epoch(epoch, supervision)?;
        let accuracy = if validate { Some(self.validate(supervision)?) } else { None };
        (self.epochs, self.part) = (epoch, None);
        Ok((loss, accuracy))
    }

    fn validate(&mut self, supervision: &mut Supervision<'_>) -> Result<Accuracy, EvaluationError> {
        let Splits { validation, normalization, .. } = self.splits;
        self.exchange_average()?;
        let accuracy = evaluate(self.network, validation, normalization, supervision);
        // A stop as well must find the weights that are trained.
        self.exchange_average()?;
        accuracy
    }

    /// Writes the state of a training that was stopped, if it is wanted.
    fn leave(&mut self, files: &Files, supervision: &mut Supervision<'_>) {
        let Some(path) = files.left.as_ref().filter(|_| (supervision.wanted)()) else { return };
        match self.write(path) {
            Ok(()) => supervision.kept.step = self.epochs,
            Err(error) => supervision.note(format!("its state could not be written: {error}")),
        }
    }

    /// Writes the state of a training that goes on, if somebody has asked for it. Whoever cannot have it does
    /// not ask again.
    fn save(&mut self, supervision: &mut Supervision<'_>) {
        let Some(path) = (supervision.asked)() else { return };
        match self.write(&path) {
            Ok(()) => (supervision.written)(self.epochs),
            Err(error) => eprintln!("note: its state could not be written on the way: {error}"),
        }
    }

    /// One pass over the training samples, or the rest of one; the mean of the steps' losses.
    fn epoch(
        &mut self,
        epoch: u32,
        supervision: &mut Supervision<'_>,
    ) -> Result<f64, EvaluationError> {
        if self.part.is_none() {
            self.positions.shuffle(&mut self.order);
        }
        let count = self.positions.len();
        let mut part = *self.part.get_or_insert_default();
        let used = batches(count, self.batch_size).filter(|range| is_used(range, count));
        for range in used.skip(part.steps as usize) {
            let positions = self.positions[range].to_vec();
            let loss = supervision.share(|| self.descend(&positions))?;
            if !loss.is_finite() {
                return Err(EvaluationError::NonFinite(format!(
                    "the training loss is {loss} in step {} (epoch {epoch}); a lower learning rate \
                     may help",
                    self.step
                )));
            }
            let sum = f64::from_bits(part.loss_bits) + loss;
            part = Part { steps: part.steps + 1, loss_bits: sum.to_bits() };
            self.part = Some(part);
            self.save(supervision);
        }
        Ok(f64::from_bits(part.loss_bits) / f64::from(part.steps.max(1)))
    }

    fn descend(&mut self, positions: &[i64]) -> Result<f64, EvaluationError> {
        let (network, splits) = (self.network, self.splits);
        let images = self.augmenter.batch(
            positions,
            &mut self.randoms,
            &splits.normalization,
            network.kind(),
        )?;
        let index = Tensor::f_from_slice(positions)?.f_to_device(network.device())?;
        let labels = splits.train.labels.f_index_select(0, &index)?;
        let rate = self.schedule.rate(self.step);
        self.step += 1;
        self.optimizer.zero_grad();
        let logits = || network.forward(&images, Mode::Train);
        let logits = match self.scale {
            Some(_) => tch::autocast(true, logits)?.f_to_kind(Kind::Float)?,
            None => logits()?,
        };
        let loss = smoothed_cross_entropy(&logits, &labels, self.label_smoothing)?;
        let value = loss.f_double_value(&[])?;
        if value.is_finite() && self.follow(&loss, rate)? {
            let step = self.step;
            if let Some(average) = &mut self.average {
                average.follow(&network.variables(), step)?;
            }
        }
        Ok(value)
    }

    /// Follows the gradients of `loss`; `false` if mixed precision has made them useless and the step
    /// was left out.
    fn follow(&mut self, loss: &Tensor, rate: f64) -> Result<bool, EvaluationError> {
        let Some(scale) = &mut self.scale else {
            loss.f_backward()?;
            self.optimizer.step(rate)?;
            return Ok(true);
        };
        loss.f_mul_scalar(scale.factor())?.f_backward()?;
        let finite = self.optimizer.scale_gradients(1.0 / scale.factor())?;
        scale.adapt(finite)?;
        if finite {
            self.optimizer.step(rate)?;
        }
        Ok(finite)
    }

    /// Exchanges weights with their average, if there is one.
    fn exchange_average(&mut self) -> Result<(), TchError> {
        let variables = self.network.variables();
        self.average.as_mut().map_or(Ok(()), |average| average.exchange(&variables))
    }

    /// Everything that the training goes on with, by name.
    fn tensors(&mut self) -> Result<BTreeMap<String, Tensor>, TchError> {
        let mut tensors = self.optimizer.state()?;
        let weights = self.network.variables();
        tensors.extend(weights.into_iter().map(|(name, value)| (weight_of(&name), value)));
        if let Some(average) = &self.average {
            let values = average.values.iter();
            tensors.extend(values.map(|(name, value)| (average_of(name), value.shallow_clone())));
        }
        tensors.insert(POSITIONS.to_owned(), Tensor::f_from_slice(&self.positions)?);
        Ok(tensors)
    }

    /// The names and sizes of [`Self::tensors`].
    fn sizes(&self) -> BTreeMap<String, Vec<i64>> {
        let mut sizes = self.optimizer.state_sizes();
        for (name, value) in self.network.variables() {
            if self.average.is_some() {
                sizes.insert(average_of(&name), value.size());
            }
            sizes.insert(weight_of(&name), value.size());
        }
        sizes.insert(POSITIONS.to_owned(), vec![self.positions.len() as i64]);
        sizes
    }

    fn write(&mut self, path: &std::path::Path) -> Result<(), std::io::Error> {
        let position = Position {
            epoch: self.epochs,
            step: self.step,
            part: self.part,
            words: checkpoint::words([&self.order, &self.randoms.changes, &self.randoms.erasing]),
            scale: self.scale.as_ref().map(LossScale::state),
        };
        let tensors = self.tensors().map_err(std::io::Error::other)?;
        checkpoint::write(path, &self.identity, position, &tensors)
    }

    /// Goes on where the state that `files` names has ended; nothing has changed after a fault.
    ///
    /// # Errors
    /// Whatever libtorch reports while it takes the state in.
    fn resume(&mut self, files: &Files) -> Result<Result<(), CheckpointFault>, TchError> {
        let Some(path) = &files.resume else { return Ok(Ok(())) };
        let read = checkpoint::read(path, &files.identity, &self.sizes()).and_then(|state| {
            let Position { epoch, .. } = state.0;
            if epoch >= self.until {
                let reason = format!("it has {epoch} of {} epochs already", self.until);
                return Err(CheckpointFault::Foreign(reason));
            }
            let Randoms { changes, erasing } = &mut self.randoms;
            checkpoint::wind([&mut self.order, changes, erasing], &state.0.words)?;
            Ok(state)
        });
        let (position, tensors) = match read {
            Ok(state) => state,
            Err(fault) => return Ok(Err(fault)),
        };
        self.positions = Vec::try_from(&tensors[POSITIONS])?;
        self.optimizer.recall(&tensors, position.step)?;
        let _guard = tch::no_grad_guard();
        for (name, value) in self.network.variables() {
            value.shallow_clone().f_copy_(&tensors[&weight_of(&name)])?;
            if let Some(average) = &mut self.average {
                average.values[&name].shallow_clone().f_copy_(&tensors[&average_of(&name)])?;
            }
        }
        if let (Some(scale), Some(state)) = (&mut self.scale, position.scale) {
            *scale = LossScale::from_state(state);
        }
        (self.epochs, self.step, self.part) = (position.epoch, position.step, position.part);
        Ok(Ok(()))
    }
}

fn weight_of(name: &str) -> String {
    format!("weight/{name}")
}

fn average_of(name: &str) -> String {
    format!("average/{name}")
}

/// A last batch of one sample is left out: its batch statistics would have no variance.
fn is_used(range: &std::ops::Range<usize>, count: usize) -> bool {
    range.len() > 1 || count == 1
}

/// The mean over samples of the cross-entropy between `logits`, `[samples, classes]`, and `labels`.
///
/// # Errors
/// Whatever libtorch reports.
pub fn mean_cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    smoothed_cross_entropy(logits, labels, 0.0)
}

/// The same with the share `smoothing` of each label spread evenly over all classes (Szegedy et al.,
/// CVPR 2016).
fn smoothed_cross_entropy(
    logits: &Tensor,
    labels: &Tensor,
    smoothing: f64,
) -> Result<Tensor, TchError> {
    logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, smoothing)
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
            Ok(hits.f_sum(Kind::Int64)?.f_int64_value(&[])? as u64)
        })?;
    }
    Ok(Accuracy { correct, total: samples.count() as u64 })
}

#[cfg(test)]
pub(crate) mod tests;
