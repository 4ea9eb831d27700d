//! Spaces that a campaign declares itself: its genes in YAML, without a line of Rust. Their
//! architectures are looked up in a table or evaluated by a program that knows what the genes
//! mean; they have no network here.
//!
//! `read` takes the genes from a campaign, `write` gives them back with every default.

mod read;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots};
use crate::graph::CanonicalHash;

const NAME: &str = "declared";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "genes declared in the campaign: numbers, choices, subsets, switches, repeats, trees \
              and graphs, for architectures of a table or of an evaluator of one's own",
    build: |section| Some(Arc::new(read::space(section)?)),
};

/// A space of declared genes.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    schema: Schema,
    same: Same,
}

/// Which genotypes are one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Same {
    /// Equal ones.
    Spelling,
    /// Those that differ by the numbering of inner nodes of `dag` genes only.
    Isomorphic,
}

impl SearchSpace for Declared {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        write::parameters(&self.schema, self.same)
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.schema.check(genotype).map_err(foreign)?;
        Ok(hash_of_slots("cambrian declared space v1", &self.simplified(genotype)))
    }

    fn simplified(&self, genotype: &Genotype) -> Genotype {
        match self.same {
            Same::Spelling => genotype.clone(),
            Same::Isomorphic => self.schema.canonicalised(genotype),
        }
    }

    fn has_networks(&self) -> bool {
        false
    }
}

fn foreign(reason: String) -> SpaceError {
    SpaceError::Foreign { space: NAME, reason }
}
