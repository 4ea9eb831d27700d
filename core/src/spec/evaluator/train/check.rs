//! What is wrong with the settings of `train`: data, length, measuring. Optimizer, schedule and
//! augmentation have files of their own. It must not know the space, nor whether its networks suit the images.

use super::super::dataset::{facts, is_name};
use super::super::{CheckedSettings, to_json};
use super::{TrainSettings, augment, optimization};
use crate::spec::Section;

/// Reads and checks the settings of `train`.
pub(super) fn check(section: &Section<'_>) -> Option<CheckedSettings> {
    let mut settings: TrainSettings = section.read();
    optimization::fill_in(section, &mut settings);
    check_dataset(section, &mut settings);
    check_training(section, &settings);
    optimization::check(section, &settings);
    augment::check(section, &settings.augment);
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
pub(in crate::spec::evaluator) fn check_name(section: &Section<'_>, name: &str) {
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
