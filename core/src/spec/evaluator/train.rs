//! Settings of `train`: training on an image data set, and what is measured on the trained network.
//!
//! Defaults follow the training recipe of XNAS (AutoML 2023): SGD with Nesterov momentum, linear
//! warm-up, then cosine decay to zero.

use serde::{Deserialize, Serialize};

use super::dataset::{facts, is_name};
use super::{CheckedSettings, EvaluatorEntry, Needs, to_json};
use crate::spec::Section;

/// The table's line.
pub(super) const ENTRY: EvaluatorEntry = EvaluatorEntry {
    name: "train",
    summary: "trains the network on an image data set and measures the result on the device",
    metrics: &["accuracy", "test_accuracy", "introspectability", "flatness", "latency", "energy"],
    delivers_any: false,
    needs: Needs::Network,
    check,
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
    /// Passes over the training images, 1 to 100,000.
    pub epochs: u32,
    /// Images a step, 1 to 65,536.
    pub batch_size: u32,
    /// The highest learning rate, above 0 and at most 10.
    pub learning_rate: f64,
    /// Momentum, at least 0 and below 1.
    pub momentum: f64,
    /// Whether the momentum is Nesterov's; needs a momentum above 0.
    pub nesterov: bool,
    /// L2 penalty on all parameters, 0 to 1.
    pub weight_decay: f64,
    /// Epochs, possibly a fraction, over which the learning rate rises linearly from 0; from then
    /// on it falls to 0 along a half cosine. 0 to `epochs`.
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
    /// The number format of training and inference.
    pub precision: Precision,
}

/// Random changes of training images, in the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentSettings {
    /// Pixels of zero padding on each side before a random crop to the original size; 0 for none,
    /// at most 64.
    pub crop_padding: u32,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// The side in pixels of a square at a random place that is set to 0; 0 for none, at most 1,024.
    pub cutout: u32,
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
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            dataset: String::new(),
            train_samples: None,
            validation_samples: None,
            test_samples: None,
            epochs: 5,
            batch_size: 512,
            learning_rate: 0.1,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 5e-4,
            warmup_epochs: 0.25,
            augment: AugmentSettings::default(),
            introspectability: ActivationSettings::default(),
            flatness: FlatnessSettings::default(),
            latency: LatencySettings::default(),
            energy: EnergySettings::default(),
            precision: Precision::F32,
        }
    }
}

impl Default for AugmentSettings {
    fn default() -> Self {
        Self { crop_padding: 4, flip: true, cutout: 8 }
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

fn check(section: &Section<'_>) -> Option<CheckedSettings> {
    let mut settings: TrainSettings = section.read();
    check_dataset(section, &mut settings);
    check_training(section, &settings);
    check_measuring(section, &settings);
    section.is_clean().then(|| CheckedSettings {
        settings: to_json(&settings),
        dataset: Some(settings.dataset.as_str().into()),
        delivers: None,
    })
}

/// The data set and its subsets; fills in the size of the validation split where it is known.
fn check_dataset(section: &Section<'_>, settings: &mut TrainSettings) {
    section.missing("dataset", "name one that the workers offer, such as `fashion-mnist`");
    let name = settings.dataset.as_str();
    check_name(section, name);
    let facts = facts(name);
    let training = facts.map_or(u32::MAX, |facts| facts.training);
    if let Some(facts) = facts {
        let held_out = settings.validation_samples.get_or_insert(facts.training / 6);
        let rest = facts.training.saturating_sub(*held_out);
        if settings.train_samples.is_some_and(|samples| samples > rest) {
            section.fault(
                "train_samples",
                format!(
                    "the training file of {name} has {training} images, of which {held_out} are \
                     held out for validation"
                ),
                format!("write at most {rest}, or lower `validation_samples`"),
            );
        }
    }
    let subsets = [
        ("train_samples", settings.train_samples, training),
        ("validation_samples", settings.validation_samples, training.saturating_sub(1)),
        ("test_samples", settings.test_samples, facts.map_or(u32::MAX, |facts| facts.test)),
    ];
    for (key, samples, available) in subsets {
        if let Some(samples) = samples {
            section.check_range(key, samples, 1..=available);
        }
    }
}

/// The form of `dataset`, where it is written.
pub(super) fn check_name(section: &Section<'_>, name: &str) {
    if section.contains("dataset") && !is_name(name) {
        section.fault(
            "dataset",
            "is not the name of a data set",
            "write lower-case letters, digits and `-`, at most 64, such as `fashion-mnist`",
        );
    }
}

fn check_training(section: &Section<'_>, settings: &TrainSettings) {
    section.check_range("epochs", settings.epochs, 1..=100_000);
    section.check_range("batch_size", settings.batch_size, 1..=65_536);
    section.check_range("learning_rate", settings.learning_rate, 1e-9..=10.0);
    section.check_range("momentum", settings.momentum, 0.0..=0.9999);
    section.check_range("weight_decay", settings.weight_decay, 0.0..=1.0);
    section.check_range("augment.crop_padding", settings.augment.crop_padding, 0..=64);
    section.check_range("augment.cutout", settings.augment.cutout, 0..=1_024);
    if settings.nesterov && settings.momentum == 0.0 {
        section.fault(
            if section.contains("momentum") { "momentum" } else { "nesterov" },
            "Nesterov's method needs a momentum above 0",
            "write `nesterov: false`, or a momentum such as 0.9",
        );
    }
    let epochs = f64::from(settings.epochs.max(1));
    if !(0.0..=epochs).contains(&settings.warmup_epochs) {
        section.fault(
            "warmup_epochs",
            format!("{} is out of range", settings.warmup_epochs),
            format!("write a number from 0 to the number of epochs, {epochs}"),
        );
    }
}

fn check_measuring(section: &Section<'_>, settings: &TrainSettings) {
    let TrainSettings { introspectability, latency, energy, .. } = settings;
    section.check_range("introspectability.samples", introspectability.samples, 2..=1_000_000);
    section.check_range("flatness.samples", settings.flatness.samples, 1..=1_000_000);
    section.check_range("latency.batch_size", latency.batch_size, 1..=65_536);
    section.check_range("latency.warmup_seconds", latency.warmup_seconds, 0.0..=600.0);
    section.check_range("latency.warmup_calls", latency.warmup_calls, 0..=1_000_000);
    section.check_range("latency.samples", latency.samples, 10..=1_000_000);
    section.check_range("latency.min_sample_ms", latency.min_sample_ms, 0.0..=10_000.0);
    section.check_range("latency.max_relative_iqr", latency.max_relative_iqr, 1e-6..=10.0);
    section.check_range("latency.retries", latency.retries, 0..=100);
    section.check_range("energy.seconds", energy.seconds, 0.1..=600.0);
    section.check_range("energy.repeats", energy.repeats, 2..=100);
}
