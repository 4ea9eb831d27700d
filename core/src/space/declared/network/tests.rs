//! Declared networks: against built-in ones and counts by hand, and declarations that make no sense.

use std::collections::BTreeSet;
use std::sync::Arc;

use num_bigint::BigUint;

use super::super::ENTRY;
use crate::graph::{Graph, Op};
use crate::space::{SPACES, SearchSpace, contract};
use crate::spec::Section;

/// The example of the documentation after this text.
fn example(after: &str) -> Arc<dyn SearchSpace> {
    let text = include_str!("../../../../../docs/spaces.md");
    let (_, rest) = text.split_once(after).unwrap();
    let block = rest.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let section = Section::from_text(block).unwrap();
    let space = section.child("space").unwrap().without("kind");
    let built = (ENTRY.build)(&space);
    section.finish().unwrap();
    built.unwrap()
}

fn faults(text: &str) -> String {
    let section = Section::from_text(text).unwrap();
    let built = (ENTRY.build)(&section);
    let faults = section.finish().unwrap_err().to_string();
    assert!(built.is_none());
    faults
}

fn all(space: &dyn SearchSpace) -> impl Iterator<Item = (String, Graph)> {
    let count: u32 = space.schema().cardinality().try_into().unwrap();
    (0..count).map(|rank| {
        let genotype = space.schema().unrank(&BigUint::from(rank)).unwrap();
        (space.format(&genotype), space.lower(&genotype).unwrap())
    })
}

/// Counts published for NAS-Bench-201 are tested of the built-in space.
#[test]
fn a_declared_cell_builds_the_networks_of_the_built_in_space() {
    let declared = example("**A cell** as that of NAS-Bench-201");
    let built_in = SPACES.iter().find(|entry| entry.name == "nasbench201").unwrap();
    let text = "{channels: 8, cells: 1, input: [1, 28, 28], \
                operations: [none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3]}";
    let built_in = contract::build(built_in, text);
    let mut networks = BTreeSet::new();
    for (text, graph) in all(declared.as_ref()) {
        let ops: Vec<usize> = text.bytes().map(|digit| usize::from(digit - b'0')).collect();
        let name = |at: usize| {
            ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"][ops[at]]
        };
        let cell = format!(
            "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|",
            name(0),
            name(1),
            name(2),
            name(3),
            name(4),
            name(5)
        );
        let published = built_in.lower(&built_in.parse(&cell).unwrap()).unwrap();
        assert_eq!(graph.params(), published.params(), "{text}");
        assert_eq!(graph.macs(), published.macs(), "{text}");
        networks.insert(declared.canonical_hash(&declared.parse(&text).unwrap()).unwrap());
    }
    assert_eq!(networks.len(), 9742);
}

#[test]
fn the_widths_of_a_declared_network_are_those_of_its_genes() {
    let space = example("**Widths** of a small residual network");
    let genotype = space.parse("16:16:32:64:64").unwrap();
    // Stem; three blocks of two convolutions, with shortcuts where the stride or the width changes;
    // the last convolution and the classifier; two of each normalised channel.
    let convolutions = 27 * 16
        + 2 * 9 * 16 * 16
        + (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32)
        + (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64)
        + 64 * 64;
    let normalised = 16 + 2 * 16 + 2 * 32 + 2 * 64 + 64;
    let graph = space.lower(&genotype).unwrap();
    assert_eq!(graph.params(), convolutions + 2 * normalised + 64 * 10 + 10);
    // The first block has a shortcut with parameters only if its width differs from the stem's.
    let narrow = space.lower(&space.parse("8:16:32:64:64").unwrap()).unwrap();
    let less = 27 * 8 + 9 * 8 * 16 + 2 * 8;
    assert_eq!(graph.params() - narrow.params(), less - (8 * 16 + 2 * 16));
    contract::check(space.as_ref());
}

