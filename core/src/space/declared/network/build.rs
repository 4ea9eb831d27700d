//! The graph of one genotype. It must not know how a declaration is written.
//!
//! A value that is zeros everywhere becomes a node only where an operation reads it: it adds nothing to
//! a sum, so that networks are the same whether a cell's edge is left out or carries zeros.

use std::collections::BTreeMap;

use super::{Kind, Layer, Merging, Network, Operation};
use crate::graph::{Graph, GraphBuilder, GraphError, NodeId, Op, Shape, Window};
use crate::space::schema::{Environment, Expression, GraphGene, Locals, Wiring};
use crate::space::{Genotype, Schema};

/// The most layers of one network, loops unrolled, without nodes or with.
const MAX_STEPS: u32 = 1_000_000;

/// Why a genotype has no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub(in crate::space::declared) struct Failure {
    /// The layer, by its number in the declaration, if it is one's.
    pub(super) layer: Option<usize>,
    place: Box<str>,
    pub(super) reason: String,
}

/// What a layer reads and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Node(NodeId),
    /// Zeros in the shape of a node.
    Zeros(NodeId),
}

impl Network {
    /// The network of a genotype of `schema`.
    ///
    /// # Errors
    /// [`Failure`] at the layer that cannot be built.
    pub(in crate::space::declared) fn build(
        &self,
        schema: &Schema,
        genotype: &Genotype,
    ) -> Result<Graph, Failure> {
        let [channels, height, width] = self.input;
        let graph = GraphBuilder::new(Shape::Map { channels, height, width });
        let input = Value::Node(graph.input());
        let mut building = Building {
            environment: schema.environment(genotype),
            graph,
            zeros: BTreeMap::new(),
            classes: self.classes,
            steps: 0,
        };
        let mut locals = building.globals();
        let failed = |(layer, reason): (Option<usize>, String)| {
            let place = layer.and_then(|layer| self.places.get(layer)).cloned();
            Failure { layer, place: place.unwrap_or_else(|| "network".into()), reason }
        };
        let output = building.sequence(&self.layers, input, &mut locals).map_err(failed)?;
        let output = building.node(output).map_err(|error| failed((None, error.to_string())))?;
        let shape = building.graph.shape(output);
        if shape != Some(Shape::Vector { features: self.classes }) {
            let found = shape.map(|shape| shape.to_string()).unwrap_or_default();
            let reason = format!(
                "it ends in an output of shape {found}, but there are {} classes",
                self.classes
            );
            return Err(failed((None, reason)));
        }
        building.graph.finish(output).map_err(|error| failed((None, error.to_string())))
    }
}

type Built<T> = Result<T, (Option<usize>, String)>;

struct Building<'a> {
    environment: Environment<'a>,
    graph: GraphBuilder,
    zeros: BTreeMap<NodeId, NodeId>,
    classes: u32,
    steps: u32,
}

