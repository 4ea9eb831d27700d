//! Golden values of the executor, its shapes, and what it leaves out.

use cambrian_core::graph::{Graph, GraphBuilder, NodeId, Op, Shape, Window};
use cambrian_core::space::SPACES;
use cambrian_core::spec::Section;
use tch::{Device, Kind, Tensor};

use super::golden::{self, assert_close, conv};
use super::{Initialization, MapLayout, Mode, Network};
use crate::failure::EvaluationError;
use crate::train::{Randomness, mean_cross_entropy};

fn build(graph: &Graph) -> Result<Network, EvaluationError> {
    Network::new(graph, &mut Randomness::Weights.stream(1), Device::Cpu, Kind::Float)
}

#[test]
fn golden_logits_loss_and_predictions() {
    for kind in [Kind::Double, Kind::Float] {
        let network = golden::network(kind);
        let logits = network.forward(&golden::images(kind), Mode::Evaluate).unwrap();
        for (class, expected) in [-0.552_776, 0.092_993, 0.060_977].into_iter().enumerate() {
            let found = logits.double_value(&[0, class as i64]);
            // The published logits have six decimals.
            assert!((found - expected).abs() < 1e-6 + 1e-4 * f64::from(kind == Kind::Float));
        }
        let loss = mean_cross_entropy(&logits, &golden::labels()).unwrap();
        assert_close(loss.double_value(&[]), 1.128_327_915, kind);
        let predicted = Vec::<i64>::try_from(logits.argmax(1, false)).unwrap();
        assert_eq!(predicted, [1, 2, 1, 2, 0, 1, 0, 0]);
    }
    assert_eq!((golden::graph().params(), golden::graph().macs()), (81, 1161));
}

#[test]
fn golden_gradient_norm() {
    // The sum over layers of the gradients' norms: the backward pass is right as well.
    let network = golden::network(Kind::Double);
    let logits = network.forward(&golden::images(Kind::Double), Mode::Train).unwrap();
    mean_cross_entropy(&logits, &golden::labels()).unwrap().backward();
    let weights = network.store().trainable_variables();
    let norm: f64 = weights.iter().map(|weight| weight.grad().norm().double_value(&[])).sum();
    assert_close(norm, 1.016_481_738, Kind::Double);
}

/// Every operation once, with unusual settings.
fn zoo() -> Graph {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 4, height: 9, width: 7 });
    let input = builder.input();
    let mut add = |op, inputs: &[NodeId]| builder.add(op, inputs).unwrap();
    let grouped = Op::Conv2d {
        out_channels: 6,
        window: Window { kernel: 3, stride: 2, padding: 2 },
        dilation: 2,
        groups: 2,
        bias: true,
    };
    let a = add(grouped, &[input]);
    let a = add(Op::BatchNorm, &[a]);
    let a = add(Op::Relu, &[a]);
    let b = add(Op::AvgPool(Window { kernel: 3, stride: 1, padding: 1 }), &[a]);
    let c = add(Op::MaxPool(Window { kernel: 3, stride: 1, padding: 1 }), &[a]);
    let zero = add(Op::Zero, &[a]);
    let e = add(Op::Attention { heads: 3 }, &[a, b, c]);
    let d = add(Op::Multiply, &[c, e]);
    let sum = add(Op::Add, &[b, zero, d]);
    let stack = add(Op::Concat, &[sum, a, zero]);
    let flat = add(Op::Flatten, &[stack]);
    let hidden = add(Op::Linear { out_features: 5, bias: true }, &[flat]);
    let pooled = add(Op::GlobalAvgPool, &[stack]);
    let other = add(Op::Linear { out_features: 5, bias: false }, &[pooled]);
    let output = add(Op::Add, &[hidden, other]);
    builder.finish(output).unwrap()
}

