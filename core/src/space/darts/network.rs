//! The network of the publication's CIFAR-10 experiments, without its auxiliary head: a stem, cells of
//! which two are reduction cells, and a linear classifier. Each cell reads the two before it. It must not know
//! genotypes, nor which cells are the same.

use super::Parameters;
use super::cell::{Architecture, Cell, INPUTS, OPERATIONS};
use crate::graph::{Graph, GraphBuilder, GraphError, NodeId, Op, Shape, Window};

/// Channels of the stem, as a multiple of those of the first cells.
const STEM_MULTIPLIER: u32 = 3;

/// The network of an architecture.
pub(super) fn lower(
    parameters: &Parameters,
    architecture: &Architecture,
) -> Result<Graph, GraphError> {
    let Parameters { layers, channels, input: [depth, height, width], classes } = *parameters;
    let graph = GraphBuilder::new(Shape::Map { channels: depth, height, width });
    let mut network = Network { graph };
    let image = network.graph.input();
    let convolved = network.convolution(image, STEM_MULTIPLIER * channels, window(3, 1))?;
    let stem = network.graph.add(Op::BatchNorm, &[convolved])?;
    let (mut before, mut last, mut channels) = (stem, stem, channels);
    let mut follows_reduction = false;
    for layer in 0..layers {
        let reduces = layer == layers / 3 || layer == 2 * layers / 3;
        channels *= if reduces { 2 } else { 1 };
        let cell = if reduces { &architecture.reduce } else { &architecture.normal };
        let output = network.cell(cell, [before, last], channels, reduces, follows_reduction)?;
        (before, last, follows_reduction) = (last, output, reduces);
    }
    let pooled = network.graph.add(Op::GlobalAvgPool, &[last])?;
    let logits = Op::Linear { out_features: classes, bias: true };
    let logits = network.graph.add(logits, &[pooled])?;
    network.graph.finish(logits)
}

/// A window that keeps the sides at stride 1 and halves even ones at stride 2.
fn window(kernel: u32, stride: u32) -> Window {
    Window { kernel, stride, padding: kernel / 2 }
}

struct Network {
    graph: GraphBuilder,
}

impl Network {
    fn cell(
        &mut self,
        cell: &Cell,
        [before, last]: [NodeId; INPUTS],
        channels: u32,
        reduces: bool,
        follows_reduction: bool,
    ) -> Result<NodeId, GraphError> {
        let mut nodes = vec![
            if follows_reduction {
                self.factorized_reduction(before, channels)?
            } else {
                self.unit(before, channels)?
            },
            self.unit(last, channels)?,
        ];
        for node in cell {
            let mut terms = [before; 2];
            for ((input, operation), term) in node.iter().zip(&mut terms) {
                let stride = if reduces && *input < INPUTS { 2 } else { 1 };
                *term = self.operation(OPERATIONS[*operation], nodes[*input], channels, stride)?;
            }
            nodes.push(self.graph.add(Op::Add, &terms)?);
        }
        self.graph.add(Op::Concat, &nodes[INPUTS..])
    }

    fn operation(
        &mut self,
        name: &str,
        input: NodeId,
        channels: u32,
        stride: u32,
    ) -> Result<NodeId, GraphError> {
        match name {
            "max_pool_3x3" => self.graph.add(Op::MaxPool(window(3, stride)), &[input]),
            "avg_pool_3x3" => self.graph.add(Op::AvgPool(window(3, stride)), &[input]),
            "skip_connect" if stride == 1 => Ok(input),
            "skip_connect" => self.factorized_reduction(input, channels),
            "sep_conv_3x3" => self.separable(input, channels, 3, stride),
            "sep_conv_5x5" => self.separable(input, channels, 5, stride),
            "dil_conv_3x3" => self.depthwise(input, channels, window(3, stride), 2),
            _ => self.depthwise(input, channels, window(5, stride), 2),
        }
    }

    /// Twice a depthwise convolution, the first with the stride.
    fn separable(
        &mut self,
        input: NodeId,
        channels: u32,
        kernel: u32,
        stride: u32,
    ) -> Result<NodeId, GraphError> {
        let first = self.depthwise(input, channels, window(kernel, stride), 1)?;
        self.depthwise(first, channels, window(kernel, 1), 1)
    }

    /// ReLU, a convolution of each channel alone, one of one pixel, and batch normalisation.
    fn depthwise(
        &mut self,
        input: NodeId,
        channels: u32,
        window: Window,
        dilation: u32,
    ) -> Result<NodeId, GraphError> {
        let active = self.graph.add(Op::Relu, &[input])?;
        let window = Window { padding: dilation * window.padding, ..window };
        let spatial =
            Op::Conv2d { out_channels: channels, window, dilation, groups: channels, bias: false };
        let filtered = self.graph.add(spatial, &[active])?;
        let mixed = self.convolution(filtered, channels, self::window(1, 1))?;
        self.graph.add(Op::BatchNorm, &[mixed])
    }

    /// ReLU, a convolution of one pixel, and batch normalisation.
    fn unit(&mut self, input: NodeId, channels: u32) -> Result<NodeId, GraphError> {
        let active = self.graph.add(Op::Relu, &[input])?;
        let convolved = self.convolution(active, channels, window(1, 1))?;
        self.graph.add(Op::BatchNorm, &[convolved])
    }

    /// ReLU, two convolutions of one pixel with stride 2, the second shifted by one pixel in both
    /// directions, stacked, and batch normalisation.
    fn factorized_reduction(&mut self, input: NodeId, channels: u32) -> Result<NodeId, GraphError> {
        let active = self.graph.add(Op::Relu, &[input])?;
        let even = self.convolution(active, channels / 2, window(1, 2))?;
        let shift = Op::Crop { top: 1, bottom: 0, left: 1, right: 0 };
        let shifted = self.graph.add(shift, &[active])?;
        let odd = self.convolution(shifted, channels - channels / 2, window(1, 2))?;
        let stacked = self.graph.add(Op::Concat, &[even, odd])?;
        self.graph.add(Op::BatchNorm, &[stacked])
    }

    fn convolution(
        &mut self,
        from: NodeId,
        out_channels: u32,
        window: Window,
    ) -> Result<NodeId, GraphError> {
        let op = Op::Conv2d { out_channels, window, dilation: 1, groups: 1, bias: false };
        self.graph.add(op, &[from])
    }
}
