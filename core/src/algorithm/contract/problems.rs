//! Published values of the classic test problems, reached by the evolutionary algorithms with the
//! published settings.

use super::*;
use crate::pareto::Points;
use crate::pareto::hypervolume::hypervolume;
use crate::rng::{Purpose, stream};
use crate::space::{contract, problem};

const SEEDS: std::ops::Range<u64> = 0..5;
const ZDT: [f64; 2] = [1.1; 2];

/// An algorithm with its settings.
type Setting = (&'static str, &'static str);

const NSGA2: Setting = ("nsga2", "{mode: generational, population: 100}");

/// The hypervolume of the population after so many evaluations, one after the other, by seed.
fn hypervolumes(setting: Setting, text: &str, evaluations: u32, reference: &[f64]) -> Vec<f64> {
    let space = contract::build(&problem::ENTRY, text);
    SEEDS.map(|seed| hypervolume_after(setting, &*space, evaluations, reference, seed)).collect()
}

fn hypervolume_after(
    (name, settings): Setting,
    space: &dyn SearchSpace,
    evaluations: u32,
    reference: &[f64],
    seed: u64,
) -> f64 {
    let width = reference.len();
    let context = AlgorithmContext {
        space: None,
        evaluations: Some(evaluations),
        seed,
        objectives: (1..=width).map(|at| format!("f{at}").into()).collect(),
        maximized: vec![false; width],
        computed: None,
    };
    let entry = ALGORITHMS.iter().find(|entry| entry.name == name).unwrap();
    let section = Section::from_text(settings).unwrap();
    let mut algorithm = (entry.build)(&section, &context).unwrap();
    let (mut known, mut scores) = (BTreeSet::new(), Vec::new());
    for ordinal in 1..=evaluations {
        let mut rng = stream(seed, Purpose::Proposal, u64::from(ordinal));
        let Suggestion::Propose(proposal) = algorithm.suggest(space, &known, &mut rng) else {
            panic!("{name} proposes nothing");
        };
        known.insert(proposal.key);
        let objectives = problem::evaluate(&space.format(&proposal.genotype)).unwrap();
        algorithm.proposed(Ordinal(ordinal), &proposal);
        let outcome = Outcome::Scored { objectives: &objectives, violation: 0.0 };
        algorithm.update(Ordinal(ordinal), outcome);
        scores.push(objectives);
    }
    let population = algorithm.population();
    let rows = population.iter().map(|id| &scores[id.0 as usize - 1]);
    hypervolume(&Points::try_from_rows(width, rows).unwrap(), reference).unwrap()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn nsga2_reaches_the_published_hypervolumes_of_zdt1_and_zdt2() {
    // 250 generations of 100; .8696 and .5364 are usual.
    for (problem, least) in [("{name: zdt1}", 0.8666), ("{name: zdt2}", 0.5334)] {
        let found = hypervolumes(NSGA2, problem, 25_000, &ZDT);
        println!("{problem}: {found:?}");
        assert!(mean(&found) >= least, "{problem}: {found:?}");
    }
}

#[test]
fn sms_emoa_beats_nsga2_on_zdt1() {
    let setting = ("sms_emoa", "{population: 100}");
    let found = hypervolumes(setting, "{name: zdt1}", 25_000, &ZDT);
    println!("{found:?}");
    assert!(found.iter().all(|volume| *volume > 0.8696), "{found:?}");
}

#[test]
fn nsga3_beats_nsga2_on_dtlz2_with_four_objectives() {
    let problem = "{name: dtlz2, objectives: 4}";
    // 200 generations of as many as there are directions.
    let run = |setting| hypervolumes(setting, problem, 84 * 200, &[1.1; 4]);
    let third = run(("nsga3", "{mode: generational, population: 84}"));
    let second = run(("nsga2", "{mode: generational, population: 84}"));
    println!("{third:?} {second:?}");
    let worst = third.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(second.iter().all(|volume| *volume < worst), "{third:?} against {second:?}");
}