#[test]
fn loops_run_over_copies_within_copies() {
    let space = example("**Stages of varying depth**, each block");
    contract::check(space.as_ref());
    let text = "stages=2,stages.0.width=16,stages.0.blocks=1,stages.0.blocks.0.kernel=5,\
                stages.0.blocks.0.kind=plain,stages.1.width=32,stages.1.blocks=2,\
                stages.1.blocks.0.kernel=3,stages.1.blocks.0.kind=inverted,\
                stages.1.blocks.0.kind.inverted.expand=6,stages.1.blocks.1.kernel=7,\
                stages.1.blocks.1.kind=plain";
    let graph = space.lower(&space.parse(text).unwrap()).unwrap();
    let unit = |from: u64, to: u64, kernel: u64, groups: u64| {
        from * to * kernel * kernel / groups + 2 * to
    };
    let inverted = unit(32, 192, 1, 1) + unit(192, 192, 3, 192) + unit(192, 32, 1, 1);
    let first = unit(3, 16, 3, 1) + unit(16, 16, 3, 1) + unit(16, 16, 5, 1);
    let second = unit(16, 32, 3, 1) + inverted + unit(32, 32, 7, 1);
    assert_eq!(graph.params(), first + second + 32 * 10 + 10);
    assert_eq!(graph.depth(), 3 + 1 + 3 + 1 + 1);
}

#[test]
fn blocks_share_genes_and_derived_values_tie_them() {
    let space = example("**Values in common**");
    contract::check(space.as_ref());
    assert_eq!(space.schema().cardinality(), BigUint::from(4u32 * 3 * 4));
    let unit = |from: u64, to: u64, kernel: u64| from * to * kernel * kernel + 2 * to;
    for (depth, kernel, width) in [(1, 3, 16), (4, 7, 48)] {
        let text = format!("blocks={depth},blocks.kernel={kernel},width={width}");
        let graph = space.lower(&space.parse(&text).unwrap()).unwrap();
        let block = unit(width, 2 * width, kernel) + unit(2 * width, width, 1);
        let ends = unit(3, width, 3) + unit(width, width, 1) + width * 10 + 10;
        assert_eq!(graph.params(), depth * block + ends, "{text}");
    }
}

#[test]
fn graphs_of_nodes_sum_what_they_read_and_stack_what_they_give() {
    let text = |output: &str| {
        format!(
            "genes: {{cell: {{dag: [conv, pool], nodes: [2, 4]}}}}\nnetwork:\n  input: [4, 8, 8]\n  \
             layers:\n    - cell: {{graph: cell{output}, operations: {{conv: [conv], pool: [{{max_pool: \
             {{kernel: 3, stride: 1, padding: 1}}}}]}}}}\n    - global_pool\n    - linear\n"
        )
    };
    let build = |text: &str| {
        let section = Section::from_text(text).unwrap();
        let space = (ENTRY.build)(&section);
        section.finish().unwrap_or_else(|faults| panic!("{faults}"));
        space.unwrap()
    };
    let cell = "cell=0>1|0>2|1>3|2>3:conv|pool";
    for (output, features) in [("", 4), (", output: sum", 4), (", output: concat", 8)] {
        let space = build(&text(output));
        contract::check(space.as_ref());
        let graph = space.lower(&space.parse(cell).unwrap()).unwrap();
        assert_eq!(graph.params(), 9 * 16 + features * 10 + 10, "{output}");
        // Sums do not know the order of nodes, stacks do.
        let hash = |text: &str| space.canonical_hash(&space.parse(text).unwrap()).unwrap();
        let turned = hash("cell=0>1|0>2|1>3|2>3:pool|conv");
        assert_eq!(hash(cell) == turned, features == 4, "{output}");
    }
}

