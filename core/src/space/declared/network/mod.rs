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
    /// Several branches from one value, put together.
    Merge { how: Merging, branches: Vec<Vec<Layer>> },
    /// Attention of queries, keys and values, the branches from one value.
    Attention { heads: Option<Expression>, branches: [Vec<Layer>; 3] },
    /// A graph of layers; `operations` in the order of the gene's labels.
    Cell { graph: GraphGene, operations: Vec<Vec<Layer>>, stacked: bool },
    /// The layers of a block, which know its arguments.
    Block { arguments: Vec<Expression>, body: Vec<Layer> },
}

/// How the results of branches become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merging {
    Sum,
    Product,
    /// Stacked along channels.
    Stack,
}

/// An operation of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Convolution,
    BatchNorm,
    Relu,
    Sigmoid,
    HardSigmoid,
    Silu,
    HardSwish,
    AveragePool,
    MaximumPool,
    GlobalPool,
    ChannelMean,
    ChannelMaximum,
    Crop,
    FirstChannels,
    Upsample,
    FilterBank,
    Flatten,
    Linear,
    Zero,
}

/// Every operation by its name.
const OPERATIONS: [(&str, Operation); 19] = [
    ("conv", Operation::Convolution),
    ("batch_norm", Operation::BatchNorm),
    ("relu", Operation::Relu),
    ("sigmoid", Operation::Sigmoid),
    ("hard_sigmoid", Operation::HardSigmoid),
    ("silu", Operation::Silu),
    ("hard_swish", Operation::HardSwish),
    ("avg_pool", Operation::AveragePool),
    ("max_pool", Operation::MaximumPool),
    ("global_pool", Operation::GlobalPool),
    ("channel_mean", Operation::ChannelMean),
    ("channel_max", Operation::ChannelMaximum),
    ("crop", Operation::Crop),
    ("first_channels", Operation::FirstChannels),
    ("upsample", Operation::Upsample),
    ("filter_bank", Operation::FilterBank),
    ("flatten", Operation::Flatten),
    ("linear", Operation::Linear),
    ("zero", Operation::Zero),
];

/// The layers that hold layers.
const STRUCTURES: [&str; 9] =
    ["for", "choose", "if", "residual", "sum", "product", "concat", "attention", "cell"];

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
            Self::Crop => &[
                ("top", Type::Number),
                ("bottom", Type::Number),
                ("left", Type::Number),
                ("right", Type::Number),
            ],
            Self::FirstChannels => &[("channels", Type::Number)],
            Self::Upsample => &[("factor", Type::Number)],
            _ => &[],
        }
    }
}
