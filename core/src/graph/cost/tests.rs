//! Costs against published numbers and hand-computed ones.

use super::*;
use crate::graph::{GraphBuilder, NodeId, Window};

const SQUARE: Window = Window { kernel: 3, stride: 1, padding: 1 };

fn convolution(out_channels: u32, groups: u32, bias: bool) -> Op {
    Op::Conv2d { out_channels, window: SQUARE, dilation: 1, groups, bias }
}

fn chain(input: Shape, ops: &[Op]) -> Graph {
    let mut builder = GraphBuilder::new(input);
    let mut last = builder.input();
    for &op in ops {
        last = builder.add(op, &[last]).unwrap();
    }
    builder.finish(last).unwrap()
}

fn map(channels: u32, height: u32, width: u32) -> Shape {
    Shape::Map { channels, height, width }
}

/// The small network on which the project's evaluators are compared: 1 → 2 → 3 channels, 4x4.
fn golden() -> Graph {
    let linear = Op::Linear { out_features: 3, bias: false };
    chain(
        map(1, 4, 4),
        &[
            convolution(2, 1, false),
            Op::Relu,
            convolution(3, 1, false),
            Op::Relu,
            Op::GlobalAvgPool,
            linear,
        ],
    )
}

#[test]
fn the_golden_network_has_known_costs() {
    let graph = golden();
    assert_eq!((graph.params(), graph.macs(), graph.depth()), (81, 1161, 3));
    assert_eq!(graph.activations(), 16 * 2 + 16 * 3);
    // The second ReLU: 3 channels in, 3 channels out.
    assert_eq!(graph.peak_activation_bytes(), 4 * (48 + 48));
    let moved = (16 + 18 + 32) + (32 + 32) + (32 + 54 + 48) + (48 + 48) + (48 + 3) + (3 + 9 + 3);
    assert_eq!(graph.memory_traffic_bytes(), 4 * moved);
}

#[test]
fn biases_groups_and_normalisation_count_as_parameters() {
    let graph = chain(map(4, 5, 5), &[convolution(8, 2, true), Op::BatchNorm]);
    assert_eq!(graph.params(), 8 * 2 * 9 + 8 + 16);
    assert_eq!(graph.macs(), 25 * 8 * 2 * 9);
    let linear = Op::Linear { out_features: 7, bias: true };
    let graph = chain(map(4, 5, 5), &[Op::Flatten, linear]);
    assert_eq!((graph.params(), graph.macs()), (707, 700));
}

#[test]
fn attention_and_fixed_filters_are_multiplied_but_hold_no_parameters() {
    let filtered = chain(map(3, 4, 5), &[Op::FilterBank]);
    assert_eq!((filtered.params(), filtered.macs()), (0, 4 * 3 * 20 * 9));
    assert_eq!(filtered.memory_traffic_bytes(), 4 * (60 + 36 + 240));
    let mut builder = GraphBuilder::new(map(6, 4, 5));
    let input = builder.input();
    let values = builder.add(convolution(8, 1, false), &[input]).unwrap();
    let output = builder.add(Op::Attention { heads: 2 }, &[input, input, values]).unwrap();
    let graph = builder.finish(output).unwrap();
    // Each of 20 places against each: 6 channels of a query, 8 of a value.
    assert_eq!(graph.macs(), 20 * 8 * 6 * 9 + 20 * 20 * (6 + 8));
    assert_eq!(graph.params(), 8 * 6 * 9);
    // The input, the values, the output, and a weight for each pair in two heads.
    assert_eq!(graph.peak_activation_bytes(), 4 * (20 * (6 + 8 + 8) + 2 * 20 * 20));
    for op in [Op::Silu, Op::Multiply, Op::ChannelMean, Op::Upsample { factor: 2 }] {
        let graph = chain(map(3, 4, 5), &[op]);
        assert_eq!((graph.params(), graph.macs()), (0, 0), "{}", op.name());
    }
}

#[test]
fn unread_nodes_cost_but_add_no_depth() {
    let build = |dead: bool| {
        let mut builder = GraphBuilder::new(map(3, 4, 4));
        let input = builder.input();
        if dead {
            let first = builder.add(convolution(3, 1, false), &[input]).unwrap();
            builder.add(convolution(3, 1, false), &[first]).unwrap();
        }
        let output = builder.add(convolution(3, 1, false), &[input]).unwrap();
        builder.finish(output).unwrap()
    };
    let (with, without) = (build(true), build(false));
    assert_eq!(with.params(), 3 * without.params());
    assert_eq!(with.macs(), 3 * without.macs());
    assert_eq!(with.depth(), without.depth());
    // The input stays for the last node while the first two run.
    assert_eq!(with.peak_activation_bytes(), 4 * 3 * 48);
    assert_eq!(without.peak_activation_bytes(), 4 * 2 * 48);
}

#[test]
fn depth_follows_the_longest_branch() {
    let mut builder = GraphBuilder::new(map(3, 4, 4));
    let input = builder.input();
    let first = builder.add(convolution(3, 1, false), &[input]).unwrap();
    let second = builder.add(convolution(3, 1, false), &[first]).unwrap();
    let sum = builder.add(Op::Add, &[input, second]).unwrap();
    let graph = builder.finish(sum).unwrap();
    assert_eq!(graph.depth(), 2);
}

#[test]
fn flattening_needs_no_memory_and_keeps_its_source_alive() {
    let mut builder = GraphBuilder::new(map(2, 3, 3));
    let input = builder.input();
    let flat = builder.add(Op::Flatten, &[input]).unwrap();
    let linear = Op::Linear { out_features: 5, bias: false };
    let first = builder.add(linear, &[flat]).unwrap();
    let again = builder.add(linear, &[flat]).unwrap();
    let sum = builder.add(Op::Add, &[first, again]).unwrap();
    let graph = builder.finish(sum).unwrap();
    assert_eq!(graph.peak_activation_bytes(), 4 * (18 + 5 + 5));
    let weights = 90;
    assert_eq!(graph.memory_traffic_bytes(), 4 * (2 * (18 + weights + 5) + 15));
}

#[test]
fn an_output_in_the_middle_stays_alive() {
    let mut builder = GraphBuilder::new(map(2, 3, 3));
    let input = builder.input();
    let output = builder.add(Op::Relu, &[input]).unwrap();
    builder.add(convolution(7, 1, false), &[input]).unwrap();
    let graph = builder.finish(output).unwrap();
    assert_eq!(graph.peak_activation_bytes(), 4 * (18 + 18 + 63));
}

#[test]
fn the_energy_model_is_the_sum_of_its_two_terms() {
    let graph = golden();
    let compute = 1161.0 * 4.6e-9;
    let memory = graph.memory_traffic_bytes() as f64 * 162.5e-9;
    assert!((graph.modelled_compute_energy_millijoules() - compute).abs() < 1e-15);
    assert!((graph.modelled_energy_millijoules() - compute - memory).abs() < 1e-12);
}

#[test]
fn zeros_are_written_but_nothing_is_read_for_them() {
    let graph = chain(map(2, 3, 3), &[Op::Zero]);
    assert_eq!(graph.memory_traffic_bytes(), 4 * 18);
    assert_eq!(graph.node(NodeId(1)).op, Op::Zero);
}

#[test]
fn the_shares_of_nodes_are_the_whole() {
    let graph = golden();
    let shares: Vec<u64> =
        (0..graph.nodes().len() as u32).map(|at| graph.macs_of(NodeId(at))).collect();
    assert_eq!(shares.iter().sum::<u64>(), graph.macs());
    assert_eq!((shares[0], shares[1]), (0, 288));
}
