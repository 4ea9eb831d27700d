//! A network as a space-neutral, shape-checked graph of operations.
//!
//! Every search space lowers its genotypes to a [`Graph`]; the cost model, the canonical hash, the
//! libtorch executor, exports and drawings all read it. It must not know which space it came from
//! nor how an operation is executed.

mod build;
mod cost;
mod filters;
mod hash;
mod nn_mass;

pub use build::{MAX_EDGES, MAX_TOTAL};
pub use cost::{ADD_PICOJOULES, DRAM_PICOJOULES_PER_BYTE, MAC_PICOJOULES};
pub use filters::{FILTER_SIDE, FILTERS};
pub use hash::{CanonicalHash, ParseHashError};
pub use nn_mass::NothingToSkip;

use std::fmt;

use thiserror::Error;

/// The largest number of nodes a graph may have; protects every reader from absurd input.
pub const MAX_NODES: usize = 100_000;
/// The largest size of any channel, height, width or feature dimension.
pub const MAX_DIMENSION: u32 = 1 << 20;

/// The position of a node; inputs of a node always have smaller positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// The shape of one sample's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A feature map, channels x height x width.
    Map {
        /// Number of channels.
        channels: u32,
        /// Rows.
        height: u32,
        /// Columns.
        width: u32,
    },
    /// A vector of features.
    Vector {
        /// Number of features.
        features: u32,
    },
}

impl Shape {
    /// The number of values of one sample.
    #[must_use]
    pub fn elements(self) -> u64 {
        match self {
            Shape::Map { channels, height, width } => {
                u64::from(channels) * u64::from(height) * u64::from(width)
            }
            Shape::Vector { features } => u64::from(features),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Map { channels, height, width } => write!(f, "{channels}x{height}x{width}"),
            Shape::Vector { features } => write!(f, "{features}"),
        }
    }
}

/// A square sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Side length, at least 1.
    pub kernel: u32,
    /// Step, at least 1.
    pub stride: u32,
    /// Zero padding on each side.
    pub padding: u32,
}

/// What a node computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// The network's input; the first node and no other.
    Input,
    /// A 2-D convolution.
    Conv2d {
        /// Number of output channels.
        out_channels: u32,
        /// Kernel, stride and padding.
        window: Window,
        /// Spacing of the kernel's taps, at least 1.
        dilation: u32,
        /// Number of groups; divides the input and output channels.
        groups: u32,
        /// Whether a bias is added.
        bias: bool,
    },
    /// Batch normalisation with trainable scale and shift per channel.
    BatchNorm,
    /// The rectified linear unit.
    Relu,
    /// The logistic function.
    Sigmoid,
    /// The logistic function in three pieces, `min(max(x + 3, 0), 6) / 6` (Howard et al., ICCV 2019).
    HardSigmoid,
    /// `x * sigmoid(x)` (Elfwing et al., Neural Networks 2018).
    Silu,
    /// `x * hard_sigmoid(x)` (Howard et al., ICCV 2019).
    HardSwish,
    /// Average pooling that does not count padding.
    AvgPool(Window),
    /// Maximum pooling.
    MaxPool(Window),
    /// The mean of each channel: a map becomes a vector.
    GlobalAvgPool,
    /// The mean over channels at each place: a map of one channel.
    ChannelMean,
    /// The maximum over channels at each place: a map of one channel.
    ChannelMax,
    /// A map without its outer rows and columns.
    Crop {
        /// Rows left out at the top.
        top: u32,
        /// Rows left out at the bottom.
        bottom: u32,
        /// Columns left out at the left.
        left: u32,
        /// Columns left out at the right.
        right: u32,
    },
    /// The first channels of a map, the others cut off.
    FirstChannels {
        /// How many, at least 1 and at most as many as there are.
        channels: u32,
    },
    /// A map with each value repeated in a square (nearest-neighbour upsampling).
    Upsample {
        /// The side of that square, at least 1.
        factor: u32,
    },
    /// For each channel in turn its convolutions with [`FILTERS`], which are not trained; the sides
    /// are padded with zeros and stay.
    FilterBank,
    /// A map read as a vector, channel-major.
    Flatten,
    /// A fully connected layer.
    Linear {
        /// Number of outputs.
        out_features: u32,
        /// Whether a bias is added.
        bias: bool,
    },
    /// The sum of one or more inputs of equal shape.
    Add,
    /// The product of one or more inputs of equal shape; beside maps of several channels a map of
    /// one channel multiplies each of them, and a vector each channel by one of its features.
    Multiply,
    /// Scaled dot-product attention among the places of a map (Vaswani et al., NeurIPS 2017): inputs
    /// are queries, keys and values, maps of equal height and width, queries and keys of as many
    /// channels; the output has the channels of the values.
    Attention {
        /// The number of heads, which divides the channels of queries and of values.
        heads: u32,
    },
    /// Maps of equal height and width stacked along channels, in order.
    Concat,
    /// Zeros in the shape of the input: a cell's edge without a connection.
    Zero,
}