#[test]
fn zeros_become_nodes_only_where_something_reads_them() {
    let text = "genes: {a: bool}\nnetwork:\n  input: [4, 8, 8]\n  layers:\n    - sum: [[], [zero]]\n    \
                - choose: {by: a, of: {'false': [zero], 'true': [relu]}}\n    - conv\n    - global_pool\n    \
                - linear\n";
    let section = Section::from_text(text).unwrap();
    let space = (ENTRY.build)(&section).unwrap();
    let nodes = |text: &str| {
        let graph = space.lower(&space.parse(text).unwrap()).unwrap();
        graph.nodes().iter().map(|node| node.op.name()).collect::<Vec<_>>()
    };
    assert_eq!(nodes("a=false"), ["input", "zero", "conv2d", "global_avg_pool", "linear"]);
    assert_eq!(nodes("a=true"), ["input", "relu", "conv2d", "global_avg_pool", "linear"]);
    // Two readers of the same zeros read one node.
    let text = text
        .replace("    - conv\n", "    - sum: [[zero, conv], [zero, {max_pool: {kernel: 1}}]]\n");
    let section = Section::from_text(&text).unwrap();
    let space = (ENTRY.build)(&section).unwrap();
    let graph = space.lower(&space.parse("a=true").unwrap()).unwrap();
    let zeros = graph.nodes().iter().filter(|node| node.op == Op::Zero).count();
    assert_eq!(zeros, 1);
}

/// Layers in flow style between a convolution and a classifier, on 8 x 8 maps of `width` channels, 8 or
/// 16; the network of 16.
fn between(layers: &str) -> Graph {
    let text = format!(
        "genes: {{width: {{int: [8, 16], step: 8}}}}\nnetwork:\n  input: [3, 8, 8]\n  layers: [{{conv: \
         {{channels: width}}}}, {layers}, global_pool, linear]\n"
    );
    let section = Section::from_text(&text).unwrap();
    let space = (ENTRY.build)(&section);
    section.finish().unwrap_or_else(|faults| panic!("{layers}: {faults}"));
    let space = space.unwrap();
    space.lower(&space.parse("width=16").unwrap()).unwrap()
}

#[test]
fn every_operation_is_a_layer() {
    let around = between("relu");
    let operations = [
        ("sigmoid", Op::Sigmoid),
        ("hard_sigmoid", Op::HardSigmoid),
        ("silu", Op::Silu),
        ("hard_swish", Op::HardSwish),
        ("channel_mean", Op::ChannelMean),
        ("channel_max", Op::ChannelMax),
        ("filter_bank", Op::FilterBank),
        ("{first_channels: {channels: width}}", Op::FirstChannels { channels: 16 }),
        ("upsample", Op::Upsample { factor: 2 }),
        ("{upsample: {factor: width // 4}}", Op::Upsample { factor: 4 }),
        ("{crop: {top: 1, right: 3}}", Op::Crop { top: 1, bottom: 0, left: 0, right: 3 }),
        ("{crop: {bottom: 1, left: 3}}", Op::Crop { top: 0, bottom: 1, left: 3, right: 0 }),
    ];
    for (layer, op) in operations {
        let graph = between(layer);
        assert_eq!(graph.nodes()[2].op, op, "{layer}");
        assert_eq!(graph.nodes().len(), around.nodes().len());
    }
}

#[test]
fn products_and_attention_put_branches_together() {
    let plain = between("relu");
    let excited = between(
        "{product: [[], [global_pool, {linear: {features: width // 4}}, relu, {linear: {features: \
         width}}, sigmoid]]}, relu",
    );
    assert_eq!(excited.params() - plain.params(), 2 * 16 * 4 + 4 + 16);
    let gated = between("{product: [[], [channel_max, sigmoid]]}, relu");
    assert_eq!((gated.params(), gated.macs()), (plain.params(), plain.macs()));
    let attended = between(
        "{residual: [{attention: {query: [{conv: {channels: 4, kernel: 1}}], key: [{conv: {channels: \
         4, kernel: 1}}], value: [], heads: 4}}]}, relu",
    );
    assert_eq!(attended.params() - plain.params(), 2 * 4 * 16);
    assert_eq!(attended.macs() - plain.macs(), 64 * (2 * 4 * 16) + 64 * 64 * (4 + 16));
}

