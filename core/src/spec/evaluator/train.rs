//! Settings of `train`: training on an image data set, and what is measured on the trained network.
//!
//! Defaults follow the training recipe of XNAS (AutoML 2023): SGD with Nesterov momentum, linear
//! warm-up, then cosine decay to zero. What is refused and why is in `check`, what lets one training
//! continue another in `recipe`. It must not know how any of it is done.

mod augment;
mod check;
mod optimization;
mod recipe;

use serde::{Deserialize, Serialize};

use super::{Curves, EvaluatorEntry, InitialWeights, Needs, always_differ};
pub use augment::AugmentSettings;
pub(super) use check::check_name;
pub use optimization::{OptimizerKind, ScheduleKind, TrainedPart};

/// The table's line.
pub(super) const ENTRY: EvaluatorEntry = EvaluatorEntry {
    name: "train",
    summary: "trains the network on an image data set and measures the result on the device",
    metrics: &[
        "accuracy",
        "test_accuracy",
        "introspectability",
        "flatness",
        "bn_indicator",
        "latency",
        "energy",
    ],
    delivers_any: false,
    needs: Needs::Network,
    continues: Some(recipe::discontinuity),
    repeats: always_differ,
    curves: Curves::Of(&["accuracy"]),
    check: check::check,
};

/// Settings of the evaluator `train`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSettings {
    /// The data set, by the name under which workers offer it: `a-z`, `0-9` and `-`.
    pub dataset: String,
    /// How many images are trained on: a random subset that depends on the data set alone, the same
    /// for every candidate. `None`: all that are not held out.
    pub train_samples: Option<u32>,
    /// How many images of the training file are held out for validation (`accuracy`), at least 1.
    /// `None`: one sixth of the file.
    pub validation_samples: Option<u32>,
    /// How many images of the test file `test_accuracy` is computed on, at least 1. `None`: all.
    pub test_samples: Option<u32>,
    /// The initial weights.
    pub init: InitialWeights,
    /// What is trained; the rest stays as it was drawn.
    pub train_only: TrainedPart,
    /// Passes over the training images, 1 to 100,000.
    pub epochs: u32,
    /// Images a step, 1 to 65,536.
    pub batch_size: u32,
    /// How weights follow gradients.
    pub optimizer: OptimizerKind,
    /// The highest learning rate, above 0 and at most 10.
    pub learning_rate: f64,
    /// Momentum of `sgd`, at least 0 and below 1.
    pub momentum: f64,
    /// Whether the momentum of `sgd` is Nesterov's; needs a momentum above 0.
    pub nesterov: bool,
    /// The decay of the first and of the second moment of `adamw`, each at least 0 and below 1.
    pub betas: [f64; 2],
    /// What `adamw` adds to the root of the second moment, above 0 and at most 1.
    pub epsilon: f64,
    /// 0 to 1: of `sgd` an L2 penalty, of `adamw` decoupled from the gradients.
    pub weight_decay: f64,
    /// Whether weights decay that batch normalisation learns, and biases.
    pub decay_norm_and_bias: bool,
    /// The largest norm of all gradients together; larger ones are scaled down to it. Above 0;
    /// `None`: no bound.
    pub clip_norm: Option<f64>,
    /// The share of a label that is spread evenly over all classes in training, at least 0 and below
    /// 1.
    pub label_smoothing: f64,
    /// The decay of the moving average of weights that is evaluated in place of the last weights,
    /// above 0 and below 1. `None`: no average.
    pub ema_decay: Option<f64>,
    /// How the learning rate goes on after the warm-up.
    pub schedule: ScheduleKind,
    /// The epochs that `schedule` is laid out for, `epochs` to 100,000. `None`: `epochs`.
    pub schedule_epochs: Option<u32>,
    /// The epochs between two steps of `schedule: step`, 1 to 100,000.
    pub step_epochs: u32,
    /// What each step multiplies the learning rate with, above 0 and at most 1.
    pub step_factor: f64,
    /// Epochs, possibly a fraction, over which the learning rate rises linearly from 0. 0 to the
    /// epochs that the schedule is laid out for.
    pub warmup_epochs: f64,
    /// Random changes of training images.
    pub augment: AugmentSettings,
    /// How `introspectability` is computed.
    pub introspectability: ActivationSettings,
    /// How `flatness` is computed.
    pub flatness: FlatnessSettings,
    /// How `latency` is measured.
    pub latency: LatencySettings,
    /// How `energy` is measured where the device has a meter; otherwise it is modelled.
    pub energy: EnergySettings,
    /// The number format of training.
    pub precision: Precision,
    /// Whether the same seed gives the same bits again, on one thread whatever the worker has.
    /// Devices that cannot promise that do not take the stage: a GPU, with its atomic sums.
    pub deterministic: bool,
}

