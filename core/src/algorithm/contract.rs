//! What every algorithm of [`ALGORITHMS`] owes its engine, checked for each of them with several
//! settings. An algorithm that is added must be added to [`VARIANTS`] and to `golden.txt`.

mod computed;
mod driver;
mod failures;
mod grid;
mod numbers;
mod problems;
mod quality;
mod tables;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::rng::{Purpose, stream};
use crate::space::SPACES;
pub(super) use driver::{Driver, Resolution, build, context};
pub(super) use grid::Grid;

/// Settings under which each algorithm is checked; the first are the defaults.
const VARIANTS: &[(&str, &[&str])] = &[
    (
        "auto",
        &["{}", "{model_results: 30, mixed_from: 14, model_in_flight: 2, evolution_population: 6}"],
    ),
    (
        "nsga2",
        &[
            "{}",
            "{population: 8, crossover_probability: 0.5, mutation_probability: 0.4, \
             duplicate_redraws: 0}",
            "{mode: generational, population: 8, duplicate_redraws: 3}",
            "{mode: generational}",
            "{population: 8, parents: in_order}",
            "{population: 8, parents: in_flight}",
        ],
    ),
    ("nsga3", &["{}", "{population: 8, parents: in_order}", "{mode: generational, population: 9}"]),
    (
        "sms_emoa",
        &["{}", "{population: 8, parents: in_flight}", "{mode: generational, population: 9}"],
    ),
    (
        "regularized_evolution",
        &[
            "{}",
            "{population: 10, sample: 3, duplicate_redraws: 1}",
            "{population: 10, sample: 4, weights: {accuracy: 1, cost: -0.25}}",
            "{population: 1, sample: 1}",
        ],
    ),
    ("random", &["{}"]),
    ("tpe", &["{}", "{initial: 2}"]),
    (
        "surrogate",
        &["{}", "{initial: 2, search_until: 20, parzen_share: 0.3, training_results: 30}"],
    ),
];

fn variants() -> impl Iterator<Item = (&'static str, &'static str)> {
    VARIANTS.iter().flat_map(|(name, settings)| settings.iter().map(move |text| (*name, *text)))
}

fn nasbench201() -> Arc<dyn SearchSpace> {
    let entry = SPACES.iter().find(|entry| entry.name == "nasbench201").unwrap();
    (entry.build)(&Section::from_text("{}").unwrap()).unwrap()
}

/// Two conflicting sums of integers, a constraint on the first gene, and some losses.
fn eventful(genotype: &Genotype) -> Resolution {
    let genes = genotype.0.iter().map(|gene| u64::from(*gene));
    let weighted: u64 = genes.clone().zip(1..).map(|(gene, weight)| gene * weight).sum();
    let cost: u64 = genes.clone().map(|gene| gene * gene).sum();
    if (weighted * 7 + cost).is_multiple_of(11) {
        return Resolution::Lost;
    }
    let violation = if genotype.0[0] == 0 { 0.25 * (1 + cost % 2) as f64 } else { 0.0 };
    Resolution::Scored { objectives: vec![-(weighted as f64), cost as f64], violation }
}

fn no_losses(genotype: &Genotype) -> Resolution {
    match eventful(genotype) {
        scored @ Resolution::Scored { .. } => scored,
        _ => Resolution::Scored { objectives: vec![0.0, 0.0], violation: 3.0 },
    }
}

#[test]
fn every_algorithm_is_checked_with_its_defaults_and_with_others() {
    let listed: Vec<&str> = ALGORITHMS.iter().map(|entry| entry.name).collect();
    let checked: Vec<&str> = VARIANTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, checked);
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len());
    for (_, settings) in VARIANTS {
        assert_eq!(settings[0], "{}");
    }
}

#[test]
fn parameters_read_back_to_the_same_algorithm() {
    for (name, text) in variants() {
        let algorithm = build(name, text);
        assert_eq!(algorithm.name(), name);
        let resolved = algorithm.parameters();
        assert!(resolved.is_object(), "{name}: {resolved}");
        let again = build(name, &resolved.to_string());
        assert_eq!(again.parameters(), resolved, "{name} {text}");
        assert_eq!(format!("{again:?}"), format!("{algorithm:?}"), "{name} {text}");
    }
}

