//! The space against the published tables: costs, classes of isomorphism, notation.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::graph::{Op, Shape};
use crate::rng::{Purpose, stream};
use crate::space::Mutation;
use crate::space::contract;
use crate::space::published::Row;

const ALL_CONV3X3: &str = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+\
                           |nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|";
const MIXED: &str = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+\
                     |nor_conv_1x1~0|skip_connect~1|skip_connect~2|";

fn all(space: &NasBench201) -> impl Iterator<Item = Genotype> {
    (0..15_625u32).map_while(|rank| space.schema().unrank(&rank.into()))
}

fn space(text: &str) -> NasBench201 {
    let section = Section::from_text(text).unwrap();
    let space = NasBench201::from_section(&section);
    section.finish().unwrap();
    space.unwrap()
}

fn lowered(space: &NasBench201, text: &str) -> Graph {
    space.lower(&space.parse(text).unwrap()).unwrap()
}

/// A published table of the benchmark; `None` where there are no tables.
fn table(name: &str) -> Option<Vec<Row>> {
    crate::space::published::table(&format!("nb201/{name}"))
}

/// The genotype of a row's `ops`: the published digits are the default genes.
fn of_digits(digits: &str) -> Genotype {
    Genotype(digits.bytes().map(|digit| u32::from(digit - b'0')).collect())
}

#[test]
fn the_published_networks_have_their_published_costs() {
    let space = NasBench201::default();
    let graph = lowered(&space, ALL_CONV3X3);
    assert_eq!((graph.params(), graph.macs()), (1_531_546, 220_119_680));
    let graph = lowered(&space, MIXED);
    assert_eq!((graph.params(), graph.macs()), (129_306, 15_647_360));
}

#[test]
fn the_largest_network_has_its_known_energy_activations_and_depth() {
    let graph = lowered(&NasBench201::default(), ALL_CONV3X3);
    assert!((graph.modelled_compute_energy_millijoules() - 1.01255).abs() < 5e-6);
    let active = graph.nodes().iter().filter(|node| node.op == Op::Relu);
    assert_eq!(active.map(|node| node.shape.elements()).sum::<u64>(), 901_120);
    // Stem, 15 cells of 3 in a row, 2 blocks of 2, classifier.
    assert_eq!(graph.depth(), 1 + 45 + 4 + 1);
    assert_eq!(graph.output_shape(), Shape::Vector { features: 10 });
}

#[test]
fn costs_follow_the_closed_forms() {
    let space = NasBench201::default();
    for genotype in all(&space) {
        let count = |gene| genotype.0.iter().filter(|&&value| value == gene).count() as u64;
        let (n1, n3) = (count(2), count(3));
        let graph = space.lower(&genotype).unwrap();
        assert_eq!(graph.params(), 73_306 + 243_040 * n3 + 28_000 * n1, "{genotype:?}");
        let printed = 7.783 + 35.389 * n3 as f64 + 3.932 * n1 as f64;
        let rounding = 0.0005 * (1 + n3 + n1) as f64;
        assert!((graph.macs() as f64 / 1e6 - printed).abs() <= rounding, "{genotype:?}");
    }
}

#[test]
fn costs_agree_with_the_published_table() {
    let (Some(architectures), Some(costs)) = (table("archs.csv.gz"), table("cost.csv.gz")) else {
        return;
    };
    let hundred = space("classes: 100");
    let ten = NasBench201::default();
    assert_eq!((architectures.len(), costs.len()), (15_625, 15_625));
    for (architecture, cost) in architectures.iter().zip(&costs) {
        assert_eq!(architecture["idx"], cost["idx"]);
        for (space, classes, params, macs) in
            [(&ten, 10, "params_c10", "macs_c10"), (&hundred, 100, "params_c100", "macs_c100")]
        {
            let graph = space.lower(&of_digits(&architecture["ops"])).unwrap();
            assert_eq!(graph.params().to_string(), cost[params]);
            // The table counts the addition of the classifier's bias as well.
            assert_eq!((graph.macs() + classes).to_string(), cost[macs]);
        }
    }
}

