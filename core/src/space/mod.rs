//! Search spaces: which genotypes exist, how they vary, and the network each one stands for.
//!
//! A space is one file here and one line in [`SPACES`]. It must not know algorithms, objectives or
//! how a network is evaluated.

#[cfg(test)]
pub(crate) mod contract;
pub mod nasbench201;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::graph::{CanonicalHash, Graph};
use crate::rng::Stream;
use crate::spec::Section;

/// The value of every gene of one candidate, as indices into each gene's choices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Genotype(pub Box<[u16]>);

/// How strongly [`SearchSpace::mutate`] changes a genotype.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mutation {
    /// Exactly one gene takes another value (Real et al. 2019).
    OneGene,
    /// Each gene independently takes another value with this probability, possibly none does.
    EachGene(f64),
}

/// A genotype or its text that does not belong to a space.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpaceError {
    /// A genotype of the wrong length or with a gene out of range.
    #[error("the genotype does not belong to {space}: {reason}")]
    Foreign {
        /// The space's name.
        space: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A genotype that has no network (shapes that vanish, say).
    #[error("the genotype has no network in {space}: {reason}")]
    NoNetwork {
        /// The space's name.
        space: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// A set of genotypes with their variation operators and their lowering to networks.
pub trait SearchSpace: fmt::Debug + Send + Sync {
    /// The name under which [`SPACES`] lists it.
    fn name(&self) -> &'static str;

    /// Every parameter with its resolved value, as a JSON object that [`SPACES`] reads back.
    fn parameters(&self) -> serde_json::Value;

    /// The number of genotypes (spellings, not distinct networks).
    fn cardinality(&self) -> u128;

    /// The number of genes, at least 1; variation rates are relative to it.
    fn genes(&self) -> usize;

    /// The genotype with number `rank`, `None` at or beyond [`Self::cardinality`].
    fn unrank(&self, rank: u128) -> Option<Genotype>;

    /// The number of `genotype`, the inverse of [`Self::unrank`].
    ///
    /// # Errors
    /// [`SpaceError::Foreign`] if the genotype is not of this space.
    fn rank(&self, genotype: &Genotype) -> Result<u128, SpaceError>;

    /// A genotype drawn uniformly.
    fn sample(&self, rng: &mut Stream) -> Genotype;

    /// A changed copy of `parent`, which must be of this space.
    fn mutate(&self, parent: &Genotype, mutation: Mutation, rng: &mut Stream) -> Genotype;

    /// A child of two parents of this space.
    fn cross(&self, first: &Genotype, second: &Genotype, rng: &mut Stream) -> Genotype;

    /// A key that is equal for genotypes known to compute the same function; by the published
    /// rule of the space where there is one. Costs of equal ones may differ (dead operations).
    ///
    /// # Errors
    /// [`SpaceError::Foreign`] if the genotype is not of this space.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError>;

    /// The network of `genotype`.
    ///
    /// # Errors
    /// [`SpaceError`] if the genotype is not of this space or has no network.
    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError>;

    /// The genotype in the notation of the field, such as `|nor_conv_3x3~0|+...`.
    fn format(&self, genotype: &Genotype) -> String;

    /// Reads what [`Self::format`] wrote.
    ///
    /// # Errors
    /// [`SpaceError::Foreign`] with the place that could not be read.
    fn parse(&self, text: &str) -> Result<Genotype, SpaceError>;
}

/// One line of [`SPACES`].
#[derive(Debug)]
pub struct SpaceEntry {
    /// The value of `space.kind` in a campaign.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads the parameters; faults go into the section, `None` if there were any.
    pub build: fn(&Section<'_>) -> Option<Arc<dyn SearchSpace>>,
}

/// Every search space that a campaign can name.
pub const SPACES: &[SpaceEntry] = &[nasbench201::ENTRY];
