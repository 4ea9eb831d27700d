//! Which nodes of a graph are executed, in which order, and when each value can be freed.
//!
//! Knows the graph alone; must not know tensors.

use cambrian_core::graph::{Graph, NodeId, Op, Shape};

/// One node to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) node: NodeId,
    pub(super) op: Op,
    /// Positions of earlier steps; empty for the input and for values that are zeros by
    /// construction.
    pub(super) inputs: Vec<usize>,
    pub(super) shape: Shape,
    /// Steps whose values are not needed once this one is computed.
    pub(super) frees: Vec<usize>,
}

/// The steps in order; the last one computes the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
}

impl Plan {
    pub(super) fn new(graph: &Graph) -> Self {
        let inputs = effective_inputs(graph);
        let live = live(graph, &inputs);
        let mut step_of = vec![usize::MAX; graph.nodes().len()];
        let mut steps: Vec<Step> = Vec::new();
        for (position, node) in graph.nodes().iter().enumerate() {
            if !live[position] {
                continue;
            }
            step_of[position] = steps.len();
            steps.push(Step {
                node: NodeId(position as u32),
                op: node.op,
                inputs: inputs[position].iter().map(|&input| step_of[input]).collect(),
                shape: node.shape,
                frees: Vec::new(),
            });
        }
        let mut last_use: Vec<usize> = (0..steps.len()).collect();
        for (position, step) in steps.iter().enumerate() {
            for &input in &step.inputs {
                last_use[input] = position;
            }
        }
        for (value, &at) in last_use.iter().enumerate() {
            if at != value {
                steps[at].frees.push(value);
            }
        }
        Self { steps }
    }
}

/// The inputs that matter to each node: none where its value is zeros whatever they are (a product with
/// zeros is), and of a sum those that are not zeros by construction.
fn effective_inputs(graph: &Graph) -> Vec<Vec<usize>> {
    let mut zero = vec![false; graph.nodes().len()];
    let mut inputs = Vec::with_capacity(zero.len());
    for (position, node) in graph.nodes().iter().enumerate() {
        let sources = node.inputs.iter().map(|id| id.0 as usize);
        let effective: Vec<usize> = match node.op {
            Op::Zero => Vec::new(),
            Op::Add => sources.filter(|&source| !zero[source]).collect(),
            Op::Multiply if node.inputs.iter().any(|id| zero[id.0 as usize]) => Vec::new(),
            _ => sources.collect(),
        };
        zero[position] = effective.is_empty() && node.op != Op::Input;
        inputs.push(effective);
    }
    inputs
}

fn live(graph: &Graph, inputs: &[Vec<usize>]) -> Vec<bool> {
    let mut live = vec![false; inputs.len()];
    let output = graph.output().0 as usize;
    live[output] = true;
    for position in (0..=output).rev() {
        if live[position] {
            for &input in &inputs[position] {
                live[input] = true;
            }
        }
    }
    live
}
