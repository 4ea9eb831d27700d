//! What is evaluated before any model: genotypes on the diagonal of the space, then ones that are spread
//! out. On the diagonal all genes stand at the same share of their choices, so it runs from the smallest
//! network to the largest, or through the cells of a single operation: the ends of fronts are near it,
//! and independent draws hardly ever meet it. Where many workers ask for more before there are results, draws
//! have a composition of their own, most of them one of few choices: sums over many independent genes, such as
//! costs, are nearly the same everywhere, and fronts end where they are not. It must not know models or
//! objectives: of results it reads only where they lie.

use rand::RngExt;

use crate::algorithm::breeding::Novelty;
use crate::algorithm::observations::{Observations, as_spelled};
use crate::algorithm::{Origin, Proposal, Suggestion};
use crate::rng::Stream;
use crate::space::{Genotype, Mutation, Schema, SearchSpace};

/// Draws of which the one farthest from everything proposed is kept.
const DRAWS: usize = 30;
/// As [`DRAWS`] where they have compositions: the least alike of many would be of as many choices as there are.
const COMPOSED_DRAWS: usize = 10;
/// After so many that were ruled out, and nothing else, only single draws are looked at.
const HOPELESS: usize = 100;
/// Failures for each success beyond which most candidates count as failing.
const MOSTLY: usize = 3;
/// So many of the latest that failed, and that broke a constraint, repel.
const FAILED: usize = 200;
/// Decay of the likeness of two genotypes for each gene in which they differ.
const DECAY: f64 = 2.0;
/// What a choice of its own weighs for a gene of a composition, where that of each gene before it weighs 1.
const FRESH: f64 = 3.0;
/// Genes with more choices than so many take one near that of another instead of the same.
const PARTS: f64 = 16.0;

/// The next candidate of an initial design of which `initial` are wanted at least; half of those are on
/// the diagonal at most.
pub(super) fn next(
    novelty: &Novelty<'_>,
    space: &dyn SearchSpace,
    observations: &Observations,
    initial: usize,
    rng: &mut Stream,
) -> Suggestion {
    let proposed = observations.proposed_in_all();
    let on_diagonal = diagonal(space.schema(), observations.chosen_in_all(), initial / 2);
    let found = on_diagonal.and_then(|genotype| novelty.admit(genotype, Origin::Sampled));
    if let Some(found) = found.filter(|found| !observations.rules_out(&found.genotype)) {
        return Suggestion::Propose(found);
    }
    if mostly_fails(observations) && rng.random_bool(0.5) {
        let near = (0..DRAWS).find_map(|_| near_a_result(novelty, space, observations, rng));
        if let Some(proposal) = near {
            return Suggestion::Propose(proposal);
        }
    }
    spread(novelty, space, observations, proposed >= initial, rng)
}

/// Whether what succeeds is rare, so that it lies somewhere in particular.
fn mostly_fails(observations: &Observations) -> bool {
    let succeeded = observations.results().len();
    observations.learnt_from() - succeeded > MOSTLY * succeeded
}

/// A mutation of something that could be evaluated, unless it is known or ruled out.
fn near_a_result(
    novelty: &Novelty<'_>,
    space: &dyn SearchSpace,
    observations: &Observations,
    rng: &mut Stream,
) -> Option<Proposal> {
    let results = observations.results();
    let parent = results.get(rng.random_range(0..results.len().max(1)))?;
    let genotype = space.schema().mutate(&parent.genotype, Mutation::OneGene, rng);
    let found = novelty.admit(genotype, Origin::Mutated { parent: parent.id })?;
    (!observations.rules_out(&found.genotype)).then_some(found)
}

/// The encodings that the next draw is kept away from. What was ruled out repels as well, and what failed
/// where most does: otherwise the next would be as far from all that succeeded. Failures here and there say
/// nothing of their surroundings.
fn repelling(observations: &Observations) -> Vec<&[f64]> {
    let latest = |count: usize| count.saturating_sub(FAILED);
    let (violating, lost) = (observations.violating(), observations.lost());
    let mut others = observations.pending();
    others.extend(observations.results().iter().map(|result| result.features.as_slice()));
    if mostly_fails(observations) {
        others.extend(violating[latest(violating.len())..].iter().map(|found| &*found.features));
        others.extend(lost[latest(lost.len())..].iter().map(AsRef::as_ref));
    }
    others.extend(observations.ruled_out());
    others
}

