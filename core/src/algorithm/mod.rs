//! Search algorithms: which genotype to try next, given everything that has come back so far.
//!
//! An algorithm is one file here and one line in [`ALGORITHMS`]. `suggest` leaves its state alone
//! and draws only from the stream it is given; `update` is fed by replayed events, so the state is
//! rebuilt by replay and never stored. It must not know workers, leases, time or the meaning of an
//! objective: all objectives arrive minimised.

mod auto;
mod breeding;
mod computed;
mod evolution;
mod model;
mod nsga2;
mod nsga3;
mod observations;
mod pending;
mod random;
mod ranking;
mod regularized_evolution;
mod sms_emoa;
mod surrogate;
mod tpe;

#[cfg(test)]
mod contract;

pub use computed::{Computed, ComputedValues};

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::graph::CanonicalHash;
use crate::id::Ordinal;
use crate::rng::Stream;
use crate::space::{Genotype, SearchSpace};
use crate::spec::Section;

/// How a genotype came about; recorded with the candidate as its lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Drawn from the space.
    Sampled,
    /// Named by the campaign, to begin with.
    Given,
    /// A changed copy of one parent.
    Mutated {
        /// The parent.
        parent: Ordinal,
    },
    /// A recombination of two parents, possibly mutated afterwards.
    Crossed {
        /// The parent whose genotype came first.
        first: Ordinal,
        /// The other parent.
        second: Ordinal,
    },
}

/// A genotype that an algorithm wants evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What to evaluate.
    pub genotype: Genotype,
    /// Its canonical hash, not among [`Known::contains`].
    pub key: CanonicalHash,
    /// How it came about.
    pub origin: Origin,
}

/// What an algorithm answers when asked for a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suggestion {
    /// Evaluate this.
    Propose(Proposal),
    /// Nothing until more results arrive (a generation is not complete) or the wanted model is
    /// adopted.
    Wait,
    /// Every network of the space is finished or in flight; of a space with more genotypes
    /// than [`SearchSpace::searched`] this is concluded from so many draws in a row that were.
    Exhausted,
}

/// The networks that must not be proposed again.
pub trait Known {
    /// Whether a network with this canonical hash is finished or in flight.
    fn contains(&self, key: &CanonicalHash) -> bool;
}

impl Known for BTreeSet<CanonicalHash> {
    fn contains(&self, key: &CanonicalHash) -> bool {
        BTreeSet::contains(self, key)
    }
}

/// What became of a proposed candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome<'a> {
    /// Evaluated: minimised objectives, all finite, and the summed normalised violation of
    /// constraints (0 = feasible).
    Scored {
        /// One value an objective, in the campaign's order.
        objectives: &'a [f64],
        /// Summed normalised constraint violation, at least 0.
        violation: f64,
    },
    /// Rejected before dispatch, because an analytic metric breaks a constraint. It cost nothing:
    /// its place in a generation or an initial population is free again. Never a parent.
    Infeasible,
    /// Broke a constraint on what an early stage measured, and goes no further: without objectives, worse than
    /// whatever keeps the constraints, and compared with others that do not by its violation.
    Violating {
        /// Summed normalised constraint violation, above 0.
        violation: f64,
    },
    /// Finished an early stage below those that went on, and waits; without a score, and worse than
    /// whatever passed. Its place stays spent and it is not in flight any more. It may be called up
    /// later, and then [`Algorithm::update`] says again what became of it. Never a parent meanwhile.
    SetAside,
    /// Found not worth its later stages, for good; without a score, and worse than whatever passed.
    /// Its place stays spent. Never a parent.
    Screened,
    /// Failed for good; its place stays spent, so that failures cannot stretch a generation
    /// without bound. Never a parent.
    Lost,
}

/// A search algorithm's state; see the module's text for the contract.
pub trait Algorithm: fmt::Debug + Send + Sync {
    /// The name under which [`ALGORITHMS`] lists it.
    fn name(&self) -> &'static str;

    /// Every parameter with its resolved value, as a JSON object that [`ALGORITHMS`] reads back.
    fn parameters(&self) -> serde_json::Value;

