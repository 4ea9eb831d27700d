//! The evaluators that a stage can name: what each one delivers and how its settings are checked.
//!
//! An evaluator is one file here and one line in [`EVALUATORS`]; a worker runs the evaluator of the
//! same name. Those of users share one line, [`EvaluatorEntry::find`]. It must not know how anything
//! is measured.

mod custom;
mod dataset;
mod init;
mod problem;
mod proxies;
mod synthetic;
mod tabular;
mod train;

pub use init::InitialWeights;
pub use problem::ProblemSettings;
pub use proxies::{
    PROXIES, ProxyEntry, ProxyPrecision, ProxySettings, ProxySizes, Reset, SpikingSettings,
};
pub use synthetic::{SyntheticFaults, SyntheticSettings};
pub use tabular::{TableColumns, TabularSettings};
pub use train::{
    ActivationSettings, AugmentSettings, EnergySettings, FlatnessNoise, FlatnessSettings,
    LatencySettings, OptimizerKind, Precision, ScheduleKind, TrainSettings, TrainedPart,
};

pub(super) use dataset::facts as dataset_facts;
pub use dataset::is_name as is_dataset_name;

use std::sync::Arc;

use super::Section;

/// One line of [`EVALUATORS`].
#[derive(Debug)]
pub struct EvaluatorEntry {
    /// The value of `evaluator` in a stage; for evaluators of users its form.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// The metrics that it can deliver, by their names.
    pub metrics: &'static [&'static str],
    /// Whether it delivers any other metric as well: one that the campaign declares, or one that
    /// is otherwise computed from the network.
    pub delivers_any: bool,
    /// What of a candidate it evaluates.
    pub needs: Needs,
    /// Whether a stage of it can continue the training of an earlier one, and what keeps it from
    /// that: takes the settings of the earlier and of the later stage.
    pub continues: Option<fn(&serde_json::Value, &serde_json::Value) -> Option<Objection>>,
    /// Why repeats under other seeds would tell nothing: takes the settings and the number of repeats, at
    /// least 2.
    pub repeats: fn(&serde_json::Value, u32) -> Option<Objection>,
    /// Which values it reports before the end of an evaluation.
    pub curves: Curves,
    /// Reads a stage's settings; faults go into the section, `None` if there were any.
    pub check: fn(&Section<'_>) -> Option<CheckedSettings>,
}

impl EvaluatorEntry {
    /// The line of the evaluator called `name`: its own, or for `custom/...` the one that stands for
    /// every evaluator of a user.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        let own = name.strip_prefix(custom::PREFIX).map(|_| &custom::ENTRY);
        own.or_else(|| EVALUATORS.iter().find(|entry| entry.name == name))
    }
}

/// What an evaluator of a user is called behind `custom/`; `None` for those that come with the
/// project.
#[must_use]
pub fn custom_name(evaluator: &str) -> Option<&str> {
    evaluator.strip_prefix(custom::PREFIX)
}

/// The metrics whose curves an evaluator reports on the way to its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curves {
    /// None.
    None,
    /// These.
    Of(&'static [&'static str]),
    /// Whichever the user's program reports.
    Any,
}

/// What of a candidate an evaluator works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Its network.
    Network,
    /// The variables of a mathematical test problem.
    Problem,
    /// The text of its genotype, whatever the space.
    Text,
}

/// Why settings do not go with what a stage asks of its evaluator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What is wrong: a phrase; where a stage continues another, to be read behind the name of that one.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The settings of a stage after their check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedSettings {
    /// Every setting with its value, as a JSON object that the evaluator reads.
    pub settings: serde_json::Value,
    /// The data set that a worker must have, if any.
    pub dataset: Option<Arc<str>>,
    /// The metrics that these settings can deliver, where that is fewer than
    /// [`EvaluatorEntry::metrics`].
    pub delivers: Option<Vec<String>>,
}

/// Every evaluator that a stage can name.
pub const EVALUATORS: &[EvaluatorEntry] = &[
    train::ENTRY,
    proxies::ENTRY,
    synthetic::ENTRY,
    tabular::ENTRY,
    problem::ENTRY,
    custom::ENTRY,
];

/// For evaluators whose results differ with the seed.
fn always_differ(_: &serde_json::Value, _: u32) -> Option<Objection> {
    None
}

/// For evaluators whose results differ with the seed if their setting `noise` is above 0.
fn differ_by_noise(settings: &serde_json::Value, _: u32) -> Option<Objection> {
    let noise = settings.get("noise").and_then(serde_json::Value::as_f64);
    (noise == Some(0.0)).then(|| Objection {
        message: "every repeat would give the same values".to_owned(),
        help: "remove it, or give the stage a `noise` under `settings`".to_owned(),
    })
}

/// The settings as the JSON object that an evaluator reads.
fn to_json(settings: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(settings)
        .expect("settings are plain structs with text keys and checked numbers")
}

#[cfg(test)]
mod tests;