/// The one of some draws that is least like what has been proposed; if `composed`, all but the first have a
/// composition of their own.
fn spread(
    novelty: &Novelty<'_>,
    space: &dyn SearchSpace,
    observations: &Observations,
    composed: bool,
    rng: &mut Stream,
) -> Suggestion {
    let features = space.schema().features();
    let others = repelling(observations);
    // A campaign that nothing fits is to be found out soon: each look costs a network.
    let hopeless = others.len() >= HOPELESS && observations.ruled_out().count() == others.len();
    let mut encoding = Vec::new();
    let mut best = (f64::INFINITY, novelty.sample(rng));
    let draws = if composed { COMPOSED_DRAWS } else { DRAWS };
    for draw in 0..if hopeless { 1 } else { draws } {
        let drawn = match draw {
            0 => best.1.clone(),
            _ if composed => {
                let genotype = composition(space.schema(), rng);
                let admitted = genotype.and_then(|found| novelty.admit(found, Origin::Sampled));
                let Some(proposal) = admitted else { continue };
                Suggestion::Propose(proposal)
            }
            // If the first draw needed a search of the space, the ones to compare with are not worth another.
            _ => novelty.try_sample(rng).map_or(Suggestion::Exhausted, Suggestion::Propose),
        };
        let Suggestion::Propose(proposal) = &drawn else { break };
        if observations.rules_out(&proposal.genotype) {
            continue;
        }
        // As it is: in their simplest spelling all of which little is left are alike, and hardly one would be kept.
        space.schema().encode(&proposal.genotype, &mut encoding);
        let likeness = |other: &&[f64]| {
            let pairs = features.iter().zip(encoding.iter().zip(as_spelled(space, other)));
            let apart: f64 = pairs.map(|(feature, (x, y))| feature.difference(*x, *y)).sum();
            libm::exp(-DECAY * apart)
        };
        let likeness: f64 = others.iter().map(likeness).sum();
        if likeness < best.0 {
            best = (likeness, drawn);
        }
    }
    if best.0 == f64::INFINITY
        && let Some(near) =
            (0..DRAWS).find_map(|_| near_a_result(novelty, space, observations, rng))
    {
        return Suggestion::Propose(near);
    }
    best.1
}

/// The genotype number `nth` of at most `most` on the diagonal, evenly apart from the first choices of
/// all genes to the last; `None` beyond. There are no more of them than the gene with the most choices
/// has.
fn diagonal(schema: &Schema, nth: usize, most: usize) -> Option<Genotype> {
    let count = most.min(most_choices(schema)?);
    if nth >= count || count < 2 {
        return None;
    }
    let (nth, steps) = (nth as u64, count as u64 - 1);
    chosen(schema, |last| ((2 * nth * u64::from(last) + steps) / (2 * steps)) as u32)
}

/// A genotype whose genes repeat each other: each takes its choice by the same share of them as an earlier
/// one, or by a new one (the urn of Blackwell and MacQueen 1973, "Ferguson distributions via Pólya urn schemes",
/// so which gene comes first does not matter).
fn composition(schema: &Schema, rng: &mut Stream) -> Option<Genotype> {
    let mut shares: Vec<f64> = Vec::new();
    chosen(schema, |last| {
        let before = shares.len();
        let is_new = rng.random::<f64>() * (FRESH + before as f64) < FRESH;
        let share = if is_new { rng.random() } else { shares[rng.random_range(0..before)] };
        shares.push(share);
        let choices = f64::from(last) + 1.0;
        let near = if choices <= PARTS {
            share
        } else {
            ((share * PARTS).floor() + rng.random::<f64>()) / PARTS
        };
        ((near * choices) as u32).min(last)
    })
}

/// The number of choices of the gene that has the most.
fn most_choices(schema: &Schema) -> Option<usize> {
    let mut values = schema.unrank(&0u32.into())?;
    let largest = (0..values.0.len()).map(|slot| last_choice(schema, &mut values, slot)).max()?;
    Some(usize::try_from(largest).ok()?.saturating_add(1))
}

