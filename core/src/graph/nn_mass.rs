//! NN-Mass: how many channels skip layers, for the width and depth of what they skip (Bhardwaj, Li and
//! Marculescu, "How does topology influence gradient propagation and model performance of deep networks
//! with DenseNet-type skip connections?", CVPR 2021).
//!
//! The paper defines it for cells of equal layers. This is its reading for any graph, which gives the
//! published value there. It must not know how a network is executed.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{Graph, NodeId, Op, Shape};

/// Why a network has no NN-Mass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "at no resolution are three convolutions behind each other, so there is nothing that a link could skip"
)]
pub struct NothingToSkip;

/// A convolution that reaches the output.
#[derive(Debug, Clone, Copy)]
struct Layer {
    /// Height and width of its maps: those of equal sides are one cell.
    sides: (u32, u32),
    /// Its channels.
    width: u64,
    /// How many layers of its cell lie before it on the longest way to it.
    place: usize,
    /// The channels that reach it from layers of its cell two places before it and more.
    skipping: u64,
}

impl Graph {
    /// NN-Mass: the sum over cells of `density x width x depth`, 0 if nothing is skipped.
    ///
    /// Of the convolutions that reach the output, those whose maps have equal sides are a *cell*. What a
    /// convolution reads comes from the convolutions whose values get there through other operations,
    /// by sums, products and stacks alike; from each come as many channels as the narrowest map on the way
    /// has. A convolution's *place* is the number of convolutions of its cell before it on the longest way
    /// through the cell. Channels from two places before it or more are *long links*.
    ///
    /// - `density`: long links over those that there would be if each convolution read all that are two places
    ///   or more before it;
    /// - `width`: the mean number of channels of its convolutions;
    /// - `depth`: its number of places.
    ///
    /// A cell of fewer than three places has no possible link and no mass.
    ///
    /// # Errors
    /// [`NothingToSkip`] if no cell has three places.
    pub fn nn_mass(&self) -> Result<f64, NothingToSkip> {
        let mut cells: BTreeMap<(u32, u32), Vec<Layer>> = BTreeMap::new();
        for layer in self.layers() {
            cells.entry(layer.sides).or_default().push(layer);
        }
        let masses: Vec<f64> = cells.values().filter_map(|layers| mass(layers)).collect();
        if masses.is_empty() { Err(NothingToSkip) } else { Ok(masses.iter().sum()) }
    }

    fn layers(&self) -> Vec<Layer> {
        let live = self.live();
        let mut layers: Vec<Layer> = Vec::new();
        // For each node that a later one reads, the channels that come to it from each layer so far.
        let mut carried: Vec<Vec<u64>> = vec![Vec::new(); self.nodes().len()];
        let mut readers = self.times_read(&live);
        for (position, node) in self.nodes().iter().enumerate().filter(|(at, _)| live[*at]) {
            let mut arriving: Vec<u64> = Vec::new();
            for input in sources(node.op, &node.inputs) {
                let input = input.0 as usize;
                merge(&mut arriving, &carried[input]);
                readers[input] -= 1;
                if readers[input] == 0 {
                    carried[input] = Vec::new();
                }
            }
            carried[position] = match (node.op, node.shape) {
                (Op::Conv2d { .. }, Shape::Map { channels, height, width }) => {
                    let layer = read(&layers, &arriving, (height, width), channels.into());
                    layers.push(layer);
                    let mut own = vec![0; layers.len()];
                    own[layers.len() - 1] = layer.width;
                    own
                }
                (Op::Linear { .. }, _) => Vec::new(),
                (_, Shape::Map { channels, .. }) => {
                    arriving.iter_mut().for_each(|count| *count = (*count).min(channels.into()));
                    arriving
                }
                (_, Shape::Vector { .. }) => arriving,
            };
        }
        layers
    }

    /// Whether each node reaches the output.
    fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes().len()];
        live[self.output().0 as usize] = true;
        for (position, node) in self.nodes().iter().enumerate().rev() {
            if live[position] {
                sources(node.op, &node.inputs).for_each(|input| live[input.0 as usize] = true);
            }
        }
        live
    }

    /// How often each node is read by a live one.
    fn times_read(&self, live: &[bool]) -> Vec<u32> {
        let mut readers = vec![0; self.nodes().len()];
        for (_, node) in self.nodes().iter().enumerate().filter(|(at, _)| live[*at]) {
            sources(node.op, &node.inputs).for_each(|input| readers[input.0 as usize] += 1);
        }
        readers
    }
}

/// The inputs that a node's value depends on.
fn sources(op: Op, inputs: &[NodeId]) -> impl Iterator<Item = NodeId> {
    let read = if op == Op::Zero { &[] } else { inputs };
    read.iter().copied()
}

/// The larger count of each layer.
fn merge(into: &mut Vec<u64>, from: &[u64]) {
    if into.len() < from.len() {
        into.resize(from.len(), 0);
    }
    into.iter_mut().zip(from).for_each(|(count, other)| *count = (*count).max(*other));
}

/// The layer that reads what arrives from `layers`.
fn read(layers: &[Layer], arriving: &[u64], sides: (u32, u32), width: u64) -> Layer {
    let of_cell = || {
        let pairs = layers.iter().zip(arriving);
        pairs.filter(move |(layer, count)| layer.sides == sides && **count > 0)
    };
    let place = of_cell().map(|(layer, _)| layer.place + 1).max().unwrap_or(0);
    let long = of_cell().filter(|(layer, _)| layer.place + 2 <= place);
    let skipping = long.map(|(_, count)| count).sum();
    Layer { sides, width, place, skipping }
}

