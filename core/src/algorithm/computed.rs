//! What is known of a genotype before anything is evaluated: objectives and bounds that follow from
//! its network alone. A model need not guess them. This file must not know how they are computed.

use std::fmt;

use crate::space::Genotype;

/// What follows from a genotype alone.
#[derive(Debug, Clone, PartialEq)]
pub struct ComputedValues {
    /// One entry an objective, in the campaign's order: its minimised value, finite, where
    /// [`Computed::covers`] it, else `None`.
    pub objectives: Box<[Option<f64>]>,
    /// Summed normalised violation of the computed bounds, at least 0; a candidate that breaks one is
    /// never evaluated.
    pub violation: f64,
}

/// Computes the exact values of some objectives. A pure function of the genotype, the same in every
/// process and release, so that a replay proposes what was proposed.
pub trait Computed: fmt::Debug + Send + Sync {
    /// Whether the objective at this position is computed.
    fn covers(&self, objective: usize) -> bool;

    /// Of how many genotypes this may be asked for one proposal, at least 1, so that it stays cheap.
    fn affordable(&self) -> usize;

    /// Whether there are bounds, so that some genotypes may be ruled out.
    fn bounds(&self) -> bool;

    /// What is known of a genotype; `None` if it has no network, so that it is never evaluated.
    fn of(&self, genotype: &Genotype) -> Option<ComputedValues>;
}
