//! A small network with closed-form weights and known values, in both precisions: conv3x3(1->2),
//! ReLU, conv3x3(2->3), ReLU, global mean, linear(3->3), without biases or normalisation.

use cambrian_core::graph::{Graph, GraphBuilder, NodeId, Op, Shape, Window};
use tch::{Device, Kind, Tensor};

use super::{Network, Parameters};
use crate::train::Randomness;

const SQUARE: Window = Window { kernel: 3, stride: 1, padding: 1 };

pub(crate) fn conv(out_channels: u32) -> Op {
    Op::Conv2d { out_channels, window: SQUARE, dilation: 1, groups: 1, bias: false }
}

pub(crate) fn graph() -> Graph {
    let mut builder = GraphBuilder::new(Shape::Map { channels: 1, height: 4, width: 4 });
    let mut last = builder.input();
    let ops = [
        conv(2),
        Op::Relu,
        conv(3),
        Op::Relu,
        Op::GlobalAvgPool,
        Op::Linear { out_features: 3, bias: false },
    ];
    for op in ops {
        last = builder.add(op, &[last]).unwrap();
    }
    builder.finish(last).unwrap()
}

/// The network with `W1[k] = 0.5 sin(k + 1)`, `W2[k] = 0.5 cos(k + 1)` and a fixed `W3`.
pub(crate) fn network(kind: Kind) -> Network {
    let network = Network::new(&graph(), &mut Randomness::Weights.stream(0), Device::Cpu, kind);
    let network = network.unwrap();
    let first: Vec<f64> = (1..=18).map(|k| 0.5 * f64::from(k).sin()).collect();
    let second: Vec<f64> = (1..=54).map(|k| 0.5 * f64::from(k).cos()).collect();
    let third = [3.0, -3.0, -1.0, -3.0, 3.0, -1.0, -1.0, -1.0, 1.0];
    set_weight(&network, NodeId(1), &first);
    set_weight(&network, NodeId(3), &second);
    set_weight(&network, NodeId(6), &third);
    network
}

pub(crate) fn set_weight(network: &Network, node: NodeId, values: &[f64]) {
    let step = network.plan.steps.iter().position(|step| step.node == node).unwrap();
    let Parameters::Weighted { weight, .. } = &network.parameters[step] else {
        panic!("node {} has no weight", node.0);
    };
    let _guard = tch::no_grad_guard();
    weight.shallow_clone().copy_(&Tensor::from_slice(values).view(weight.size().as_slice()));
}

/// `x[k] = sin(0.01 k^2 + 0.3)`, 8 images of 1x4x4.
pub(crate) fn images(kind: Kind) -> Tensor {
    let values: Vec<f64> =
        (0..128).map(|k| (0.01 * f64::from(k) * f64::from(k) + 0.3).sin()).collect();
    Tensor::from_slice(&values).view([8, 1, 4, 4]).to_kind(kind)
}

/// `y = i mod 3`.
pub(crate) fn labels() -> Tensor {
    Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2, 0, 1])
}

/// The relative tolerance of golden values: 1e-6 in double, 1e-4 in single precision.
pub(crate) fn assert_close(found: f64, expected: f64, kind: Kind) {
    let tolerance = if kind == Kind::Double { 1e-6 } else { 1e-4 };
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1e-3),
        "{found} is not {expected} in {kind:?}"
    );
}
