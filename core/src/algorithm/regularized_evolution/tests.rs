//! Ageing, selection and the meaning of weights, step by step.

use super::*;
use crate::algorithm::contract::{Driver, Grid, Resolution, build, context};
use crate::graph::CanonicalHash;

fn proposal(gene: u32) -> Proposal {
    let key = CanonicalHash::from_bytes(u128::from(gene).to_le_bytes());
    Proposal { genotype: Genotype([gene].into()), key, origin: Origin::Sampled }
}

fn tell(algorithm: &mut dyn Algorithm, id: u32, objectives: [f64; 2], violation: f64) {
    algorithm.proposed(Ordinal(id), &proposal(id));
    algorithm.update(Ordinal(id), Outcome::Scored { objectives: &objectives, violation });
}

fn faults(text: &str) -> String {
    let section = Section::from_text(text).unwrap();
    assert!((ENTRY.build)(&section, &context()).is_none(), "{text}");
    section.finish().unwrap_err().to_string()
}

/// The parent that a sample of nearly everyone yields.
fn favourite(algorithm: &dyn Algorithm) -> Ordinal {
    let mut rng = crate::rng::stream(1, crate::rng::Purpose::Proposal, 1);
    let known = std::collections::BTreeSet::new();
    match algorithm.suggest(&*Grid::of(1, 100), &known, &mut rng) {
        Suggestion::Propose(Proposal { origin: Origin::Mutated { parent }, .. }) => parent,
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_the_published_ones() {
    assert_eq!(
        build("regularized_evolution", "{}").parameters(),
        serde_json::json!({
            "population": 100, "sample": 25, "weights": null, "duplicate_redraws": 20,
        })
    );
}

#[test]
fn senseless_parameters_are_all_reported() {
    let text = "{population: 0, sample: 0, weights: {speed: 1, cost: .inf}}";
    let found = faults(text);
    for expected in ["population", "sample", "`speed`", "accuracy, cost", "not finite"] {
        assert!(found.contains(expected), "{found}");
    }
    assert!(faults("{weights: {}}").contains("weight other than 0"));
    assert!(faults("{weights: {cost: 0}}").contains("weight other than 0"));
}

#[test]
fn the_oldest_leaves_however_good_it_is() {
    let mut algorithm = build("regularized_evolution", "{population: 2, sample: 50}");
    tell(&mut *algorithm, 5, [-9.0, 0.0], 0.0);
    tell(&mut *algorithm, 1, [-1.0, 5.0], 0.0);
    assert_eq!(favourite(&*algorithm), Ordinal(5));
    tell(&mut *algorithm, 2, [-1.0, 6.0], 0.0);
    assert_eq!(algorithm.population(), [1, 2].map(Ordinal));
    assert_eq!(favourite(&*algorithm), Ordinal(1));
}

#[test]
fn weights_refer_to_natural_values_and_larger_scores_win() {
    let select = |weights: &str| {
        let text = format!("{{population: 3, sample: 60, weights: {weights}}}");
        let mut algorithm = build("regularized_evolution", &text);
        // Accuracies 90, 80, 70 (maximised, so they arrive negated); costs 30, 10, 40.
        tell(&mut *algorithm, 1, [-90.0, 30.0], 0.0);
        tell(&mut *algorithm, 2, [-80.0, 10.0], 0.0);
        tell(&mut *algorithm, 3, [-70.0, 40.0], 0.0);
        favourite(&*algorithm)
    };
    assert_eq!(select("{accuracy: 1}"), Ordinal(1));
    assert_eq!(select("{cost: -1}"), Ordinal(2));
    assert_eq!(select("{cost: 2, accuracy: 0.5}"), Ordinal(3));
    assert_eq!(select("{accuracy: 1, cost: -0.4}"), Ordinal(1));
    assert_eq!(select("{accuracy: 1, cost: -0.6}"), Ordinal(2));
}

#[test]
fn infeasible_members_stand_behind_in_order_of_violation() {
    for settings in ["", ", weights: {accuracy: 1}"] {
        let text = format!("{{population: 3, sample: 60{settings}}}");
        let mut algorithm = build("regularized_evolution", &text);
        tell(&mut *algorithm, 1, [-99.0, 0.0], 0.2);
        tell(&mut *algorithm, 2, [-98.0, 0.0], 0.1);
        tell(&mut *algorithm, 3, [-1.0, 9.0], 0.1);
        assert_eq!(favourite(&*algorithm), Ordinal(2), "equal violations: the smaller id");
        tell(&mut *algorithm, 4, [-1.0, 9.0], 0.0);
        assert_eq!(favourite(&*algorithm), Ordinal(4));
    }
}

#[test]
fn a_score_that_overflows_is_no_parent() {
    let text = "{population: 2, weights: {accuracy: 1.0e300}}";
    let mut algorithm = build("regularized_evolution", text);
    tell(&mut *algorithm, 1, [-1e300, 0.0], 0.0);
    assert_eq!(algorithm.population(), []);
}

#[test]
fn children_are_one_gene_away_from_their_parent() {
    let rate = |genotype: &Genotype| Resolution::Scored {
        objectives: vec![f64::from(genotype.0[0]), f64::from(genotype.0[1])],
        violation: 0.0,
    };
    let text = "{population: 10, sample: 3}";
    let mut driver = Driver::new("regularized_evolution", text, Grid::of(8, 4), rate, 1);
    driver.run(2, 100);
    let genotypes: Vec<Genotype> = driver.genotypes().cloned().collect();
    let mut bred = 0;
    for (origin, child) in driver.origins().zip(&genotypes) {
        let Origin::Mutated { parent } = origin else { continue };
        let parent = &genotypes[parent.0 as usize - 1];
        assert_eq!(parent.0.iter().zip(&child.0).filter(|(a, b)| a != b).count(), 1);
        bred += 1;
    }
    assert_eq!(bred, 90);
}
