//! Which genotypes meet a schema's constraints: listed where there are few enough, else found by
//! drawing. It must not know what the constraints say.

use std::fmt;
use std::sync::Arc;

use num_bigint::BigUint;
use rand::RngExt;

use super::admission::Admission;
use super::rule::{RuleError, RulePlace};
use super::{Mutation, Schema, node};
use crate::rng::{Purpose, Stream, stream};
use crate::space::Genotype;

/// Schemas of at most so many genotypes have those that meet their constraints listed. As with the other
/// bounds, tests that feed millions of inputs (`--cfg fuzzing`) do less of the same.
pub const LIST_LIMIT: u32 = if cfg!(fuzzing) { 1_000 } else { 1_000_000 };
/// How many genotypes are drawn to see whether constraints leave enough of a larger schema, and
/// that one in so many of them has to meet the constraints. Schemas of very many genes are drawn less often:
/// so many slots in all.
const TRIAL_DRAWS: u32 = if cfg!(fuzzing) { 200 } else { 20_000 };
const TRIAL_ODDS: u32 = 1_000;
const TRIAL_SLOTS: u32 = 20_000_000;
/// The most work ([`super::rule::Rules::work`], and a genotype's slots) of listing, a second or a few; schemas
/// that take more are drawn.
const LIST_WORK: u64 = if cfg!(fuzzing) { 1_000_000 } else { 100_000_000 };
/// The same of the draws that see whether constraints leave enough, if more of them than a twentieth take that.
const TRIAL_WORK: u64 = if cfg!(fuzzing) { 200_000 } else { 50_000_000 };
/// The most draws of [`Schema::draw`].
const DRAWS: u32 = 100_000;
/// The number of draws behind an estimated count.
const ESTIMATE_DRAWS: u32 = 100_000;
/// The most edits that are tried before a genotype is drawn afresh.
const REPAIRS: u32 = 200;
/// The most times that an infeasible crossover, or mutation of each gene, is tried again.
pub(super) const REDRAWS: u32 = 50;

/// No genotype that was drawn met the constraints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of {drawn} genotypes drawn meets the constraints")]
pub struct NoneFeasible {
    /// How many were drawn.
    pub drawn: u32,
}

/// How many genotypes a schema has.
#[derive(Debug, Clone, PartialEq)]
pub enum Count {
    /// Counted.
    Exact(BigUint),
    /// Estimated without bias from genotypes drawn uniformly.
    Estimated {
        /// The estimate: the number without constraints times the share that meets them.
        number: f64,
        /// Its standard error.
        standard_error: f64,
    },
}

/// The genotypes that meet the constraints.
#[derive(Clone, PartialEq)]
pub(super) enum Feasible {
    /// All of them.
    All,
    /// Those with these numbers, ascending, in the numbering without constraints.
    Listed(Arc<[u32]>),
    /// Those that are found by drawing; one of them is known.
    Drawn { witness: Genotype },
}

impl fmt::Debug for Feasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Listed(ranks) => write!(f, "Listed({})", ranks.len()),
            Self::Drawn { .. } => f.write_str("Drawn"),
        }
    }
}

impl Feasible {
    /// Finds them.
    ///
    /// # Errors
    /// [`RuleError`] if there are fewer than two, or fewer than one in a thousand of a schema too
    /// large to list.
    pub(super) fn of(schema: &Schema, admission: Admission) -> Result<Self, RuleError> {
        if !schema.rules.has_constraints() {
            return Ok(Self::All);
        }
        let refuse = |reason: String| RuleError {
            rule: RulePlace::Constraints,
            at: 0,
            reason,
            help: "loosen the constraints, or narrow the genes to what they leave".to_owned(),
        };
        let total = schema.root.count();
        let work = schema.rules.work(schema.slots()) + schema.slots() as u64;
        let listed = u64::from(LIST_LIMIT).min(LIST_WORK / work);
        if total > BigUint::from(listed) {
            match Self::drawn(schema, work) {
                // Listed by the release that accepted it, however long that took.
                Err(_) if admission == Admission::Kept && total <= BigUint::from(LIST_LIMIT) => {}
                drawn => return drawn.map_err(refuse),
            }
        }
        let total = u32::try_from(total).unwrap_or(LIST_LIMIT);
        let mut slots = vec![0; schema.slots()];
        let mut meets = |rank: &u32| {
            slots.fill(0);
            schema.root.unrank((*rank).into(), &mut slots);
            schema.rules.broken(&slots).is_none()
        };
        let ranks: Arc<[u32]> = (0..total).filter(|rank| meets(rank)).collect();
        if ranks.len() < 2 {
            return Err(refuse(format!("only {} of {total} architectures meet them", ranks.len())));
        }
        Ok(Self::Listed(ranks))
    }

    /// Sees whether draws find enough, of which each is so much `work`; else why not.
    fn drawn(schema: &Schema, work: u64) -> Result<Self, String> {
        let mut rng = stream(0, Purpose::Proposal, 0);
        let affordable =
            (TRIAL_WORK / work).min((TRIAL_SLOTS / schema.slots().max(1) as u32).into());
        let affordable = u32::try_from(affordable).unwrap_or(TRIAL_DRAWS);
        let draws = affordable.clamp(TRIAL_DRAWS / 20, TRIAL_DRAWS);
        let least = (draws / TRIAL_ODDS).max(1);
        let drawn = |_| {
            let mut values = vec![0; schema.slots()];
            schema.root.sample(&mut rng, &mut values);
            schema.rules.broken(&values).is_none().then(|| Genotype(values.into()))
        };
        let mut found = (0..draws).filter_map(drawn);
        let witness = found.next();
        let met = witness.iter().count() + found.count();
        match witness {
            Some(witness) if met >= least as usize => Ok(Self::Drawn { witness }),
            _ => Err(format!(
                "only {met} of {draws} architectures drawn meet them; {least} are needed"
            )),
        }
    }
}

