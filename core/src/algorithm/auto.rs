//! The default: model-screened evolution while results are few, then by turns with asynchronous
//! NSGA-II, and NSGA-II alone once results or workers outnumber what a model can serve. Both are told
//! everything, so a change costs nothing, and the way back is open while models are kept.
//!
//! Where the borders lie was measured on published tables. For the first hundred or two results the
//! model was ahead everywhere; later the two together were ahead of either, most of all on
//! NAS-Bench-Graph, where the model alone misses parts of the front. A proposal costs the model
//! milliseconds where evolution needs microseconds.
//!
//! It must not know what a model predicts, nor how evolution breeds: it asks the one or the other.

use std::collections::BTreeSet;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::surrogate::Surrogate;
use super::surrogate::parameters::Parameters as SurrogateParameters;
use super::{
    Algorithm, AlgorithmContext, AlgorithmEntry, FitJob, Known, Outcome, Proposal, Suggestion,
    nsga2, nsga3,
};
use crate::id::Ordinal;
use crate::rng::Stream;
use crate::space::SearchSpace;
use crate::spec::Section;

pub(super) const ENTRY: AlgorithmEntry = AlgorithmEntry {
    name: "auto",
    summary: "Chooses by results, candidates in flight and objectives: model-screened evolution, \
              from 150 results on by turns with NSGA-II (NSGA-III from five objectives on), that \
              alone beyond 2,000.",
    build,
};

/// The parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// The number of results after which models are given up, 0 to 10,000.
    model_results: u32,
    /// The number of results after which some proposals come from NSGA-II, 0 to 10,000.
    mixed_from: u32,
    /// The share of those proposals, 0 to 1.
    evolution_share: f64,
    /// The number of candidates in flight beyond which models are not asked, 1 to 10,000.
    model_in_flight: u32,
    /// The population of the evolutionary part, 2 to 100,000; by default as many as suit the budget.
    evolution_population: Option<u32>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            model_results: 2_000,
            mixed_from: 150,
            evolution_share: 0.5,
            model_in_flight: 256,
            evolution_population: None,
        }
    }
}

/// From so many objectives on nearly every result is non-dominated, and crowding distances say little.
const MANY_OBJECTIVES: usize = 5;
/// Members of the evolutionary part where there are many objectives: about as many directions as five divisions of
/// five objectives, or four of six, have.
const MANY_MEMBERS: u32 = 126;

/// The most slots of a genotype that models are fitted to: beyond, some hundred results say little of each, and a
/// proposal would take the engine's time.
const MOST_MODELLED: usize = 256;

/// The members of the evolutionary part: few, so that each is bred from often; more if a long budget gives each
/// of them two hundred children, as in the published settings of NSGA-II.
fn suited_population(context: &AlgorithmContext) -> u32 {
    let least = if context.objectives.len() >= MANY_OBJECTIVES { MANY_MEMBERS } else { 50 };
    (context.evaluations.unwrap_or(0) / 200).clamp(least, 200)
}

/// The initial design of a model: of a small budget an eighth, so that most is left for what it taught.
fn suited_design(context: &AlgorithmContext) -> u32 {
    let usual = SurrogateParameters::default().initial;
    context.evaluations.map_or(usual, |evaluations| (evaluations / 8).clamp(4, usual))
}

