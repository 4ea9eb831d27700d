//! The smallest space there is: some genes of equally many values, which are choices or numbers. It
//! counts how often it is asked for a hash. It must not know objectives, which are the tests'.

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
        Arc::new(Self::new(genes, choices(values), true))
    }

    /// Every genotype is a network of its own, and its genes are whole numbers from 0.
    pub(in crate::algorithm) fn of_numbers(genes: usize, values: u32) -> Arc<Self> {
        let high = i64::from(values) - 1;
        let kind = GeneKind::Integer { low: 0, high, step: 1, log: false };
        Arc::new(Self::new(genes, kind, true))
    }

    /// Every genotype is a network of its own, and its genes are real numbers from 0 to 1.
    pub(in crate::algorithm) fn of_reals(genes: usize) -> Arc<Self> {
        Arc::new(Self::new(genes, GeneKind::Real { low: 0.0, high: 1.0, log: false }, true))
    }

    /// Genotypes with the same genes in another order are the same network.
    pub(in crate::algorithm) fn unordered(genes: usize, values: u32) -> Arc<Self> {
        Arc::new(Self::new(genes, choices(values), false))
    }

    fn new(genes: usize, kind: GeneKind, ordered: bool) -> Self {
        let gene = |at: usize| Gene::new(at.to_string(), kind.clone());
        let schema = Schema::new((0..genes).map(gene).collect()).unwrap();
        Self { schema, ordered, hashes: AtomicU64::new(0) }
    }

    /// How often a hash was asked for.
    pub(in crate::algorithm) fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }
}

fn choices(values: u32) -> GeneKind {
    let choices = (0..values).map(|value| value.to_string().into()).collect();
    GeneKind::Categorical { choices, ordered: false }
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
