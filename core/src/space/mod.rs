//! Search spaces: which genotypes exist, how they vary, and the network each one stands for.
//!
//! A space is one file here and one line in [`SPACES`]. It must not know algorithms, objectives or
//! how a network is evaluated.

mod blocks;
pub mod cnn7;
#[cfg(test)]
pub(crate) mod contract;
pub mod darts;
pub mod declared;
mod images;
pub mod nasbench101;
pub mod nasbench201;
pub mod nasbench_graph;
pub mod nasbench_macro;
pub mod nats_size;
pub mod ofa_mobilenet_v3;
pub mod problem;
#[cfg(test)]
pub(crate) mod published;
pub mod schema;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

pub use schema::{Mutation, Schema};

use crate::graph::{CanonicalHash, Graph};
use crate::spec::Section;

/// The value of every gene of one candidate, in the order of its space's [`Schema`]: an index into
/// a gene's choices, or a step of a number's range. Slots of genes that do not apply hold 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Genotype(pub Box<[u32]>);

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

/// The most genotypes that are looked at for one that is new before a space counts as exhausted.
const MOST_SEARCHED: u32 = 1_000_000;

/// A set of genotypes and the network that each one stands for.
///
/// What can vary is said by the [`Schema`], from which sampling, variation, numbering and encoding
/// are derived; a space adds which genotypes are the same, and how one becomes a network.
pub trait SearchSpace: fmt::Debug + Send + Sync {
    /// The name under which [`SPACES`] lists it.
    fn name(&self) -> &'static str;

    /// Every parameter with its resolved value, as a JSON object that [`SPACES`] reads back.
    fn parameters(&self) -> serde_json::Value;

    /// Its genes and everything that is derived from them.
    fn schema(&self) -> &Schema;

    /// A key that is equal for genotypes known to compute the same function; by the published
    /// rule of the space where there is one. Costs of equal ones may differ (dead operations).
    ///
    /// # Errors
    /// [`SpaceError::Foreign`] if the genotype is not of this space.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError>;

    /// How many genotypes are looked at, at most, for one that is new before the space counts as exhausted. A
    /// search holds up the engine, so fewer where [`Self::canonical_hash`] takes long.
    fn searched(&self) -> u32 {
        MOST_SEARCHED
    }

    /// Whether genotypes of one [`Self::canonical_hash`] build one network, so that whatever is measured
    /// of one holds for the other; not where a published rule leaves operations out that cost time and
    /// memory.
    fn hash_names_network(&self) -> bool {
        true
    }

    /// A genotype of the space that computes the same function and is the same for as many
    /// equivalent genotypes as is cheap to find; models learn from this spelling.
    fn simplified(&self, genotype: &Genotype) -> Genotype {
        genotype.clone()
    }

    /// Whether [`Self::simplified`] leaves out what costs time and memory, so that models have to see the
    /// genotype as it is, too.
    fn simplified_costs_less(&self) -> bool {
        false
    }

    /// Whether genotypes stand for networks; if not (a mathematical test problem, or architectures
    /// that are only looked up in a table), there is nothing to lower and no analytic metric.
    fn has_networks(&self) -> bool {
        true
    }

    /// The mathematical test problem whose variables the genotypes are, if they are.
    fn problem(&self) -> Option<problem::Problem> {
        None
    }

    /// The network of `genotype`; by default there is none, as in spaces without networks.
    ///
    /// # Errors
    /// [`SpaceError`] if the genotype is not of this space or has no network.
    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        let space = self.name();
        let foreign = |reason| SpaceError::Foreign { space, reason };
        self.schema().check(genotype).map_err(foreign)?;
        let reason = "its candidates are looked up or computed, not built".to_owned();
        Err(SpaceError::NoNetwork { space, reason })
    }

    /// The genotype in the notation of the field, such as `|nor_conv_3x3~0|+...`; by default that of
    /// the schema.
    fn format(&self, genotype: &Genotype) -> String {
        self.schema().format(genotype)
    }

    /// Reads what [`Self::format`] wrote.
    ///
    /// # Errors
    /// [`SpaceError::Foreign`] with the place that could not be read.
    fn parse(&self, text: &str) -> Result<Genotype, SpaceError> {
        let foreign = |reason| SpaceError::Foreign { space: self.name(), reason };
        self.schema().parse(text).map_err(foreign)
    }
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
pub const SPACES: &[SpaceEntry] = &[
    nasbench201::ENTRY,
    nasbench101::ENTRY,
    nats_size::ENTRY,
    nasbench_macro::ENTRY,
    darts::ENTRY,
    ofa_mobilenet_v3::ENTRY,
    cnn7::ENTRY,
    nasbench_graph::ENTRY,
    declared::ENTRY,
    problem::ENTRY,
];

/// The parameters of a space that has none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NoParameters {}

/// Whether a section holds no parameters, for a space that has none; others are faults.
fn has_no_parameters(section: &Section<'_>) -> bool {
    let NoParameters {} = section.read();
    section.is_clean()
}

/// The key of a space in which different genotypes are different candidates. Slots of genes that do
/// not apply hold 0, so equal meanings have equal slots.
fn hash_of_slots(domain: &str, genotype: &Genotype) -> CanonicalHash {
    CanonicalHash::of_numbers(domain, &genotype.0)
}
