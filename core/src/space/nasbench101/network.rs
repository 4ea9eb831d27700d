//! The networks of NAS-Bench-101 (Ying et al. 2019, section 2 and appendix S1): a stem, three stacks
//! of three cells, the sides halved and the channels doubled between stacks, and a classifier. It
//! must not know genes.

use crate::graph::{Graph, GraphBuilder, GraphError, NodeId, Op, Shape, Window};

/// Stacks, and the cells of each.
const STACKS: u32 = 3;
const CELLS: u32 = 3;

/// What an inner vertex computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vertex {
    /// A convolution of this kernel, batch normalisation, ReLU.
    Convolution(u32),
    /// Maximum pooling of 3 x 3.
    Pooling,
}

/// A cell: vertex 0 is the input, then the inner ones, the last is the output.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) inner: Vec<Vertex>,
    /// For each vertex from 1 on, the vertices that it reads, ascending.
    pub(super) sources: Vec<Vec<usize>>,
}

impl Cell {
    fn output(&self) -> usize {
        self.inner.len() + 1
    }

    fn reads(&self, vertex: usize, source: usize) -> bool {
        self.sources[vertex - 1].contains(&source)
    }

    /// The channels of each inner vertex, from vertex 1 on, in a cell of `output` channels: those
    /// that the output reads share its channels, the first of them one more each where the division
    /// leaves a rest; any other has as many as the widest vertex that reads it.
    fn channels(&self, output: u32) -> Vec<u32> {
        let last = self.output();
        let stacked = (1..last).filter(|vertex| self.reads(last, *vertex)).count() as u32;
        let (share, mut rest) =
            (output.checked_div(stacked).unwrap_or(0), output.checked_rem(stacked).unwrap_or(0));
        let mut channels = vec![0; last];
        for vertex in (1..last).filter(|vertex| self.reads(last, *vertex)) {
            channels[vertex] = share + u32::from(rest > 0);
            rest = rest.saturating_sub(1);
        }
        for vertex in (1..last).rev().filter(|vertex| !self.reads(last, *vertex)) {
            let readers = (vertex + 1..last).filter(|reader| self.reads(*reader, vertex));
            channels[vertex] = readers.map(|reader| channels[reader]).max().unwrap_or(0);
        }
        channels.split_off(1)
    }
}

/// The network of a cell on `input` (channels, height, width), `stem` channels wide at its beginning.
///
/// # Errors
/// [`GraphError`] if the sides are too small for two halvings.
pub(super) fn build(
    cell: &Cell,
    [channels, height, width]: [u32; 3],
    stem: u32,
    classes: u32,
) -> Result<Graph, GraphError> {
    let mut chain = Chain { graph: GraphBuilder::new(Shape::Map { channels, height, width }) };
    let mut last = chain.convolution(chain.graph.input(), stem, 3)?;
    for stack in 0..STACKS {
        if stack > 0 {
            last = chain.graph.add(Op::MaxPool(window(2, 2, 0)), &[last])?;
        }
        for _ in 0..CELLS {
            last = chain.cell(cell, last, stem << stack)?;
        }
    }
    let pooled = chain.graph.add(Op::GlobalAvgPool, &[last])?;
    let logits = chain.graph.add(Op::Linear { out_features: classes, bias: true }, &[pooled])?;
    chain.graph.finish(logits)
}

fn window(kernel: u32, stride: u32, padding: u32) -> Window {
    Window { kernel, stride, padding }
}

struct Chain {
    graph: GraphBuilder,
}

impl Chain {
    fn convolution(
        &mut self,
        from: NodeId,
        channels: u32,
        kernel: u32,
    ) -> Result<NodeId, GraphError> {
        let convolution = Op::Conv2d {
            out_channels: channels,
            window: window(kernel, 1, kernel / 2),
            dilation: 1,
            groups: 1,
            bias: false,
        };
        let convolved = self.graph.add(convolution, &[from])?;
        let normalised = self.graph.add(Op::BatchNorm, &[convolved])?;
        self.graph.add(Op::Relu, &[normalised])
    }

    fn cell(&mut self, cell: &Cell, input: NodeId, output: u32) -> Result<NodeId, GraphError> {
        let channels = cell.channels(output);
        let mut vertices = vec![input];
        for (vertex, operation) in (1..).zip(&cell.inner) {
            let width = channels[vertex - 1];
            let mut summands = Vec::new();
            for &source in &cell.sources[vertex - 1] {
                summands.push(match source {
                    // The input is projected wherever it is read.
                    0 => self.convolution(input, width, 1)?,
                    _ if channels[source - 1] == width => vertices[source],
                    _ => self
                        .graph
                        .add(Op::FirstChannels { channels: width }, &[vertices[source]])?,
                });
            }
            let sum = self.joined(Op::Add, &summands)?;
            vertices.push(match operation {
                Vertex::Convolution(kernel) => self.convolution(sum, width, *kernel)?,
                Vertex::Pooling => self.graph.add(Op::MaxPool(window(3, 1, 1)), &[sum])?,
            });
        }
        let sources = &cell.sources[cell.output() - 1];
        let inner = sources.iter().filter(|source| **source > 0);
        let stacked: Vec<NodeId> = inner.map(|source| vertices[*source]).collect();
        let mut summands = Vec::new();
        if !stacked.is_empty() {
            summands.push(self.joined(Op::Concat, &stacked)?);
        }
        if sources.contains(&0) {
            summands.push(self.convolution(input, output, 1)?);
        }
        self.joined(Op::Add, &summands)
    }

    /// The operation over several nodes, a single one as it is.
    fn joined(&mut self, op: Op, nodes: &[NodeId]) -> Result<NodeId, GraphError> {
        match nodes {
            [single] => Ok(*single),
            several => self.graph.add(op, several),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_shared_among_what_is_stacked_and_widest_at_its_readers() {
        let cell = Cell {
            inner: vec![Vertex::Pooling; 3],
            sources: vec![vec![0], vec![0], vec![1], vec![1, 2, 3]],
        };
        assert_eq!(cell.channels(128), [43, 43, 42]);
        let chain = Cell {
            inner: vec![Vertex::Pooling; 3],
            sources: vec![vec![0], vec![1], vec![1], vec![2, 3]],
        };
        assert_eq!(chain.channels(129), [65, 65, 64]);
        let direct = Cell { inner: vec![], sources: vec![vec![0]] };
        assert_eq!(direct.channels(128), [0u32; 0]);
    }
}