#[test]
fn there_are_6466_different_cells() {
    let space = space("{same: function}");
    let hashes: BTreeSet<_> =
        all(&space).map(|cell| space.canonical_hash(&cell).unwrap()).collect();
    assert_eq!(hashes.len(), 6466);
}

#[test]
fn equal_hashes_are_the_published_isomorphism_classes() {
    let Some(architectures) = table("archs.csv.gz") else { return };
    let space = space("{same: function}");
    let mut classes = BTreeMap::new();
    let mut hashes = BTreeMap::new();
    for row in &architectures {
        let genotype = space.parse(&row["arch_str"]).unwrap();
        assert_eq!(genotype, of_digits(&row["ops"]));
        assert_eq!(space.format(&genotype), row["arch_str"]);
        assert_eq!(space.cell(&genotype).unwrap().isomorphism_string(), row["unique_str"]);
        let hash = space.canonical_hash(&genotype).unwrap();
        assert_eq!(*classes.entry(hash).or_insert(&row["iso_id"]), &row["iso_id"]);
        assert_eq!(*hashes.entry(&row["iso_id"]).or_insert(hash), hash);
    }
    assert_eq!((classes.len(), hashes.len()), (6466, 6466));
}

#[test]
fn the_graph_hash_tells_costs_apart_where_the_isomorphism_rule_does_not() {
    let space = space("{cells: 1, channels: 2, input: [1, 4, 4], same: function}");
    let mut costs = BTreeMap::new();
    for genotype in all(&space) {
        let graph = space.lower(&genotype).unwrap();
        let cost = (graph.params(), graph.macs(), graph.depth(), graph.memory_traffic_bytes());
        assert_eq!(*costs.entry(graph.canonical_hash()).or_insert(cost), cost, "{genotype:?}");
    }
    assert!((6466..15_625).contains(&costs.len()), "{}", costs.len());
    // One 1x1 convolution read twice, and two of them.
    let (one, two) = (of_digits("241411"), of_digits("421211"));
    assert_eq!(space.canonical_hash(&one), space.canonical_hash(&two));
    let graph_hash = |genotype| space.lower(genotype).unwrap().canonical_hash();
    assert_ne!(graph_hash(&one), graph_hash(&two));
}

#[test]
fn by_default_cells_are_the_same_where_they_build_the_same_network() {
    let space = NasBench201::default();
    let mut networks = BTreeMap::new();
    let mut hashes = BTreeSet::new();
    for genotype in all(&space) {
        let hash = space.canonical_hash(&genotype).unwrap();
        let network = space.lower(&genotype).unwrap().canonical_hash();
        assert_eq!(*networks.entry(network).or_insert(hash), hash, "{genotype:?}");
        hashes.insert(hash);
    }
    assert_eq!((networks.len(), hashes.len()), (9742, 9742));
    let by_spelling = NasBench201::from_section(&Section::from_text("{same: spelling}").unwrap());
    let by_spelling = by_spelling.unwrap();
    let spellings: BTreeSet<_> =
        all(&by_spelling).map(|cell| by_spelling.canonical_hash(&cell).unwrap()).collect();
    assert_eq!(spellings.len(), 15_625);
}

