//! Who survives, step by step.

use super::*;
use crate::algorithm::contract::build;
use crate::algorithm::ranking::{Objectives, Scored};
use crate::id::Ordinal;
use crate::space::Genotype;

fn population(rows: &[[f64; 3]]) -> RankedPopulation {
    let mut population = RankedPopulation::new(3);
    let member = |(id, row): (u32, &[f64; 3])| Scored {
        id: Ordinal(id),
        genotype: Genotype([id].into()),
        objectives: Objectives::of(row),
        violation: 0.0,
    };
    population.extend((1..).zip(rows).map(member));
    population
}

fn survival(directions: Vec<Vec<f64>>) -> ReferenceDirections {
    ReferenceDirections {
        directions,
        normalization: Normalization::default(),
        seed: 1,
        survivals: 0,
    }
}

#[test]
fn each_direction_gets_the_closest_member_before_any_gets_a_second() {
    let axes = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
    let rows = [
        [1.0, 0.0, 0.0],
        [0.9, 0.1, 0.2],
        [0.85, 0.15, 0.25],
        [0.0, 1.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.2, 0.1, 0.9],
    ];
    let mut population = population(&rows);
    survival(axes).truncate(&mut population, 3);
    assert_eq!(population.ids(), [1, 4, 5].map(Ordinal));
}

#[test]
fn better_fronts_survive_whole_and_count_for_their_directions() {
    let axes = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
    // The best front serves the first axis; the last one offers a member at each.
    let rows = [[1.0, 0.0, 0.0], [1.5, 0.1, 0.1], [1.1, 2.0, 0.1], [1.1, 0.1, 2.0]];
    for seed in 0..20 {
        let mut population = population(&rows);
        let mut survival = survival(axes.clone());
        survival.seed = seed;
        survival.truncate(&mut population, 3);
        assert_eq!(population.ids(), [1, 3, 4].map(Ordinal), "seed {seed}");
    }
}

#[test]
fn survival_does_not_depend_on_the_order_of_slots() {
    let rows: Vec<[f64; 3]> = (0..40u32)
        .map(|at| {
            let (a, b) = (f64::from(at * 7 % 40) / 40.0, f64::from(at * 11 % 40) / 40.0);
            [a, b, 2.0 - a - b]
        })
        .collect();
    let survivors = |reversed: bool| {
        let mut members: Vec<Scored> = (1..)
            .zip(&rows)
            .map(|(id, row)| Scored {
                id: Ordinal(id),
                genotype: Genotype([id].into()),
                objectives: Objectives::of(row),
                violation: 0.0,
            })
            .collect();
        if reversed {
            members.reverse();
        }
        let mut population = RankedPopulation::new(3);
        population.extend(members);
        survival(directions::directions(3, 15)).truncate(&mut population, 15);
        population.ids()
    };
    assert_eq!(survivors(false), survivors(true));
}

#[test]
fn degenerate_populations_shrink_to_the_size_asked_for() {
    for rows in [vec![[1.0; 3]; 9], vec![[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [1.0, 2.5, 2.5]]] {
        let mut population = population(&rows);
        survival(directions::directions(3, 10)).truncate(&mut population, 2);
        assert_eq!(population.len(), 2);
    }
}

#[test]
fn there_are_no_more_directions_than_members() {
    let algorithm = build("nsga3", "{population: 30}");
    assert_eq!(algorithm.parameters()["population"], 30);
}

#[test]
fn niches_do_not_depend_on_units() {
    let simplex = |at: u32| {
        let (a, b) = (f64::from(at * 7 % 40) / 40.0, f64::from(at * 11 % 40) / 40.0);
        [a, 10.0 * b, 100.0 * (2.0 - a - b)]
    };
    let rows: Vec<[f64; 3]> = (0..40).map(simplex).collect();
    let directions: Vec<Vec<f64>> = (0..=4)
        .flat_map(|i| (0..=4 - i).map(move |j| [i, j, 4 - i - j].map(f64::from).to_vec()))
        .collect();
    let survivors = |unit: f64| {
        let rows: Vec<[f64; 3]> = rows.iter().map(|row| row.map(|value| unit * value)).collect();
        let mut population = population(&rows);
        survival(directions.clone()).truncate(&mut population, 15);
        population.ids()
    };
    assert_eq!(survivors(1e-14), survivors(1.0));
}
