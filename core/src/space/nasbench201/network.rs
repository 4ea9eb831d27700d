//! The skeleton around the cells, as published: stem, three stages of cells with a strided
//! residual block between each two, and a linear classifier. Its parts are those of the size space of
//! NATS-Bench as well. It must not know genotypes, nor which cells are the same.

use super::cell::{Cell, NODES, Operation};
use super::parameters::Parameters;
use crate::graph::{Graph, GraphBuilder, GraphError, NodeId, Op, Shape, Window};

/// The number of stages; each but the first halves the sides and doubles the channels.
pub(super) const STAGES: u32 = 3;

const POINT: Window = Window { kernel: 1, stride: 1, padding: 0 };
const SQUARE: Window = Window { kernel: 3, stride: 1, padding: 1 };
const STRIDED_SQUARE: Window = Window { kernel: 3, stride: 2, padding: 1 };
const HALVING: Window = Window { kernel: 2, stride: 2, padding: 0 };

/// The network whose cells are all `cell`.
///
/// Edges without an operation and skip connections from a zero node add nothing and are left out;
/// only a zero that an operation or the cell's output reads becomes a node.
/// Operations whose result nobody reads stay in the graph, since the published parameters and
/// multiply-accumulates count them.
pub(super) fn lower(parameters: &Parameters, cell: Cell) -> Result<Graph, GraphError> {
    let mut width = parameters.channels;
    let (mut skeleton, mut last) = Skeleton::new(parameters.input, width)?;
    for stage in 0..STAGES {
        if stage > 0 {
            width *= 2;
            last = skeleton.residual_block(last, width)?;
        }
        for _ in 0..parameters.cells {
            last = skeleton.cell(last, width, cell)?;
        }
    }
    skeleton.classifier(last, parameters.classes)
}

/// One cell alone, in the smallest size: it differs between cells where the whole network does.
pub(super) fn of_one_cell(cell: Cell) -> Result<Graph, GraphError> {
    let input = Shape::Map { channels: 1, height: 1, width: 1 };
    let mut skeleton = Skeleton { graph: GraphBuilder::new(input) };
    let input = skeleton.graph.input();
    let output = skeleton.cell(input, 1, cell)?;
    skeleton.graph.finish(output)
}

/// A network under construction.
pub(in crate::space) struct Skeleton {
    graph: GraphBuilder,
}

impl Skeleton {
    /// The stem on images of these channels, height and width, and the node that it ends in.
    pub(in crate::space) fn new(
        [depth, height, width]: [u32; 3],
        channels: u32,
    ) -> Result<(Self, NodeId), GraphError> {
        let input = Shape::Map { channels: depth, height, width };
        let mut skeleton = Self { graph: GraphBuilder::new(input) };
        let input = skeleton.graph.input();
        let convolved = skeleton.convolution(input, channels, SQUARE)?;
        let stem = skeleton.add(Op::BatchNorm, convolved)?;
        Ok((skeleton, stem))
    }

    fn add(&mut self, op: Op, input: NodeId) -> Result<NodeId, GraphError> {
        self.graph.add(op, &[input])
    }

    fn convolution(
        &mut self,
        from: NodeId,
        out_channels: u32,
        window: Window,
    ) -> Result<NodeId, GraphError> {
        self.add(Op::Conv2d { out_channels, window, dilation: 1, groups: 1, bias: false }, from)
    }

    /// `nor_conv_3x3` of NAS-Bench-201.
    pub(in crate::space) fn square_unit(
        &mut self,
        from: NodeId,
        out_channels: u32,
    ) -> Result<NodeId, GraphError> {
        self.unit(from, out_channels, SQUARE)
    }

