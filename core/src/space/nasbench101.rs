//! The cells of NAS-Bench-101 (Ying et al. 2019): directed acyclic graphs of up to seven vertices and
//! nine edges with three operations inside, 1,293,208 spellings of 423,624 cells, each nine times in a
//! row in a network. It must not know its table.

mod network;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::schema::{Gene, GeneKind};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots, images};
use crate::graph::{CanonicalHash, Graph};
use crate::spec::Section;
use network::{Cell, Vertex};

const NAME: &str = "nasbench101";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "cells of up to 7 vertices and 9 edges, nine in a row (NAS-Bench-101)",
    build: |section| Some(Arc::new(NasBench101::new(read(section)?))),
};

const VERTICES: u32 = 7;
const EDGES: u32 = 9;
const OPERATIONS: [&str; 3] = ["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"];

/// What an inner vertex of each label computes.
const VERTEX_KINDS: [Vertex; 3] = [Vertex::Convolution(3), Vertex::Convolution(1), Vertex::Pooling];
/// Halvings between the stacks.
const HALVINGS: u32 = 2;

/// The sizes that are not searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Channels of the stem and of the first stack, 8 to 512.
    channels: u32,
    /// Channels, height and width of an image, the sides multiples of 4 from 8 to 4,096.
    input: [u32; 3],
    /// Classes, 2 to 100,000.
    classes: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { channels: 128, input: [3, 32, 32], classes: 10 }
    }
}

fn read(section: &Section<'_>) -> Option<Parameters> {
    let parameters: Parameters = section.read();
    section.check_range("channels", parameters.channels, 8..=512);
    images::check(section, parameters.input, parameters.classes, 8);
    images::check_halvings(section, parameters.input, HALVINGS);
    section.is_clean().then_some(parameters)
}

/// The space with given sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct NasBench101 {
    parameters: Parameters,
    schema: Schema,
}

impl NasBench101 {
    fn new(parameters: Parameters) -> Self {
        let labels = OPERATIONS.map(Into::into).to_vec();
        let cell = GeneKind::Dag { least_nodes: 2, most_nodes: VERTICES, max_edges: EDGES, labels };
        let schema = Schema::new(vec![Gene::new("cell", cell)])
            .expect("two to seven vertices and three operations make a graph");
        Self { parameters, schema }
    }

    /// The cell of a genotype that has been checked: its vertices, and what each reads.
    fn cell(genotype: &Genotype) -> Cell {
        let (vertices, adjacency) = (genotype.0[0] as usize, genotype.0[1]);
        let inner = &genotype.0[2..vertices];
        // The edge from i to j is bit j (j - 1) / 2 + i of the adjacency.
        let sources =
            |j: usize| (0..j).filter(|i| adjacency >> (j * (j - 1) / 2 + i) & 1 == 1).collect();
        Cell {
            inner: inner.iter().map(|label| VERTEX_KINDS[*label as usize]).collect(),
            sources: (1..vertices).map(sources).collect(),
        }
    }

    fn check(&self, genotype: &Genotype) -> Result<(), SpaceError> {
        self.schema.check(genotype).map_err(foreign)
    }
}

fn foreign(reason: String) -> SpaceError {
    SpaceError::Foreign { space: NAME, reason }
}

impl SearchSpace for NasBench101 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!(self.parameters)
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.check(genotype)?;
        Ok(hash_of_slots("cambrian nasbench101 v1", &self.simplified(genotype)))
    }

    /// The same cell with its vertices in an order that isomorphic cells share.
    fn simplified(&self, genotype: &Genotype) -> Genotype {
        self.schema.canonicalised(genotype)
    }

    /// The network of the simplified genotype: where channels are not shared evenly it depends on the
    /// order of the vertices which of them gets one more, and equal cells must build equal networks.
    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        self.check(genotype)?;
        let Parameters { channels, input, classes } = self.parameters;
        network::build(&Self::cell(&self.simplified(genotype)), input, channels, classes)
            .map_err(|error| SpaceError::NoNetwork { space: NAME, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use num_bigint::BigUint;

    use super::*;

    #[test]
    fn spellings_of_423624_cells() {
        let space = NasBench101::new(Parameters::default());
        let count = u32::try_from(space.schema().cardinality()).unwrap();
        assert_eq!(count, 1_293_208);
        let key = |rank: u32| {
            let genotype = space.schema().unrank(&BigUint::from(rank)).unwrap();
            *space.canonical_hash(&genotype).unwrap().as_bytes()
        };
        let different: HashSet<[u8; 16]> = (0..count).map(key).collect();
        assert_eq!(different.len(), 423_624);
    }

    #[test]
    fn the_order_of_vertices_does_not_matter() {
        let space = NasBench101::new(Parameters::default());
        let key = |text: &str| space.canonical_hash(&space.parse(text).unwrap()).unwrap();
        let (conv, pool) = ("conv3x3-bn-relu", "maxpool3x3");
        assert_eq!(
            key(&format!("cell=0>1|0>2|1>3|2>3:{conv}|{pool}")),
            key(&format!("cell=0>1|0>2|1>3|2>3:{pool}|{conv}"))
        );
        assert_ne!(
            key(&format!("cell=0>1|1>2|2>3:{conv}|{pool}")),
            key(&format!("cell=0>1|1>2|2>3:{pool}|{conv}"))
        );
    }

    /// The cell that resembles Inception, of the benchmark's own example, whose answer names
    /// 2,694,282 trainable parameters.
    #[test]
    fn the_published_example_has_its_published_parameters() {
        let space = NasBench101::new(Parameters::default());
        let (conv1, conv3, pool) = ("conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3");
        let edges = "0>1|0>2|0>3|3>4|0>5|1>6|2>6|4>6|5>6";
        let text = format!("cell={edges}:{conv1}|{conv3}|{conv3}|{conv3}|{pool}");
        let graph = space.lower(&space.parse(&text).unwrap()).unwrap();
        assert_eq!(graph.params(), 2_694_282);
    }

    #[test]
    fn every_small_cell_builds_and_equal_cells_build_equal_networks() {
        let small = Parameters { channels: 8, input: [3, 8, 8], classes: 10 };
        let space = NasBench101::new(small);
        let mut networks = std::collections::HashMap::new();
        // All cells of up to five vertices come first.
        for rank in (0..3_000u32).chain((3_000..1_293_208).step_by(997)) {
            let genotype = space.schema().unrank(&BigUint::from(rank)).unwrap();
            let graph = space.lower(&genotype).unwrap_or_else(|error| panic!("{rank}: {error}"));
            let key = *space.canonical_hash(&genotype).unwrap().as_bytes();
            let hash = graph.canonical_hash();
            assert_eq!(*networks.entry(key).or_insert(hash), hash, "rank {rank}");
        }
    }
}
