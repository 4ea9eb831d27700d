//! Spaces that a campaign declares itself: its genes in YAML, and how they build a network from
//! stages, blocks and cells, without a line of Rust. Architectures of a declaration without a network
//! are looked up in a table or evaluated by a program that knows what the genes mean.
//!
//! `read` takes the genes from a campaign, `write` gives them back with every default, and `network` builds
//! the graphs. This file must not know how any of it is written.

mod network;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Genotype, MOST_SEARCHED, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots};
use crate::graph::{CanonicalHash, Graph};
use crate::rng::{Purpose, stream};
use network::Network;

const NAME: &str = "declared";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "genes declared in the campaign: numbers, choices, subsets, switches, repeats, trees \
              and graphs, with the network that they build, or for architectures of a table",
    build: |section| Some(Arc::new(read::space(section)?)),
};

/// A space of declared genes.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    schema: Schema,
    same: Same,
    network: Option<Network>,
}

/// Which genotypes are one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Same {
    /// Equal ones.
    Spelling,
    /// Those that differ by the numbering of inner nodes of `dag` genes only.
    Isomorphic,
    /// Those that build the same network.
    Network,
}

impl SearchSpace for Declared {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        write::parameters(self)
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.schema.check(genotype).map_err(foreign)?;
        // One that has no network is told apart by its spelling.
        if let (Same::Network, Ok(graph)) = (self.same, self.lower(genotype)) {
            return Ok(graph.canonical_hash());
        }
        let simplified = match self.same {
            Same::Spelling | Same::Network => genotype,
            Same::Isomorphic => &self.schema.canonicalised(genotype),
        };
        Ok(hash_of_slots("cambrian declared space v1", simplified))
    }

    /// What differs in the numbering of nodes alone may build another network by expressions over it.
    fn hash_names_network(&self) -> bool {
        self.same != Same::Isomorphic
    }

    /// Fewer of large networks, which take half a microsecond a node: about two seconds at most.
    fn searched(&self) -> u32 {
        const NODES: u32 = 4_000_000;
        if self.same != Same::Network {
            return MOST_SEARCHED;
        }
        let one = self.schema.sample(&mut stream(0, Purpose::Proposal, 0));
        let nodes = self.lower(&one).map_or(1, |graph| graph.nodes().len().max(1));
        (NODES / nodes as u32).clamp(1_000, MOST_SEARCHED)
    }

    fn simplified(&self, genotype: &Genotype) -> Genotype {
        match self.same {
            Same::Spelling | Same::Network => genotype.clone(),
            Same::Isomorphic => self.schema.canonicalised(genotype),
        }
    }

    fn has_networks(&self) -> bool {
        self.network.is_some()
    }

    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        self.schema.check(genotype).map_err(foreign)?;
        let none = |reason| SpaceError::NoNetwork { space: NAME, reason };
        let Some(network) = &self.network else {
            return Err(none("it declares none; its architectures are looked up".to_owned()));
        };
        network.build(&self.schema, genotype).map_err(|failure| none(failure.to_string()))
    }
}

fn foreign(reason: String) -> SpaceError {
    SpaceError::Foreign { space: NAME, reason }
}
