//! The smallest space there is: some genes of equally many values, with or without an order. It
//! counts how often it is asked for a hash.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::graph::Graph;
use crate::space::schema::{Gene, GeneKind};
use crate::space::{Schema, SpaceError};

#[derive(Debug)]
pub(in crate::algorithm) struct Grid {
    schema: Schema,
    ordered: bool,
    hashes: AtomicU64,
}

impl Grid {
    /// Every genotype is a network of its own.
    pub(in crate::algorithm) fn of(genes: usize, values: u32) -> Arc<Self> {
        Arc::new(Self::new(genes, values, true))
    }

    /// Genotypes with the same genes in another order are the same network.
    pub(in crate::algorithm) fn unordered(genes: usize, values: u32) -> Arc<Self> {
        Arc::new(Self::new(genes, values, false))
    }

    fn new(genes: usize, values: u32, ordered: bool) -> Self {
        let choices = (0..values).map(|value| value.to_string().into()).collect();
        let kind = GeneKind::Categorical { choices, ordered: false };
        let gene = |at: usize| Gene::new(at.to_string(), kind.clone());
        let schema = Schema::new((0..genes).map(gene).collect()).unwrap();
        Self { schema, ordered, hashes: AtomicU64::new(0) }
    }

    /// How often a hash was asked for.
    pub(in crate::algorithm) fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }
}

impl SearchSpace for Grid {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.hashes.fetch_add(1, Ordering::Relaxed);
        let mut genes = genotype.0.to_vec();
        if !self.ordered {
            genes.sort_unstable();
        }
        let bytes: Vec<u8> = genes.iter().flat_map(|gene| gene.to_le_bytes()).collect();
        Ok(CanonicalHash::of("grid", [bytes.as_slice()]))
    }

    fn lower(&self, _: &Genotype) -> Result<Graph, SpaceError> {
        Err(SpaceError::NoNetwork { space: "grid", reason: "it has none".to_owned() })
    }

    fn format(&self, genotype: &Genotype) -> String {
        format!("{:?}", genotype.0)
    }

    fn parse(&self, text: &str) -> Result<Genotype, SpaceError> {
        Err(SpaceError::Foreign { space: "grid", reason: text.to_owned() })
    }
}
