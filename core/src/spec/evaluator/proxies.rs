//! Settings of `proxies`: zero-cost scores of an untrained network, each by the definition of the
//! code that published it.
//!
//! A proxy is one line in [`PROXIES`] and one in the table of metrics; a worker's evaluator computes
//! the score of the same name. It must not know how a score comes about.

mod spiking;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dataset::facts;
use super::{
    CheckedSettings, Curves, EvaluatorEntry, InitialWeights, Needs, always_differ, to_json, train,
};
use crate::spec::{Section, spelling};
pub use spiking::{Reset, SpikingSettings};

/// The table's line.
pub(super) const ENTRY: EvaluatorEntry = EvaluatorEntry {
    name: "proxies",
    summary: "scores the network without training it, within seconds",
    metrics: METRICS,
    delivers_any: false,
    needs: Needs::Network,
    continues: None,
    repeats: always_differ,
    curves: Curves::None,
    check,
};

/// One line of [`PROXIES`]: a score and the sizes that its publication measured it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyEntry {
    /// The name of the metric.
    pub name: &'static str,
    /// Samples of one batch.
    pub batch_size: u32,
    /// How many batches of fresh samples one score reads; 0 for a score that reads no images.
    pub batches: u32,
    /// Networks with fresh weights that the score is averaged over.
    pub repeats: u32,
}

/// Every proxy, with the sizes of the code that published it.
pub const PROXIES: &[ProxyEntry] = &[
    ProxyEntry { name: "grad_norm", batch_size: 64, batches: 1, repeats: 1 },
    ProxyEntry { name: "plain", batch_size: 64, batches: 1, repeats: 1 },
    ProxyEntry { name: "snip", batch_size: 64, batches: 1, repeats: 1 },
    ProxyEntry { name: "grasp", batch_size: 64, batches: 1, repeats: 1 },
    ProxyEntry { name: "synflow", batch_size: 1, batches: 0, repeats: 1 },
    ProxyEntry { name: "fisher", batch_size: 64, batches: 1, repeats: 1 },
    ProxyEntry { name: "jacob_cov", batch_size: 64, batches: 1, repeats: 1 },
    ProxyEntry { name: "naswot", batch_size: 128, batches: 1, repeats: 1 },
    ProxyEntry { name: "linear_regions", batch_size: 3000, batches: 0, repeats: 3 },
    ProxyEntry { name: "ntk_condition", batch_size: 72, batches: 1, repeats: 3 },
    ProxyEntry { name: "zen", batch_size: 16, batches: 0, repeats: 32 },
    ProxyEntry { name: "zico", batch_size: 128, batches: 2, repeats: 1 },
    ProxyEntry { name: "grad_sign", batch_size: 64, batches: 1, repeats: 1 },
    ProxyEntry { name: "knas_mgm", batch_size: 50, batches: 1, repeats: 1 },
    ProxyEntry { name: "knas_mgm_code", batch_size: 50, batches: 1, repeats: 1 },
    ProxyEntry { name: "jacobian_mean_square", batch_size: 8, batches: 1, repeats: 1 },
    ProxyEntry { name: "jacobian_condition", batch_size: 8, batches: 1, repeats: 1 },
    ProxyEntry { name: "nn_mass", batch_size: 1, batches: 0, repeats: 1 },
    ProxyEntry { name: "autost", batch_size: 32, batches: 1, repeats: 1 },
    ProxyEntry { name: "spiking_energy", batch_size: 32, batches: 1, repeats: 1 },
];

/// The names of [`PROXIES`].
const METRICS: &[&str] = &{
    let mut names = [""; PROXIES.len()];
    let mut position = 0;
    while position < names.len() {
        names[position] = PROXIES[position].name;
        position += 1;
    }
    names
};

/// The largest batch, in samples.
const LARGEST_BATCH: u32 = 65_536;
/// The most networks that one score is averaged over.
const MOST_REPEATS: u32 = 1_000;

/// Settings of the evaluator `proxies`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySettings {
    /// The data set whose images and labels are read, by the name under which workers offer it: the
    /// first training images of a fixed permutation, the same for every candidate. `None`: images
    /// are standard normal noise, the same for every candidate, and labels take turns.
    pub dataset: Option<String>,
    /// The number format of weights and images; scores whose definition asks for double precision
    /// (`synflow`) take it whatever this says.
    pub precision: ProxyPrecision,
    /// The initial weights of scores whose definition names no others.
    pub init: InitialWeights,
    /// How the network spikes, for `autost` and `spiking_energy`.
    pub spiking: SpikingSettings,
    /// The sizes of each score; what is left out is as published.
    pub sizes: BTreeMap<String, ProxySizes>,
}

/// How much of data and chance goes into one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySizes {
    /// Samples of one batch, 2 to 65,536, or 1 where the score reads one sample by definition.
    pub batch_size: Option<u32>,
    /// Networks with fresh weights that the score is averaged over, 1 to 1,000; with more than one
    /// the spread is their standard deviation.
    pub repeats: Option<u32>,
}

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyPrecision {
    /// IEEE 754 single precision.
    #[default]
    F32,
    /// IEEE 754 double precision.
    F64,
}

fn check(section: &Section<'_>) -> Option<CheckedSettings> {
    let mut settings: ProxySettings = section.read();
    if let Some(dataset) = &settings.dataset {
        train::check_name(section, dataset);
    }
    spiking::check(section, &settings.spiking);
    check_sizes(section, &settings);
    for entry in PROXIES {
        let sizes = settings.sizes.entry(entry.name.to_owned()).or_default();
        sizes.batch_size.get_or_insert(entry.batch_size);
        sizes.repeats.get_or_insert(entry.repeats);
    }
    section.is_clean().then(|| CheckedSettings {
        settings: to_json(&settings),
        dataset: settings.dataset.as_deref().map(Into::into),
        delivers: None,
    })
}

fn check_sizes(section: &Section<'_>, settings: &ProxySettings) {
    let images = settings.dataset.as_deref().and_then(facts).map(|facts| facts.training);
    for (name, sizes) in &settings.sizes {
        let Some(entry) = PROXIES.iter().find(|entry| entry.name == name) else {
            section.fault(
                &format!("sizes.{name}"),
                "is no score of this evaluator",
                spelling::advice(name, METRICS.iter().copied()),
            );
            continue;
        };
        if let Some(size) = sizes.batch_size {
            let key = format!("sizes.{name}.batch_size");
            let smallest = entry.batch_size.min(2);
            let largest = match (entry.batch_size, images, entry.batches) {
                (1, ..) => 1,
                (_, Some(images), 1..) => (images / entry.batches / 2).min(LARGEST_BATCH),
                _ => LARGEST_BATCH,
            };
            section.check_range(&key, size, smallest..=largest);
        }
        if let Some(repeats) = sizes.repeats {
            section.check_range(&format!("sizes.{name}.repeats"), repeats, 1..=MOST_REPEATS);
        }
    }
}
