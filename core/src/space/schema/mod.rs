//! What can vary in a search space, and everything that follows from it: counting, numbering,
//! uniform sampling, mutation, crossover, distance, text, and a fixed-length encoding for models.
//!
//! A genotype is one number a slot. Slots of genes that do not apply (the arms of a switch that
//! are not chosen, copies beyond the number of a repeat) hold 0, so that genotypes are equal where
//! their meaning is, and a hash of the slots depends on active genes only. It must not know
//! networks, nor which genotypes compute the same function: spaces say that.

mod admission;
mod compile;
mod dag;
mod encode;
mod feasible;
mod gene;
mod isomorphism;
mod node;
mod operators;
mod ratios;
mod rule;
mod scale;
mod tables;
mod text;
mod vary;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use num_bigint::BigUint;

pub use admission::Admission;
pub use encode::Feature;
pub use feasible::{Count, LIST_LIMIT, NoneFeasible};
pub use gene::{
    Gene, GeneKind, MAX_CHOICES, MAX_DAG_NODES, MAX_GRAPH_NODES, MAX_ITEMS, MAX_SLOTS, SchemaError,
};
pub(crate) use rule::{Environment, Expression, GraphGene, Local, LocalKind, Locals, Type, Wiring};
pub use rule::{MAX_RULES, RuleError, RulePlace};
pub use text::Notation;

use self::feasible::{Feasible, REDRAWS};
use self::node::Node;
use self::rule::Rules;
use super::Genotype;
use crate::rng::Stream;

/// The number of values of a real gene: evenly spaced over its range, so that every space is
/// finite and every genotype has a number. The spacing is 2.3e-10 of the range.
pub const REAL_VALUES: u64 = 1 << 32;

/// How strongly [`Schema::mutate`] changes a genotype.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mutation {
    /// Exactly one gene takes another value (Real et al. 2019).
    OneGene,
    /// Each gene independently takes another value with this probability, possibly none does.
    EachGene(f64),
}

/// The genes of a search space.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    genes: Vec<Gene>,
    root: Node,
    /// The sites of every genotype, where all genes always apply.
    sites: Option<usize>,
    features: Vec<Feature>,
    notation: Notation,
    rules: Arc<Rules>,
    feasible: Feasible,
}

impl Schema {
    /// The schema of these genes, at least one.
    ///
    /// # Errors
    /// [`SchemaError`] at the first gene that makes no sense: without values, with values or
    /// names out of range, or with repeated names.
    pub fn new(genes: Vec<Gene>) -> Result<Self, SchemaError> {
        Self::admitted(genes, Admission::New)
    }

