//! The results that model-assisted algorithms learn from, in order of arrival, with the encoding of
//! each; the candidates in flight; those that early stages held back; and what is computed of a
//! genotype before it is evaluated. It must not know any model.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{AlgorithmContext, Computed, Origin, Outcome, Proposal};
use crate::id::Ordinal;
use crate::pareto::Points;
use crate::pareto::sorting::non_dominated_sort;
use crate::space::schema::Feature;
use crate::space::{Genotype, SearchSpace};

/// An evaluated candidate.
#[derive(Debug)]
pub(super) struct Observation {
    /// Its number.
    pub(super) id: Ordinal,
    /// Its genes.
    pub(super) genotype: Genotype,
    /// Its encoding, as [`encode`] writes it.
    pub(super) features: Vec<f64>,
    /// Minimised objectives, finite.
    pub(super) objectives: Vec<f64>,
    /// Summed normalised constraint violation, finite; 0 is feasible.
    pub(super) violation: f64,
}

/// A candidate that broke a constraint early: without objectives.
#[derive(Debug)]
pub(super) struct Violating {
    /// Its encoding.
    pub(super) features: Vec<f64>,
    /// Summed normalised constraint violation, finite and above 0.
    pub(super) violation: f64,
}

/// A candidate in flight.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    genotype: Genotype,
    /// Its encoding.
    pub(super) features: Vec<f64>,
    /// What is computed of its objectives.
    pub(super) foreseen: Option<Foreseen>,
    /// Whether the campaign named it.
    given: bool,
}

/// So many candidates that were ruled out are remembered.
const REMEMBERED: usize = 200;

/// One entry an objective: its minimised value where that is computed.
pub(super) type Foreseen = Box<[Option<f64>]>;

/// What is known of a campaign.
#[derive(Debug, Clone)]
pub(super) struct Observations {
    space: Option<Arc<dyn SearchSpace>>,
    objectives: usize,
    computed: Option<Arc<dyn Computed>>,
    /// Results in order of arrival.
    results: Vec<Arc<Observation>>,
    violating: Vec<Arc<Violating>>,
    /// Encodings of those whose evaluation failed.
    lost: Vec<Arc<[f64]>>,
    /// Encodings of the latest that a bound on what is computed ruled out, or that have no network.
    ruled_out: VecDeque<Arc<[f64]>>,
    pending: BTreeMap<Ordinal, Pending>,
    /// Set aside or screened: without a score, and worse than whatever passed.
    held_back: BTreeMap<Ordinal, Pending>,
    proposed: usize,
    given: usize,
}

/// What evaluations have taught, each in order of arrival.
#[derive(Debug, Clone)]
pub(super) struct Lessons {
    /// Those with a score.
    pub(super) results: Vec<Arc<Observation>>,
    /// Those that broke a constraint early.
    pub(super) violating: Vec<Arc<Violating>>,
    /// Encodings of those that failed.
    pub(super) lost: Vec<Arc<[f64]>>,
}

impl Lessons {
    /// The number of candidates from whose evaluation something was learnt.
    pub(super) fn count(&self) -> usize {
        self.results.len() + self.violating.len() + self.lost.len()
    }
}

/// Constrained non-domination ranks of observations.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    /// Positions by rank, those of equal rank in order of arrival.
    pub(super) order: Vec<usize>,
    /// The rank of each position.
    pub(super) ranks: Vec<u32>,
}

impl Observations {
    /// Nothing yet of this campaign.
    pub(super) fn new(context: &AlgorithmContext) -> Self {
        Self {
            space: context.space.clone(),
            objectives: context.objectives.len(),
            computed: context.computed.clone(),
            results: Vec::new(),
            violating: Vec::new(),
            lost: Vec::new(),
            ruled_out: VecDeque::new(),
            pending: BTreeMap::new(),
            held_back: BTreeMap::new(),
            proposed: 0,
            given: 0,
        }
    }

    /// The number of objectives.
    pub(super) fn objectives(&self) -> usize {
        self.objectives
    }

    /// Results in order of arrival.
    pub(super) fn results(&self) -> &[Arc<Observation>] {
        &self.results
    }

    /// Candidates that broke a constraint early, in order of arrival.
    pub(super) fn violating(&self) -> &[Arc<Violating>] {
        &self.violating
    }