#[test]
fn every_value_has_the_inferred_shape() {
    let graph = zoo();
    let network = build(&graph).unwrap();
    let images = Tensor::randn([3, 4, 9, 7], (Kind::Float, Device::Cpu));
    for mode in [Mode::Train, Mode::Evaluate] {
        let mut seen = 0;
        let _ = network
            .forward_observed(&images, mode, &mut |node, op, value| {
                assert_eq!(graph.node(node).op, op);
                let expected: Vec<i64> = match graph.node(node).shape {
                    Shape::Map { channels, height, width } => {
                        [3, channels, height, width].map(i64::from).to_vec()
                    }
                    Shape::Vector { features } => vec![3, i64::from(features)],
                };
                assert_eq!(value.size(), expected, "node {} ({})", node.0, op.name());
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, graph.nodes().len());
    }
}

#[test]
fn average_pooling_does_not_count_padding() {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 1, height: 4, width: 4 });
    let input = builder.input();
    let window = Window { kernel: 3, stride: 1, padding: 1 };
    let pool = builder.add(Op::AvgPool(window), &[input]).unwrap();
    let flat = builder.add(Op::Flatten, &[pool]).unwrap();
    let output = builder.add(Op::Linear { out_features: 2, bias: false }, &[flat]).unwrap();
    let network = build(&builder.finish(output).unwrap()).unwrap();
    let ones = Tensor::ones([1, 1, 4, 4], (Kind::Float, Device::Cpu));
    let mut pooled = None;
    let _ = network
        .forward_observed(&ones, Mode::Evaluate, &mut |node, _, value| {
            if node == pool {
                pooled = Some(value.shallow_clone());
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(pooled.unwrap(), ones);
}

#[test]
fn what_cannot_reach_the_output_is_left_out() {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 1, height: 4, width: 4 });
    let input = builder.input();
    let kept = builder.add(conv(2), &[input]).unwrap();
    let dead = builder.add(conv(2), &[kept]).unwrap();
    let zero = builder.add(Op::Zero, &[dead]).unwrap();
    let nothing = builder.add(Op::Add, &[zero, zero]).unwrap();
    let sum = builder.add(Op::Add, &[kept, nothing]).unwrap();
    let pooled = builder.add(Op::GlobalAvgPool, &[sum]).unwrap();
    let output = builder.add(Op::Linear { out_features: 3, bias: false }, &[pooled]).unwrap();
    let network = build(&builder.finish(output).unwrap()).unwrap();
    let mut executed = Vec::new();
    let images = golden::images(Kind::Float);
    let _ = network
        .forward_observed(&images, Mode::Evaluate, &mut |node, _, _| {
            executed.push(node);
            Ok(())
        })
        .unwrap();
    assert_eq!(executed, [input, kept, sum, pooled, output]);
    assert_eq!(network.store().trainable_variables().len(), 2);
    assert_eq!(network.values(|op| matches!(op, Op::Conv2d { .. })), 32);
}

#[test]
fn zeros_are_made_where_an_operation_needs_them() {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 1, height: 4, width: 4 });
    let input = builder.input();
    let zero = builder.add(Op::Zero, &[input]).unwrap();
    let normed = builder.add(Op::BatchNorm, &[zero]).unwrap();
    let pooled = builder.add(Op::GlobalAvgPool, &[normed]).unwrap();
    let output = builder.add(Op::Linear { out_features: 3, bias: true }, &[pooled]).unwrap();
    let network = build(&builder.finish(output).unwrap()).unwrap();
    let logits = network.forward(&golden::images(Kind::Float), Mode::Evaluate).unwrap();
    assert_eq!(logits.size(), [8, 3]);
    assert_eq!(logits.get(0), logits.get(7));
}

#[test]
fn a_network_without_weights_is_refused() {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 1, height: 4, width: 4 });
    let input = builder.input();
    let dead = builder.add(conv(3), &[input]).unwrap();
    let zero = builder.add(Op::Zero, &[dead]).unwrap();
    let output = builder.add(Op::GlobalAvgPool, &[zero]).unwrap();
    let result = build(&builder.finish(output).unwrap());
    assert!(matches!(result.err().unwrap(), EvaluationError::Invalid(_)));
}

#[test]
fn the_layout_changes_no_value() {
    let network = build(&zoo()).unwrap();
    let images = Tensor::randn([3, 4, 9, 7], (Kind::Float, Device::Cpu));
    let mut outputs = Vec::new();
    for layout in [MapLayout::ChannelsFirst, MapLayout::ChannelsLast, MapLayout::ChannelsFirst] {
        network.set_layout(layout).unwrap();
        outputs.push(network.forward(&images, Mode::Evaluate).unwrap());
    }
    assert!(outputs[0].allclose(&outputs[1], 1e-5, 1e-6, false));
    assert_eq!(outputs[0], outputs[2]);
    let weights = network.store().trainable_variables();
    assert!(weights.iter().all(|weight| weight.requires_grad() && weight.is_contiguous()));
}

