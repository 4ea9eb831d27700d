//! Published energies, and rates that are known.

use cambrian_core::graph::{Graph, NodeId, Op};
use cambrian_core::spec::SpikingSettings;
use tch::{Device, Kind, Tensor};

use super::super::fixture::{Fixture, IMAGE, OUTPUT, chain};
use super::{Operations, operations};
use crate::failure::EvaluationError;
use crate::network::golden::{self, conv, set_weight};
use crate::network::{Initialization, Network};
use crate::train::Randomness;

#[test]
fn published_energies_are_reproduced() {
    // ResNet-18, SEW-ResNet-18 and Spiking-ResNet-18 on ImageNet: additions and multiply-accumulates in
    // G, energy in mJ.
    for (accumulated, multiplied, expected) in
        [(0.0, 1.82, 8.372), (0.5, 2.75, 13.10), (0.10, 0.14, 0.734)]
    {
        let counts = Operations { multiplied: 1e9 * multiplied, accumulated: 1e9 * accumulated };
        let found = counts.millijoules();
        assert!((found / expected - 1.0).abs() < 0.01, "{found} is not {expected}");
    }
}

fn count(network: &Network, images: &Tensor, spiking: SpikingSettings) -> Operations {
    operations(&golden::graph(), network, images, spiking, &|| Ok(())).unwrap()
}

/// The golden network with all weights of this value.
fn constant(value: f64) -> Network {
    let network = golden::network(Kind::Double);
    for (node, count) in [(1, 18), (3, 54), (6, 9)] {
        set_weight(&network, NodeId(node), &vec![value; count]);
    }
    network
}

#[test]
fn where_everything_spikes_every_operation_is_an_addition() {
    let spiking = SpikingSettings { steps: 3, threshold: 0.5, ..SpikingSettings::default() };
    let ones = Tensor::ones([2, 1, 4, 4], (Kind::Double, Device::Cpu));
    let found = count(&constant(1.0), &ones, spiking);
    let additions = 3.0 * golden::graph().macs() as f64;
    assert_eq!(found, Operations { multiplied: 0.0, accumulated: additions });
}

#[test]
fn where_nothing_spikes_only_the_first_layer_works() {
    let images = golden::images(Kind::Double).abs() + 0.1;
    let found = count(&constant(-1.0), &images, SpikingSettings::default());
    assert_eq!(found, Operations { multiplied: 4.0 * 288.0, accumulated: 0.0 });
}

#[test]
fn rates_are_those_of_the_inputs_of_layers() {
    // One step from rest: the potential is half the input.
    let spiking = SpikingSettings { steps: 1, threshold: 0.2, ..SpikingSettings::default() };
    let network = golden::network(Kind::Double);
    let images = golden::images(Kind::Double);
    let found = count(&network, &images, spiking);
    let weight = &network.weights()[0].detach();
    let convolved = images.conv2d(weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1);
    let rate = convolved.ge(0.4).to_kind(Kind::Double).mean(None).double_value(&[]);
    assert!(rate > 0.1 && rate < 0.9, "{rate}");
    // The classifier reads means of spikes, which are not binary.
    assert_eq!(found.multiplied, 288.0 + 9.0);
    assert!((found.accumulated - rate * 864.0).abs() < 1e-9, "{found:?}");
}

fn normalized() -> Graph {
    let ops = [conv(4), Op::BatchNorm, Op::Relu, conv(4), Op::BatchNorm, Op::Relu];
    chain(IMAGE, &[ops.as_slice(), &OUTPUT].concat())
}

#[test]
fn energy_grows_with_the_steps() {
    let spiking = |steps| SpikingSettings { steps, ..SpikingSettings::default() };
    let energies: Vec<f64> = (1..8)
        .map(|steps| {
            let source = Fixture { spiking: spiking(steps), ..Fixture::drawn(normalized()) };
            source.score("spiking_energy", 8).unwrap()
        })
        .collect();
    assert!(energies.is_sorted_by(|one, other| one < other), "{energies:?}");
    assert_eq!(energies[3], Fixture::drawn(normalized()).score("spiking_energy", 8).unwrap());
}

#[test]
fn a_step_does_not_depend_on_later_ones() {
    let graph = normalized();
    let mut generator = Randomness::Weights.stream(5);
    let network = Network::initialized(
        &graph,
        Initialization::Uniform,
        &mut generator,
        Device::Cpu,
        Kind::Double,
    )
    .unwrap();
    let images = golden::images(Kind::Double);
    let run = |steps| {
        let spiking = SpikingSettings { steps, ..SpikingSettings::default() };
        operations(&graph, &network, &images, spiking, &|| Ok(())).unwrap()
    };
    let [two, three] = [2, 3].map(run);
    assert!(three.multiplied > two.multiplied && three.accumulated >= two.accumulated);
    assert!(three.accumulated > 0.0, "{three:?}");
}

#[test]
fn networks_rank_by_their_operations_bit_for_bit() {
    let graphs: Vec<Graph> = (1..6u32)
        .map(|width| {
            let ops = [conv(width), Op::Relu, conv(7 - width), Op::Relu];
            chain(IMAGE, &[ops.as_slice(), &OUTPUT].concat())
        })
        .collect();
    let scores = || -> Vec<f64> {
        let score = |graph: &Graph| Fixture::drawn(graph.clone()).score("autost", 8).unwrap();
        graphs.iter().map(score).collect()
    };
    let (first, again) = (scores(), scores());
    assert!(first.iter().zip(&again).all(|(one, other)| one.to_bits() == other.to_bits()));
    for (graph, score) in graphs.iter().zip(&first) {
        assert_eq!(*score, 4.0 * graph.macs() as f64 / 1e9);
    }
}

#[test]
fn naswot_joins_in_by_its_weight() {
    let plain = Fixture::golden(Kind::Double);
    let spiking = SpikingSettings { naswot_weight: 60.0, ..SpikingSettings::default() };
    let weighted = Fixture { spiking, ..Fixture::golden(Kind::Double) };
    let [plain, weighted] = [plain, weighted].map(|source| source.score("autost", 8).unwrap());
    assert!((weighted - plain - 60.0 / 30.109_710_5).abs() < 1e-6);
}

#[test]
fn autost_needs_a_naswot_only_where_it_has_weight() {
    let spiking = |naswot_weight| SpikingSettings { naswot_weight, ..SpikingSettings::default() };
    let score = |images: Tensor, naswot_weight| {
        let fixture = Fixture::golden(Kind::Double);
        Fixture { images, spiking: spiking(naswot_weight), ..fixture }.score("autost", 2)
    };
    let images = || golden::images(Kind::Double);
    let equal = || images().narrow(0, 0, 1).repeat([2, 1, 1, 1]);
    let alone = score(equal(), 0.0).unwrap();
    assert!(score(images(), 1.0).unwrap() > alone);
    let error = score(equal(), 1.0).unwrap_err();
    assert!(matches!(error, EvaluationError::NonFinite(_)), "{error}");
    assert!(error.to_string().contains("`naswot` of the network, which is -inf"), "{error}");
}