/// The mass of a cell; `None` if it has fewer than three places.
fn mass(layers: &[Layer]) -> Option<f64> {
    let depth = 1 + layers.iter().map(|layer| layer.place).max()?;
    let mut widths = vec![0u64; depth];
    layers.iter().for_each(|layer| widths[layer.place] += layer.width);
    // The channels of all layers up to each place.
    let below: Vec<u64> = widths
        .iter()
        .scan(0, |sum, width| {
            *sum += width;
            Some(*sum)
        })
        .collect();
    let ways = layers.iter().filter_map(|layer| Some(below[layer.place.checked_sub(2)?]));
    let possible: u128 = ways.map(u128::from).sum();
    if possible == 0 {
        return None;
    }
    let links: u128 = layers.iter().map(|layer| u128::from(layer.skipping)).sum();
    let width = below[depth - 1] as f64 / layers.len() as f64;
    Some(links as f64 / possible as f64 * width * depth as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, Window};

    fn conv(out_channels: u32, stride: u32) -> Op {
        let window = Window { kernel: 3, stride, padding: 1 };
        Op::Conv2d { out_channels, window, dilation: 1, groups: 1, bias: false }
    }

    fn builder() -> GraphBuilder {
        GraphBuilder::new(Shape::Map { channels: 3, height: 8, width: 8 })
    }

    fn finish(mut builder: GraphBuilder, last: NodeId) -> Graph {
        let pooled = builder.add(Op::GlobalAvgPool, &[last]).unwrap();
        let linear = Op::Linear { out_features: 10, bias: true };
        let output = builder.add(linear, &[pooled]).unwrap();
        builder.finish(output).unwrap()
    }

    /// `depth` layers of `width` channels; each reads the one before and up to `links` channels of those
    /// before that, whole layers, the earliest first.
    fn cell(builder: &mut GraphBuilder, from: NodeId, [width, depth, links]: [u32; 3]) -> NodeId {
        let mut layers = vec![builder.add(conv(width, 2), &[from]).unwrap()];
        for place in 1..depth as usize {
            let early = (links / width).min(place as u32 - 1) as usize;
            let mut read = layers[..early].to_vec();
            read.push(layers[place - 1]);
            let stacked = builder.add(Op::Concat, &read).unwrap();
            let normed = builder.add(Op::BatchNorm, &[stacked]).unwrap();
            let active = builder.add(Op::Relu, &[normed]).unwrap();
            layers.push(builder.add(conv(width, 1), &[active]).unwrap());
        }
        layers[layers.len() - 1]
    }

    /// The published formula for one cell.
    fn published([width, depth, links]: [u32; 3]) -> f64 {
        let sum: u32 = (2..depth).map(|place| links.min(width * (place - 1))).sum();
        2.0 * f64::from(depth) * f64::from(sum) / f64::from((depth - 1) * (depth - 2))
    }

    #[test]
    fn cells_of_equal_layers_have_the_published_mass() {
        for shape in [[8, 3, 8], [8, 5, 24], [8, 6, 16], [4, 7, 4], [4, 9, 0]] {
            let mut builder = builder();
            let input = builder.input();
            let last = cell(&mut builder, input, shape);
            let graph = finish(builder, last);
            let (found, expected) = (graph.nn_mass().unwrap(), published(shape));
            assert!((found - expected).abs() < 1e-9, "{shape:?}: {found} is not {expected}");
        }
    }

    #[test]
    fn masses_of_cells_add_up() {
        let mut builder = builder();
        let input = builder.input();
        let first = cell(&mut builder, input, [8, 5, 24]);
        let second = cell(&mut builder, first, [16, 4, 32]);
        let expected = published([8, 5, 24]) + published([16, 4, 32]);
        assert!((finish(builder, second).nn_mass().unwrap() - expected).abs() < 1e-9);
    }

    #[test]
    fn sums_link_as_stacks_do_and_chains_have_no_mass() {
        let residual = |skips: bool| {
            let mut builder = builder();
            let input = builder.input();
            let stem = builder.add(conv(4, 1), &[input]).unwrap();
            let first = builder.add(conv(4, 1), &[stem]).unwrap();
            let second = builder.add(conv(4, 1), &[first]).unwrap();
            let sum = if skips { vec![stem, second] } else { vec![second] };
            let sum = builder.add(Op::Add, &sum).unwrap();
            let last = builder.add(conv(4, 1), &[sum]).unwrap();
            finish(builder, last).nn_mass()
        };
        // One of three possible links of four channels, four channels wide, four layers deep.
        assert_eq!(residual(true), Ok(16.0 / 3.0));
        assert_eq!(residual(false), Ok(0.0));
    }

    #[test]
    fn what_does_not_reach_the_output_links_nothing() {
        let mut builder = builder();
        let input = builder.input();
        let stem = builder.add(conv(4, 1), &[input]).unwrap();
        let first = builder.add(conv(4, 1), &[stem]).unwrap();
        let second = builder.add(conv(4, 1), &[first]).unwrap();
        let zero = builder.add(Op::Zero, &[stem]).unwrap();
        let sum = builder.add(Op::Add, &[zero, second]).unwrap();
        let last = builder.add(conv(4, 1), &[sum]).unwrap();
        let aside = builder.add(Op::Add, &[stem, last]).unwrap();
        let _ = builder.add(conv(4, 1), &[aside]).unwrap();
        assert_eq!(finish(builder, last).nn_mass(), Ok(0.0));
    }

    #[test]
    fn a_network_without_depth_has_nothing_to_skip() {
        let mut builder = builder();
        let input = builder.input();
        let first = builder.add(conv(4, 1), &[input]).unwrap();
        let second = builder.add(conv(4, 1), &[first]).unwrap();
        let third = builder.add(conv(4, 2), &[second]).unwrap();
        assert_eq!(finish(builder, third).nn_mass(), Err(NothingToSkip));
    }
}
