//! Optimizer, learning rate and what is done to gradients, labels and weights on the way. It must not know how
//! an optimizer steps.

use serde::{Deserialize, Serialize};

use super::TrainSettings;
use crate::spec::Section;

/// How weights follow gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum.
    #[default]
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov & Hutter, ICLR 2019).
    AdamW,
}

/// What of a network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainedPart {
    /// Everything.
    #[default]
    All,
    /// The scales and shifts of batch normalisation; convolutions and linear layers stay as they were
    /// drawn.
    BatchNorm,
}

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Falls to 0 along half a cosine.
    #[default]
    Cosine,
    /// Is multiplied with `step_factor` after every `step_epochs` epochs.
    Step,
    /// Stays.
    Constant,
}

/// The learning rate and weight decay that AdamW has unless they are written, those of PyTorch.
const ADAMW_DEFAULTS: (f64, f64) = (1e-3, 1e-2);

/// Fills in defaults that depend on the optimizer.
pub(super) fn fill_in(section: &Section<'_>, settings: &mut TrainSettings) {
    if settings.optimizer != OptimizerKind::AdamW {
        return;
    }
    if !section.contains("learning_rate") {
        settings.learning_rate = ADAMW_DEFAULTS.0;
    }
    if !section.contains("weight_decay") {
        settings.weight_decay = ADAMW_DEFAULTS.1;
    }
}

pub(super) fn check(section: &Section<'_>, settings: &TrainSettings) {
    section.check_range("learning_rate", settings.learning_rate, 1e-9..=10.0);
    section.check_range("momentum", settings.momentum, 0.0..=0.9999);
    section.check_range("epsilon", settings.epsilon, 1e-16..=1.0);
    section.check_range("weight_decay", settings.weight_decay, 0.0..=1.0);
    section.check_range("label_smoothing", settings.label_smoothing, 0.0..=0.9999);
    if settings.betas.iter().any(|beta| !(0.0..=0.999_999).contains(beta)) {
        section.fault("betas", "a beta is out of range", "write two numbers, each 0 to 0.999999");
    }
    if let Some(norm) = settings.clip_norm {
        section.check_range("clip_norm", norm, 1e-9..=1e9);
    }
    if let Some(decay) = settings.ema_decay {
        section.check_range("ema_decay", decay, 1e-6..=0.999_999_9);
    }
    check_momentum(section, settings);
    check_schedule(section, settings);
}

fn check_momentum(section: &Section<'_>, settings: &TrainSettings) {
    let is_sgd = settings.optimizer == OptimizerKind::Sgd;
    if is_sgd && settings.nesterov && settings.momentum == 0.0 {
        section.fault(
            if section.contains("momentum") { "momentum" } else { "nesterov" },
            "Nesterov's method needs a momentum above 0",
            "write `nesterov: false`, or a momentum such as 0.9",
        );
    }
}

fn check_schedule(section: &Section<'_>, settings: &TrainSettings) {
    section.check_range("step_epochs", settings.step_epochs, 1..=100_000);
    section.check_range("step_factor", settings.step_factor, 1e-9..=1.0);
    if let Some(epochs) = settings.schedule_epochs {
        section.check_range("schedule_epochs", epochs, settings.epochs.min(100_000)..=100_000);
    }
    let epochs = f64::from(settings.schedule_epochs.unwrap_or(settings.epochs).max(1));
    if !(0.0..=epochs).contains(&settings.warmup_epochs) {
        section.fault(
            "warmup_epochs",
            format!("{} is out of range", settings.warmup_epochs),
            format!("write a number from 0 to the number of epochs, {epochs}"),
        );
    }
}
