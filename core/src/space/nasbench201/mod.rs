//! The cell space of NAS-Bench-201 (Dong and Yang, ICLR 2020), the topology space of NATS-Bench
//! (Dong et al., TPAMI 2021), with its sizes as parameters.
//!
//! A cell has four nodes and six edges, and each edge carries one operation: that is the genotype,
//! in the order 0→1, 0→2, 1→2, 0→3, 1→3, 2→3. The same cell is repeated throughout a fixed
//! skeleton. `cell` knows the notation and which cells are the same, `network` the skeleton. It must not know
//! the benchmark's table.

mod cell;
pub(super) mod network;
mod parameters;

use std::sync::Arc;

use serde_json::json;

use self::cell::{Cell, EDGES, NODES, Operation};
use self::parameters::{Parameters, Same};
use super::schema::{Gene, GeneKind};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError};
use crate::graph::{CanonicalHash, Graph, GraphError};
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
#[derive(Debug, Clone, PartialEq)]
pub struct NasBench201 {
    parameters: Parameters,
    schema: Schema,
}

impl Default for NasBench201 {
    /// The published space: 16 channels, 5 cells a stage, CIFAR-10's input and all five operations.
    fn default() -> Self {
        Self::new(Parameters::default())
    }
}

impl NasBench201 {
    /// Reads the parameters, recording faults; `None` if there were any.
    #[must_use]
    pub fn from_section(section: &Section<'_>) -> Option<Self> {
        Some(Self::new(Parameters::read(section)?))
    }

    fn new(parameters: Parameters) -> Self {
        let labels = parameters.operations.iter().map(|operation| operation.name().into());
        let cell = GeneKind::Edges { nodes: NODES as u32, labels: labels.collect() };
        let schema = Schema::new(vec![Gene::new("cell", cell)])
            .expect("the operations are checked: at least two different ones");
        Self { parameters, schema }
    }

    fn operations(&self) -> &[Operation] {
        &self.parameters.operations
    }

    fn choices(&self) -> u32 {
        self.operations().len() as u32
    }

    fn cell(&self, genotype: &Genotype) -> Result<Cell, SpaceError> {
        let genes: &[u32; EDGES.len()] = genotype.0.as_ref().try_into().map_err(|_| {
            foreign(format!("it has {} genes, expected {}", genotype.0.len(), EDGES.len()))
        })?;
        let mut cell = [Operation::None; EDGES.len()];
        for (place, (&gene, operation)) in genes.iter().zip(&mut cell).enumerate() {
            *operation = *self.operations().get(gene as usize).ok_or_else(|| {
                foreign(format!("gene {place} is {gene}, expected 0 to {}", self.choices() - 1))
            })?;
        }
        Ok(Cell(cell))
    }

    fn genotype(&self, cell: Cell) -> Result<Genotype, SpaceError> {
        let gene = |operation| {
            let index = self.operations().iter().position(|&known| known == operation);
            index
                .map(|index| index as u32)
                .ok_or_else(|| foreign(format!("{operation} is not among the space's operations")))
        };
        Ok(Genotype(cell.0.into_iter().map(gene).collect::<Result<_, _>>()?))
    }
}

impl SearchSpace for NasBench201 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        let Parameters { channels, cells, input, classes, operations, same } = &self.parameters;
        json!({
            "channels": channels,
            "cells": cells,
            "input": input,
            "classes": classes,
            "operations": operations,
            "same": same,
        })
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The hash of what makes cells the same (`same`) and of the skeleton's sizes. The list of
    /// operations does not enter, so that the same network has the same hash in a space that offers
    /// fewer of them.
    ///
    /// By default cells are the same if they build the same network, operations that nobody reads
    /// included, since those are paid for: 9,742 of the published 15,625. By `same: function` they
    /// are if NATS-Bench's published rule says so: 6,466. That rule drops operations whose result
    /// is not read and those behind a node that is always zero, and does not tell one convolution
    /// read twice from two equal ones, so that members of a class differ in parameters,
    /// multiply-accumulates and measured latency.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        let cell = self.cell(genotype)?;
        let Parameters { channels, cells, input: [depth, height, width], classes, .. } =
            self.parameters;
        let mut sizes = [0; 24];
        let numbers = [channels, cells, depth, height, width, classes];
        for (bytes, number) in sizes.chunks_exact_mut(4).zip(numbers) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        let (domain, text) = match self.parameters.same {
            Same::Network => {
                let graph = network::of_one_cell(cell).map_err(no_network)?;
                ("cambrian nasbench201 network v1", graph.canonical_hash().to_string())
            }
            Same::Function => ("cambrian nasbench201 v1", cell.isomorphism_string()),
            Same::Spelling => ("cambrian nasbench201 spelling v1", cell.to_string()),
        };
        Ok(CanonicalHash::of(domain, [sizes.as_slice(), text.as_bytes()]))
    }

    fn hash_names_network(&self) -> bool {
        self.parameters.same != Same::Function
    }

    /// The cell without operations that nobody reads or that read nothing.
    fn simplified(&self, genotype: &Genotype) -> Genotype {
        let simplified = self.cell(genotype).map(|cell| self.genotype(cell.simplified()));
        simplified.ok().and_then(Result::ok).unwrap_or_else(|| genotype.clone())
    }

    fn simplified_costs_less(&self) -> bool {
        true
    }

    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        let cell = self.cell(genotype)?;
        network::lower(&self.parameters, cell).map_err(no_network)
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

fn no_network(error: GraphError) -> SpaceError {
    SpaceError::NoNetwork { space: NAME, reason: error.to_string() }
}

fn foreign(reason: String) -> SpaceError {
    SpaceError::Foreign { space: NAME, reason }
}

#[cfg(test)]
mod tests;
