//! The size space of NATS-Bench (Dong et al., TPAMI 2021): the channels of five layers, 8 to 64 in steps
//! of 8, 8^5 = 32,768 networks. Layers 1 and 3, counted from 0, are residual blocks that halve the sides;
//! the others are the cell of NAS-Bench-201 with the highest validation accuracy on CIFAR-100, which may
//! change the number of channels. It must not know the benchmark's table.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::nasbench201::network::Skeleton;
use super::schema::{Gene, GeneKind, Notation};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots, images};
use crate::graph::{CanonicalHash, Graph, GraphError, NodeId};
use crate::spec::Section;

const NAME: &str = "nats_size";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "the channels of 5 layers, 8 to 64 in steps of 8 (the size space of NATS-Bench)",
    build: |section| Some(Arc::new(NatsSize::new(read(section)?))),
};

/// Whether each layer is a residual block that halves the sides, and not a cell.
const REDUCTIONS: [bool; 5] = [false, true, false, true, false];
/// The channels on offer: from, to, and their distance.
const CHANNELS: (u32, u32, u32) = (8, 64, 8);

/// The sizes that are not searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Channels, height and width of an image, the sides 4 to 4,096.
    input: [u32; 3],
    /// Classes, 2 to 100,000.
    classes: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { input: [3, 32, 32], classes: 10 }
    }
}

fn read(section: &Section<'_>) -> Option<Parameters> {
    let parameters: Parameters = section.read();
    images::check(section, parameters.input, parameters.classes, 4);
    images::check_halvings(section, parameters.input, 2);
    section.is_clean().then_some(parameters)
}

/// The space with given sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct NatsSize {
    parameters: Parameters,
    schema: Schema,
}

impl NatsSize {
    fn new(parameters: Parameters) -> Self {
        let (low, high, step) = CHANNELS;
        let kind = GeneKind::Integer { low: low.into(), high: high.into(), step, log: false };
        let genes =
            (1..=REDUCTIONS.len()).map(|layer| Gene::new(format!("layer{layer}"), kind.clone()));
        let schema = Schema::new(genes.collect())
            .and_then(|schema| schema.with_notation(Notation::List(':')))
            .expect("five whole numbers are written as a list");
        Self { parameters, schema }
    }

    fn check(&self, genotype: &Genotype) -> Result<(), SpaceError> {
        self.schema.check(genotype).map_err(|reason| SpaceError::Foreign { space: NAME, reason })
    }

    fn build(&self, genotype: &Genotype) -> Result<Graph, GraphError> {
        let (low, _, step) = CHANNELS;
        let channels: Vec<u32> = genotype.0.iter().map(|slot| low + step * slot).collect();
        let (mut skeleton, mut last) = Skeleton::new(self.parameters.input, channels[0])?;
        for (channels, reduces) in channels.into_iter().zip(REDUCTIONS) {
            last = if reduces {
                skeleton.residual_block(last, channels)?
            } else {
                cell(&mut skeleton, last, channels)?
            };
        }
        skeleton.classifier(last, self.parameters.classes)
    }
}

/// `|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|`, whose
/// operations on the cell's input change the channels.
fn cell(skeleton: &mut Skeleton, input: NodeId, channels: u32) -> Result<NodeId, GraphError> {
    let first = skeleton.square_unit(input, channels)?;
    let terms = [skeleton.square_unit(input, channels)?, skeleton.square_unit(first, channels)?];
    let second = skeleton.sum(&terms)?;
    let terms = [
        skeleton.skip(input, channels)?,
        skeleton.square_unit(first, channels)?,
        skeleton.square_unit(second, channels)?,
    ];
    skeleton.sum(&terms)
}

impl SearchSpace for NatsSize {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.parameters).expect("plain numbers under text keys")
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    /// No two lists of channels build the same network.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.check(genotype)?;
        Ok(hash_of_slots("cambrian nats_size v1", genotype))
    }

    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        self.check(genotype)?;
        self.build(genotype)
            .map_err(|error| SpaceError::NoNetwork { space: NAME, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::space::contract;

    fn space() -> NatsSize {
        NatsSize::new(Parameters::default())
    }

    fn graph(text: &str) -> Graph {
        let space = space();
        space.lower(&space.parse(text).unwrap()).unwrap()
    }

    #[test]
    fn published_costs() {
        // NATS-Bench's table.
        assert_eq!(graph("8:8:8:8:8").params(), 11_714);
        assert_eq!(graph("8:8:16:40:40").params(), 107_826);
        assert_eq!(graph("64:64:64:64:64").params(), 713_674);
        // The benchmark counts the ten biases of the classifier among the multiply-adds.
        let twelfth = graph("8:8:8:16:40");
        assert_eq!((twelfth.params(), twelfth.macs() + 10), (67_378, 7_991_706));
    }

    #[test]
    fn spellings_are_the_published_ones_in_the_published_order() {
        let space = space();
        assert_eq!(space.schema().cardinality(), 32_768u32.into());
        let spelling = |rank: u32| space.format(&space.schema().unrank(&rank.into()).unwrap());
        assert_eq!(spelling(0), "8:8:8:8:8");
        assert_eq!(spelling(12), "8:8:8:16:40");
        assert_eq!(spelling(32_767), "64:64:64:64:64");
        for text in ["8:8:8:8", "8:8:8:8:12", "8:8:8:8:72", "8-8-8-8-8"] {
            assert!(space.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn different_channels_are_different_networks() {
        let space = space();
        let all =
            (0..32_768u32).step_by(17).map(|rank| space.schema().unrank(&rank.into()).unwrap());
        let (mut keys, mut networks, mut count) = (HashSet::new(), HashSet::new(), 0);
        for genotype in all {
            keys.insert(space.canonical_hash(&genotype).unwrap());
            networks.insert(space.lower(&genotype).unwrap().canonical_hash());
            count += 1;
        }
        assert_eq!((keys.len(), networks.len()), (count, count));
    }

    #[test]
    fn other_sizes_keep_the_contract_and_senseless_ones_are_refused() {
        contract::check(&*contract::build(&ENTRY, "{input: [1, 28, 44], classes: 3}"));
        for text in ["{input: [3, 30, 32]}", "{input: [3, 32, 0]}", "{classes: 1}", "{depth: 3}"] {
            let section = Section::from_text(text).unwrap();
            assert!(read(&section).is_none() || section.finish().is_err(), "{text}");
        }
    }
}