impl Op {
    /// The name used in drawings and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Conv2d { .. } => "conv2d",
            Op::BatchNorm => "batch_norm",
            Op::Relu => "relu",
            Op::Sigmoid => "sigmoid",
            Op::HardSigmoid => "hard_sigmoid",
            Op::Silu => "silu",
            Op::HardSwish => "hard_swish",
            Op::AvgPool(_) => "avg_pool",
            Op::MaxPool(_) => "max_pool",
            Op::GlobalAvgPool => "global_avg_pool",
            Op::ChannelMean => "channel_mean",
            Op::ChannelMax => "channel_max",
            Op::Crop { .. } => "crop",
            Op::FirstChannels { .. } => "first_channels",
            Op::Upsample { .. } => "upsample",
            Op::FilterBank => "filter_bank",
            Op::Flatten => "flatten",
            Op::Linear { .. } => "linear",
            Op::Add => "add",
            Op::Multiply => "multiply",
            Op::Attention { .. } => "attention",
            Op::Concat => "concat",
            Op::Zero => "zero",
        }
    }

    /// Whether it is a function of each value alone, of those put between weighted layers.
    #[must_use]
    pub fn is_activation(self) -> bool {
        matches!(self, Op::Relu | Op::Sigmoid | Op::HardSigmoid | Op::Silu | Op::HardSwish)
    }

    /// Whether the order of its inputs does not matter.
    fn is_commutative(self) -> bool {
        matches!(self, Op::Add | Op::Multiply)
    }
}

/// One operation with its inputs and the shape of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// Where its inputs come from, in order.
    pub inputs: Box<[NodeId]>,
    /// The shape of one sample's output.
    pub shape: Shape,
}

/// A graph that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// A node refers to a node that does not precede it.
    #[error("node {node} ({op}) reads node {input}, which does not come before it")]
    UnknownInput {
        /// The offending node's position.
        node: usize,
        /// Its operation.
        op: &'static str,
        /// The position it refers to.
        input: u32,
    },
    /// A node has the wrong number of inputs.
    #[error("node {node} ({op}) has {found} inputs, expected {expected}")]
    Arity {
        /// The offending node's position.
        node: usize,
        /// Its operation.
        op: &'static str,
        /// How many inputs it has.
        found: usize,
        /// How many it needs, in words.
        expected: &'static str,
    },
    /// An operation does not fit the shape of its input.
    #[error("node {node} ({op}) does not fit its input of shape {input}: {reason}")]
    Shape {
        /// The offending node's position.
        node: usize,
        /// Its operation.
        op: &'static str,
        /// The input's shape.
        input: Shape,
        /// What does not fit.
        reason: String,
    },
    /// The graph is larger than [`MAX_NODES`] or [`MAX_DIMENSION`] allow.
    #[error("the graph is too large: {what} {found} exceeds {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The input is missing from the first place or stands at another one.
    #[error("node {node}: the first node must be the input, and no other node may be")]
    MisplacedInput {
        /// The offending node's position.
        node: usize,
    },
    /// The output does not exist.
    #[error("the output refers to node {output}, but there are {nodes} nodes")]
    UnknownOutput {
        /// The position that was named.
        output: u32,
        /// The number of nodes.
        nodes: usize,
    },
}

/// A valid network: nodes in topological order, every shape inferred and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    nodes: Vec<Node>,
    output: NodeId,
}

impl Graph {
    /// All nodes in topological order; the first is the input.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node at `id`.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The node whose value the network returns.
    #[must_use]
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// The shape of one input sample.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// The shape of one output sample.
    #[must_use]
    pub fn output_shape(&self) -> Shape {
        self.node(self.output).shape
    }
}

/// Builds a [`Graph`] node by node, inferring and checking shapes as it goes.
#[derive(Debug)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
}