impl Schema {
    /// One genotype of those without constraints, drawn uniformly, if it meets them.
    fn uniform(&self, rng: &mut Stream) -> Option<Genotype> {
        let mut values = vec![0; self.slots()];
        self.root.unrank(node::below(&self.root.count(), rng), &mut values);
        self.rules.broken(&values).is_none().then(|| Genotype(values.into()))
    }

    /// One draw: a genotype drawn uniformly (logarithmic integers by their shares; arms and lengths with
    /// real genes as if numbers had one value each) from all, `None` if it breaks a constraint; where those
    /// that do not are listed, from these, uniformly.
    #[must_use]
    pub fn draw_once(&self, rng: &mut Stream) -> Option<Genotype> {
        if let Feasible::Listed(ranks) = &self.feasible {
            let rank = ranks[rng.random_range(0..ranks.len())];
            let mut values = vec![0; self.slots()];
            self.root.unrank(rank.into(), &mut values);
            return Some(Genotype(values.into()));
        }
        let mut values = vec![0; self.slots()];
        self.root.sample(rng, &mut values);
        self.rules.broken(&values).is_none().then(|| Genotype(values.into()))
    }

    /// A genotype drawn uniformly from those that meet the constraints, by rejection where they
    /// are not listed.
    ///
    /// # Errors
    /// [`NoneFeasible`] with the number of draws, all of which broke a constraint.
    pub fn draw(&self, rng: &mut Stream) -> Result<Genotype, NoneFeasible> {
        let found = (0..DRAWS).find_map(|_| self.draw_once(rng));
        found.ok_or(NoneFeasible { drawn: DRAWS })
    }

    /// As [`Self::draw`]; where that fails, the first genotype that was found when the constraints
    /// were declared. At least one draw in a thousand meets them, or about that, so this happens
    /// less than once in e^90 times.
    #[must_use]
    pub fn sample(&self, rng: &mut Stream) -> Genotype {
        self.draw(rng).unwrap_or_else(|_| match &self.feasible {
            Feasible::Drawn { witness } => witness.clone(),
            _ => Genotype(vec![0; self.slots()].into()),
        })
    }

    /// How many genotypes meet the constraints: exact without constraints and for schemas of up to
    /// [`LIST_LIMIT`] genotypes, else estimated from 100,000 draws.
    #[must_use]
    pub fn count(&self) -> Count {
        match &self.feasible {
            Feasible::All => Count::Exact(self.root.count()),
            Feasible::Listed(ranks) => Count::Exact(ranks.len().into()),
            Feasible::Drawn { .. } => {
                // Other draws than those that the declaration was accepted by.
                let mut rng = stream(0, Purpose::Proposal, 1);
                let met = (0..ESTIMATE_DRAWS).filter(|_| self.uniform(&mut rng).is_some()).count();
                let total: f64 = self.root.count().to_string().parse().unwrap_or(f64::INFINITY);
                let (draws, share) =
                    (f64::from(ESTIMATE_DRAWS), met as f64 / f64::from(ESTIMATE_DRAWS));
                let standard_error = total * libm::sqrt(share * (1.0 - share) / draws);
                Count::Estimated { number: total * share, standard_error }
            }
        }
    }

    /// `child` if it meets the constraints. Otherwise `again` from the parents, `redraws` times at
    /// most, until it does and is none of them; then edits of the first parent, each from it or, as
    /// often, from the infeasible outcome of the last one, so that what lies behind infeasible
    /// genotypes is reached; then a fresh genotype.
    pub(super) fn repaired(
        &self,
        child: Genotype,
        parents: &[&Genotype],
        redraws: u32,
        rng: &mut Stream,
        again: impl Fn(&mut Stream) -> Genotype,
    ) -> Genotype {
        let meets = |child: &Genotype| self.rules.broken(&child.0).is_none();
        if meets(&child) {
            return child;
        }
        let is_new = |child: &Genotype| meets(child) && !parents.contains(&child);
        let redrawn = (0..redraws).map(|_| again(rng)).find(is_new);
        if let Some(child) = redrawn {
            return child;
        }
        let mut walker = child;
        for _ in 0..REPAIRS {
            if rng.random::<bool>() {
                walker = parents[0].clone();
            }
            walker = self.edited(&walker, Mutation::OneGene, rng);
            if is_new(&walker) {
                return walker;
            }
            if meets(&walker) {
                walker = parents[0].clone();
            }
        }
        let fresh = (0..REPAIRS).map(|_| self.sample(rng)).find(is_new);
        fresh.unwrap_or_else(|| parents[0].clone())
    }

    /// One or several edits without regard to constraints.
    pub(super) fn edited(&self, parent: &Genotype, edit: Mutation, rng: &mut Stream) -> Genotype {
        let mut child = parent.clone();
        self.edit(&mut child, edit, rng);
        child
    }

    /// As [`Self::edited`], in place.
    pub(super) fn edit(&self, genotype: &mut Genotype, edit: Mutation, rng: &mut Stream) {
        match edit {
            Mutation::OneGene => {
                let sites = self.root.sites(&genotype.0);
                if sites > 0 {
                    self.root.edit(rng.random_range(0..sites), rng, &mut genotype.0);
                }
            }
            Mutation::EachGene(probability) => {
                self.root.edit_each(probability, rng, &mut genotype.0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
