//! What a network costs, computed from its graph alone: parameters, multiply-accumulates, depth,
//! activations, memory and modelled energy.
//!
//! Nodes that do not reach the output are counted like all others, as in the published numbers of
//! NAS-Bench-201 (Dong and Yang, ICLR 2020), although an executor may leave them out; only
//! [`Graph::depth`], which is about a path to the output, is not changed by them. It must not know
//! any search space.

use super::{FILTER_SIDE, FILTERS, Graph, Node, NodeId, Op, Shape};

/// The size of one value; activations and weights are 32-bit floats.
const BYTES_PER_VALUE: u64 = 4;

/// The energy of one 32-bit floating-point multiplication (3.7 pJ) and addition (0.9 pJ) in a
/// 45 nm process at 0.9 V, in picojoules (M. Horowitz, "Computing's energy problem", ISSCC 2014).
pub const MAC_PICOJOULES: f64 = 3.7 + ADD_PICOJOULES;

/// The energy of the addition alone, in picojoules.
pub const ADD_PICOJOULES: f64 = 0.9;

/// The energy of moving one byte to or from DRAM, in picojoules: the lower end of 1.3 to 2.6 nJ
/// per 64 bit (Horowitz, ISSCC 2014).
pub const DRAM_PICOJOULES_PER_BYTE: f64 = 1300.0 / 8.0;

const MILLIJOULES_PER_PICOJOULE: f64 = 1e-9;

impl Graph {
    /// The number of trainable parameters: weights and biases of convolutions and linear layers,
    /// and two per channel of each batch normalisation.
    #[must_use]
    pub fn params(&self) -> u64 {
        saturated(self.total_params())
    }

    /// Multiply-accumulates of convolutions (fixed filters included), of linear layers and of the two
    /// matrix products of attention, for one sample; biases, pooling, normalisation, activations and
    /// products by a factor are not counted.
    #[must_use]
    pub fn macs(&self) -> u64 {
        saturated(self.total_macs())
    }

    /// The share of one node in [`Self::macs`].
    #[must_use]
    pub fn macs_of(&self, id: NodeId) -> u64 {
        let node = self.node(id);
        let source = node.inputs.first();
        source.map_or(0, |input| saturated(node_macs(node.op, self.node(*input).shape, node.shape)))
    }

    /// The largest number of weighted layers (convolutions and linear layers) on any path from the
    /// input to the output.
    #[must_use]
    pub fn depth(&self) -> u32 {
        let mut depths: Vec<u32> = Vec::with_capacity(self.nodes().len());
        for node in self.nodes() {
            let before = node.inputs.iter().map(|id| depths[id.0 as usize]).max().unwrap_or(0);
            let weighted = matches!(node.op, Op::Conv2d { .. } | Op::Linear { .. });
            depths.push(before + u32::from(weighted));
        }
        depths[self.output().0 as usize]
    }

    /// The number of output values of all convolutions for one sample (Radosavovic et al.,
    /// "Designing Network Design Spaces", CVPR 2020), which predicts run time on memory-bound
    /// devices better than multiply-accumulates do.
    #[must_use]
    pub fn activations(&self) -> u64 {
        let convolutions = self.nodes().iter().filter(|node| matches!(node.op, Op::Conv2d { .. }));
        convolutions.map(|node| node.shape.elements()).sum()
    }

    /// The largest sum of live 32-bit feature maps at any instant of an inference of one sample,
    /// in bytes, weights not included.
    ///
    /// Nodes run in order. A node's output is live from its own execution to that of its last
    /// reader (the network's output to the end), and an operation's inputs and output are live
    /// together: nothing works in place. Attention also holds its weights, one for each head and pair of
    /// places. [`Op::Flatten`] is a view that needs no memory.
    #[must_use]
    pub fn peak_activation_bytes(&self) -> u64 {
        let nodes = self.nodes();
        let buffers = self.buffers();
        let mut last_use: Vec<usize> = (0..nodes.len()).collect();
        for (position, node) in nodes.iter().enumerate() {
            for input in &node.inputs {
                last_use[buffers[input.0 as usize]] = position;
            }
        }
        last_use[buffers[self.output().0 as usize]] = nodes.len();

        let mut dying: Vec<u64> = vec![0; nodes.len() + 1];
        let (mut live, mut peak) = (0u64, 0u64);
        for (position, node) in nodes.iter().enumerate() {
            if buffers[position] == position {
                let values = node.shape.elements();
                live += values;
                dying[last_use[position]] += values;
            }
            peak = peak.max(live + values_in_between(node));
            live -= dying[position];
        }
        peak * BYTES_PER_VALUE
    }

    /// For each node the position of the node in whose memory its output lies.
    fn buffers(&self) -> Vec<usize> {
        let mut buffers: Vec<usize> = Vec::with_capacity(self.nodes().len());
        for (position, node) in self.nodes().iter().enumerate() {
            buffers.push(match node.op {
                Op::Flatten => buffers[node.inputs[0].0 as usize],
                _ => position,
            });
        }
        buffers
    }