    /// As [`Self::new`]; of genes that are kept only what they cannot do without is asked.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn admitted(genes: Vec<Gene>, admission: Admission) -> Result<Self, SchemaError> {
        if admission == Admission::New {
            tables::check(&genes)?;
        }
        let root = compile::group(&genes, "")?;
        if admission == Admission::New {
            admission::check(&genes, "")?;
        }
        let mut features = Vec::new();
        root.features(&mut features);
        let (rules, feasible) = (Arc::default(), Feasible::All);
        let sites = root.constant_sites();
        Ok(Self { genes, root, sites, features, notation: Notation::Named, rules, feasible })
    }

    /// The same schema with derived values (names and expressions) and with constraints, which
    /// every genotype then has to meet. A derived value can use those before it.
    ///
    /// # Errors
    /// [`RuleError`] at the first expression that makes no sense, or if the constraints leave
    /// fewer than two genotypes, or fewer than about one in a thousand of a schema too large to
    /// list.
    pub fn with_rules(
        self,
        derived: &[(Box<str>, Box<str>)],
        constraints: &[Box<str>],
    ) -> Result<Self, RuleError> {
        self.with_admitted_rules(derived, constraints, Admission::New)
    }

    /// As [`Self::with_rules`]; of expressions that are kept it is not asked how much work they are.
    ///
    /// # Errors
    /// As [`Self::with_rules`].
    pub fn with_admitted_rules(
        mut self,
        derived: &[(Box<str>, Box<str>)],
        constraints: &[Box<str>],
        admission: Admission,
    ) -> Result<Self, RuleError> {
        let rules = Rules::new(&self.genes, &self.root, derived, constraints)?;
        if admission == Admission::New {
            rules.check_work(self.slots())?;
        }
        self.rules = Arc::new(rules);
        self.feasible = Feasible::All;
        self.feasible = Feasible::of(&self, admission)?;
        Ok(self)
    }

    /// Checks that a constraint makes sense beside these derived values, without looking for
    /// genotypes that meet it.
    ///
    /// # Errors
    /// [`RuleError`] at the first expression that makes no sense.
    pub fn check_constraint(
        &self,
        derived: &[(Box<str>, Box<str>)],
        constraint: &str,
    ) -> Result<(), RuleError> {
        Rules::new(&self.genes, &self.root, derived, &[constraint.into()]).map(|_| ())
    }

    /// The texts of the constraints.
    pub fn constraints(&self) -> impl Iterator<Item = &str> {
        self.rules.constraints()
    }

    /// The derived values by name, with their expressions.
    pub fn derived(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.derived()
    }

    /// The derived values of a genotype by name; without those that read a gene that does not
    /// apply, or have no value for another reason. None of a foreign genotype.
    #[must_use]
    pub fn derived_values(&self, genotype: &Genotype) -> Vec<(&str, String)> {
        if self.check(genotype).is_err() {
            return Vec::new();
        }
        self.rules.shown(&genotype.0)
    }

    /// The same schema with another way to write genotypes.
    ///
    /// # Errors
    /// [`SchemaError`] if the genes cannot be written so.
    pub fn with_notation(self, notation: Notation) -> Result<Self, SchemaError> {
        self.with_admitted_notation(notation, Admission::New)
    }

    /// As [`Self::with_notation`]; of genes that are kept it is not asked whether every text can be read again.
    ///
    /// # Errors
    /// As [`Self::with_notation`].
    pub fn with_admitted_notation(
        mut self,
        notation: Notation,
        admission: Admission,
    ) -> Result<Self, SchemaError> {
        text::check(&self.genes, notation, admission)?;
        self.notation = notation;
        Ok(self)
    }

    /// The genes in the order of their slots.
    #[must_use]
    pub fn genes(&self) -> &[Gene] {
        &self.genes
    }

    /// How genotypes are written.
    #[must_use]
    pub fn notation(&self) -> Notation {
        self.notation
    }

    /// The length of every genotype.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.root.slots()
    }

    /// The number of genes of a genotype of this schema that apply and have a choice: the
    /// places at which [`Mutation::OneGene`] can strike. Variation rates are relative to it.
    #[must_use]
    pub fn active_genes(&self, genotype: &Genotype) -> usize {
        let count = || self.root.sites(&genotype.0);
        debug_assert!(self.sites.is_none_or(|sites| sites == count()), "{} sites", count());
        self.sites.unwrap_or_else(count)
    }

    /// The number of ranks, which is that of genotypes (spellings, not distinct networks); except
    /// under constraints on a schema of more than [`LIST_LIMIT`] genotypes, where ranks number
    /// the infeasible ones as well. [`Self::count`] says how many genotypes there are.
    #[must_use]
    pub fn cardinality(&self) -> BigUint {
        match &self.feasible {
            Feasible::Listed(ranks) => ranks.len().into(),
            Feasible::All | Feasible::Drawn { .. } => self.root.count(),
        }
    }

    /// Checks that a genotype is of this schema.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, genotype: &Genotype) -> Result<(), String> {
        self.check_genes(genotype)?;
        let broken = self.rules.broken(&genotype.0);
        broken.map_or(Ok(()), |rule| Err(format!("it breaks the constraint `{rule}`")))
    }

    fn check_genes(&self, genotype: &Genotype) -> Result<(), String> {
        if genotype.0.len() != self.slots() {
            let (found, expected) = (genotype.0.len(), self.slots());
            return Err(format!("it has {found} genes, expected {expected}"));
        }
        self.root.check(&genotype.0).map_err(|(slot, reason)| {
            format!("gene {slot} ({}) {reason}", text::name_of_slot(&self.genes, &self.root, slot))
        })
    }

    /// The genotype with number `rank`; `None` at or beyond [`Self::cardinality`], and where that
    /// counts infeasible genotypes as well, for their ranks.
    #[must_use]
    pub fn unrank(&self, rank: &BigUint) -> Option<Genotype> {
        let rank = match &self.feasible {
            Feasible::Listed(ranks) => (*ranks.get(usize::try_from(rank).ok()?)?).into(),
            Feasible::All | Feasible::Drawn { .. } => rank.clone(),
        };
        if rank >= self.root.count() {
            return None;
        }
        let mut values = vec![0; self.slots()];
        self.root.unrank(rank, &mut values);
        self.rules.broken(&values).is_none().then(|| Genotype(values.into()))
    }

    /// The number of `genotype`, the inverse of [`Self::unrank`].
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn rank(&self, genotype: &Genotype) -> Result<BigUint, String> {
        self.check(genotype)?;
        let rank = self.root.rank(&genotype.0);
        let Feasible::Listed(ranks) = &self.feasible else { return Ok(rank) };
        let place = ranks.partition_point(|listed| BigUint::from(*listed) < rank);
        Ok(place.into())
    }

    /// The genotype of this schema with every `dag` gene in the one spelling that all isomorphic
    /// graphs share, operations of inner nodes being colours. Whether it meets a constraint that asks for an
    /// operation by its position, such as `cell.ops[0]`, is another question than whether the genotype does.
    #[must_use]
    pub fn canonicalised(&self, genotype: &Genotype) -> Genotype {
        let mut canonical = genotype.clone();
        self.root.canonicalise(&mut canonical.0);
        canonical
    }

    /// A changed copy of `parent`, which must be of this schema.
    ///
    /// One edit, by kind: an unordered choice takes any other value; an ordered one moves, most
    /// often by one step; a real number by polynomial mutation with distribution index 20, and so do an
    /// ordered choice of more than 32 values and, on the scale of ratios, a number of which those count,
    /// to a neighbour if that leaves them where they are; a subset gains, loses or swaps an item; a switch takes another arm with
    /// fresh genes; a repeat gains a copy (fresh or a duplicate) or loses one anywhere; a graph gains
    /// or loses an edge or a node or changes an operation.
    ///
    /// An outcome that breaks a constraint is not returned: [`Mutation::EachGene`] is tried again,
    /// and [`Mutation::OneGene`] starts anew or makes a further edit, with equal chance, so that
    /// every genotype can be reached from every other, however the constraints part them. Neither
    /// then returns the parent.
    #[must_use]
    pub fn mutate(&self, parent: &Genotype, mutation: Mutation, rng: &mut Stream) -> Genotype {
        let child = self.edited(parent, mutation, rng);
        let redraws = if mutation == Mutation::OneGene { 0 } else { REDRAWS };
        self.repaired(child, &[parent], redraws, rng, |rng| self.edited(parent, mutation, rng))
    }

    /// As [`Self::mutate`], of a genotype that nobody else needs, with the same outcome.
    #[must_use]
    pub fn mutate_owned(
        &self,
        mut genotype: Genotype,
        mutation: Mutation,
        rng: &mut Stream,
    ) -> Genotype {
        if self.rules.has_constraints() {
            return self.mutate(&genotype, mutation, rng);
        }
        self.edit(&mut genotype, mutation, rng);
        genotype
    }

    /// A child of two parents of this schema.
    ///
    /// Choices come from either parent with equal chance (uniform crossover, Syswerda 1989), real
    /// numbers and ordered choices of more than 32 values by simulated binary crossover with
    /// distribution index 20. The genes of an arm come
    /// only from parents that chose it; repeats of different length exchange their tails at one
    /// point, and copies with values in common mix these apart from their number; graphs of equal size exchange nodes with their incoming edges, others are taken
    /// whole.
    ///
    /// A child that breaks a constraint is crossed again, and if that does not help edited; it is
    /// then neither of the parents.
    #[must_use]
    pub fn cross(&self, first: &Genotype, second: &Genotype, rng: &mut Stream) -> Genotype {
        let mix = |rng: &mut Stream| {
            let mut child = first.clone();
            self.root.cross(&second.0, rng, &mut child.0);
            child
        };
        let child = mix(rng);
        self.repaired(child, &[first, second], REDRAWS, rng, mix)
    }

    /// A copy of a genotype of this schema in which each real number, and each whole one or ordered choice
    /// of more than 32 values, is drawn anew: with the probability `anywhere` from all of its values, else
    /// from around its own, with a density that falls linearly to nothing at the distance `half_width`, a
    /// share of the range.
    #[must_use]
    pub fn drawn_near(
        &self,
        genotype: &Genotype,
        half_width: f64,
        anywhere: f64,
        rng: &mut Stream,
    ) -> Genotype {
        let draw = |rng: &mut Stream| {
            let mut near = genotype.clone();
            self.root.draw_near(half_width, anywhere, rng, &mut near.0);
            near
        };
        let near = draw(rng);
        self.repaired(near, &[genotype], REDRAWS, rng, draw)
    }

    /// What each number of an encoding means; as many as [`Self::encode`] writes.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Writes the features of a genotype of this schema; NaN where a feature does not apply.
    pub fn encode(&self, genotype: &Genotype, features: &mut Vec<f64>) {
        features.clear();
        self.root.encode(&genotype.0, true, features);
    }

    /// How different two genotypes of this schema are, 0 to 1: the mean over features of 1 for
    /// another category, or where only one of the two has the feature, and of the difference of
    /// two positions.
    #[must_use]
    pub fn distance(&self, a: &Genotype, b: &Genotype) -> f64 {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        self.encode(a, &mut x);
        self.encode(b, &mut y);
        let pairs = self.features.iter().zip(x.iter().zip(&y));
        let differences = pairs.map(|(feature, (x, y))| feature.difference(*x, *y));
        differences.sum::<f64>() / self.features.len().max(1) as f64
    }

    /// A genotype in the schema's notation; of a foreign one its plain numbers, which no notation
    /// reads.
    #[must_use]
    pub fn format(&self, genotype: &Genotype) -> String {
        if self.check_genes(genotype).is_err() {
            return format!("{:?}", genotype.0);
        }
        text::format(self, &genotype.0)
    }

    /// Reads what [`Self::format`] wrote.
    ///
    /// # Errors
    /// What could not be read, in words.
    pub fn parse(&self, text: &str) -> Result<Genotype, String> {
        text::parse(self, text)
    }
}

impl Feature {
    /// How different two values of this feature are, 0 to 1.
    #[must_use]
    pub fn difference(self, x: f64, y: f64) -> f64 {
        if x == y || (x.is_nan() && y.is_nan()) {
            return 0.0;
        }
        match self {
            Self::Ordered if !x.is_nan() && !y.is_nan() => (x - y).abs(),
            Self::Ordered | Self::Category(_) => 1.0,
        }
    }
}