/// How introspectability is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivationSettings {
    /// How many validation images are run at most, 2 to 1,000,000.
    pub samples: u32,
}

/// How flatness is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlatnessSettings {
    /// How many validation images are run at most for each of three noises, 1 to 1,000,000.
    pub samples: u32,
    /// How the noises follow each other.
    pub noise: FlatnessNoise,
}

/// How noises of growing deviation follow each other (GeNAS, Jeong et al., IJCAI 2023).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlatnessNoise {
    /// Each is added to the one before, as in the released code.
    #[default]
    Cumulative,
    /// Each is drawn anew, as in the paper's text.
    Direct,
}

/// How latency is measured: in evaluation mode, alone on the device, median of `samples`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencySettings {
    /// Images an inference, 1 to 65,536.
    pub batch_size: u32,
    /// Seconds of inference before anything is recorded, 0 to 600.
    pub warmup_seconds: f64,
    /// Inferences before anything is recorded, at least, 0 to 1,000,000.
    pub warmup_calls: u32,
    /// Recorded samples, 10 to 1,000,000.
    pub samples: u32,
    /// The shortest sample in milliseconds; a sample holds as many inferences as that takes. 0 to
    /// 10,000.
    pub min_sample_ms: f64,
    /// The largest acceptable interquartile range relative to the median, above 0 and at most 10.
    pub max_relative_iqr: f64,
    /// How often a measurement with a larger spread is repeated, 0 to 100; the last one counts.
    pub retries: u32,
}

/// How energy is measured where the device has a meter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnergySettings {
    /// Seconds of repeated inference between two readings, 0.1 to 600. Meters refresh every 20 to
    /// 100 ms, so short runs are imprecise.
    pub seconds: f64,
    /// Repetitions, of which the first is dropped, 2 to 100.
    pub repeats: u32,
}

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE 754 single precision.
    #[default]
    F32,
    /// Half precision where libtorch holds it to be safe, single elsewhere, with scaled losses
    /// (Micikevicius et al., ICLR 2018) and channels innermost; for GPUs. Inference is in single
    /// precision.
    Mixed,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            dataset: String::new(),
            train_samples: None,
            validation_samples: None,
            test_samples: None,
            init: InitialWeights::default(),
            train_only: TrainedPart::default(),
            epochs: 5,
            batch_size: 512,
            optimizer: OptimizerKind::Sgd,
            learning_rate: 0.1,
            momentum: 0.9,
            nesterov: true,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 5e-4,
            decay_norm_and_bias: true,
            clip_norm: None,
            label_smoothing: 0.0,
            ema_decay: None,
            schedule: ScheduleKind::Cosine,
            schedule_epochs: None,
            step_epochs: 30,
            step_factor: 0.1,
            warmup_epochs: 0.25,
            augment: AugmentSettings::default(),
            introspectability: ActivationSettings::default(),
            flatness: FlatnessSettings::default(),
            latency: LatencySettings::default(),
            energy: EnergySettings::default(),
            precision: Precision::F32,
            deterministic: false,
        }
    }
}

impl Default for ActivationSettings {
    fn default() -> Self {
        Self { samples: 25_000 }
    }
}

impl Default for FlatnessSettings {
    fn default() -> Self {
        Self { samples: 25_000, noise: FlatnessNoise::default() }
    }
}

impl Default for LatencySettings {
    fn default() -> Self {
        Self {
            batch_size: 1,
            warmup_seconds: 3.0,
            warmup_calls: 20,
            samples: 100,
            min_sample_ms: 1.0,
            max_relative_iqr: 0.1,
            retries: 3,
        }
    }
}

impl Default for EnergySettings {
    fn default() -> Self {
        Self { seconds: 2.0, repeats: 3 }
    }
}