#[test]
fn a_seed_names_the_weights() {
    let weights = |seed| -> Vec<f64> {
        let mut generator = Randomness::Weights.stream(seed);
        let network = Network::new(&zoo(), &mut generator, Device::Cpu, Kind::Float).unwrap();
        let variables = network.store().trainable_variables();
        variables.iter().map(|v| v.sum(Kind::Double).double_value(&[])).collect()
    };
    assert_eq!(weights(7), weights(7));
    assert_ne!(weights(7), weights(8));
}

/// Small sizes of each space of networks, on images of 1 x 28 x 28.
const SMALL: [(&str, &str); 6] = [
    ("nasbench201", "{channels: 4, cells: 1, input: [1, 28, 28]}"),
    ("nats_size", "{input: [1, 28, 28]}"),
    ("nasbench_macro", "{input: [1, 28, 28]}"),
    ("darts", "{layers: 3, channels: 4, input: [1, 28, 28]}"),
    ("ofa_mobilenet_v3", "{resolutions: [28], image_channels: 1, classes: 10}"),
    ("cnn7", "{channels: [8, 16]}"),
];

#[test]
fn networks_of_every_space_run_and_learn() {
    let images = Tensor::randn([2, 1, 28, 28], (Kind::Float, Device::Cpu));
    for (name, sizes) in SMALL {
        let entry = SPACES.iter().find(|entry| entry.name == name).unwrap();
        let space = (entry.build)(&Section::from_text(sizes).unwrap()).unwrap();
        for seed in 0..2 {
            let genotype = space.schema().sample(&mut Randomness::Order.stream(seed));
            let network = build(&space.lower(&genotype).unwrap()).unwrap();
            let logits = network.forward(&images, Mode::Train).unwrap();
            assert_eq!(logits.size(), [2, 10], "{name}");
            mean_cross_entropy(&logits, &Tensor::from_slice(&[1i64, 7])).unwrap().backward();
            for weight in network.store().trainable_variables() {
                assert!(weight.grad().defined(), "{name}: {}", space.format(&genotype));
            }
            assert_eq!(network.forward(&images, Mode::Evaluate).unwrap().size(), [2, 10]);
        }
    }
}

#[test]
fn delta_orthogonal_convolutions_keep_the_norm_and_relus_double_their_gain() {
    let drawn = |ops: &[Op]| {
        let mut builder = GraphBuilder::new(Shape::Map { channels: 4, height: 6, width: 6 });
        let mut last = builder.input();
        for op in ops {
            last = builder.add(*op, &[last]).unwrap();
        }
        let graph = builder.finish(last).unwrap();
        let mut generator = Randomness::Weights.stream(1);
        let init = Initialization::DeltaOrthogonal;
        Network::initialized(&graph, init, &mut generator, Device::Cpu, Kind::Double).unwrap()
    };
    let images = Tensor::randn([3, 4, 6, 6], (Kind::Double, Device::Cpu));
    let norm = |values: &Tensor| values.norm().double_value(&[]);
    let linear = drawn(&[conv(4), conv(7), conv(9)]);
    let output = linear.forward(&images, Mode::Evaluate).unwrap();
    assert!((norm(&output) / norm(&images) - 1.0).abs() < 1e-12);
    for (weight, channels) in linear.weights().iter().zip([4, 4, 7]) {
        let images = Tensor::randn([3, channels, 6, 6], (Kind::Double, Device::Cpu));
        let around = images.pad([1, 1, 1, 1], "circular", None);
        let output = around.conv2d(weight, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
        assert!((norm(&output) / norm(&images) - 1.0).abs() < 1e-5);
    }
    let rectified = drawn(&[conv(4), Op::Relu]);
    let square = rectified.weights()[0].square().sum(Kind::Double).double_value(&[]);
    assert!((square - 8.0).abs() < 1e-12, "four unit vectors times the root of 2");
}