/// The genotype whose every gene takes the choice that `choose` says for the number of its last one.
/// Genes that only apply by the choice of an earlier one follow it, and a choice that would break a
/// constraint is left at the first.
fn chosen(schema: &Schema, mut choose: impl FnMut(u32) -> u32) -> Option<Genotype> {
    let mut values = schema.unrank(&0u32.into())?;
    for slot in 0..values.0.len() {
        let last = last_choice(schema, &mut values, slot);
        let before = values.0[slot];
        values.0[slot] = choose(last);
        if schema.check(&values).is_err() {
            values.0[slot] = before;
        }
    }
    Some(values)
}

/// The last choice that a slot can take in a genotype, which is left as it was.
fn last_choice(schema: &Schema, values: &mut Genotype, slot: usize) -> u32 {
    let before = values.0[slot];
    let mut may_be = |value: u32| {
        values.0[slot] = value;
        schema.check(values).is_ok()
    };
    let (mut last, mut step) = (before, 1u32);
    while let Some(next) = last.checked_add(step).filter(|next| may_be(*next)) {
        last = next;
        step = step.saturating_mul(2);
    }
    while step > 1 {
        step /= 2;
        if let Some(next) = last.checked_add(step).filter(|next| may_be(*next)) {
            last = next;
        }
    }
    values.0[slot] = before;
    last
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::algorithm::contract::{Grid, context};
    use crate::algorithm::{AlgorithmContext, Outcome, Proposal};
    use crate::id::Ordinal;
    use crate::rng::{Purpose, stream};
    use crate::space::schema::{Gene, GeneKind};

    fn texts(schema: &Schema, most: usize) -> Vec<Vec<u32>> {
        let found = (0..most + 2).map_while(|nth| diagonal(schema, nth, most));
        found.map(|genotype| genotype.0.into_vec()).collect()
    }

    /// One to three layers, each of a width of its own.
    fn layers() -> Gene {
        let width = GeneKind::Integer { low: 8, high: 800, step: 8, log: false };
        let body = vec![Gene::new("width", width)];
        let repeat = GeneKind::Repeat { at_least: 1, at_most: 3, shared: false, body };
        Gene::new("layers", repeat)
    }

    #[test]
    fn the_diagonal_runs_from_the_first_choices_to_the_last() {
        let of = |choices| Grid::of(3, choices);
        assert_eq!(texts(of(3).schema(), 6), [[0; 3], [1; 3], [2; 3]]);
        assert_eq!(texts(of(9).schema(), 5), [[0; 3], [2; 3], [4; 3], [6; 3], [8; 3]]);
        assert_eq!(texts(of(9).schema(), 1), Vec::<Vec<u32>>::new());
        let schema = Schema::new(vec![layers()]).unwrap();
        let found = texts(&schema, 3);
        assert_eq!(found.len(), 3);
        let text = |at: usize| schema.format(&Genotype(found[at].clone().into()));
        assert!(!text(0).contains("800") && text(2).matches("800").count() == 3, "{}", text(2));
        for values in &found {
            schema.check(&Genotype(values.clone().into())).unwrap();
        }
    }

    #[test]
    fn compositions_reach_the_ends_that_independent_draws_miss() {
        let space = Grid::of(12, 9);
        let schema = space.schema();
        let mean = |genotype: &Genotype| genotype.0.iter().sum::<u32>() / 12;
        let ends = |draw: &dyn Fn(&mut Stream) -> Genotype| {
            let draws = (1..=200).map(|number| draw(&mut stream(1, Purpose::Proposal, number)));
            draws.map(|genotype| mean(&genotype)).filter(|mean| [1, 2, 6, 7].contains(mean)).count()
        };
        let composed = ends(&|rng| composition(schema, rng).unwrap());
        let independent = ends(&|rng| schema.sample(rng));
        assert!(composed > 30 && composed > 2 * independent, "{composed} to {independent}");
    }

    #[test]
    fn sums_over_genes_differ_more_among_spread_draws_that_have_a_composition() {
        let space = Grid::of(12, 9);
        let known = BTreeSet::new();
        let novelty = Novelty::new(&*space, &known);
        let variance_of_sums = |composed: bool| {
            let context = AlgorithmContext { space: Some(space.clone()), ..context() };
            let mut observations = Observations::new(&context);
            let mut sums = Vec::new();
            for number in 1..=400 {
                let mut rng = stream(1, Purpose::Proposal, number);
                let next = spread(&novelty, &*space, &observations, composed, &mut rng);
                let Suggestion::Propose(proposal) = next else { panic!("{next:?}") };
                sums.push(f64::from(proposal.genotype.0.iter().sum::<u32>()));
                observations.propose(Ordinal(number as u32), &proposal);
            }
            let mean = sums.iter().sum::<f64>() / sums.len() as f64;
            sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / sums.len() as f64
        };
        let (independent, composed) = (variance_of_sums(false), variance_of_sums(true));
        assert!(composed > 1.5 * independent, "{composed} and {independent}");
    }

    #[test]
    fn architectures_that_a_campaign_names_leave_the_diagonal_to_the_design() {
        let space = Grid::of(6, 5);
        let mut observations = Observations::new(&context());
        let mut known = BTreeSet::new();
        let mut genotypes = Vec::new();
        for number in 1..=11 {
            let mut rng = stream(1, Purpose::Proposal, number);
            let novelty = Novelty::new(&*space, &known);
            let given = |place: u32| Genotype([0, 1, 2, 3, 4, place].into());
            let proposal = match u32::try_from(number).unwrap() {
                place @ 1..=4 => novelty.admit(given(place), Origin::Given).unwrap(),
                _ => match next(&novelty, &*space, &observations, 12, &mut rng) {
                    Suggestion::Propose(proposal) => proposal,
                    other => panic!("{other:?}"),
                },
            };
            genotypes.push(proposal.genotype.clone());
            known.insert(proposal.key);
            observations.propose(Ordinal(number as u32), &proposal);
            // One of those named is ruled out, as if it had not been.
            if number == 1 {
                observations.resolve(Ordinal(1), Outcome::Infeasible);
            }
        }
        let diagonal: Vec<Genotype> = (0..5).map(|at| Genotype([at; 6].into())).collect();
        assert_eq!(genotypes[4..9], diagonal);
    }

    #[test]
    fn a_composition_fits_genes_that_depend_on_others() {
        let one = GeneKind::Categorical { choices: vec!["only".into()], ordered: false };
        let schema = Schema::new(vec![layers(), Gene::new("one", one)]).unwrap();
        let mut found = BTreeSet::new();
        for number in 0..100 {
            let genotype = composition(&schema, &mut stream(1, Purpose::Proposal, number)).unwrap();
            schema.check(&genotype).unwrap();
            found.insert(schema.format(&genotype));
        }
        assert!(found.len() > 80, "{}", found.len());
    }

    #[test]
    fn a_design_is_spread_wider_than_random_draws() {
        let space = Grid::of(6, 5);
        let alike = |genotypes: &[Genotype]| -> f64 {
            let schema = space.schema();
            let pairs = genotypes
                .iter()
                .enumerate()
                .flat_map(|(at, one)| genotypes[..at].iter().map(move |other| (one, other)));
            pairs.map(|(one, other)| libm::exp(-12.0 * schema.distance(one, other))).sum()
        };
        let design = |initial: usize, draws_only: bool| {
            let mut known = BTreeSet::new();
            let mut observations = Observations::new(&context());
            let mut genotypes = Vec::new();
            for number in 1..=40 {
                let mut rng = stream(1, Purpose::Proposal, number);
                let novelty = Novelty::new(&*space, &known);
                let found = match draws_only {
                    true => novelty.sample(&mut rng),
                    false => next(&novelty, &*space, &observations, initial, &mut rng),
                };
                let Suggestion::Propose(proposal): Suggestion = found else { panic!("{found:?}") };
                let Proposal { genotype, key, .. } = &proposal;
                genotypes.push(genotype.clone());
                known.insert(*key);
                observations.propose(Ordinal(number as u32), &proposal);
            }
            genotypes
        };
        let (wide, drawn) = (design(12, false), design(12, true));
        assert_eq!(wide[..5], (0..5).map(|at| Genotype([at; 6].into())).collect::<Vec<_>>());
        assert!(alike(&wide[5..]) < 0.7 * alike(&drawn[5..]), "{}", alike(&wide[5..]));
    }
}
