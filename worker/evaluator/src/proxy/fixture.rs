//! A source of networks, weights and images for tests of scores.

use std::cell::Cell;

use cambrian_core::graph::{Graph, GraphBuilder, NodeId, Op, Shape};
use cambrian_core::rng::Stream;
use cambrian_core::spec::SpikingSettings;
use tch::{Device, Kind, Tensor};

use super::{PROXIES, Probe, Source};
use crate::failure::EvaluationError;
use crate::network::golden::{self, set_weight};
use crate::network::{Initialization, Network};
use crate::train::Randomness;

/// Makes a network for a source.
pub(super) type Build = dyn Fn(&Graph, Initialization, Kind) -> Network;

/// A source of everything for tests.
pub(super) struct Fixture {
    pub(super) graph: Graph,
    pub(super) kind: Kind,
    pub(super) build: Box<Build>,
    /// All images, `[samples, ...]`.
    pub(super) images: Tensor,
    /// Checks until it asks to stop.
    pub(super) patience: Cell<u32>,
    pub(super) spiking: SpikingSettings,
}

impl Fixture {
    /// The golden network, whatever the initialisation, and its eight images.
    pub(super) fn golden(kind: Kind) -> Self {
        let build = |_: &Graph, _: Initialization, kind: Kind| golden::network(kind);
        Self {
            graph: golden::graph(),
            kind,
            build: Box::new(build),
            images: golden::images(kind),
            patience: Cell::new(u32::MAX),
            spiking: SpikingSettings::default(),
        }
    }

    /// Any graph with drawn weights on the golden images, in double precision.
    pub(super) fn drawn(graph: Graph) -> Self {
        let build = |graph: &Graph, initialization: Initialization, kind: Kind| {
            let mut generator = Randomness::Weights.stream(3);
            Network::initialized(graph, initialization, &mut generator, Device::Cpu, kind).unwrap()
        };
        Self { graph, build: Box::new(build), ..Self::golden(Kind::Double) }
    }

    /// Linear layers of 64 values with these weights, on two vectors, in double precision.
    pub(super) fn deep(relu: bool, weights: Vec<Tensor>) -> Self {
        let linear = Op::Linear { out_features: 64, bias: false };
        let layer = if relu { vec![linear, Op::Relu] } else { vec![linear] };
        let graph = chain(Shape::Vector { features: 64 }, &layer.repeat(weights.len()));
        let build = move |graph: &Graph, _: Initialization, kind: Kind| {
            let mut generator = Randomness::Weights.stream(0);
            let network = Network::new(graph, &mut generator, Device::Cpu, kind).unwrap();
            let layers = (0..graph.nodes().len() as u32).map(NodeId);
            let layers = layers.filter(|id| matches!(graph.node(*id).op, Op::Linear { .. }));
            for (node, weight) in layers.zip(&weights) {
                let values = Vec::<f64>::try_from(weight.contiguous().view([-1])).unwrap();
                set_weight(&network, node, &values);
            }
            network
        };
        let images = (Tensor::arange(128, (Kind::Double, Device::Cpu)) * 1.7).sin().view([2, 64]);
        Self { graph, build: Box::new(build), images, ..Self::golden(Kind::Double) }
    }

    pub(super) fn score(&self, metric: &str, batch_size: usize) -> Result<f64, EvaluationError> {
        let proxy = PROXIES.iter().find(|proxy| proxy.metric == metric).unwrap();
        (proxy.score)(&Probe::new(self, batch_size))
    }
}

impl Source for Fixture {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn build(
        &self,
        graph: &Graph,
        initialization: Initialization,
        kind: Kind,
    ) -> Result<Network, EvaluationError> {
        Ok((self.build)(graph, initialization, kind))
    }

    fn batch(
        &self,
        number: usize,
        size: usize,
        kind: Kind,
    ) -> Result<(Tensor, Tensor), EvaluationError> {
        let (start, size) = ((number * size) as i64, size as i64);
        let images = self.images.narrow(0, start, size).to_kind(kind);
        Ok((images, (Tensor::arange(size, (Kind::Int64, Device::Cpu)) + start).remainder(3)))
    }

    fn noise(&self, number: u64) -> Stream {
        Randomness::Noise.stream(number)
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn spiking(&self) -> SpikingSettings {
        self.spiking
    }

    fn check(&self) -> Result<(), EvaluationError> {
        let left = self.patience.get();
        self.patience.set(left.saturating_sub(1));
        if left == 0 { Err(EvaluationError::Stopped) } else { Ok(()) }
    }
}

pub(super) const IMAGE: Shape = Shape::Map { channels: 1, height: 4, width: 4 };

pub(super) fn chain(input: Shape, ops: &[Op]) -> Graph {
    let mut builder = GraphBuilder::new(input);
    let mut last = builder.input();
    for op in ops {
        last = builder.add(*op, &[last]).unwrap();
    }
    builder.finish(last).unwrap()
}

pub(super) const OUTPUT: [Op; 2] = [Op::GlobalAvgPool, Op::Linear { out_features: 3, bias: false }];

pub(super) fn score_of(
    metric: &str,
    ops: &[Op],
    batch_size: usize,
) -> Result<f64, EvaluationError> {
    Fixture::drawn(chain(IMAGE, ops)).score(metric, batch_size)
}