impl<'a> Building<'a> {
    /// What is known everywhere: `classes` and, by another way than its value, `input`.
    fn globals(&self) -> Locals<'a> {
        let mut locals = Locals::default();
        locals.push_number(self.classes.into());
        locals.push_number(0);
        locals
    }

    fn sequence(
        &mut self,
        layers: &'a [Layer],
        input: Value,
        locals: &mut Locals<'a>,
    ) -> Built<Value> {
        layers.iter().try_fold(input, |value, layer| self.layer(layer, value, locals))
    }

    fn count_step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(format!("the network has more than {MAX_STEPS} layers"));
        }
        Ok(())
    }

    fn layer(&mut self, layer: &'a Layer, input: Value, locals: &mut Locals<'a>) -> Built<Value> {
        let here = |reason: String| (Some(layer.place), reason);
        self.count_step().map_err(here)?;
        let shape = self.shape(input);
        match &layer.kind {
            Kind::Apply(Operation::Zero, _) => Ok(Value::Zeros(match input {
                Value::Node(node) | Value::Zeros(node) => node,
            })),
            Kind::Apply(operation, arguments) => {
                let arguments = Arguments { building: self, arguments, locals, shape };
                let op = operation.op(&arguments).map_err(here)?;
                let added = self.node(input).and_then(|node| self.graph.add(op, &[node]));
                added.map(Value::Node).map_err(|error| here(error.to_string()))
            }
            Kind::ForCopies { of, slots, body } => {
                let copies = self.environment.copies(of, *slots, locals).map_err(here)?;
                copies.into_iter().enumerate().try_fold(input, |value, (nth, base)| {
                    locals.push_copy(nth, base);
                    self.round(body, value, locals)
                })
            }
            Kind::ForTimes { times, body } => {
                let times = self.environment.count(times, locals, shape).map_err(here)?;
                (0..times).try_fold(input, |value, nth| {
                    // Empty rounds count, so that a huge number of them ends as well.
                    self.count_step().map_err(here)?;
                    locals.push_number(nth.into());
                    self.round(body, value, locals)
                })
            }
            Kind::Choose { by, arms } => {
                let name = self.environment.text(by, locals, shape).map_err(here)?;
                let arm = arms.iter().find(|(arm, _)| **arm == *name);
                let (_, layers) = arm.ok_or_else(|| here(format!("there is no arm `{name}`")))?;
                self.sequence(layers, input, locals)
            }
            Kind::If { when, then, otherwise } => {
                let holds = self.environment.truth(when, locals, shape).map_err(here)?;
                self.sequence(if holds { then } else { otherwise }, input, locals)
            }
            Kind::Merge { how, branches } => {
                let values = self.branches(branches, input, locals)?;
                self.merge(*how, &values).map_err(|error| here(error.to_string()))
            }
            Kind::Attention { heads, branches } => {
                let heads = heads
                    .as_ref()
                    .map_or(Ok(1), |heads| self.environment.count(heads, locals, shape));
                let heads = heads.map_err(|reason| here(format!("heads: {reason}")))?;
                let values = self.branches(branches, input, locals)?;
                self.attention(heads, values).map_err(|error| here(error.to_string()))
            }
            Kind::Cell { graph, operations, stacked } => {
                self.cell(layer.place, graph, operations, *stacked, input, locals)
            }
            Kind::Block { arguments, body } => {
                let known = self.globals();
                let inside = self.environment.arguments(known, arguments, locals, shape);
                self.sequence(body, input, &mut inside.map_err(here)?)
            }
        }
    }

    /// One round of a loop, for which a local has been pushed.
    fn round(&mut self, body: &'a [Layer], input: Value, locals: &mut Locals<'a>) -> Built<Value> {
        let built = self.sequence(body, input, locals);
        locals.pop();
        built
    }

    fn attention(&mut self, heads: u32, values: Vec<Value>) -> Result<Value, GraphError> {
        let nodes: Result<Vec<NodeId>, _> =
            values.into_iter().map(|value| self.node(value)).collect();
        self.graph.add(Op::Attention { heads }, &nodes?).map(Value::Node)
    }

    fn branches(
        &mut self,
        branches: &'a [Vec<Layer>],
        input: Value,
        locals: &mut Locals<'a>,
    ) -> Built<Vec<Value>> {
        branches.iter().map(|branch| self.sequence(branch, input, locals)).collect()
    }

    fn cell(
        &mut self,
        place: usize,
        graph: &'a GraphGene,
        operations: &'a [Vec<Layer>],
        stacked: bool,
        input: Value,
        locals: &mut Locals<'a>,
    ) -> Built<Value> {
        let here = |reason: String| (Some(place), reason);
        let wiring = self.environment.wiring(graph, locals).map_err(here)?;
        let mut nodes = vec![input];
        match wiring {
            Wiring::Edges(incoming) => {
                for labels in incoming {
                    let mut values = Vec::with_capacity(labels.len());
                    for (source, label) in labels.into_iter().enumerate() {
                        values.push(self.sequence(&operations[label], nodes[source], locals)?);
                    }
                    nodes.push(self.merge(Merging::Sum, &values).map_err(|e| here(e.to_string()))?);
                }
            }
            Wiring::Nodes(incoming) => {
                for (sources, label) in incoming {
                    let values: Vec<Value> = sources.iter().map(|source| nodes[*source]).collect();
                    // Only what the output reads may be stacked: an inner node is a sum.
                    let stacks = stacked && label.is_none();
                    let how = if stacks { Merging::Stack } else { Merging::Sum };
                    let merged = self.merge(how, &values);
                    let merged = merged.map_err(|error| here(error.to_string()))?;
                    nodes.push(match label {
                        Some(label) => self.sequence(&operations[label], merged, locals)?,
                        None => merged,
                    });
                }
            }
        }
        Ok(nodes.pop().unwrap_or(input))
    }

    /// Values as one.
    fn merge(&mut self, how: Merging, values: &[Value]) -> Result<Value, GraphError> {
        let mut nodes = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Value::Zeros(_) if how == Merging::Sum => {}
                value => nodes.push(self.node(*value)?),
            }
        }
        match (nodes.as_slice(), values) {
            ([], [first, ..]) => Ok(*first),
            ([one], _) => Ok(Value::Node(*one)),
            (nodes, _) => {
                let op = match how {
                    Merging::Sum => Op::Add,
                    Merging::Product => Op::Multiply,
                    Merging::Stack => Op::Concat,
                };
                self.graph.add(op, nodes).map(Value::Node)
            }
        }
    }

    /// The node that holds a value.
    fn node(&mut self, value: Value) -> Result<NodeId, GraphError> {
        let like = match value {
            Value::Node(node) => return Ok(node),
            Value::Zeros(like) => like,
        };
        if let Some(&zeros) = self.zeros.get(&like) {
            return Ok(zeros);
        }
        let zeros = self.graph.add(Op::Zero, &[like])?;
        self.zeros.insert(like, zeros);
        Ok(zeros)
    }

    fn shape(&self, value: Value) -> Option<Shape> {
        match value {
            Value::Node(node) | Value::Zeros(node) => self.graph.shape(node),
        }
    }
}

