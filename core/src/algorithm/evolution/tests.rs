//! Survival, breeding and the two modes, step by step.

use super::*;
use crate::algorithm::contract::{Driver, Grid, Resolution, build, context};
use crate::algorithm::nsga2;
use crate::graph::CanonicalHash;
use crate::space::SPACES;

fn proposal(gene: u32) -> Proposal {
    let key = CanonicalHash::from_bytes(u128::from(gene).to_le_bytes());
    Proposal { genotype: Genotype([gene].into()), key, origin: Origin::Sampled }
}

fn tell(algorithm: &mut dyn Algorithm, id: u32, objectives: [f64; 2], violation: f64) {
    algorithm.update(Ordinal(id), Outcome::Scored { objectives: &objectives, violation });
}

fn with_proposals(text: &str, count: u32) -> Box<dyn Algorithm> {
    let mut algorithm = build("nsga2", text);
    for gene in 1..=count {
        algorithm.proposed(Ordinal(gene), &proposal(gene));
    }
    algorithm
}

fn faults(text: &str) -> String {
    let section = Section::from_text(text).unwrap();
    assert!((nsga2::ENTRY.build)(&section, &context()).is_none(), "{text}");
    section.finish().unwrap_err().to_string()
}

#[test]
fn defaults_are_the_published_ones() {
    let parameters = build("nsga2", "{}").parameters();
    assert_eq!(
        parameters,
        serde_json::json!({
            "mode": "asynchronous",
            "parents": "arrived",
            "population": 100,
            "crossover_probability": 0.9,
            "mutation_probability": "1/genes",
            "duplicate_redraws": 20,
        })
    );
}

#[test]
fn senseless_parameters_are_all_reported() {
    let text = "{mode: sync, population: 1, crossover_probability: 1.5, mutation_probability: x}";
    let found = faults(text);
    for expected in ["sync", "2 to 100000", "1.5", "1/genes"] {
        assert!(found.contains(expected), "{found}");
    }
    assert!(faults("{mutation_probability: .nan}").contains("1/genes"));
    assert!(faults("{crossover_probability: .nan}").contains("between 0 and 1"));
}

#[test]
fn mutation_changes_one_gene_on_average_unless_told_otherwise() {
    use parameters::MutationProbability;
    assert_eq!(MutationProbability::OneOverGenes.of(8), 0.125);
    assert_eq!(MutationProbability::Fixed(0.3).of(8), 0.3);
}

#[test]
fn each_result_joins_at_once_and_the_worst_leaves() {
    let mut algorithm = with_proposals("{population: 3}", 6);
    tell(&mut *algorithm, 4, [3.0, 3.0], 0.0);
    assert_eq!(algorithm.population(), [Ordinal(4)]);
    tell(&mut *algorithm, 2, [0.0, 9.0], 0.5);
    tell(&mut *algorithm, 3, [1.0, 5.0], 0.0);
    assert_eq!(algorithm.population(), [2, 3, 4].map(Ordinal));
    // The infeasible one goes first, however good its objectives are.
    tell(&mut *algorithm, 5, [9.0, 9.0], 0.0);
    assert_eq!(algorithm.population(), [3, 4, 5].map(Ordinal));
    // A result that is late by any number of others is worth as much as a fresh one.
    tell(&mut *algorithm, 1, [5.0, 1.0], 0.0);
    assert_eq!(algorithm.population(), [1, 3, 4].map(Ordinal));
    algorithm.update(Ordinal(6), Outcome::Lost);
    assert_eq!(algorithm.population(), [1, 3, 4].map(Ordinal));
}

#[test]
fn the_first_proposals_are_drawn_and_later_ones_bred() {
    let space = Grid::of(8, 4);
    let rate = |genotype: &Genotype| Resolution::Scored {
        objectives: vec![f64::from(genotype.0[0]), f64::from(genotype.0[1])],
        violation: 0.0,
    };
    let mut driver = Driver::new("nsga2", "{population: 10}", space, rate, 1);
    driver.run(1, 200);
    let origins: Vec<Origin> = driver.origins().collect();
    assert!(origins[..10].iter().all(|origin| *origin == Origin::Sampled));
    let crossed = |origin: &&Origin| matches!(origin, Origin::Crossed { .. });
    let share = origins[10..].iter().filter(crossed).count();
    // 9 in 10, less the pairs of one parent with itself.
    assert!((130..180).contains(&share), "{share} of 190 have two parents");
    assert!(!origins[10..].contains(&Origin::Sampled));
}

