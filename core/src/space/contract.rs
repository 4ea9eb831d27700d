//! What every search space promises, checked on any of them; written once, run for every line of
//! [`SPACES`](super::SPACES). It must not know any space by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use num_bigint::BigUint;

use super::{Genotype, Mutation, SPACES, SearchSpace, SpaceEntry, SpaceError};
use crate::rng::{Purpose, Stream, stream};
use crate::spec::Section;

const ROUNDS: u64 = 200;

/// Builds a space from the text of its section, panicking with its faults.
pub(crate) fn build(entry: &SpaceEntry, text: &str) -> Arc<dyn SearchSpace> {
    let section = Section::from_text(text).expect("the text is a mapping");
    let space = (entry.build)(&section);
    section.finish().unwrap_or_else(|faults| panic!("{}: {faults:?}", entry.name));
    space.expect("a clean section gives a space")
}

/// Checks the contract of [`SearchSpace`] on genotypes drawn from `space`.
pub(crate) fn check(space: &dyn SearchSpace) {
    assert!(space.schema().slots() >= 1);
    assert!(space.schema().cardinality() >= BigUint::from(2u32));
    let mut rng = stream(11, Purpose::Proposal, 0);
    for round in 0..ROUNDS {
        let genotype = space.schema().sample(&mut rng);
        let other = space.schema().sample(&mut rng);
        belongs(space, &genotype);
        belongs(space, &space.schema().cross(&genotype, &other, &mut rng));
        mutates(space, &genotype, &mut rng);
        crosses(space, &genotype, &other, &mut rng);
        is_deterministic(space, &genotype, &other, round);
    }
    numbers_genotypes(space);
    names_networks(space);
    simplifies(space, &mut rng);
    reaches_every_value(space, &mut rng);
    refuses_foreign_genotypes(space);
    refuses_foreign_text(space);
    reads_its_parameters_back(space);
}

fn belongs(space: &dyn SearchSpace, genotype: &Genotype) {
    assert_eq!(genotype.0.len(), space.schema().slots());
    assert_eq!(space.schema().check(genotype), Ok(()));
    assert_eq!(space.schema().check(&space.simplified(genotype)), Ok(()));
    let mut features = Vec::new();
    space.schema().encode(genotype, &mut features);
    assert_eq!(features.len(), space.schema().features().len());
    assert!(features.iter().any(|feature| !feature.is_nan()));
    let rank = space.schema().rank(genotype).expect("a genotype of the space has a rank");
    assert!(rank < space.schema().cardinality());
    assert_eq!(space.schema().unrank(&rank).as_ref(), Some(genotype));
    assert_eq!(space.parse(&space.format(genotype)).as_ref(), Ok(genotype));
    let hash = space.canonical_hash(genotype).expect("a genotype of the space has a hash");
    assert_eq!(space.canonical_hash(genotype), Ok(hash));
    match space.lower(genotype) {
        Ok(graph) => {
            assert!(space.has_networks());
            assert!(graph.nodes().len() >= 2);
            assert!(graph.params() > 0);
            assert!(graph.modelled_energy_millijoules().is_finite());
        }
        Err(SpaceError::NoNetwork { .. }) => {}
        Err(error @ SpaceError::Foreign { .. }) => panic!("{error}"),
    }
}

fn mutates(space: &dyn SearchSpace, parent: &Genotype, rng: &mut Stream) {
    let one = space.schema().mutate(parent, Mutation::OneGene, rng);
    belongs(space, &one);
    assert_ne!(&one, parent, "an edit has to change something");

    let none = space.schema().mutate(parent, Mutation::EachGene(0.0), rng);
    assert_eq!(&none, parent);
    let all = space.schema().mutate(parent, Mutation::EachGene(1.0), rng);
    belongs(space, &all);
    assert_ne!(&all, parent);
    belongs(space, &space.schema().mutate(parent, Mutation::EachGene(0.5), rng));
}

fn crosses(space: &dyn SearchSpace, first: &Genotype, second: &Genotype, rng: &mut Stream) {
    belongs(space, &space.schema().cross(first, second, rng));
    assert_eq!(&space.schema().cross(first, first, rng), first);
}

fn is_deterministic(space: &dyn SearchSpace, a: &Genotype, b: &Genotype, ordinal: u64) {
    let draw = || {
        let mut rng = stream(12, Purpose::Proposal, ordinal);
        let sampled = space.schema().sample(&mut rng);
        let mutated = space.schema().mutate(a, Mutation::EachGene(0.5), &mut rng);
        (sampled, mutated, space.schema().cross(a, b, &mut rng))
    };
    assert_eq!(draw(), draw());
}

/// Neighbours in the numbering differ little, so that some have one hash where any two have.
fn names_networks(space: &dyn SearchSpace) {
    if !space.hash_names_network() || !space.has_networks() {
        return;
    }
    let mut networks = BTreeMap::new();
    for rank in 0..256u32 {
        let Some(genotype) = space.schema().unrank(&rank.into()) else { break };
        let hash = space.canonical_hash(&genotype).expect("a genotype of the space has a hash");
        let network = space.lower(&genotype).ok().map(|graph| graph.canonical_hash());
        let first = networks.entry(hash).or_insert(network);
        assert_eq!(*first, network, "{} shares its hash", space.format(&genotype));
    }
}

/// Simplified genotypes are simple already, and cost what the others do unless the space says otherwise.
fn simplifies(space: &dyn SearchSpace, rng: &mut Stream) {
    let cost = |genotype: &Genotype| {
        let graph = space.lower(genotype).ok()?;
        Some((graph.params(), graph.macs()))
    };
    for _ in 0..ROUNDS / 4 {
        let genotype = space.schema().sample(rng);
        let simplified = space.simplified(&genotype);
        assert_eq!(space.simplified(&simplified), simplified);
        if !space.simplified_costs_less() && simplified != genotype {
            assert_eq!(cost(&simplified), cost(&genotype), "{}", space.format(&genotype));
        }
    }
}

