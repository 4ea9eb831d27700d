//! The cell space of DARTS (Liu, Simonyan and Yang, ICLR 2019) in its CIFAR-10 network, with the sizes of
//! that network as parameters.
//!
//! A genotype is a normal and a reduction cell. Each has four nodes, and each node adds up two operations
//! on two different nodes among the cell's two inputs and the nodes before it: about 1.08e18 genotypes.
//! `cell` knows the notation and which cells are the same, `network` what is built.

mod cell;
mod network;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::cell::{Architecture, Cell, INPUTS, NODES, Node, OPERATIONS};
use super::schema::{Gene, GeneKind};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots, images};
use crate::graph::{CanonicalHash, Graph};
use crate::spec::Section;

const NAME: &str = "darts";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "a normal and a reduction cell of 4 nodes with two operations each (DARTS)",
    build: |section| Some(Arc::new(Darts::new(read(section)?))),
};

/// The sizes that are not searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Cells in a row, 3 to 60; those at a third and at two thirds are reduction cells.
    layers: u32,
    /// Channels of a node in the cells before the first reduction, 2 to 512; each reduction doubles
    /// them.
    channels: u32,
    /// Channels, height and width of an image, the sides multiples of 4 from 4 to 4,096.
    input: [u32; 3],
    /// Classes, 2 to 100,000.
    classes: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { layers: 20, channels: 36, input: [3, 32, 32], classes: 10 }
    }
}

fn read(section: &Section<'_>) -> Option<Parameters> {
    let parameters: Parameters = section.read();
    section.check_range("layers", parameters.layers, 3..=60);
    section.check_range("channels", parameters.channels, 2..=512);
    images::check(section, parameters.input, parameters.classes, 4);
    images::check_halvings(section, parameters.input, 2);
    section.is_clean().then_some(parameters)
}

/// The space with given sizes.
///
/// Of each cell the genes are, for the first node, its two operations, and for each later one what it
/// reads and its two operations, that on the earlier node first.
#[derive(Debug, Clone, PartialEq)]
pub struct Darts {
    parameters: Parameters,
    schema: Schema,
}

impl Darts {
    fn new(parameters: Parameters) -> Self {
        let genes = ["normal", "reduce"].into_iter().flat_map(genes_of_cell).collect();
        let schema = Schema::new(genes).expect("the genes have different names and few choices");
        Self { parameters, schema }
    }

    fn architecture(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        self.schema
            .check(genotype)
            .map_err(|reason| SpaceError::Foreign { space: NAME, reason })?;
        let mut slots = genotype.0.iter().copied();
        let mut cell = || {
            let mut cell: Cell = [Node::default(); NODES];
            for (place, node) in cell.iter_mut().enumerate() {
                // The first node has no choice: it reads both inputs.
                let read = if place == 0 { 0b11 } else { slots.next().unwrap_or(0) };
                let mut inputs = (0..).filter(|input| read >> input & 1 == 1);
                for (input, operation) in node {
                    *input = inputs.next().unwrap_or(0);
                    *operation = slots.next().unwrap_or(0) as usize;
                }
            }
            cell
        };
        Ok(Architecture { normal: cell(), reduce: cell() })
    }

    fn genotype(architecture: &Architecture) -> Genotype {
        let mut slots = Vec::new();
        for cell in [&architecture.normal, &architecture.reduce] {
            for (place, node) in cell.iter().enumerate() {
                if place > 0 {
                    slots.push(node.iter().map(|(input, _)| 1 << input).sum());
                }
                slots.extend(node.iter().map(|(_, operation)| *operation as u32));
            }
        }
        Genotype(slots.into())
    }
}

fn genes_of_cell(cell: &'static str) -> Vec<Gene> {
    let operation = || {
        let choices = OPERATIONS.iter().map(|name| (*name).into()).collect();
        GeneKind::Categorical { choices, ordered: false }
    };
    let mut genes = Vec::new();
    for node in INPUTS..INPUTS + NODES {
        if node > INPUTS {
            let of = (0..node).map(|input| input.to_string().into()).collect();
            let inputs = GeneKind::Subset { of, at_least: 2, at_most: 2 };
            genes.push(Gene::new(format!("{cell}_{node}_inputs"), inputs));
        }
        for place in ["first", "second"] {
            genes.push(Gene::new(format!("{cell}_{node}_{place}"), operation()));
        }
    }
    genes
}

impl SearchSpace for Darts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.parameters).expect("plain numbers under text keys")
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Two genotypes are the same if their cells differ only in how the inner nodes are numbered: the
    /// channels of a cell's output are then in another order, which the weights behind it absorb.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        let architecture = self.architecture(genotype)?.simplified();
        Ok(hash_of_slots("cambrian darts v1", &Self::genotype(&architecture)))
    }

    /// The cells with their nodes in the one order that all equal cells share.
    fn simplified(&self, genotype: &Genotype) -> Genotype {
        let architecture = self.architecture(genotype);
        architecture.map_or_else(|_| genotype.clone(), |known| Self::genotype(&known.simplified()))
    }

    /// Equal hashes compute the same function, by networks that may cost differently.
    fn hash_names_network(&self) -> bool {
        false
    }

    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        let architecture = self.architecture(genotype)?;
        network::lower(&self.parameters, &architecture)
            .map_err(|error| SpaceError::NoNetwork { space: NAME, reason: error.to_string() })
    }

    /// As in the publication's code: `Genotype(normal=[('sep_conv_3x3', 0), ...], ...)`.
    fn format(&self, genotype: &Genotype) -> String {
        match self.architecture(genotype) {
            Ok(architecture) => architecture.to_string(),
            Err(_) => format!("{:?}", genotype.0),
        }
    }

    /// Reads the publication's spelling, the two operations of a node in either order.
    fn parse(&self, text: &str) -> Result<Genotype, SpaceError> {
        let architecture = cell::parse(text);
        let foreign = |reason| SpaceError::Foreign { space: NAME, reason };
        architecture.map(|known| Self::genotype(&known)).map_err(foreign)
    }
}

#[cfg(test)]
mod tests;