    /// Bytes read and written by one inference of one sample when every operation reads its inputs
    /// and weights once and writes its output once, without fusion, as node-by-node execution does.
    #[must_use]
    pub fn memory_traffic_bytes(&self) -> u64 {
        let values: u128 = self.nodes().iter().map(|node| self.values_moved(node)).sum();
        saturated(values * u128::from(BYTES_PER_VALUE))
    }

    fn values_moved(&self, node: &Node) -> u128 {
        let written = u128::from(node.shape.elements());
        match node.op {
            Op::Input | Op::Flatten => 0,
            Op::Zero => written,
            op => {
                let shapes = node.inputs.iter().map(|&id| self.node(id).shape);
                let read: u128 = shapes.map(|shape| u128::from(shape.elements())).sum();
                let weights = node_params(op, self.node(node.inputs[0]).shape);
                // Inference reads the running mean and variance as well as scale and shift.
                let weights = match op {
                    Op::BatchNorm => 2 * weights,
                    Op::FilterBank => FILTERS.as_flattened().len() as u128,
                    _ => weights,
                };
                read + weights + written
            }
        }
    }

    /// The arithmetic part of [`Self::modelled_energy_millijoules`]: [`MAC_PICOJOULES`] per
    /// multiply-accumulate, in millijoules for one inference of one sample.
    #[must_use]
    pub fn modelled_compute_energy_millijoules(&self) -> f64 {
        self.macs() as f64 * MAC_PICOJOULES * MILLIJOULES_PER_PICOJOULE
    }

    /// The energy of one inference of one sample in millijoules by the model
    /// `E = 4.6 pJ x MACs + 162.5 pJ x bytes moved` (Horowitz, ISSCC 2014: 45 nm, 0.9 V, 32-bit
    /// floats, every byte of [`Self::memory_traffic_bytes`] at the lower DRAM figure).
    ///
    /// It orders networks by work and traffic and is no measurement of any device.
    #[must_use]
    pub fn modelled_energy_millijoules(&self) -> f64 {
        let moved = self.memory_traffic_bytes() as f64;
        self.modelled_compute_energy_millijoules()
            + moved * DRAM_PICOJOULES_PER_BYTE * MILLIJOULES_PER_PICOJOULE
    }

    pub(super) fn total_params(&self) -> u128 {
        self.with_inputs().map(|(node, input)| node_params(node.op, input)).sum()
    }

    pub(super) fn total_macs(&self) -> u128 {
        self.with_inputs().map(|(node, input)| node_macs(node.op, input, node.shape)).sum()
    }

    /// Every node but the input, with the shape of its first input.
    fn with_inputs(&self) -> impl Iterator<Item = (&Node, Shape)> {
        let computed = self.nodes().iter().filter(|node| !node.inputs.is_empty());
        computed.map(|node| (node, self.node(node.inputs[0]).shape))
    }
}

/// Trainable parameters of `op` on an input of shape `input`.
pub(super) fn node_params(op: Op, input: Shape) -> u128 {
    match op {
        Op::Conv2d { out_channels, bias, .. } => {
            let out = u128::from(out_channels);
            out * fan_in(op, input) + if bias { out } else { 0 }
        }
        Op::Linear { out_features, bias } => {
            let out = u128::from(out_features);
            out * fan_in(op, input) + if bias { out } else { 0 }
        }
        Op::BatchNorm => 2 * u128::from(channels(input)),
        _ => 0,
    }
}

/// Multiply-accumulates of `op` from `input` to `output`.
pub(super) fn node_macs(op: Op, input: Shape, output: Shape) -> u128 {
    match op {
        Op::Conv2d { .. } | Op::Linear { .. } => u128::from(output.elements()) * fan_in(op, input),
        Op::FilterBank => u128::from(output.elements()) * (FILTER_SIDE * FILTER_SIDE) as u128,
        // Each place is compared with each by the channels of a query, and adds up as many values.
        Op::Attention { .. } => {
            let places = u128::from(places(output));
            places * u128::from(input.elements() + output.elements())
        }
        _ => 0,
    }
}

/// How many weighted inputs each output value of `op` has; 0 if it has no weights.
fn fan_in(op: Op, input: Shape) -> u128 {
    match op {
        Op::Conv2d { window, groups, .. } => {
            u128::from(channels(input) / groups) * u128::from(window.kernel).pow(2)
        }
        Op::Linear { .. } => u128::from(input.elements()),
        _ => 0,
    }
}

fn channels(shape: Shape) -> u32 {
    match shape {
        Shape::Map { channels, .. } => channels,
        Shape::Vector { features } => features,
    }
}

/// Values that a node holds while it runs, besides its inputs and its output.
fn values_in_between(node: &Node) -> u64 {
    match node.op {
        // Bounded by the multiply-accumulates, of which there are at least as many.
        Op::Attention { heads } => u64::from(heads) * places(node.shape).pow(2),
        _ => 0,
    }
}

fn places(shape: Shape) -> u64 {
    match shape {
        Shape::Map { height, width, .. } => u64::from(height) * u64::from(width),
        Shape::Vector { .. } => 1,
    }
}

/// The count as 64 bits. Building a graph bounds parameters and multiply-accumulates far below.
fn saturated(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