fn numbers_genotypes(space: &dyn SearchSpace) {
    let cardinality = space.schema().cardinality();
    let ends = (0..1000u32).map(BigUint::from);
    let last = (1..1000u32)
        .map(BigUint::from)
        .filter(|back| *back <= cardinality)
        .map(|back| &cardinality - back);
    for rank in ends.filter(|rank| *rank < cardinality).chain(last) {
        let genotype =
            space.schema().unrank(&rank).expect("every rank below the cardinality has a genotype");
        assert_eq!(space.schema().rank(&genotype), Ok(rank));
    }
    assert_eq!(space.schema().unrank(&cardinality), None);
    assert_eq!(space.schema().unrank(&(cardinality * 7u32 + 3u32)), None);
}

/// Edits of one gene reach every value that any genotype has at any slot, reals excepted: there
/// they leave a neighbourhood.
fn reaches_every_value(space: &dyn SearchSpace, rng: &mut Stream) {
    let schema = space.schema();
    let sampled: Vec<Genotype> = (0..1000).map(|_| schema.sample(rng)).collect();
    let values = |genotypes: &[Genotype], slot: usize| {
        let values: BTreeSet<u32> = genotypes.iter().map(|genotype| genotype.0[slot]).collect();
        values
    };
    let mut walk = vec![sampled[0].clone()];
    for _ in 0..1500 * schema.slots() {
        walk.push(schema.mutate(&walk[walk.len() - 1], Mutation::OneGene, rng));
    }
    for slot in 0..schema.slots() {
        let all = values(&sampled, slot);
        let reached = values(&walk, slot);
        if all.len() > 900 {
            assert!(reached.len() > 100, "slot {slot} stays where it is");
        } else {
            assert!(all.is_subset(&reached), "slot {slot}: {all:?} of which {reached:?}");
        }
    }
}

fn refuses_foreign_genotypes(space: &dyn SearchSpace) {
    let own = space.schema().unrank(&BigUint::ZERO).expect("a space is not empty");
    let mut genotypes = vec![
        Genotype(Box::default()),
        Genotype(own.0[1..].into()),
        Genotype(own.0.iter().copied().chain([0]).collect()),
    ];
    for place in 0..space.schema().slots() {
        let mut genes = own.0.clone();
        genes[place] = u32::MAX;
        let genotype = Genotype(genes);
        // A real gene can be any number.
        if space.schema().check(&genotype).is_err() {
            genotypes.push(genotype);
        }
    }
    for genotype in genotypes {
        let is_foreign = |error| matches!(error, Some(SpaceError::Foreign { .. }));
        assert!(space.schema().rank(&genotype).is_err(), "{genotype:?}");
        assert!(is_foreign(space.canonical_hash(&genotype).err()), "{genotype:?}");
        assert!(is_foreign(space.lower(&genotype).err()), "{genotype:?}");
        assert!(space.parse(&space.format(&genotype)).is_err(), "{genotype:?}");
    }
}

fn refuses_foreign_text(space: &dyn SearchSpace) {
    let text = space.format(&space.schema().unrank(&BigUint::ZERO).expect("a space is not empty"));
    let broken = [
        String::new(),
        " ".to_owned(),
        "\u{0}".to_owned(),
        "|+~".repeat(10_000),
        format!("{text}{text}"),
        format!("{text}x"),
        format!("x{text}"),
    ];
    for text in broken {
        assert!(matches!(space.parse(&text), Err(SpaceError::Foreign { .. })), "{text:.40}");
    }
    for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
        // The beginning of a last number is a number.
        let read = space.parse(&text[..end]);
        assert!(read.is_err() || read != space.parse(&text), "{}", &text[..end]);
    }
}

fn reads_its_parameters_back(space: &dyn SearchSpace) {
    let entry = SPACES.iter().find(|entry| entry.name == space.name());
    let entry = entry.expect("the space is listed under its name");
    let parameters = space.parameters();
    assert!(parameters.is_object());
    let again = build(entry, &parameters.to_string());
    assert_eq!(again.parameters(), parameters);
    assert_eq!(again.schema().cardinality(), space.schema().cardinality());
    assert_eq!(format!("{again:?}"), format!("{space:?}"));
    let genotype = space
        .schema()
        .unrank(&(space.schema().cardinality() / 2u32))
        .expect("below the cardinality");
    assert_eq!(again.lower(&genotype), space.lower(&genotype));
    assert_eq!(again.canonical_hash(&genotype), space.canonical_hash(&genotype));
}

/// Parameters for each space: the defaults, or the least that a space without defaults needs.
fn parameters(entry: &SpaceEntry) -> &'static str {
    match entry.name {
        "declared" => "genes: {a: {int: [0, 3]}, b: {cat: [x, y, z]}}",
        "problem" => "name: zdt1",
        _ => "{}",
    }
}

#[test]
fn every_space_keeps_the_contract() {
    for entry in SPACES {
        check(build(entry, parameters(entry)).as_ref());
    }
}

#[test]
fn every_space_has_a_name_and_a_summary_of_its_own() {
    for (place, entry) in SPACES.iter().enumerate() {
        assert_eq!(build(entry, parameters(entry)).name(), entry.name);
        assert!(!entry.summary.is_empty() && !entry.summary.contains('\n'), "{}", entry.name);
        assert!(SPACES[..place].iter().all(|other| other.name != entry.name), "{}", entry.name);
    }
}
