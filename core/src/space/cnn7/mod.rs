//! Convolutional networks along the seven axes of a survey (Khan et al., "A survey of the recent
//! architectures of deep convolutional neural networks", Artificial Intelligence Review 2020): spatial
//! filters, depth, multiple paths, width, feature-map exploitation, attention and channel boosting.
//!
//! Three stages, the sides halved between them; with the default channels 12,960 choices a stage and
//! six for the whole, about 1.31e13 genotypes. `network` knows what is built.

mod network;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::schema::{Gene, GeneKind};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots, images};
use crate::graph::{CanonicalHash, Graph};
use crate::spec::Section;

const NAME: &str = "cnn7";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "convolutional networks of 3 stages along seven axes: filters, depth, paths, width, \
              excitation, attention, boosting",
    build: |section| Some(Arc::new(read(section)?)),
};

const STAGES: usize = 3;
const KERNELS: [u32; 3] = [3, 5, 7];
const DILATIONS: [u32; 2] = [1, 2];
const MOST_BLOCKS: u32 = 4;
const SKIPS: [&str; 3] = ["none", "residual", "dense"];
const GROUPS: [u32; 4] = [1, 2, 4, 8];
const EXCITATIONS: [&str; 3] = ["off", "r4", "r16"];
const ATTENTIONS: [&str; 3] = ["off", "spatial", "self"];
const BOOSTINGS: [&str; 3] = ["off", "filters", "autoencoder"];
const ACTIVATIONS: [&str; 2] = ["relu", "silu"];
/// The genes of a stage, in the order of [`genes_of_stage`].
const STAGE_GENES: usize = 8;

/// The sizes that are not searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// The channels on offer, ascending, each 8 to 512.
    channels: Vec<u32>,
    /// Channels, height and width of an image; the sides are equal and multiples of 4.
    input: [u32; 3],
    /// Classes, 2 to 100,000.
    classes: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { channels: vec![16, 24, 32, 48, 64], input: [1, 28, 28], classes: 10 }
    }
}

fn read(section: &Section<'_>) -> Option<Cnn7> {
    let parameters: Parameters = section.read();
    images::check(section, parameters.input, parameters.classes, 4);
    images::check_halvings(section, parameters.input, STAGES as u32 - 1);
    let [_, height, width] = parameters.input;
    if height != width {
        section.fault(
            "input",
            format!("sides of {height} and {width} are no square"),
            "write equal sides, such as `[1, 28, 28]`",
        );
    }
    let channels = &parameters.channels;
    if !(2..=64).contains(&channels.len()) || channels.windows(2).any(|pair| pair[0] >= pair[1]) {
        section.fault(
            "channels",
            "these are no 2 to 64 ascending numbers of channels",
            "list different numbers in ascending order, such as `[16, 32, 64]`",
        );
    }
    for (nth, channels) in channels.iter().enumerate() {
        section.check_range(&format!("channels[{nth}]"), *channels, 8..=512);
    }
    section.is_clean().then(|| Cnn7::new(parameters))
}

/// The space with given sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Cnn7 {
    parameters: Parameters,
    schema: Schema,
}

impl Cnn7 {
    fn new(parameters: Parameters) -> Self {
        let mut genes: Vec<Gene> =
            (1..=STAGES).flat_map(|stage| genes_of_stage(stage, &parameters.channels)).collect();
        genes.push(Gene::new("boosting", names(&BOOSTINGS)));
        genes.push(Gene::new("activation", names(&ACTIVATIONS)));
        // Without an effect on the default channels, and then left out: counts stay exact.
        let divide = |group: &u32| parameters.channels.iter().all(|c| c.is_multiple_of(*group));
        let constraints: Vec<Box<str>> = if GROUPS.iter().all(divide) {
            Vec::new()
        } else {
            (1..=STAGES)
                .map(|s| format!("stage{s}_channels % stage{s}_groups == 0").into())
                .collect()
        };
        let derived = derived(parameters.channels[0]);
        let schema = Schema::new(genes)
            .expect("the genes have different names and few choices")
            .with_rules(&derived, &constraints)
            .expect("the expressions name genes, and one group divides any channels");
        Self { parameters, schema }
    }

    fn check(&self, genotype: &Genotype) -> Result<(), SpaceError> {
        self.schema.check(genotype).map_err(|reason| SpaceError::Foreign { space: NAME, reason })
    }
}

fn numbers(choices: &[u32]) -> GeneKind {
    let choices = choices.iter().map(|choice| choice.to_string().into()).collect();
    GeneKind::Categorical { choices, ordered: true }
}

fn names(choices: &[&str]) -> GeneKind {
    let choices = choices.iter().map(|choice| (*choice).into()).collect();
    GeneKind::Categorical { choices, ordered: false }
}

fn genes_of_stage(stage: usize, channels: &[u32]) -> [Gene; STAGE_GENES] {
    let blocks = GeneKind::Integer { low: 1, high: MOST_BLOCKS.into(), step: 1, log: false };
    [
        ("kernel", numbers(&KERNELS)),
        ("dilation", numbers(&DILATIONS)),
        ("blocks", blocks),
        ("skip", names(&SKIPS)),
        ("channels", numbers(channels)),
        ("groups", numbers(&GROUPS)),
        ("excitation", names(&EXCITATIONS)),
        ("attention", names(&ATTENTIONS)),
    ]
    .map(|(name, kind)| Gene::new(format!("stage{stage}_{name}"), kind))
}

/// For each axis whether a network leaves its plainest choice, by name.
fn derived(least_channels: u32) -> Vec<(Box<str>, Box<str>)> {
    let any = |condition: &str| {
        let stages = (1..=STAGES).map(|stage| condition.replace('$', &format!("stage{stage}_")));
        stages.collect::<Vec<_>>().join(" or ")
    };
    let axes = [
        ("uses_filters", any("$kernel > 3 or $dilation > 1")),
        ("uses_depth", any("$blocks > 1")),
        ("uses_paths", any("$skip != \"none\"")),
        ("uses_width", any(&format!("$channels > {least_channels} or $groups > 1"))),
        ("uses_excitation", any("$excitation != \"off\"")),
        ("uses_attention", any("$attention != \"off\"")),
        ("uses_boosting", "boosting != \"off\"".to_owned()),
    ];
    axes.into_iter().map(|(name, expression)| (name.into(), expression.into())).collect()
}

impl SearchSpace for Cnn7 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.parameters).expect("plain numbers under text keys")
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    /// No two genotypes build the same network.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.check(genotype)?;
        Ok(hash_of_slots("cambrian cnn7 v1", genotype))
    }

    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        self.check(genotype)?;
        network::lower(&self.parameters, &genotype.0)
            .map_err(|error| SpaceError::NoNetwork { space: NAME, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests;