#[test]
fn a_generation_waits_for_all_its_results_and_only_then_survives() {
    let space = Grid::of(1, 300);
    let known = std::collections::BTreeSet::new();
    let mut algorithm = with_proposals("{population: 3, mode: generational}", 3);
    let suggest = |algorithm: &dyn Algorithm| {
        let mut rng = crate::rng::stream(1, crate::rng::Purpose::Proposal, 4);
        algorithm.suggest(&*space, &known, &mut rng)
    };
    tell(&mut *algorithm, 3, [1.0, 1.0], 0.0);
    algorithm.update(Ordinal(1), Outcome::Lost);
    assert_eq!(suggest(&*algorithm), Suggestion::Wait);
    assert_eq!(algorithm.population(), []);
    tell(&mut *algorithm, 2, [0.0, 3.0], 0.0);
    assert_eq!(algorithm.population(), [2, 3].map(Ordinal), "the loss shrank the generation");
    assert!(matches!(suggest(&*algorithm), Suggestion::Propose(_)));
    for gene in 4..=6 {
        algorithm.proposed(Ordinal(gene), &proposal(gene));
    }
    tell(&mut *algorithm, 6, [0.5, 2.0], 0.0);
    tell(&mut *algorithm, 4, [9.0, 9.0], 0.0);
    assert_eq!(algorithm.population(), [2, 3].map(Ordinal), "parents are frozen");
    tell(&mut *algorithm, 5, [8.0, 8.0], 0.0);
    assert_eq!(algorithm.population(), [2, 3, 6].map(Ordinal));
}

#[test]
fn a_generational_run_does_not_depend_on_the_order_of_arrival() {
    let rate = |genotype: &Genotype| Resolution::Scored {
        objectives: vec![f64::from(genotype.0[0]), -f64::from(genotype.0[1] * genotype.0[0])],
        violation: f64::from(genotype.0[2] / 2),
    };
    let run = |workers| {
        let text = "{population: 12, mode: generational}";
        let mut driver = Driver::new("nsga2", text, Grid::of(8, 4), rate, 5);
        driver.run(workers, 150);
        driver.genotypes().cloned().collect::<Vec<_>>()
    };
    let sequential = run(1);
    assert_eq!(sequential, run(5));
    assert_eq!(sequential, run(12));
}

#[test]
fn feasible_members_are_never_given_up_for_infeasible_ones() {
    let rate = |genotype: &Genotype| Resolution::Scored {
        objectives: vec![f64::from(genotype.0[0]), -f64::from(genotype.0[1])],
        violation: if genotype.0[2] < 3 { 1.0 + f64::from(genotype.0[3]) } else { 0.0 },
    };
    for text in ["{population: 10}", "{population: 10, mode: generational}"] {
        let mut driver = Driver::new("nsga2", text, Grid::of(6, 4), rate, 2);
        driver.run(3, 200);
        let population = driver.algorithm.population();
        assert_eq!(population.len(), 10);
        for (id, genotype) in (1..).map(Ordinal).zip(driver.genotypes()) {
            assert!(genotype.0[2] == 3 || !population.contains(&id), "{text}: {id} is infeasible");
        }
    }
}

/// A graph is one gene of seven slots: a child of one parent is nearly always another one.
#[test]
fn one_gene_changes_on_average_however_many_slots_a_genotype_has() {
    let entry = SPACES.iter().find(|entry| entry.name == "nasbench101").unwrap();
    let space = (entry.build)(&Section::from_text("{}").unwrap()).unwrap();
    let score = |genotype: &Genotype| {
        let sum: u32 = genotype.0.iter().fold(0, |sum, gene| sum.wrapping_add(*gene));
        let objectives = vec![f64::from(sum), -f64::from(sum)];
        Resolution::Scored { objectives, violation: 0.0 }
    };
    let text = "{population: 4, crossover_probability: 0, duplicate_redraws: 0}";
    let mut driver = Driver::new("nsga2", text, space, score, 1);
    driver.run(1, 104);
    let bred = driver.origins().skip(4).filter(|origin| *origin != Origin::Sampled).count();
    assert!(bred > 40, "{bred} of 100 children are new");
}