fn build(section: &Section<'_>, context: &AlgorithmContext) -> Option<Box<dyn Algorithm>> {
    let mut parameters: Parameters = section.read();
    let population = parameters.evolution_population.unwrap_or(suited_population(context));
    parameters.evolution_population = Some(population);
    let ranges = [
        ("model_results", parameters.model_results, 0..=10_000),
        ("mixed_from", parameters.mixed_from, 0..=10_000),
        ("model_in_flight", parameters.model_in_flight, 1..=10_000),
        ("evolution_population", population, 2..=100_000),
    ];
    for (key, value, range) in ranges {
        section.check_range(key, value, range);
    }
    section.check_range("evolution_share", parameters.evolution_share, 0.0..=1.0);
    if !section.is_clean() {
        return None;
    }
    let entry =
        if context.objectives.len() >= MANY_OBJECTIVES { nsga3::ENTRY } else { nsga2::ENTRY };
    let evolution = Section::from_text(&format!("population: {population}"));
    let evolution = (entry.build)(&evolution.ok()?, context)?;
    let model = SurrogateParameters { initial: suited_design(context), ..Default::default() };
    let slots = context.space.as_ref().map_or(0, |space| space.schema().slots());
    let surrogate = (slots <= MOST_MODELLED).then(|| Surrogate::new(model, context));
    Some(Box::new(Auto {
        parameters,
        surrogate,
        evolution,
        results: 0,
        in_flight: BTreeSet::new(),
    }))
}

#[derive(Debug, Clone)]
struct Auto {
    parameters: Parameters,
    /// `None` once there are too many results for models, and where genotypes are too long.
    surrogate: Option<Surrogate>,
    evolution: Box<dyn Algorithm>,
    results: u32,
    in_flight: BTreeSet<Ordinal>,
}

impl Auto {
    /// The model-assisted part, if it is the one to ask.
    fn model(&self) -> Option<&Surrogate> {
        let keeps_up = self.in_flight.len() <= self.parameters.model_in_flight as usize;
        self.surrogate.as_ref().filter(|_| keeps_up)
    }
}

