//! The cell space of NAS-Bench-201 (Dong and Yang, ICLR 2020), the topology space of NATS-Bench
//! (Dong et al., TPAMI 2021), with its sizes as parameters.
//!
//! A cell has four nodes and six edges, and each edge carries one operation: that is the genotype,
//! in the order 0→1, 0→2, 1→2, 0→3, 1→3, 2→3. The same cell is repeated throughout a fixed
//! skeleton. `cell` knows the notation and which cells are the same, `network` the skeleton.

mod cell;
mod network;
mod parameters;

use std::sync::Arc;

use rand::RngExt;
use serde_json::json;

use self::cell::{Cell, EDGES, Operation};
use self::parameters::Parameters;
use super::{Genotype, Mutation, SearchSpace, SpaceEntry, SpaceError};
use crate::graph::{CanonicalHash, Graph};
use crate::rng::Stream;
use crate::spec::Section;

const NAME: &str = "nasbench201";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "cells of 4 nodes and 6 edges with one operation each, stacked in 3 stages \
              (NAS-Bench-201)",
    build: |section| Some(Arc::new(NasBench201::from_section(section)?)),
};

/// The space with given sizes; genes are indices into its list of operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NasBench201 {
    parameters: Parameters,
}

impl Default for NasBench201 {
    /// The published space: 16 channels, 5 cells a stage, CIFAR-10's input and all five operations.
    fn default() -> Self {
        Self { parameters: Parameters::default() }
    }
}

impl NasBench201 {
    /// Reads the parameters, recording faults; `None` if there were any.
    #[must_use]
    pub fn from_section(section: &Section<'_>) -> Option<Self> {
        Some(Self { parameters: Parameters::read(section)? })
    }

    fn operations(&self) -> &[Operation] {
        &self.parameters.operations
    }

    fn choices(&self) -> u16 {
        self.operations().len() as u16
    }

    fn cell(&self, genotype: &Genotype) -> Result<Cell, SpaceError> {
        let genes: &[u16; EDGES.len()] = genotype.0.as_ref().try_into().map_err(|_| {
            foreign(format!("it has {} genes, expected {}", genotype.0.len(), EDGES.len()))
        })?;
        let mut cell = [Operation::None; EDGES.len()];
        for (place, (&gene, operation)) in genes.iter().zip(&mut cell).enumerate() {
            *operation = *self.operations().get(usize::from(gene)).ok_or_else(|| {
                foreign(format!("gene {place} is {gene}, expected 0 to {}", self.choices() - 1))
            })?;
        }
        Ok(Cell(cell))
    }

    fn genotype(&self, cell: Cell) -> Result<Genotype, SpaceError> {
        let gene = |operation| {
            let index = self.operations().iter().position(|&known| known == operation);
            index
                .map(|index| index as u16)
                .ok_or_else(|| foreign(format!("{operation} is not among the space's operations")))
        };
        Ok(Genotype(cell.0.into_iter().map(gene).collect::<Result<_, _>>()?))
    }

    fn another(&self, value: u16, rng: &mut Stream) -> u16 {
        let drawn = rng.random_range(0..self.choices() - 1);
        drawn + u16::from(drawn >= value)
    }
}

impl SearchSpace for NasBench201 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        let Parameters { channels, cells, input, classes, operations } = &self.parameters;
        json!({
            "channels": channels,
            "cells": cells,
            "input": input,
            "classes": classes,
            "operations": operations,
        })
    }

    fn cardinality(&self) -> u128 {
        u128::from(self.choices()).pow(EDGES.len() as u32)
    }

    fn genes(&self) -> usize {
        EDGES.len()
    }

    fn unrank(&self, rank: u128) -> Option<Genotype> {
        if rank >= self.cardinality() {
            return None;
        }
        let mut genes = [0; EDGES.len()];
        let mut rest = rank;
        for gene in genes.iter_mut().rev() {
            *gene = (rest % u128::from(self.choices())) as u16;
            rest /= u128::from(self.choices());
        }
        Some(Genotype(genes.into()))
    }

    fn rank(&self, genotype: &Genotype) -> Result<u128, SpaceError> {
        self.cell(genotype)?;
        let choices = u128::from(self.choices());
        Ok(genotype.0.iter().fold(0, |rank, &gene| rank * choices + u128::from(gene)))
    }

    fn sample(&self, rng: &mut Stream) -> Genotype {
        Genotype(EDGES.iter().map(|_| rng.random_range(0..self.choices())).collect())
    }

    fn mutate(&self, parent: &Genotype, mutation: Mutation, rng: &mut Stream) -> Genotype {
        let mut genes = parent.0.clone();
        match mutation {
            Mutation::OneGene => {
                let place = rng.random_range(0..EDGES.len());
                if let Some(gene) = genes.get_mut(place) {
                    *gene = self.another(*gene, rng);
                }
            }
            Mutation::EachGene(probability) => {
                for gene in &mut genes {
                    if rng.random::<f64>() < probability {
                        *gene = self.another(*gene, rng);
                    }
                }
            }
        }
        Genotype(genes)
    }

    /// Uniform crossover (Syswerda, 1989): each gene comes from either parent with equal chance.
    fn cross(&self, first: &Genotype, second: &Genotype, rng: &mut Stream) -> Genotype {
        let pairs = first.0.iter().zip(&second.0);
        Genotype(pairs.map(|(&a, &b)| if rng.random::<bool>() { a } else { b }).collect())
    }

    /// The hash of the cell's string by NATS-Bench's isomorphism rule and of the skeleton's sizes:
    /// 6,466 different ones in the published space of 15,625.
    ///
    /// The rule is that of the published table, with its two known liberties: it drops operations
    /// whose result is not read and those behind a node that is always zero, and it does not tell
    /// one convolution read twice from two equal convolutions. Cells with equal hashes can
    /// therefore differ in parameters and multiply-accumulates; [`Graph::canonical_hash`] tells
    /// such networks apart. The list of operations does not enter, so that the same network has
    /// the same hash in a space that offers fewer of them.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        let cell = self.cell(genotype)?;
        let Parameters { channels, cells, input: [depth, height, width], classes, .. } =
            self.parameters;
        let mut sizes = [0; 24];
        let numbers = [channels, cells, depth, height, width, classes];
        for (bytes, number) in sizes.chunks_exact_mut(4).zip(numbers) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        let text = cell.isomorphism_string();
        Ok(CanonicalHash::of("cambrian nasbench201 v1", [sizes.as_slice(), text.as_bytes()]))
    }

    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        let cell = self.cell(genotype)?;
        network::lower(&self.parameters, cell)
            .map_err(|error| SpaceError::NoNetwork { space: NAME, reason: error.to_string() })
    }

    fn format(&self, genotype: &Genotype) -> String {
        match self.cell(genotype) {
            Ok(cell) => cell.to_string(),
            Err(_) => format!("{:?}", genotype.0),
        }
    }

    fn parse(&self, text: &str) -> Result<Genotype, SpaceError> {
        self.genotype(Cell::parse(text).map_err(foreign)?)
    }
}

fn foreign(reason: String) -> SpaceError {
    SpaceError::Foreign { space: NAME, reason }
}

#[cfg(test)]
mod tests;
