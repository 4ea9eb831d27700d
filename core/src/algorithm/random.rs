//! Random search: every candidate is drawn uniformly, without repetition. The baseline that every
//! other algorithm has to beat. It must not learn anything from what comes back.

use serde::Deserialize;

use super::breeding::Novelty;
use super::{Algorithm, AlgorithmContext, AlgorithmEntry, Known, Outcome, Proposal, Suggestion};
use crate::id::Ordinal;
use crate::rng::Stream;
use crate::space::SearchSpace;
use crate::spec::Section;

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: "random",
    summary: "Draws every candidate uniformly from the space, never the same network twice.",
    build,
};

/// Random search has no parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {}

fn build(section: &Section<'_>, _: &AlgorithmContext) -> Option<Box<dyn Algorithm>> {
    let Raw {} = section.read();
    section.is_clean().then(|| Box::new(Random) as Box<dyn Algorithm>)
}

#[derive(Debug, Clone)]
struct Random;

impl Algorithm for Random {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn suggest(&self, space: &dyn SearchSpace, known: &dyn Known, rng: &mut Stream) -> Suggestion {
        Novelty::new(space, known).sample(rng)
    }

    fn proposed(&mut self, _: Ordinal, _: &Proposal) {}

    fn update(&mut self, _: Ordinal, _: Outcome<'_>) {}

    fn population(&self) -> Vec<Ordinal> {
        Vec::new()
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}