/// The arguments of an operation in one place of a network.
struct Arguments<'b, 'a> {
    building: &'b Building<'a>,
    arguments: &'a [Option<Expression>],
    locals: &'b Locals<'a>,
    shape: Option<Shape>,
}

impl Arguments<'_, '_> {
    /// The number at this position of [`Operation::arguments`], if it is given.
    fn count(&self, operation: Operation, nth: usize) -> Result<Option<u32>, String> {
        let Some(expression) = &self.arguments[nth] else { return Ok(None) };
        let count = self.building.environment.count(expression, self.locals, self.shape);
        count.map(Some).map_err(|reason| format!("{}: {reason}", operation.arguments()[nth].0))
    }

    fn truth(&self, nth: usize) -> Result<Option<bool>, String> {
        let Some(expression) = &self.arguments[nth] else { return Ok(None) };
        self.building.environment.truth(expression, self.locals, self.shape).map(Some)
    }
}

impl Operation {
    fn op(self, given: &Arguments<'_, '_>) -> Result<Op, String> {
        let count = |nth| given.count(self, nth);
        Ok(match self {
            Self::Convolution => {
                let channels = match given.shape {
                    Some(Shape::Map { channels, .. }) => channels,
                    _ => 1,
                };
                let kernel = count(1)?.unwrap_or(3);
                let dilation = count(4)?.unwrap_or(1);
                // Odd windows keep the sides at stride 1.
                let same = dilation.saturating_mul(kernel.saturating_sub(1)) / 2;
                let (stride, padding) = (count(2)?.unwrap_or(1), count(3)?.unwrap_or(same));
                Op::Conv2d {
                    out_channels: count(0)?.unwrap_or(channels),
                    window: Window { kernel, stride, padding },
                    dilation,
                    groups: count(5)?.unwrap_or(1),
                    bias: given.truth(6)?.unwrap_or(false),
                }
            }
            Self::AveragePool => Op::AvgPool(self.window(given)?),
            Self::MaximumPool => Op::MaxPool(self.window(given)?),
            Self::Linear => Op::Linear {
                out_features: count(0)?.unwrap_or(given.building.classes),
                bias: given.truth(1)?.unwrap_or(true),
            },
            Self::BatchNorm => Op::BatchNorm,
            Self::Relu => Op::Relu,
            Self::Sigmoid => Op::Sigmoid,
            Self::HardSigmoid => Op::HardSigmoid,
            Self::Silu => Op::Silu,
            Self::HardSwish => Op::HardSwish,
            Self::ChannelMean => Op::ChannelMean,
            Self::ChannelMaximum => Op::ChannelMax,
            Self::Crop => {
                let cut = |nth| Ok::<u32, String>(count(nth)?.unwrap_or(0));
                Op::Crop { top: cut(0)?, bottom: cut(1)?, left: cut(2)?, right: cut(3)? }
            }
            Self::FirstChannels => Op::FirstChannels { channels: count(0)?.unwrap_or(1) },
            Self::Upsample => Op::Upsample { factor: count(0)?.unwrap_or(2) },
            Self::FilterBank => Op::FilterBank,
            Self::GlobalPool => Op::GlobalAvgPool,
            Self::Flatten => Op::Flatten,
            Self::Zero => Op::Zero,
        })
    }

    fn window(self, given: &Arguments<'_, '_>) -> Result<Window, String> {
        let kernel = given.count(self, 0)?.unwrap_or(2);
        let stride = given.count(self, 1)?.unwrap_or(kernel);
        Ok(Window { kernel, stride, padding: given.count(self, 2)?.unwrap_or(0) })
    }
}