#[test]
fn simplified_cells_compute_the_same_and_cost_no_more() {
    let space = space("{cells: 1, channels: 2, input: [1, 4, 4]}");
    // Numbers instead of maps; every operation takes zero to zero.
    let output = |genotype: &Genotype| {
        let cell = space.cell(genotype).unwrap();
        let mut nodes = [1.3, 0.0, 0.0, 0.0];
        for to in 1..NODES {
            nodes[to] = cell
                .edges_into(to)
                .map(|(from, operation)| match operation {
                    Operation::None => 0.0,
                    Operation::Skip => nodes[from],
                    Operation::Conv1x1 => 1.7 * nodes[from],
                    Operation::Conv3x3 => -0.6 * nodes[from] * nodes[from],
                    Operation::AvgPool3x3 => 0.9 * nodes[from],
                })
                .sum();
        }
        nodes[NODES - 1]
    };
    for genotype in all(&space) {
        let simple = space.simplified(&genotype);
        assert_eq!(output(&simple), output(&genotype), "{genotype:?}");
        assert_eq!(space.simplified(&simple), simple);
        let (before, after) = (space.lower(&genotype).unwrap(), space.lower(&simple).unwrap());
        assert!(after.params() <= before.params() && after.macs() <= before.macs());
    }
    assert_eq!(space.simplified(&of_digits("342310")), of_digits("300310"));
}

#[test]
fn the_hash_depends_on_the_sizes_but_not_on_what_else_is_on_offer() {
    let hash = |text: &str| {
        let space = space(text);
        space.canonical_hash(&space.parse(ALL_CONV3X3).unwrap()).unwrap()
    };
    let published = hash("{}");
    assert_eq!(hash("operations: [nor_conv_3x3, none]"), published);
    for text in [
        "channels: 8",
        "cells: 4",
        "input: [1, 32, 32]",
        "input: [3, 28, 32]",
        "input: [3, 32, 28]",
        "classes: 100",
    ] {
        assert_ne!(hash(text), published, "{text}");
    }
}

#[test]
fn hashes_do_not_change_between_releases() {
    let by_function = space("{same: function}");
    let hash = by_function.canonical_hash(&of_digits("444444")).unwrap();
    assert_eq!(hash.to_string(), "75133ada55c786b243b1e89124695c34");
    let hash = NasBench201::default().canonical_hash(&of_digits("444444")).unwrap();
    assert_eq!(hash.to_string(), "0a6945bde36ed37695c725f02aff9dea");
}

#[test]
fn the_contract_holds_for_other_parameters() {
    for text in [
        "{input: [1, 28, 28], channels: 8, cells: 1}",
        "operations: [skip_connect, nor_conv_3x3]",
        "{operations: [avg_pool_3x3, none, nor_conv_1x1], input: [2, 4, 8], classes: 2, channels: 1, cells: 2}",
    ] {
        contract::check(contract::build(&ENTRY, text).as_ref());
    }
}

#[test]
fn each_gene_changes_with_the_probability_asked_for() {
    let space = NasBench201::default();
    let mut rng = stream(5, Purpose::Proposal, 0);
    let parent = of_digits("012340");
    let mut changed = [0u32; EDGES.len()];
    for _ in 0..10_000 {
        let child = space.schema().mutate(&parent, Mutation::EachGene(0.25), &mut rng);
        for (count, (a, b)) in changed.iter_mut().zip(parent.0.iter().zip(&child.0)) {
            *count += u32::from(a != b);
        }
    }
    // Five standard deviations of a binomial with 10,000 draws.
    assert!(changed.iter().all(|count| count.abs_diff(2500) < 217), "{changed:?}");
}

#[test]
fn small_images_and_the_largest_sizes_have_networks() {
    let small = space("{input: [1, 28, 28], channels: 4, cells: 1}");
    let graph = lowered(&small, MIXED);
    let last_map = graph.nodes().iter().rev().find_map(|node| match node.shape {
        Shape::Map { channels, height, width } => Some((channels, height, width)),
        Shape::Vector { .. } => None,
    });
    assert_eq!(last_map, Some((16, 7, 7)));
    let smallest = space("{input: [1, 4, 4], channels: 1, cells: 1, classes: 2}");
    assert!(lowered(&smallest, ALL_CONV3X3).params() > 0);
    let largest = space("{input: [512, 1024, 1024], channels: 512, cells: 64, classes: 100000}");
    assert!(lowered(&largest, ALL_CONV3X3).macs() > 1 << 50);
}