#[test]
fn unknown_keys_are_faults() {
    for (name, _) in VARIANTS {
        let section = Section::from_text("{no_such_key: 1}").unwrap();
        let entry = ALGORITHMS.iter().find(|entry| entry.name == *name).unwrap();
        assert!((entry.build)(&section, &context()).is_none(), "{name}");
        let faults = section.finish().unwrap_err().to_string();
        assert!(faults.contains("no_such_key"), "{faults}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    for (name, text) in variants() {
        let space = Grid::of(6, 5);
        let run = |seed| {
            let mut driver = Driver::new(name, text, space.clone(), eventful, seed);
            driver.run(5, 250);
            driver.log
        };
        assert_eq!(run(1), run(1), "{name} {text}");
        assert_ne!(run(1), run(2), "{name} {text}");
    }
}

#[test]
fn replay_rebuilds_the_state() {
    for (name, text) in variants() {
        let space = Grid::of(6, 5);
        let mut driver = Driver::new(name, text, space.clone(), eventful, 3);
        for evaluations in [0, 1, 7, 60, 99, 130, 260] {
            driver.run(4, evaluations);
            let replayed = driver.replayed();
            assert_eq!(replayed.population(), driver.algorithm.population(), "{name} {text}");
            let live = driver.suggest(&*driver.algorithm);
            assert_eq!(driver.suggest(&*replayed), live, "{name} {text} at {evaluations}");
            assert_eq!(driver.suggest(&*driver.algorithm.boxed_clone()), live, "{name} {text}");
        }
    }
}

/// The driver itself asserts on every step that proposals are new and spelled right, that parents
/// and members of the population have a score, and that nobody waits for nothing.
#[test]
fn any_order_of_arrival_losses_and_constraints_are_borne() {
    for (name, text) in variants() {
        for workers in [1, 3, 40] {
            let space = Grid::of(6, 5);
            let mut driver = Driver::new(name, text, space.clone(), eventful, 11);
            // A fit takes milliseconds, and what can go wrong does so in the first hundred.
            let evaluations = if name == "surrogate" || name == "auto" { 100 } else { 400 };
            let proposed = driver.run(workers, evaluations);
            assert_eq!(proposed, evaluations, "{name} {text} with {workers} workers");
            assert!(driver.in_flight.is_empty());
        }
    }
}

#[test]
fn a_space_that_yields_only_losses_is_walked_to_its_end() {
    for (name, text) in variants() {
        let space = Grid::unordered(3, 4);
        let mut driver = Driver::new(name, text, space.clone(), |_| Resolution::Lost, 5);
        assert_eq!(driver.run(4, 1000), 20, "{name} {text}");
        assert_eq!(driver.algorithm.population(), []);
    }
}

#[test]
fn a_small_space_is_covered_once_and_then_exhausted() {
    for (name, text) in variants() {
        // 64 spellings of the 20 multisets of 3 out of 4.
        let space = Grid::unordered(3, 4);
        for (workers, resolve) in [(1, eventful as fn(&Genotype) -> _), (6, no_losses)] {
            let mut driver = Driver::new(name, text, space.clone(), resolve, 9);
            assert_eq!(driver.run(workers, 1000), 20, "{name} {text}");
            assert_eq!(driver.known.len(), 20);
            assert_eq!(driver.suggest(&*driver.algorithm), Suggestion::Exhausted);
        }
    }
}

#[test]
fn emptying_a_space_takes_no_quadratic_number_of_draws() {
    let space = Grid::of(6, 5);
    let mut driver = Driver::new("random", "{}", space.clone(), no_losses, 1);
    assert_eq!(driver.run(1, 20_000), 15_625);
    let hashes = space.hashes();
    // N (ln N + gamma) is the coupon collector's number; the driver hashes each proposal once.
    assert!(hashes < 15_625 * 2 * 14, "{hashes} hashes for 15625 networks");
}

#[test]
fn a_space_too_large_to_search_is_given_up_after_a_million_draws() {
    #[derive(Debug)]
    struct Everything;
    impl Known for Everything {
        fn contains(&self, _: &CanonicalHash) -> bool {
            true
        }
    }
    for (name, _) in VARIANTS {
        let space = Grid::of(12, 5);
        let mut rng = stream(1, Purpose::Proposal, 1);
        let suggestion = build(name, "{}").suggest(&*space, &Everything, &mut rng);
        assert_eq!(suggestion, Suggestion::Exhausted, "{name}");
        assert!((1_000_000..1_001_000).contains(&space.hashes()), "{}", space.hashes());
    }
}

#[test]
fn nobody_waits_for_those_set_aside_and_they_can_still_be_called_up() {
    let space = Grid::of(6, 5);
    for (name, text) in variants() {
        let mut algorithm = build(name, text);
        let (mut known, mut aside, mut scored) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        for number in 1..=90 {
            while let Some(job) = algorithm.wanted_fit() {
                algorithm.adopt(job.results);
            }
            let mut rng = stream(3, Purpose::Proposal, u64::from(number));
            let suggestion = algorithm.suggest(&*space, &known, &mut rng);
            let Suggestion::Propose(proposal) = suggestion else {
                panic!("{name} {text}: {suggestion:?} though nothing is in flight")
            };
            let is_parent = |id: Ordinal| assert!(scored.contains(&id), "{name} {text}: {id}");
            match proposal.origin {
                Origin::Mutated { parent } => is_parent(parent),
                Origin::Crossed { first, second } => {
                    [first, second].into_iter().for_each(is_parent)
                }
                Origin::Sampled | Origin::Given => {}
            }
            known.insert(proposal.key);
            let id = Ordinal(number);
            algorithm.proposed(id, &proposal);
            let resolution = no_losses(&proposal.genotype);
            if number % 3 == 0 {
                algorithm.update(id, resolution.outcome());
                scored.insert(id);
            } else {
                algorithm.update(id, Outcome::SetAside);
                aside.push((id, resolution));
            }
            if number % 9 == 0 {
                let (id, resolution) = aside.remove(0);
                algorithm.update(id, resolution.outcome());
                scored.insert(id);
            }
            let population = algorithm.population();
            assert!(population.iter().all(|id| scored.contains(id)), "{name} {text}");
        }
        let before = algorithm.population();
        aside.iter().for_each(|(id, _)| algorithm.update(*id, Outcome::Screened));
        assert_eq!(algorithm.population(), before, "{name} {text}");
    }
}

#[test]
fn updates_for_strangers_change_nothing() {
    for (name, text) in variants() {
        let mut algorithm = build(name, text);
        algorithm.update(Ordinal(7), Outcome::Scored { objectives: &[1.0, 2.0], violation: 0.0 });
        algorithm.update(Ordinal(8), Outcome::Lost);
        assert_eq!(algorithm.population(), [], "{name} {text}");
    }
}

/// One short run of each algorithm, pinned: a change here changes what users' seeds mean.
#[test]
fn golden_runs_are_unchanged() {
    let settings = [
        ("nsga2", "{population: 6}"),
        ("nsga2", "{population: 6, mode: generational}"),
        ("nsga2", "{population: 6, parents: in_order}"),
        ("nsga2", "{population: 6, parents: in_flight}"),
        ("nsga3", "{population: 6}"),
        ("sms_emoa", "{population: 6}"),
        ("regularized_evolution", "{population: 6, sample: 3}"),
        ("regularized_evolution", "{population: 6, sample: 3, weights: {accuracy: 1}}"),
        ("random", "{}"),
        ("tpe", "{initial: 4}"),
        ("auto", "{model_results: 14, evolution_population: 6}"),
        ("surrogate", "{initial: 4, search_until: 10}"),
    ];
    for entry in ALGORITHMS {
        assert!(settings.iter().any(|(name, _)| *name == entry.name), "{}", entry.name);
    }
    let mut actual = String::new();
    for (name, text) in settings {
        let mut driver = Driver::new(name, text, nasbench201(), eventful, 2026);
        driver.run(3, 20);
        actual.push_str(&format!("{name} {text}\n{}\n", driver.transcript()));
    }
    let pinned = include_str!("contract/golden.txt");
    assert!(actual == pinned, "the golden runs are other than pinned; they are:\n{actual}");
}
