//! The network of a declared space: a list of layers whose numbers are expressions over the genes,
//! and loops, choices, branches, cells and blocks of such layers.
//!
//! `read` takes it from a campaign, `build` gives the graph of a genotype. It must not know how
//! genotypes are drawn or varied.

mod build;
mod read;

#[cfg(test)]
mod tests;

pub(super) use read::read;

use crate::space::schema::{Expression, GraphGene, Type};

/// A checked declaration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    /// Channels, height and width of an image.
    input: [u32; 3],
    classes: u32,
    layers: Vec<Layer>,
    /// Where each layer stands in the declaration, by [`Layer::place`].
    places: Vec<Box<str>>,
    /// The declaration as a JSON value.
    written: serde_json::Value,
}

impl Network {
    /// The declaration as JSON, which [`read`] takes.
    pub(super) fn written(&self) -> &serde_json::Value {
        &self.written
    }
}

/// A layer and where it is declared.
#[derive(Debug, Clone, PartialEq)]
struct Layer {
    place: usize,
    kind: Kind,
}

/// What a layer does with the value that it reads.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// One operation with arguments in the order of [`Operation::arguments`].
    Apply(Operation, Vec<Option<Expression>>),
    /// The layers once for each copy of a repeat gene, of so many slots.
    ForCopies { of: Expression, slots: usize, body: Vec<Layer> },
    /// The layers so many times.
    ForTimes { times: Expression, body: Vec<Layer> },
    /// The layers of the arm whose name the value is.
    Choose { by: Expression, arms: Vec<(Box<str>, Vec<Layer>)> },
    /// The first layers if the condition holds, else the others.
    If { when: Expression, then: Vec<Layer>, otherwise: Vec<Layer> },
    /// Several branches from one value, summed or stacked along channels.
    Merge { stacked: bool, branches: Vec<Vec<Layer>> },
    /// A graph of layers; `operations` in the order of the gene's labels.
    Cell { graph: GraphGene, operations: Vec<Vec<Layer>>, stacked: bool },
    /// The layers of a block, which know its arguments.
    Block { arguments: Vec<Expression>, body: Vec<Layer> },
}

/// An operation of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Convolution,
    BatchNorm,
    Relu,
    AveragePool,
    MaximumPool,
    GlobalPool,
    Flatten,
    Linear,
    Zero,
}

/// Every operation by its name.
const OPERATIONS: [(&str, Operation); 9] = [
    ("conv", Operation::Convolution),
    ("batch_norm", Operation::BatchNorm),
    ("relu", Operation::Relu),
    ("avg_pool", Operation::AveragePool),
    ("max_pool", Operation::MaximumPool),
    ("global_pool", Operation::GlobalPool),
    ("flatten", Operation::Flatten),
    ("linear", Operation::Linear),
    ("zero", Operation::Zero),
];

/// The layers that hold layers.
const STRUCTURES: [&str; 7] = ["for", "choose", "if", "residual", "sum", "concat", "cell"];

impl Operation {
    /// The arguments that it takes, each with the type of its value.
    fn arguments(self) -> &'static [(&'static str, Type)] {
        match self {
            Self::Convolution => &[
                ("channels", Type::Number),
                ("kernel", Type::Number),
                ("stride", Type::Number),
                ("padding", Type::Number),
                ("dilation", Type::Number),
                ("groups", Type::Number),
                ("bias", Type::Boolean),
            ],
            Self::AveragePool | Self::MaximumPool => {
                &[("kernel", Type::Number), ("stride", Type::Number), ("padding", Type::Number)]
            }
            Self::Linear => &[("features", Type::Number), ("bias", Type::Boolean)],
            _ => &[],
        }
    }
}