    /// The next candidate to evaluate. Deterministic in the state, `known` and the stream.
    fn suggest(&self, space: &dyn SearchSpace, known: &dyn Known, rng: &mut Stream) -> Suggestion;

    /// Records that `proposal` was accepted as candidate `id`.
    fn proposed(&mut self, id: Ordinal, proposal: &Proposal);

    /// Records what became of candidate `id`, in any order: once for each proposed candidate, and
    /// again for one that was [`Outcome::SetAside`] before.
    fn update(&mut self, id: Ordinal, outcome: Outcome<'_>);

    /// The candidates that can be parents at present, ascending.
    fn population(&self) -> Vec<Ordinal>;

    /// The model that has to be fitted before the search goes on as well as it can, if any; until
    /// [`Self::adopt`] is called with its number of results the same one, or none while the search can do
    /// without.
    fn wanted_fit(&self) -> Option<FitJob> {
        None
    }

    /// The model that proposals rest on at present, if any. A process that has got here by replaying a
    /// journal has not fitted it; until it has, a proposal takes as long as the fit.
    fn adopted_fit(&self) -> Option<FitJob> {
        None
    }

    /// Uses the wanted model, fitted on the first `results` results, from now on. When this
    /// happens is part of the history, so it is an event; the model itself is derived again where
    /// a replay needs it.
    fn adopt(&mut self, results: u32) {
        let _ = results;
    }

    /// A copy with the same state.
    fn boxed_clone(&self) -> Box<dyn Algorithm>;
}

impl Clone for Box<dyn Algorithm> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// A model to be fitted: pure work, on any thread, whose result the algorithm shares. Running it
/// is an optimisation only: an algorithm that adopts a model which nobody has fitted fits it when
/// it first needs it, with the same result.
#[derive(Clone)]
pub struct FitJob {
    /// The number of results that the model is fitted on; identifies it within its campaign.
    pub results: u32,
    work: Arc<dyn Fn() + Send + Sync>,
}

impl FitJob {
    /// A job that runs `work`, which may be called any number of times.
    #[must_use]
    pub fn new(results: u32, work: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { results, work }
    }

    /// Fits the model; at once if that has been done.
    pub fn run(&self) {
        (self.work)();
    }
}

impl fmt::Debug for FitJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FitJob").field("results", &self.results).finish_non_exhaustive()
    }
}

/// What an algorithm may know of its campaign when it is built.
#[derive(Debug, Clone)]
pub struct AlgorithmContext {
    /// The search space; `None` if the campaign's is faulty, so that only parameters are checked.
    pub space: Option<Arc<dyn SearchSpace>>,
    /// The number of evaluations of the budget, if it is limited so.
    pub evaluations: Option<u32>,
    /// The campaign's seed, for what an algorithm draws outside [`Algorithm::suggest`].
    pub seed: u64,
    /// The names of the campaign's objectives, in order.
    pub objectives: Vec<Arc<str>>,
    /// The goals of those objectives: `true` where the campaign maximises, so that the minimised
    /// value that the algorithm sees is the negated one.
    pub maximized: Vec<bool>,
    /// What can be computed of a genotype before it is evaluated, if anything: objectives and bounds on
    /// what follows from its network.
    pub computed: Option<Arc<dyn Computed>>,
}

/// One line of [`ALGORITHMS`].
#[derive(Debug)]
pub struct AlgorithmEntry {
    /// The value of `algorithm.kind` in a campaign.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads the parameters into a fresh state; faults go into the section, `None` if there were
    /// any.
    pub build: fn(&Section<'_>, &AlgorithmContext) -> Option<Box<dyn Algorithm>>,
}

/// Every algorithm that a campaign can name; the first is the default.
pub const ALGORITHMS: &[AlgorithmEntry] = &[
    auto::ENTRY,
    nsga2::ENTRY,
    nsga3::ENTRY,
    sms_emoa::ENTRY,
    regularized_evolution::ENTRY,
    random::ENTRY,
    tpe::ENTRY,
    surrogate::ENTRY,
];