#[test]
fn zeros_are_nodes_only_where_they_are_read() {
    let space = space("{cells: 1}");
    let zeros = |digits: &str| {
        let graph = space.lower(&of_digits(digits)).unwrap();
        graph.nodes().iter().filter(|node| node.op == Op::Zero).count()
    };
    // The space has three cells. Node 1 is zero and read by a pooling, by a skip, by nobody.
    assert_eq!(zeros("000000"), 3);
    assert_eq!(zeros("004100"), 3);
    assert_eq!(zeros("001100"), 0);
    assert_eq!(zeros("000100"), 0);
    assert_eq!(zeros("004143"), 3);
}

#[test]
fn faults_name_the_parameter_and_the_way_out() {
    for (text, path, words) in [
        ("channels: 0", "channels", "0 is out of range"),
        ("channels: 513", "channels", "513 is out of range"),
        ("channels: 4294967295", "channels", "out of range"),
        ("channels: -1", "channels", "expected"),
        ("channels: many", "channels", "expected"),
        ("cells: 0", "cells", "out of range"),
        ("cells: 65", "cells", "out of range"),
        ("classes: 1", "classes", "out of range"),
        ("classes: 100001", "classes", "out of range"),
        ("input: [0, 32, 32]", "input[0]", "out of range"),
        ("input: [3, 30, 32]", "input[1]", "height 30 cannot be halved 2 times"),
        ("input: [3, 32, 0]", "input[2]", "width 0 cannot be halved 2 times"),
        ("input: [3, 32, 1028]", "input[2]", "cannot be halved"),
        ("input: [3, 32]", "input", "expected"),
        ("operations: [none]", "operations", "nothing to search"),
        ("operations: []", "operations", "nothing to search"),
        ("operations: [none, nor_conv_3x3, none]", "operations[2]", "none is listed twice"),
        ("operations: [none, nor_conv_5x5]", "operations[1]", "nor_conv_5x5"),
        ("channel: 16", "channel", "unknown key"),
    ] {
        let section = Section::from_text(text).unwrap();
        assert_eq!(NasBench201::from_section(&section), None, "{text}");
        let faults = section.finish().unwrap_err();
        assert_eq!(faults.iter().count(), 1, "{text}: {faults:?}");
        let fault = faults.iter().next().unwrap();
        assert_eq!(fault.path, path, "{text}");
        assert!(fault.message.contains(words), "{text}: {}", fault.message);
    }
    let section =
        Section::from_text("{channels: 0, cells: 0, input: [3, 30, 30], classes: 0}").unwrap();
    assert_eq!(NasBench201::from_section(&section), None);
    assert_eq!(section.finish().unwrap_err().iter().count(), 5);
}

#[test]
fn unreadable_cells_say_where() {
    let space = space("operations: [none, nor_conv_3x3]");
    for (text, words) in [
        ("", "expected 3"),
        ("|none~0|+|none~0|none~1|", "expected 3"),
        ("none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "node 1"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "node 2 has 1 edges, expected 2"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none|", "edge 2 of node 3 is `none`"),
        ("|none~0|+|none~0|none~2|+|none~0|none~1|none~2|", "edge 1 of node 2 leaves node `2`"),
        ("|none~0|+|none~0|conv~1|+|none~0|none~1|none~2|", "the operation `conv`"),
        (
            "|none~0|+|none~0|skip_connect~1|+|none~0|none~1|none~2|",
            "not among the space's operations",
        ),
        (&"x".repeat(300), "300 bytes"),
    ] {
        let Err(SpaceError::Foreign { reason, .. }) = space.parse(text) else { panic!("{text}") };
        assert!(reason.contains(words), "{text}: {reason}");
    }
    let spaced = " |none~0| + |none~0|none~1| + |none~0|none~1|nor_conv_3x3~2|\n";
    assert_eq!(space.parse(spaced), Ok(of_digits("000001")));
}