    /// `skip_connect` of NAS-Bench-201 at stride 1: nothing, or a convolution of one pixel and batch
    /// normalisation where the number of channels changes.
    pub(in crate::space) fn skip(
        &mut self,
        from: NodeId,
        out_channels: u32,
    ) -> Result<NodeId, GraphError> {
        if matches!(self.graph.shape(from), Some(Shape::Map { channels, .. }) if channels == out_channels)
        {
            return Ok(from);
        }
        let convolved = self.convolution(from, out_channels, POINT)?;
        self.add(Op::BatchNorm, convolved)
    }

    pub(in crate::space) fn sum(&mut self, terms: &[NodeId]) -> Result<NodeId, GraphError> {
        self.graph.add(Op::Add, terms)
    }

    /// ReLU, convolution, batch normalisation.
    fn unit(
        &mut self,
        from: NodeId,
        out_channels: u32,
        window: Window,
    ) -> Result<NodeId, GraphError> {
        let active = self.add(Op::Relu, from)?;
        let convolved = self.convolution(active, out_channels, window)?;
        self.add(Op::BatchNorm, convolved)
    }

    fn cell(&mut self, input: NodeId, channels: u32, cell: Cell) -> Result<NodeId, GraphError> {
        // A node whose sum is empty is `None`: zero, without an operation unless one reads it.
        let mut nodes = [Some(input), None, None, None];
        let mut zero = None;
        for to in 1..NODES {
            let mut terms = [input; NODES];
            let mut count = 0;
            for (from, operation) in cell.edges_into(to) {
                let term = match (operation, nodes[from]) {
                    (Operation::None, _) => None,
                    (Operation::Skip, from) => from,
                    (_, Some(from)) => Some(self.edge(from, channels, operation)?),
                    (_, None) => {
                        let zero = self.zero(input, &mut zero)?;
                        Some(self.edge(zero, channels, operation)?)
                    }
                };
                if let Some(term) = term {
                    terms[count] = term;
                    count += 1;
                }
            }
            nodes[to] = match &terms[..count] {
                [] => None,
                [only] => Some(*only),
                terms => Some(self.graph.add(Op::Add, terms)?),
            };
        }
        match nodes[NODES - 1] {
            Some(output) => Ok(output),
            None => self.zero(input, &mut zero),
        }
    }

    /// The cell's one zero in the shape of its input.
    fn zero(&mut self, input: NodeId, zero: &mut Option<NodeId>) -> Result<NodeId, GraphError> {
        let id = match *zero {
            Some(id) => id,
            None => self.add(Op::Zero, input)?,
        };
        *zero = Some(id);
        Ok(id)
    }

    fn edge(
        &mut self,
        from: NodeId,
        channels: u32,
        operation: Operation,
    ) -> Result<NodeId, GraphError> {
        match operation {
            Operation::None => self.add(Op::Zero, from),
            Operation::Skip => Ok(from),
            Operation::Conv1x1 => self.unit(from, channels, POINT),
            Operation::Conv3x3 => self.unit(from, channels, SQUARE),
            Operation::AvgPool3x3 => self.add(Op::AvgPool(SQUARE), from),
        }
    }

    /// The `ResNetBasicblock` of NATS-Bench with stride 2; its shortcut has no normalisation.
    pub(in crate::space) fn residual_block(
        &mut self,
        input: NodeId,
        channels: u32,
    ) -> Result<NodeId, GraphError> {
        let first = self.unit(input, channels, STRIDED_SQUARE)?;
        let second = self.unit(first, channels, SQUARE)?;
        let pooled = self.add(Op::AvgPool(HALVING), input)?;
        let shortcut = self.convolution(pooled, channels, POINT)?;
        self.graph.add(Op::Add, &[shortcut, second])
    }

    pub(in crate::space) fn classifier(
        mut self,
        last: NodeId,
        classes: u32,
    ) -> Result<Graph, GraphError> {
        let normalised = self.add(Op::BatchNorm, last)?;
        let active = self.add(Op::Relu, normalised)?;
        let pooled = self.add(Op::GlobalAvgPool, active)?;
        let logits = self.add(Op::Linear { out_features: classes, bias: true }, pooled)?;
        self.graph.finish(logits)
    }
}
