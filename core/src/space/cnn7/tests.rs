//! The seven axes: counts, the effect of each gene against a formula, and the labels of the axes.

use std::collections::HashSet;

use num_bigint::BigUint;

use super::*;
use crate::rng::{Purpose, stream};
use crate::space::{Mutation, contract};

fn space(text: &str) -> Arc<dyn SearchSpace> {
    contract::build(&ENTRY, text)
}

/// The plain network with these genes changed.
fn text(changes: &[(&str, &str)]) -> String {
    let stage = [
        ("kernel", "3"),
        ("dilation", "1"),
        ("blocks", "1"),
        ("skip", "none"),
        ("channels", "16"),
        ("groups", "1"),
        ("excitation", "off"),
        ("attention", "off"),
    ];
    let mut genes: Vec<(String, &str)> = (1..=3)
        .flat_map(|nth| stage.map(|(name, value)| (format!("stage{nth}_{name}"), value)))
        .collect();
    genes.push(("boosting".into(), "off"));
    genes.push(("activation".into(), "relu"));
    for (name, value) in changes {
        genes.iter_mut().find(|(known, _)| known == name).unwrap().1 = value;
    }
    let genes: Vec<String> = genes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    genes.join(",")
}

fn graph(changes: &[(&str, &str)]) -> Graph {
    let space = space("{}");
    space.lower(&space.parse(&text(changes)).unwrap()).unwrap()
}

/// Parameters and multiply-adds of a convolution with batch normalisation that gives a map of this side.
fn unit(kernel: i64, from: i64, to: i64, side: i64) -> (i64, i64) {
    let weights = kernel * kernel * from * to;
    (weights + 2 * to, weights * side * side)
}

fn sum(costs: &[(i64, i64)]) -> (i64, i64) {
    costs.iter().fold((0, 0), |total, cost| (total.0 + cost.0, total.1 + cost.1))
}

fn minus(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0 - b.0, a.1 - b.1)
}

#[test]
fn as_many_genotypes_as_the_axes_have_choices() {
    let stage = 3 * 2 * 4 * 3 * 5 * 4 * 3 * 3;
    assert_eq!(stage, 12_960);
    let all = BigUint::from(12_960u32).pow(3) * 6u32;
    assert_eq!(all.to_string(), "13060694016000");
    assert_eq!(space("{}").schema().cardinality(), all);
}

#[test]
fn the_plain_network_costs_what_its_layers_do() {
    let entries = [unit(3, 1, 16, 28), unit(3, 16, 16, 14), unit(3, 16, 16, 7)];
    let blocks = [28, 14, 7].map(|side| unit(3, 16, 16, side));
    let expected = sum(&[sum(&entries), sum(&blocks), (170, 160)]);
    let plain = graph(&[]);
    assert_eq!((plain.params() as i64, plain.macs() as i64), expected);
    assert_eq!(plain.depth(), 7);
}

#[test]
fn one_edit_of_each_axis_changes_the_network_by_a_formula() {
    let plain = graph(&[]);
    let cost = |graph: &Graph| (graph.params() as i64, graph.macs() as i64);
    let own = |side: i64| unit(3, 16, 16, side);
    // Squeeze-and-excitation of 16 channels by 4: two linear layers with biases.
    let excitation = |hidden: i64| (2 * 16 * hidden + hidden + 16, 2 * 16 * hidden);
    // A convolution of two channels to one over 14 x 14 places, with its normalisation.
    let spatial = unit(7, 2, 1, 14);
    // Queries, keys and values of half the channels, a convolution back, and the two products.
    let non_local = |side: i64, channels: i64| {
        let half = channels / 2;
        let projections = 3 * channels * half;
        let places = side * side;
        let back = unit(1, half, channels, side);
        (projections + back.0, projections * places + back.1 + places * places * channels)
    };
    let edits: Vec<(&str, &str, (i64, i64))> = vec![
        ("stage2_kernel", "5", minus(unit(5, 16, 16, 14), own(14))),
        ("stage2_kernel", "7", minus(unit(7, 16, 16, 14), own(14))),
        ("stage2_dilation", "2", (0, 0)),
        ("stage2_blocks", "4", sum(&[own(14), own(14), own(14)])),
        ("stage2_skip", "residual", (0, 0)),
        // The next stage reads the block's input as well.
        ("stage2_skip", "dense", (9 * 16 * 16, 9 * 16 * 16 * 49)),
        (
            "stage2_channels",
            "24",
            sum(&[
                minus(unit(3, 16, 24, 14), own(14)),
                minus(unit(3, 24, 24, 14), own(14)),
                minus(unit(3, 24, 16, 7), own(7)),
            ]),
        ),
        ("stage2_groups", "4", (-9 * 16 * 12, -9 * 16 * 12 * 196)),
        ("stage2_excitation", "r4", excitation(4)),
        ("stage2_excitation", "r16", excitation(1)),
        ("stage2_attention", "spatial", spatial),
        ("stage2_attention", "self", non_local(14, 16)),
        ("stage3_attention", "self", non_local(7, 16)),
        // On 14 x 14 averages of the 28 x 28 places.
        ("stage1_attention", "self", non_local(14, 16)),
        // Four more channels into the first convolution.
        ("boosting", "filters", (9 * 4 * 16, 9 * 4 * 16 * 784 + 4 * 9 * 784)),
        (
            "boosting",
            "autoencoder",
            sum(&[(9 * 4 * 16, 9 * 4 * 16 * 784), unit(3, 1, 8, 14), unit(3, 8, 4, 28)]),
        ),
        ("activation", "silu", (0, 0)),
    ];
    let space = space("{}");
    let key = |changes: &[(&str, &str)]| {
        space.canonical_hash(&space.parse(&text(changes)).unwrap()).unwrap()
    };
    let (mut keys, mut networks) = (HashSet::new(), HashSet::new());
    keys.insert(key(&[]));
    networks.insert(plain.canonical_hash());
    for (name, value, expected) in edits {
        let changes = [(name, value)];
        let edited = graph(&changes);
        assert_eq!(minus(cost(&edited), cost(&plain)), expected, "{name}={value}");
        assert!(keys.insert(key(&changes)), "{name}={value} keeps the hash");
        assert!(networks.insert(edited.canonical_hash()), "{name}={value} keeps the graph");
    }
}

