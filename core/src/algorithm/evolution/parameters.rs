//! The parameters that evolutionary algorithms share: read from a campaign, checked, and written
//! back. It must not know what they do.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::algorithm::breeding::{DUPLICATE_REDRAWS, MOST_REDRAWS};
use crate::spec::Section;

/// The population sizes that are accepted: a tournament needs two members.
const POPULATION: std::ops::RangeInclusive<u32> = 2..=100_000;
/// How [`MutationProbability::OneOverGenes`] is written.
const ONE_OVER_GENES: &str = "1/genes";

/// When results join the population.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// As they arrive.
    #[default]
    Asynchronous,
    /// When all of a generation are resolved.
    Generational,
}

/// Who can be a parent in the asynchronous mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Parents {
    /// The population, which results join as they arrive.
    #[default]
    Arrived,
    /// The population, which results join in the order of their proposals; no more results wait
    /// than candidates are in flight.
    InOrder,
    /// The population and the candidates in flight, each with the same chance to enter the choice
    /// (selection while evaluating, Scott and De Jong 2015).
    InFlight,
}

/// The probability with which each gene of a child takes another value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum MutationProbability {
    /// One gene on average.
    OneOverGenes,
    /// The same in every space.
    Fixed(f64),
}

impl MutationProbability {
    /// The probability for a genotype of `genes` genes.
    pub(super) fn of(self, genes: usize) -> f64 {
        match self {
            Self::OneOverGenes => 1.0 / genes.max(1) as f64,
            Self::Fixed(probability) => probability,
        }
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) if text == ONE_OVER_GENES => Some(Self::OneOverGenes),
            _ => value.as_f64().filter(|p| is_probability(*p)).map(Self::Fixed),
        }
    }

    fn to_json(self) -> Value {
        match self {
            Self::OneOverGenes => json!(ONE_OVER_GENES),
            Self::Fixed(probability) => json!(probability),
        }
    }
}

/// The parameters as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    mode: Option<Mode>,
    parents: Option<Parents>,
    population: Option<u32>,
    crossover_probability: Option<f64>,
    mutation_probability: Option<Value>,
    duplicate_redraws: Option<u32>,
}

/// The parameters, checked.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    /// When results join the population.
    pub(super) mode: Mode,
    /// Who can be a parent in the asynchronous mode.
    pub(super) parents: Parents,
    /// The number of members that survive, at least 2.
    pub(super) population: usize,
    /// How often a child has two parents, in [0, 1].
    pub(super) crossover_probability: f64,
    /// How often each gene of a child takes another value.
    pub(super) mutation_probability: MutationProbability,
    /// How often breeding is repeated when its child is known.
    pub(super) duplicate_redraws: u32,
}

impl Parameters {
    /// Reads the parameters; faults go into the section, `None` if there were any.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let raw: Raw = section.read();
        let population = raw.population.unwrap_or(100);
        if !POPULATION.contains(&population) {
            section.fault(
                "population",
                format!("the population must be 2 to 100000 candidates, not {population}"),
                "100 is usual; smaller populations suit budgets below 1000 evaluations",
            );
        }
        let duplicate_redraws = raw.duplicate_redraws.unwrap_or(DUPLICATE_REDRAWS);
        section.check_range("duplicate_redraws", duplicate_redraws, 0..=MOST_REDRAWS);
        let crossover_probability = raw.crossover_probability.unwrap_or(0.9);
        if !is_probability(crossover_probability) {
            section.fault(
                "crossover_probability",
                format!("a probability lies between 0 and 1, {crossover_probability} does not"),
                "0.9 is usual",
            );
        }
        let one_over_genes = Some(MutationProbability::OneOverGenes);
        let written = raw.mutation_probability.as_ref();
        let mutation = written.map_or(one_over_genes, MutationProbability::read);
        if mutation.is_none() {
            section.fault(
                "mutation_probability",
                format!("this is neither a probability between 0 and 1 nor `{ONE_OVER_GENES}`"),
                format!("leave it out for `{ONE_OVER_GENES}`, one changed gene on average"),
            );
        }
        let mutation_probability = mutation.filter(|_| section.is_clean())?;
        Some(Self {
            mode: raw.mode.unwrap_or_default(),
            parents: raw.parents.unwrap_or_default(),
            population: population as usize,
            crossover_probability,
            mutation_probability,
            duplicate_redraws,
        })
    }

    /// The parameters with every default filled in, as [`Self::read`] takes them.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "mode": self.mode,
            "parents": self.parents,
            "population": self.population,
            "crossover_probability": self.crossover_probability,
            "mutation_probability": self.mutation_probability.to_json(),
            "duplicate_redraws": self.duplicate_redraws,
        })
    }
}

fn is_probability(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}
