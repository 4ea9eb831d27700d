//! What can vary in a search space, and everything that follows from it: counting, numbering,
//! uniform sampling, mutation, crossover, distance and a fixed-length encoding for models.
//!
//! A genotype is one number a slot, in the order of the schema. It must not know networks, nor
//! which genotypes compute the same function: spaces say that.

use num_bigint::BigUint;
use rand::{Rng, RngExt};

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

/// What one slot of a genotype means to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// One of this many unordered values; encoded as its index.
    Category(u32),
    /// A number; encoded as its position in its range, 0 to 1.
    Ordered,
}

/// One gene.
#[derive(Debug, Clone, PartialEq)]
pub struct Gene {
    /// A name, unique within the schema.
    pub name: Box<str>,
    /// What it can be.
    pub kind: GeneKind,
}

/// The values that a gene can take.
#[derive(Debug, Clone, PartialEq)]
pub enum GeneKind {
    /// One of so many choices, at least 1; neighbours are alike where they are ordered.
    Categorical {
        /// The number of choices.
        choices: u32,
        /// Whether the choices have an order.
        ordered: bool,
    },
    /// A real number in a closed range.
    Real {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
}

impl GeneKind {
    fn values(&self) -> u64 {
        match self {
            Self::Categorical { choices, .. } => u64::from(*choices),
            Self::Real { .. } => REAL_VALUES,
        }
    }
}

/// The genes of a search space.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    genes: Vec<Gene>,
    features: Vec<Feature>,
}

impl Schema {
    /// A schema of independent genes.
    #[must_use]
    pub fn independent(genes: Vec<Gene>) -> Self {
        let features = genes
            .iter()
            .map(|gene| match gene.kind {
                GeneKind::Categorical { choices, ordered: false } => Feature::Category(choices),
                GeneKind::Categorical { ordered: true, .. } | GeneKind::Real { .. } => {
                    Feature::Ordered
                }
            })
            .collect();
        Self { genes, features }
    }

    /// The length of every genotype; variation rates are relative to it.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.genes.len()
    }

    /// The number of genotypes (spellings, not distinct networks).
    #[must_use]
    pub fn cardinality(&self) -> BigUint {
        self.genes.iter().map(|gene| BigUint::from(gene.kind.values())).product()
    }

    /// Checks that a genotype is of this schema.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, genotype: &Genotype) -> Result<(), String> {
        if genotype.0.len() != self.genes.len() {
            let (found, expected) = (genotype.0.len(), self.genes.len());
            return Err(format!("it has {found} genes, expected {expected}"));
        }
        for (gene, &value) in self.genes.iter().zip(&genotype.0) {
            if u64::from(value) >= gene.kind.values() {
                let last = gene.kind.values() - 1;
                return Err(format!("gene {} is {value}, expected 0 to {last}", gene.name));
            }
        }
        Ok(())
    }

    /// The genotype with number `rank`, `None` at or beyond [`Self::cardinality`].
    #[must_use]
    pub fn unrank(&self, rank: &BigUint) -> Option<Genotype> {
        let mut rest = rank.clone();
        let mut values = vec![0; self.genes.len()];
        for (value, gene) in values.iter_mut().zip(&self.genes).rev() {
            let base = BigUint::from(gene.kind.values());
            *value = u32::try_from(&rest % &base).ok()?;
            rest /= base;
        }
        (rest == BigUint::ZERO).then(|| Genotype(values.into()))
    }

    /// The number of `genotype`, the inverse of [`Self::unrank`].
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn rank(&self, genotype: &Genotype) -> Result<BigUint, String> {
        self.check(genotype)?;
        let digits = self.genes.iter().zip(&genotype.0);
        Ok(digits.fold(BigUint::ZERO, |rank, (gene, &value)| rank * gene.kind.values() + value))
    }

    /// A genotype drawn uniformly, `None` if the constraints refused every one of a bounded number
    /// of draws.
    #[must_use]
    pub fn sample(&self, rng: &mut Stream) -> Option<Genotype> {
        let draw = |gene: &Gene| match &gene.kind {
            GeneKind::Categorical { choices, .. } => rng.random_range(0..*choices),
            GeneKind::Real { .. } => rng.next_u32(),
        };
        Some(Genotype(self.genes.iter().map(draw).collect()))
    }

    /// A changed copy of `parent`, which must be of this schema.
    #[must_use]
    pub fn mutate(&self, parent: &Genotype, mutation: Mutation, rng: &mut Stream) -> Genotype {
        let mut child = parent.clone();
        match mutation {
            Mutation::OneGene => {
                let at = rng.random_range(0..self.genes.len());
                child.0[at] = self.another(at, child.0[at], rng);
            }
            Mutation::EachGene(probability) => {
                for at in 0..self.genes.len() {
                    if rng.random::<f64>() < probability {
                        child.0[at] = self.another(at, child.0[at], rng);
                    }
                }
            }
        }
        child
    }

    fn another(&self, at: usize, value: u32, rng: &mut Stream) -> u32 {
        let values = self.genes[at].kind.values();
        if values < 2 {
            return value;
        }
        let drawn = rng.random_range(0..(values - 1) as u32);
        drawn + u32::from(drawn >= value)
    }

    /// A child of two parents of this schema.
    ///
    /// Uniform crossover (Syswerda, 1989): each gene comes from either parent with equal chance.
    #[must_use]
    pub fn cross(&self, first: &Genotype, second: &Genotype, rng: &mut Stream) -> Genotype {
        let pairs = first.0.iter().zip(&second.0);
        Genotype(pairs.map(|(&a, &b)| if rng.random::<bool>() { a } else { b }).collect())
    }

    /// What each number of an encoding means; as many as [`Self::encode`] writes.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Writes the features of a genotype of this schema; NaN where a feature does not apply.
    pub fn encode(&self, genotype: &Genotype, features: &mut Vec<f64>) {
        features.clear();
        features.extend(self.genes.iter().zip(&genotype.0).map(|(gene, &value)| match gene.kind {
            GeneKind::Categorical { ordered: false, .. } => f64::from(value),
            GeneKind::Categorical { choices, ordered: true } => {
                f64::from(value) / f64::from(choices.max(2) - 1)
            }
            GeneKind::Real { .. } => f64::from(value) / (REAL_VALUES - 1) as f64,
        }));
    }

    /// How different two genotypes of this schema are, 0 to 1: the mean over features of 1 for
    /// another category and of the difference of two positions.
    #[must_use]
    pub fn distance(&self, a: &Genotype, b: &Genotype) -> f64 {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        self.encode(a, &mut x);
        self.encode(b, &mut y);
        let pairs = self.features.iter().zip(x.iter().zip(&y));
        let sum: f64 = pairs
            .map(|(feature, (x, y))| match feature {
                Feature::Category(_) => f64::from(u8::from(x != y)),
                Feature::Ordered => (x - y).abs(),
            })
            .sum();
        sum / self.features.len().max(1) as f64
    }
}
