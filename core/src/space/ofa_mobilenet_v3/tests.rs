//! Once-for-All: counts, and costs against a calculation layer by layer.

use std::collections::HashSet;

use num_bigint::BigUint;

use super::*;
use crate::rng::{Purpose, stream};
use crate::space::contract;

fn space(text: &str) -> Arc<dyn SearchSpace> {
    contract::build(&ENTRY, text)
}

/// An architecture whose blocks are all alike.
fn uniform(resolution: u32, depth: u32, kernel: u32, expand: u32) -> String {
    let mut text = format!("resolution={resolution}");
    for stage in 1..=5 {
        text += &format!(",stage{stage}={depth}");
        for block in 0..depth {
            let path = format!("stage{stage}.{block}");
            text += &format!(",{path}.kernel={kernel},{path}.expand={expand}");
        }
    }
    text
}

/// Parameters and multiply-adds of that architecture, counted without a graph.
fn counted(resolution: u64, depth: u64, kernel: u64, expand: u64) -> (u64, u64) {
    let rounded = |channels: u64| {
        let near = ((channels + 4) / 8 * 8).max(8);
        if (near as f64) < 0.9 * channels as f64 { near + 8 } else { near }
    };
    let mut side = resolution.div_ceil(2);
    let (mut params, mut macs) = (0, 0);
    let mut convolution = |weights: u64, out: u64, side: u64| {
        params += weights + 2 * out;
        macs += weights * side * side;
    };
    convolution(27 * 16, 16, side);
    convolution(9 * 16, 16, side);
    convolution(16 * 16, 16, side);
    let (mut from, mut gates) = (16, Vec::new());
    let stages = [(24, 2, false), (40, 2, true), (80, 2, false), (112, 1, true), (160, 2, true)];
    for (to, stride, excites) in stages {
        for block in 0..depth {
            let hidden = from * expand;
            convolution(from * hidden, hidden, side);
            if block == 0 {
                side = side.div_ceil(stride);
            }
            convolution(kernel * kernel * hidden, hidden, side);
            if excites {
                gates.push((hidden, rounded(hidden / 4)));
            }
            convolution(hidden * to, to, side);
            from = to;
        }
    }
    convolution(160 * 960, 960, side);
    for (hidden, squeezed) in gates {
        params += 2 * hidden * squeezed + squeezed + hidden;
        macs += 2 * hidden * squeezed;
    }
    (params + 960 * 1280 + 1280 * 1000 + 1000, macs + 960 * 1280 + 1280 * 1000)
}

#[test]
fn as_many_genotypes_as_published() {
    // 9^2 + 9^3 + 9^4 a stage, at 25 resolutions.
    let stages = BigUint::from(7371u32).pow(5);
    assert_eq!(space("{resolutions: [224]}").schema().cardinality(), stages);
    assert_eq!(space("{}").schema().cardinality(), stages * 25u32);
}

#[test]
fn costs_of_the_least_and_the_largest_network() {
    let space = space("{}");
    let cost = |text: &str| {
        let graph = space.lower(&space.parse(text).unwrap()).unwrap();
        (graph.params(), graph.macs())
    };
    assert_eq!(cost(&uniform(224, 4, 7, 6)), (7_664_760, 566_170_656));
    assert_eq!(cost(&uniform(128, 2, 3, 3)), (3_410_792, 41_476_224));
    for (resolution, depth, kernel, expand) in
        [(224, 4, 7, 6), (128, 2, 3, 3), (160, 3, 5, 4), (132, 2, 7, 4), (204, 4, 3, 6)]
    {
        let [a, b, c, d] = [resolution, depth, kernel, expand].map(u64::from);
        assert_eq!(cost(&uniform(resolution, depth, kernel, expand)), counted(a, b, c, d));
    }
}

#[test]
fn excitation_stands_in_three_stages_and_shortcuts_where_shapes_stay() {
    let space = space("{}");
    let graph = space.lower(&space.parse(&uniform(224, 3, 3, 3)).unwrap()).unwrap();
    let count = |wanted: fn(Op) -> bool| graph.nodes().iter().filter(|n| wanted(n.op)).count();
    assert_eq!(count(|op| op == Op::Multiply), 3 * 3);
    assert_eq!(count(|op| op == Op::HardSigmoid), 3 * 3);
    // That after the stem, and all but the first block of each stage.
    assert_eq!(count(|op| op == Op::Add), 1 + 5 * 2);
    // The stem, two in each block of three stages, and two before the classifier.
    assert_eq!(count(|op| op == Op::HardSwish), 1 + 2 * 9 + 2);
}

#[test]
fn different_genotypes_are_different_networks() {
    let space = space("{resolutions: [32, 36]}");
    let mut rng = stream(3, Purpose::Proposal, 0);
    let genotypes: HashSet<Genotype> = (0..200).map(|_| space.schema().sample(&mut rng)).collect();
    let networks: HashSet<CanonicalHash> =
        genotypes.iter().map(|known| space.lower(known).unwrap().canonical_hash()).collect();
    let keys: HashSet<CanonicalHash> =
        genotypes.iter().map(|known| space.canonical_hash(known).unwrap()).collect();
    assert_eq!((networks.len(), keys.len()), (genotypes.len(), genotypes.len()));
}

#[test]
fn other_sizes_keep_the_contract_and_senseless_ones_are_refused() {
    contract::check(&*space("{resolutions: [28], image_channels: 1, classes: 10}"));
    let senseless = [
        "{resolutions: []}",
        "{resolutions: [224, 128]}",
        "{resolutions: [224, 224]}",
        "{resolutions: [4]}",
        "{image_channels: 0}",
        "{classes: 1}",
        "{input: [3, 32, 32]}",
    ];
    for text in senseless {
        let section = Section::from_text(text).unwrap();
        assert!(read(&section).is_none() || section.finish().is_err(), "{text}");
    }
}