    /// Encodings of the candidates whose evaluation failed, in order of arrival.
    pub(super) fn lost(&self) -> &[Arc<[f64]>] {
        &self.lost
    }

    /// Encodings of the latest candidates that were ruled out before any evaluation.
    pub(super) fn ruled_out(&self) -> impl Iterator<Item = &[f64]> {
        self.ruled_out.iter().map(AsRef::as_ref)
    }

    /// What evaluations have taught so far.
    pub(super) fn lessons(&self) -> Lessons {
        Lessons {
            results: self.results.clone(),
            violating: self.violating.clone(),
            lost: self.lost.clone(),
        }
    }

    /// As [`Lessons::count`].
    pub(super) fn learnt_from(&self) -> usize {
        self.results.len() + self.violating.len() + self.lost.len()
    }

    /// What is computed of a genotype; `None` if that says that it is never evaluated.
    pub(super) fn foresee(&self, genotype: &Genotype) -> Option<Foreseen> {
        let Some(computed) = &self.computed else {
            return Some(vec![None; self.objectives].into());
        };
        let values = computed.of(genotype)?;
        (values.violation == 0.0).then_some(values.objectives)
    }

    /// Whether a genotype is known to be never evaluated, by bounds on what is computed.
    pub(super) fn rules_out(&self, genotype: &Genotype) -> bool {
        let bounded = self.computed.as_ref().is_some_and(|computed| computed.bounds());
        bounded && self.foresee(genotype).is_none()
    }

    /// Of how many genotypes it may be asked what is computed of them, for one proposal.
    pub(super) fn affordable(&self) -> usize {
        self.computed.as_ref().map_or(usize::MAX, |computed| computed.affordable())
    }

    /// The candidates in flight, in order of proposal.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &Pending> {
        self.pending.values()
    }

    /// Encodings of the candidates in flight, in order of proposal.
    pub(super) fn pending(&self) -> Vec<&[f64]> {
        self.pending.values().map(|pending| pending.features.as_slice()).collect()
    }

    /// Encodings of the candidates that early stages held back, in order of proposal.
    pub(super) fn held_back(&self) -> impl Iterator<Item = &[f64]> + Clone {
        self.held_back.values().map(|held| held.features.as_slice())
    }

    /// How many candidates have been proposed in all, but for those that were ruled out.
    pub(super) fn proposed_in_all(&self) -> usize {
        self.proposed
    }

    /// As [`Self::proposed_in_all`], without those that the campaign named.
    pub(super) fn chosen_in_all(&self) -> usize {
        self.proposed - self.given
    }

    /// Records a proposal.
    pub(super) fn propose(&mut self, id: Ordinal, proposal: &Proposal) {
        let given = proposal.origin == Origin::Given;
        self.proposed += 1;
        self.given += usize::from(given);
        let mut features = Vec::new();
        if let Some(space) = &self.space {
            encode(space.as_ref(), &proposal.genotype, &mut features);
        }
        let genotype = proposal.genotype.clone();
        let foreseen = self.foresee(&genotype);
        self.pending.insert(id, Pending { genotype, features, foreseen, given });
    }

    /// Records what became of a proposal; whether something was learnt from it.
    pub(super) fn resolve(&mut self, id: Ordinal, outcome: Outcome<'_>) -> bool {
        let found = self.pending.remove(&id).or_else(|| self.held_back.remove(&id));
        let Some(found) = found else { return false };
        if matches!(outcome, Outcome::SetAside | Outcome::Screened) {
            self.held_back.insert(id, found);
            return false;
        }
        let Pending { genotype, features, given, .. } = found;
        let (objectives, violation) = match outcome {
            Outcome::Scored { objectives, violation } => (objectives, violation),
            Outcome::Infeasible => {
                self.proposed -= 1;
                self.given -= usize::from(given);
                self.ruled_out.push_back(features.into());
                if self.ruled_out.len() > REMEMBERED {
                    self.ruled_out.pop_front();
                }
                return false;
            }
            Outcome::Violating { violation } if violation.is_finite() => {
                self.violating.push(Arc::new(Violating { features, violation }));
                return true;
            }
            _ => {
                self.lost.push(features.into());
                return true;
            }
        };
        let sound = objectives.len() == self.objectives
            && objectives.iter().all(|value| value.is_finite())
            && violation.is_finite();
        if sound {
            let objectives = objectives.to_vec();
            let violation = violation.max(0.0);
            let observation = Observation { id, genotype, features, objectives, violation };
            self.results.push(Arc::new(observation));
        }
        sound
    }

    /// The candidates with a result, ascending.
    pub(super) fn ids(&self) -> Vec<Ordinal> {
        let mut ids: Vec<Ordinal> = self.results.iter().map(|result| result.id).collect();
        ids.sort_unstable();
        ids
    }
}