/// Cases of `faults.txt`: layers in one line, and all faults of the declaration.
#[test]
fn every_fault_of_a_network_names_its_place_and_the_way_out() {
    let genes = "genes:\n  width: {int: [4, 8]}\n  act: {cat: [relu, none]}\n  cell: {edges: [a, b], \
                 nodes: 3}\n  rows: {repeat: {k: {cat: [3, 5]}}, count: [1, 2]}\nnetwork:\n";
    let cases: Vec<&str> = include_str!("faults.txt").trim().split("\n\n").collect();
    assert!(cases.len() >= 30, "only {} cases were read", cases.len());
    let mut failed = Vec::new();
    for case in cases {
        let (text, expected) = case.split_once('\n').unwrap_or((case, ""));
        let text = text.strip_prefix("# ").expect("a case starts with `# `");
        let found = faults(&format!("{genes}  {}\n", text.replace("\\n", "\n  ")));
        if found != expected {
            failed.push(format!("# {text}\n{found}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn what_a_network_has_itself_is_no_derived_value() {
    let text = "genes: {a: {int: [1, 4]}}\nderived: {classes: a * 16}\nnetwork:\n  layers: \
                [{conv: {channels: classes}}, global_pool, linear]\n";
    assert!(faults(text).contains("a derived value is called `classes`"), "{}", faults(text));
}

#[test]
fn choices_that_are_numbers_are_named_as_they_are_written_or_by_their_value() {
    let of = |name: &str| {
        let text = format!(
            "genes: {{i: {{cat: ['3.0', '5']}}}}\nnetwork:\n  layers: [{{choose: {{by: i, of: {{'{name}': \
             [{{conv: {{channels: 4}}}}], '5': [{{conv: {{channels: 8}}}}]}}}}}}, global_pool, linear]\n"
        );
        let section = Section::from_text(&text).unwrap();
        let space = (ENTRY.build)(&section);
        section.finish().unwrap_or_else(|faults| panic!("{faults}"));
        let space = space.unwrap();
        let widest = |text: &str| space.lower(&space.parse(text).unwrap()).unwrap().params();
        [widest("i=3.0"), widest("i=5")]
    };
    assert_eq!(of("3.0"), of("3"));
    assert!(of("3")[0] < of("3")[1]);
}

#[test]
fn no_layers_of_a_choice_are_dropped_because_it_has_two_spellings() {
    let of = |choices: &str, arms: &str| {
        faults(&format!(
            "genes: {{i: {{cat: [{choices}]}}}}\nnetwork:\n  layers: [{{choose: {{by: i, of: {{{arms}}}}}}}, \
             global_pool, linear]\n"
        ))
    };
    let twice = of("3, 5", "'3': [relu], '3.0': [{conv: {channels: 64}}], '5': []");
    assert!(twice.contains("there are two entries for `3`"), "{twice}");
    let equal = of("'10', '1e1'", "'10': [relu], '1e1': [sigmoid]");
    assert!(equal.contains("two choices of the gene are the number 10"), "{equal}");
}

/// Genes that no layer reads leave few different networks, each of which takes its time to build.
#[test]
fn a_space_of_large_networks_is_searched_for_less() {
    let of = |same: &str, layers: usize| {
        let layers = vec!["relu"; layers].join(", ");
        let text = format!(
            "genes: {{a: {{int: [1, 900]}}, b: {{int: [1, 1000]}}}}\nsame: {same}\nnetwork:\n  layers: \
             [{layers}, global_pool, linear]\n"
        );
        let section = Section::from_text(&text).unwrap();
        (ENTRY.build)(&section).unwrap().searched()
    };
    assert_eq!(of("spelling", 90), 1_000_000);
    assert_eq!(of("network", 1), 1_000_000);
    let large = of("network", 90);
    assert!((40_000..45_000).contains(&large), "{large}");
}