impl Algorithm for Auto {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.parameters).expect("plain numbers under text keys")
    }

    fn suggest(&self, space: &dyn SearchSpace, known: &dyn Known, rng: &mut Stream) -> Suggestion {
        let mixed = self.results >= self.parameters.mixed_from;
        let evolves = mixed && rng.random_bool(self.parameters.evolution_share);
        match self.model().filter(|_| !evolves) {
            Some(surrogate) => surrogate.suggest(space, known, rng),
            None => self.evolution.suggest(space, known, rng),
        }
    }

    fn proposed(&mut self, id: Ordinal, proposal: &Proposal) {
        self.in_flight.insert(id);
        self.evolution.proposed(id, proposal);
        if let Some(surrogate) = &mut self.surrogate {
            surrogate.proposed(id, proposal);
        }
    }

    fn update(&mut self, id: Ordinal, outcome: Outcome<'_>) {
        self.in_flight.remove(&id);
        let counts =
            matches!(outcome, Outcome::Scored { .. } | Outcome::Violating { .. } | Outcome::Lost);
        self.results += u32::from(counts);
        self.evolution.update(id, outcome);
        if self.results >= self.parameters.model_results {
            self.surrogate = None;
        }
        if let Some(surrogate) = &mut self.surrogate {
            surrogate.update(id, outcome);
        }
    }

    fn population(&self) -> Vec<Ordinal> {
        let evolving = self.evolution.population();
        let Some(surrogate) = &self.surrogate else { return evolving };
        let either: BTreeSet<Ordinal> =
            surrogate.population().into_iter().chain(evolving).collect();
        either.into_iter().collect()
    }

    fn wanted_fit(&self) -> Option<FitJob> {
        self.model()?.wanted_fit()
    }

    fn adopted_fit(&self) -> Option<FitJob> {
        self.model()?.adopted_fit()
    }

    fn adopt(&mut self, results: u32) {
        if let Some(surrogate) = &mut self.surrogate {
            surrogate.adopt(results);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use crate::algorithm::Suggestion;
    use crate::algorithm::contract::{Driver, Grid, Resolution, build, context};
    use crate::id::Ordinal;
    use crate::space::Genotype;
    use crate::spec::Section;

    fn score(genotype: &Genotype) -> Resolution {
        let sum: u32 = genotype.0.iter().sum();
        let weighted: u32 = genotype.0.iter().zip(1..).map(|(gene, at)| gene * at).sum();
        Resolution::Scored {
            objectives: vec![f64::from(sum), -f64::from(weighted)],
            violation: 0.0,
        }
    }

    #[test]
    fn models_are_given_up_when_there_are_too_many_results() {
        let text = "{model_results: 40, evolution_population: 8}";
        let mut driver = Driver::new("auto", text, Grid::of(8, 4), score, 1);
        driver.run(2, 39);
        let before = driver.algorithm.population();
        assert_eq!(before.len(), 39, "every result can be a parent");
        driver.run(2, 60);
        assert_eq!(driver.algorithm.population().len(), 8, "evolution has its population");
        assert!(driver.algorithm.wanted_fit().is_none());
    }

    #[test]
    fn a_crowd_of_candidates_in_flight_asks_evolution_and_waits_for_no_model() {
        let text = "{model_in_flight: 3, evolution_population: 4}";
        let space = Grid::of(8, 4);
        let mut driver = Driver::new("auto", text, space, score, 2);
        driver.run(1, 30);
        for ordinal in 31..35 {
            let Suggestion::Propose(proposal) = driver.suggest(&*driver.algorithm) else {
                panic!()
            };
            driver.algorithm.proposed(Ordinal(ordinal), &proposal);
        }
        assert!(driver.algorithm.wanted_fit().is_none());
        assert!(matches!(driver.suggest(&*driver.algorithm), Suggestion::Propose(_)));
    }

    #[test]
    fn long_genotypes_are_bred_without_models() {
        let mut driver = Driver::new("auto", "{}", Grid::of(300, 4), score, 3);
        driver.run(2, 60);
        assert!(driver.algorithm.wanted_fit().is_none());
        assert_eq!(driver.algorithm.population().len(), 50, "evolution has its population");
    }

    #[test]
    fn many_objectives_are_bred_by_directions() {
        let parameters = |objectives: usize| {
            let mut context = context();
            context.objectives = vec!["f".into(); objectives];
            context.maximized = vec![false; objectives];
            let section = Section::from_text("{}").unwrap();
            let built = (super::ENTRY.build)(&section, &context).unwrap();
            let population = built.parameters()["evolution_population"].clone();
            (format!("{built:?}").contains("directions"), population)
        };
        assert_eq!(parameters(4), (false, 50.into()));
        assert_eq!(parameters(5), (true, 126.into()));
    }

    #[test]
    fn parameters_out_of_range_are_faults() {
        assert_eq!(build("auto", "{model_results: 0}").name(), "auto");
        for text in ["model_results: 10001", "model_in_flight: 0", "evolution_population: 1"] {
            let section = Section::from_text(text).unwrap();
            assert!((super::ENTRY.build)(&section, &context()).is_none(), "{text}");
            assert!(section.finish().unwrap_err().to_string().contains("out of range"), "{text}");
        }
    }

    #[test]
    fn evolution_takes_its_share_from_the_border_on() {
        let settings = |share: f64| {
            format!("{{mixed_from: 20, evolution_share: {share}, evolution_population: 10}}")
        };
        let run = |share, evaluations| {
            let mut driver = Driver::new("auto", &settings(share), Grid::of(6, 5), score, 3);
            driver.run(1, evaluations);
            driver
        };
        let genotypes = |share| run(share, 40).genotypes().cloned().collect::<Vec<_>>();
        let (models, evolution) = (genotypes(0.0), genotypes(1.0));
        assert_eq!(models[..20], evolution[..20]);
        assert_ne!(models[20..], evolution[20..]);
        let mixed = genotypes(0.5);
        assert!(mixed != models && mixed != evolution);
        // With the whole share it is NSGA-II that proposes, told everything from the beginning.
        let told = run(1.0, 30);
        let nsga2 = told.replayed_as("nsga2", "{population: 10}");
        assert_eq!(told.suggest(&*told.algorithm), told.suggest(&*nsga2));
    }
}
