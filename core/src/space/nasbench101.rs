//! The cells of NAS-Bench-101 (Ying et al. 2019): directed acyclic graphs of up to seven vertices and
//! nine edges with three operations inside, 1,293,208 spellings of 423,624 cells. They are looked up
//! in a table; they have no network here, since the published cells cut channels off, which graphs
//! of operations cannot.

use std::sync::Arc;

use super::schema::{Gene, GeneKind};
use super::{
    Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, has_no_parameters, hash_of_slots,
};
use crate::graph::CanonicalHash;

const NAME: &str = "nasbench101";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "cells of up to 7 vertices and 9 edges (NAS-Bench-101), to be looked up in a table",
    build: |section| {
        has_no_parameters(section).then(|| Arc::new(NasBench101::new()) as Arc<dyn SearchSpace>)
    },
};

const VERTICES: u32 = 7;
const EDGES: u32 = 9;
const OPERATIONS: [&str; 3] = ["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"];

/// The space.
#[derive(Debug, Clone, PartialEq)]
pub struct NasBench101 {
    schema: Schema,
}

impl NasBench101 {
    fn new() -> Self {
        let labels = OPERATIONS.map(Into::into).to_vec();
        let cell = GeneKind::Dag { least_nodes: 2, most_nodes: VERTICES, max_edges: EDGES, labels };
        let schema = Schema::new(vec![Gene::new("cell", cell)])
            .expect("two to seven vertices and three operations make a graph");
        Self { schema }
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
        serde_json::json!({})
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

    fn has_networks(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use num_bigint::BigUint;

    use super::*;

    #[test]
    fn spellings_of_423624_cells() {
        let space = NasBench101::new();
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
        let space = NasBench101::new();
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
}
