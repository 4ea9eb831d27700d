//! The smallest space there is: some genes of equally many values, with or without an order. It
//! counts how often it is asked for a hash.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;

use super::*;
use crate::graph::Graph;
use crate::rng::Stream;
use crate::space::{Mutation, SpaceError};

#[derive(Debug)]
pub(in crate::algorithm) struct Grid {
    genes: usize,
    values: u16,
    ordered: bool,
    hashes: AtomicU64,
}

impl Grid {
    /// Every genotype is a network of its own.
    pub(in crate::algorithm) fn of(genes: usize, values: u16) -> Arc<Self> {
        Arc::new(Self { genes, values, ordered: true, hashes: AtomicU64::new(0) })
    }

    /// Genotypes with the same genes in another order are the same network.
    pub(in crate::algorithm) fn unordered(genes: usize, values: u16) -> Arc<Self> {
        Arc::new(Self { genes, values, ordered: false, hashes: AtomicU64::new(0) })
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

    fn cardinality(&self) -> u128 {
        u128::from(self.values).pow(self.genes as u32)
    }

    fn genes(&self) -> usize {
        self.genes
    }

    fn unrank(&self, rank: u128) -> Option<Genotype> {
        let base = u128::from(self.values);
        let digit = |gene: usize| (rank / base.pow(gene as u32) % base) as u16;
        (rank < self.cardinality()).then(|| Genotype((0..self.genes).map(digit).collect()))
    }

    fn rank(&self, genotype: &Genotype) -> Result<u128, SpaceError> {
        let base = u128::from(self.values);
        Ok(genotype.0.iter().rev().fold(0, |rank, gene| rank * base + u128::from(*gene)))
    }

    fn sample(&self, rng: &mut Stream) -> Genotype {
        Genotype((0..self.genes).map(|_| rng.random_range(0..self.values)).collect())
    }

    fn mutate(&self, parent: &Genotype, mutation: Mutation, rng: &mut Stream) -> Genotype {
        let chosen = rng.random_range(0..self.genes);
        let mut child = parent.clone();
        for (at, gene) in child.0.iter_mut().enumerate() {
            let changes = match mutation {
                Mutation::OneGene => at == chosen,
                Mutation::EachGene(rate) => rng.random_bool(rate),
            };
            if changes {
                *gene = (*gene + rng.random_range(1..self.values)) % self.values;
            }
        }
        child
    }

    fn cross(&self, first: &Genotype, second: &Genotype, rng: &mut Stream) -> Genotype {
        let pairs = first.0.iter().zip(&second.0);
        Genotype(pairs.map(|(a, b)| if rng.random_bool(0.5) { *a } else { *b }).collect())
    }

    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.hashes.fetch_add(1, Ordering::Relaxed);
        let mut genes = genotype.0.to_vec();
        if !self.ordered {
            genes.sort_unstable();
        }
        let rank = self.rank(&Genotype(genes.into()))?;
        Ok(CanonicalHash::from_bytes(rank.to_le_bytes()))
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