/// What the numbers of an encoding mean: first those of the space's schema for the simplest spelling, then,
/// where that is cheaper than the genotype, the same for the genotype as it is. Which operations somebody
/// reads decides what a network computes, and all of them what it costs.
pub(super) fn features(space: &dyn SearchSpace) -> Vec<Feature> {
    let spelled = space.schema().features();
    let spellings = if space.simplified_costs_less() { 2 } else { 1 };
    spelled.repeat(spellings)
}

/// The part of an encoding that is of the genotype as it is.
pub(super) fn as_spelled<'a>(space: &dyn SearchSpace, encoding: &'a [f64]) -> &'a [f64] {
    &encoding[encoding.len() - space.schema().features().len()..]
}

/// Writes the encoding of a genotype, one number for each of [`features`]. Who reads as many as the schema
/// has sees the simplest spelling alone.
pub(super) fn encode(space: &dyn SearchSpace, genotype: &Genotype, encoding: &mut Vec<f64>) {
    space.schema().encode(&space.simplified(genotype), encoding);
    if space.simplified_costs_less() {
        let mut spelled = Vec::with_capacity(encoding.len());
        space.schema().encode(genotype, &mut spelled);
        encoding.append(&mut spelled);
    }
}

/// Ranks observations by constrained non-domination.
pub(super) fn rank(observations: &[Arc<Observation>], objectives: usize) -> Ranked {
    let rows = observations.iter().map(|observation| &observation.objectives);
    let points = Points::try_from_rows(objectives, rows)
        .expect("objectives are finite and as many as the campaign has, as resolve ensures");
    let violations: Vec<f64> =
        observations.iter().map(|observation| observation.violation).collect();
    let fronts = non_dominated_sort(&points, Some(&violations))
        .expect("violations are finite and not negative, as resolve ensures");
    let ranks = fronts.ranks().to_vec();
    let mut order: Vec<usize> = (0..observations.len()).collect();
    order.sort_by_key(|at| ranks[*at]);
    Ranked { order, ranks }
}

/// At most `limit` observations to learn from: the best three fifths by rank, the younger first
/// among equals, and the rest spread evenly over the others; in order of arrival.
pub(super) fn representatives(
    observations: &[Arc<Observation>],
    objectives: usize,
    limit: usize,
) -> Vec<Arc<Observation>> {
    if observations.len() <= limit {
        return observations.to_vec();
    }
    let Ranked { ranks, .. } = rank(observations, objectives);
    let mut order: Vec<usize> = (0..observations.len()).collect();
    order.sort_by_key(|at| (ranks[*at], std::cmp::Reverse(*at)));
    let (best, rest) = order.split_at(limit * 3 / 5);
    let others = limit - best.len();
    let spread = (0..others).map(|nth| rest[nth * rest.len() / others.max(1)]);
    let mut chosen: Vec<usize> = best.iter().copied().chain(spread).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|at| observations[at].clone()).collect()
}

/// At most `limit` of them, spread evenly.
pub(super) fn evenly<T: Clone>(all: &[T], limit: usize) -> Vec<T> {
    let count = limit.min(all.len());
    (0..count).map(|nth| all[nth * all.len() / count].clone()).collect()
}

/// The smallest and the largest value of each objective among some observations; `None` if there
/// are none.
pub(super) fn extent<'a>(
    observations: impl Iterator<Item = &'a Observation>,
) -> Option<(Vec<f64>, Vec<f64>)> {
    observations.fold(None, |extent, observation| {
        let values = &observation.objectives;
        let (mut low, mut high) = extent.unwrap_or_else(|| (values.clone(), values.clone()));
        for (at, value) in values.iter().enumerate() {
            low[at] = value.min(low[at]);
            high[at] = value.max(high[at]);
        }
        Some((low, high))
    })
}