#[test]
fn dense_stages_grow_by_their_channels_each_block() {
    let dense = graph(&[("stage1_skip", "dense"), ("stage1_blocks", "3"), ("stage1_groups", "8")]);
    let plain = graph(&[]);
    // Blocks read 16, 32 and 48 channels in eight groups, and the next stage 64.
    let blocks: i64 = [16, 32, 48].map(|from| 9 * from * 16 / 8 + 32).iter().sum();
    let expected = blocks - (9 * 256 + 32) + 9 * 48 * 16;
    assert_eq!(dense.params() as i64 - plain.params() as i64, expected);
}

#[test]
fn every_axis_is_a_label() {
    let space = space("{}");
    let labels = |changes: &[(&str, &str)]| -> Vec<String> {
        let genotype = space.parse(&text(changes)).unwrap();
        let derived = space.schema().derived_values(&genotype);
        assert_eq!(derived.len(), 7);
        let active = derived.into_iter().filter(|(_, value)| value == "true");
        active.map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(labels(&[]), Vec::<String>::new());
    assert_eq!(labels(&[("stage3_dilation", "2")]), ["uses_filters"]);
    assert_eq!(labels(&[("stage1_blocks", "2")]), ["uses_depth"]);
    assert_eq!(labels(&[("stage1_skip", "dense")]), ["uses_paths"]);
    assert_eq!(labels(&[("stage2_groups", "2")]), ["uses_width"]);
    assert_eq!(labels(&[("stage2_excitation", "r16")]), ["uses_excitation"]);
    assert_eq!(labels(&[("stage2_attention", "self")]), ["uses_attention"]);
    let both = [("boosting", "filters"), ("stage1_channels", "64")];
    assert_eq!(labels(&both), ["uses_width", "uses_boosting"]);
}

#[test]
fn groups_divide_channels_of_ones_own() {
    let space = space("{channels: [10, 12, 16]}");
    let mut rng = stream(4, Purpose::Proposal, 0);
    let mut last = space.schema().sample(&mut rng);
    for _ in 0..200 {
        let drawn = space.schema().sample(&mut rng);
        let edited = space.schema().mutate(&last, Mutation::EachGene(0.2), &mut rng);
        let crossed = space.schema().cross(&drawn, &edited, &mut rng);
        for genotype in [&drawn, &edited, &crossed] {
            assert!(space.lower(genotype).is_ok(), "{}", space.format(genotype));
        }
        last = crossed;
    }
    let refused = text(&[("stage2_groups", "4")]).replace("channels=16", "channels=10");
    assert!(space.parse(&refused).is_err());
}

#[test]
fn different_genotypes_are_different_networks() {
    let space = space("{}");
    let mut rng = stream(6, Purpose::Proposal, 0);
    let genotypes: HashSet<Genotype> = (0..300).map(|_| space.schema().sample(&mut rng)).collect();
    let networks: HashSet<CanonicalHash> =
        genotypes.iter().map(|known| space.lower(known).unwrap().canonical_hash()).collect();
    assert_eq!(networks.len(), genotypes.len());
}

#[test]
fn other_sizes_keep_the_contract_and_senseless_ones_are_refused() {
    contract::check(&*space("{channels: [8, 64], input: [3, 32, 32], classes: 3}"));
    let senseless = [
        "{channels: []}",
        "{channels: [16]}",
        "{channels: [32, 16]}",
        "{channels: [4, 16]}",
        "{input: [1, 28, 32]}",
        "{input: [1, 30, 30]}",
        "{classes: 1}",
        "{stages: 3}",
    ];
    for text in senseless {
        let section = Section::from_text(text).unwrap();
        assert!(read(&section).is_none() || section.finish().is_err(), "{text}");
    }
}
