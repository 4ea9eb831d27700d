//! What algorithms make of candidates that come to nothing: ruled out before they are evaluated, broken off
//! at a constraint, or failed. A part of the space yields them alone.

use super::driver::Entry;
use super::*;

const GENES: usize = 4;
const VALUES: u32 = 10;

fn sum(genotype: &Genotype) -> u32 {
    genotype.0.iter().sum()
}

/// Two objectives that pull apart; both want what lies beyond the sums that are allowed.
fn scored(genotype: &Genotype) -> Resolution {
    let weighted: u32 =
        genotype.0.iter().zip([1, 3, 2, 1]).map(|(gene, weight)| gene * weight).sum();
    let objectives = vec![-f64::from(sum(genotype)), f64::from(weighted).abs()];
    Resolution::Scored { objectives, violation: 0.0 }
}

fn beyond(
    most: u32,
    otherwise: impl Fn(u32) -> Resolution + 'static,
) -> impl Fn(&Genotype) -> Resolution {
    move |genotype| {
        let sum = sum(genotype);
        if sum > most { otherwise(sum - most) } else { scored(genotype) }
    }
}

fn resolutions(driver: &Driver) -> impl Iterator<Item = &Resolution> {
    driver.log.iter().filter_map(|entry| match entry {
        Entry::Resolved(_, resolution) => Some(resolution),
        _ => None,
    })
}

fn is_scored(resolution: &Resolution) -> bool {
    matches!(resolution, Resolution::Scored { .. })
}

fn run(
    (name, text): (&str, &str),
    evaluations: u32,
    most: u32,
    otherwise: fn(u32) -> Resolution,
    seed: u64,
) -> Driver {
    let space = Grid::of(GENES, VALUES);
    let mut driver = Driver::new(name, text, space, beyond(most, otherwise), seed);
    driver.run(4, evaluations);
    driver
}

/// Sums of at most 7 are 330 of 10,000, so that a hundred draws meet three.
#[test]
fn what_is_ruled_out_leads_no_search_astray() {
    for (name, text) in variants() {
        let mut driver = Driver::new(
            name,
            text,
            Grid::of(GENES, VALUES),
            beyond(7, |_| Resolution::Infeasible),
            6,
        );
        let mut evaluated = 0;
        for proposed in 1.. {
            driver.run(1, proposed);
            evaluated = resolutions(&driver).filter(|found| is_scored(found)).count();
            if evaluated == 40 || proposed == 4_000 {
                break;
            }
        }
        assert_eq!(evaluated, 40, "{name} {text}");
    }
}

#[test]
fn searches_learn_what_fails() {
    let losses = |name: &str| -> f64 {
        let of_seed = |seed| {
            let driver = run((name, "{}"), 200, 13, |_| Resolution::Lost, seed);
            resolutions(&driver).filter(|found| !is_scored(found)).count()
        };
        (1..=4).map(of_seed).sum::<usize>() as f64 / 4.0
    };
    let random = losses("random");
    for (name, most) in [("surrogate", 0.6), ("auto", 0.6), ("tpe", 0.6), ("nsga2", 0.9)] {
        let found = losses(name);
        eprintln!("{name}: {found} of 200 fail, of random draws {random}");
        assert!(found < most * random, "{name}: {found} of 200 fail, of random draws {random}");
    }
}

#[test]
fn what_breaks_a_constraint_early_shows_the_way_to_what_does_not() {
    // Without any selection nothing shows a way.
    let selects = |(name, text): &(&str, &str)| *name != "random" && !text.contains("sample: 1}");
    for (name, text) in variants().filter(selects) {
        let violating = |excess: u32| Resolution::Violating(f64::from(excess) / 7.0);
        let driver = run((name, text), 300, 7, violating, 9);
        let kept = resolutions(&driver).skip(200).filter(|found| is_scored(found)).count();
        eprintln!("{name} {text}: {kept} of the third hundred keep the bound");
        assert!(kept >= 6, "{name} {text}: {kept} of the third hundred keep the bound");
    }
}
