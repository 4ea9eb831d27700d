//! Networks. Shapes of inner nodes never travel: the reader infers and checks them anew, so a
//! graph from the wire is as valid as one from a search space. Must not know spaces or genotypes.

use cambrian_core::graph::{
    Graph, GraphBuilder, GraphError, MAX_EDGES, MAX_NODES, NodeId, Op, Shape, Window,
};

use super::{ConvertError, Within, list, required};
use crate::v1;

impl From<Shape> for v1::Shape {
    fn from(shape: Shape) -> Self {
        let dimensions = match shape {
            Shape::Map { channels, height, width } => vec![channels, height, width],
            Shape::Vector { features } => vec![features],
        };
        Self { dimensions }
    }
}

impl TryFrom<v1::Shape> for Shape {
    type Error = ConvertError;

    fn try_from(message: v1::Shape) -> Result<Self, ConvertError> {
        match message.dimensions[..] {
            [channels, height, width] => Ok(Shape::Map { channels, height, width }),
            [features] => Ok(Shape::Vector { features }),
            _ => Err(ConvertError::new(
                "dimensions",
                format!(
                    "has {} entries, expected 3 (channels, height, width) or 1 (features)",
                    message.dimensions.len()
                ),
            )),
        }
    }
}

impl From<Window> for v1::Window {
    fn from(Window { kernel, stride, padding }: Window) -> Self {
        Self { kernel, stride, padding }
    }
}

impl From<v1::Window> for Window {
    /// Bounds are checked where the window meets a shape, in the graph's builder.
    fn from(v1::Window { kernel, stride, padding }: v1::Window) -> Self {
        Self { kernel, stride, padding }
    }
}

impl From<Op> for v1::node::Op {
    fn from(op: Op) -> Self {
        use v1::node::Op as Message;
        match op {
            Op::Input => Message::Input(v1::Unit {}),
            Op::Conv2d { out_channels, window, dilation, groups, bias } => {
                let window = Some(window.into());
                Message::Conv2d(v1::Conv2d { out_channels, window, dilation, groups, bias })
            }
            Op::BatchNorm => Message::BatchNorm(v1::Unit {}),
            Op::Relu => Message::Relu(v1::Unit {}),
            Op::AvgPool(window) => Message::AvgPool(window.into()),
            Op::MaxPool(window) => Message::MaxPool(window.into()),
            Op::GlobalAvgPool => Message::GlobalAvgPool(v1::Unit {}),
            Op::Flatten => Message::Flatten(v1::Unit {}),
            Op::Linear { out_features, bias } => Message::Linear(v1::Linear { out_features, bias }),
            Op::Add => Message::Add(v1::Unit {}),
            Op::Concat => Message::Concat(v1::Unit {}),
            Op::Zero => Message::Zero(v1::Unit {}),
            Op::Crop { top, bottom, left, right } => {
                Message::Crop(v1::Crop { top, bottom, left, right })
            }
            Op::Sigmoid => Message::Sigmoid(v1::Unit {}),
            Op::HardSigmoid => Message::HardSigmoid(v1::Unit {}),
            Op::Silu => Message::Silu(v1::Unit {}),
            Op::HardSwish => Message::HardSwish(v1::Unit {}),
            Op::Multiply => Message::Multiply(v1::Unit {}),
            Op::ChannelMean => Message::ChannelMean(v1::Unit {}),
            Op::ChannelMax => Message::ChannelMax(v1::Unit {}),
            Op::Attention { heads } => Message::Attention(v1::Attention { heads }),
            Op::FilterBank => Message::FilterBank(v1::Unit {}),
            Op::Upsample { factor } => Message::Upsample(v1::Upsample { factor }),
            Op::FirstChannels { channels } => {
                Message::FirstChannels(v1::FirstChannels { channels })
            }
        }
    }
}

impl TryFrom<v1::node::Op> for Op {
    type Error = ConvertError;

    fn try_from(message: v1::node::Op) -> Result<Self, ConvertError> {
        use v1::node::Op as Message;
        Ok(match message {
            Message::Input(_) => Op::Input,
            Message::Conv2d(v1::Conv2d { out_channels, window, dilation, groups, bias }) => {
                let window = required("window", window).within("conv2d")?.into();
                Op::Conv2d { out_channels, window, dilation, groups, bias }
            }
            Message::BatchNorm(_) => Op::BatchNorm,
            Message::Relu(_) => Op::Relu,
            Message::AvgPool(window) => Op::AvgPool(window.into()),
            Message::MaxPool(window) => Op::MaxPool(window.into()),
            Message::GlobalAvgPool(_) => Op::GlobalAvgPool,
            Message::Flatten(_) => Op::Flatten,
            Message::Linear(v1::Linear { out_features, bias }) => Op::Linear { out_features, bias },
            Message::Add(_) => Op::Add,
            Message::Concat(_) => Op::Concat,
            Message::Zero(_) => Op::Zero,
            Message::Crop(v1::Crop { top, bottom, left, right }) => {
                Op::Crop { top, bottom, left, right }
            }
            Message::Sigmoid(_) => Op::Sigmoid,
            Message::HardSigmoid(_) => Op::HardSigmoid,
            Message::Silu(_) => Op::Silu,
            Message::HardSwish(_) => Op::HardSwish,
            Message::Multiply(_) => Op::Multiply,
            Message::ChannelMean(_) => Op::ChannelMean,
            Message::ChannelMax(_) => Op::ChannelMax,
            Message::Attention(v1::Attention { heads }) => Op::Attention { heads },
            Message::FilterBank(_) => Op::FilterBank,
            Message::Upsample(v1::Upsample { factor }) => Op::Upsample { factor },
            Message::FirstChannels(v1::FirstChannels { channels }) => {
                Op::FirstChannels { channels }
            }
        })
    }
}

impl From<&Graph> for v1::Graph {
    fn from(graph: &Graph) -> Self {
        let node = |node: &cambrian_core::graph::Node| v1::Node {
            inputs: node.inputs.iter().map(|input| input.0).collect(),
            op: Some(node.op.into()),
        };
        Self {
            input: Some(graph.input_shape().into()),
            nodes: graph.nodes().iter().map(node).collect(),
            output: graph.output().0,
        }
    }
}

impl TryFrom<v1::Graph> for Graph {
    type Error = ConvertError;

    fn try_from(message: v1::Graph) -> Result<Self, ConvertError> {
        let input = Shape::try_from(required("input", message.input)?).within("input")?;
        list("nodes", message.nodes.len(), MAX_NODES)?;
        let mut nodes = message.nodes.into_iter().enumerate();
        match nodes.next() {
            Some((_, v1::Node { op: Some(v1::node::Op::Input(_)), inputs }))
                if inputs.is_empty() => {}
            _ => {
                return Err(ConvertError::new("nodes[0]", "must be the input, without inputs"));
            }
        }
        let mut builder = GraphBuilder::new(input);
        for (position, node) in nodes {
            add(&mut builder, node).within_entry("nodes", position)?;
        }
        builder.finish(NodeId(message.output)).map_err(|error| match error {
            GraphError::UnknownOutput { .. } => ConvertError::new("output", error.to_string()),
            _ => ConvertError::new("", error.to_string()),
        })
    }
}

fn add(builder: &mut GraphBuilder, node: v1::Node) -> Result<(), ConvertError> {
    let op = Op::try_from(required("op", node.op)?)?;
    list("inputs", node.inputs.len(), MAX_EDGES)?;
    let inputs: Vec<NodeId> = node.inputs.into_iter().map(NodeId).collect();
    builder.add(op, &inputs).map_err(|error| match error {
        GraphError::UnknownInput { .. } | GraphError::Arity { .. } => {
            ConvertError::new("inputs", error.to_string())
        }
        _ => ConvertError::new(op.name(), error.to_string()),
    })?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::bad_field;
    use super::*;
    use proptest::prelude::*;

    fn window() -> impl Strategy<Value = Window> {
        (1u32..4, 1u32..3, 0u32..2).prop_map(|(kernel, stride, padding)| Window {
            kernel,
            stride,
            padding,
        })
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1u32..9, window(), 1u32..3, 1u32..3, any::<bool>()).prop_map(
                |(out_channels, window, dilation, groups, bias)| Op::Conv2d {
                    out_channels,
                    window,
                    dilation,
                    groups,
                    bias
                }
            ),
            Just(Op::BatchNorm),
            Just(Op::Relu),
            window().prop_map(Op::AvgPool),
            window().prop_map(Op::MaxPool),
            Just(Op::GlobalAvgPool),
            Just(Op::Flatten),
            (1u32..20, any::<bool>())
                .prop_map(|(out_features, bias)| Op::Linear { out_features, bias }),
            Just(Op::Add),
            Just(Op::Concat),
            Just(Op::Zero),
            (0u32..3, 0u32..3, 0u32..3, 0u32..3).prop_map(|(top, bottom, left, right)| Op::Crop {
                top,
                bottom,
                left,
                right
            }),
            Just(Op::Sigmoid),
            Just(Op::HardSigmoid),
            Just(Op::Silu),
            Just(Op::HardSwish),
            Just(Op::Multiply),
            Just(Op::ChannelMean),
            Just(Op::ChannelMax),
            (1u32..3).prop_map(|heads| Op::Attention { heads }),
            Just(Op::FilterBank),
            (1u32..3).prop_map(|factor| Op::Upsample { factor }),
            (1u32..3).prop_map(|channels| Op::FirstChannels { channels }),
        ]
    }

    /// Any valid graph: operations that do not fit where they were drawn are left out.
    pub(crate) fn any_graph() -> impl Strategy<Value = Graph> {
        let input = prop_oneof![
            Just(Shape::Map { channels: 4, height: 8, width: 9 }),
            Just(Shape::Vector { features: 6 }),
        ];
        let nodes = proptest::collection::vec((op(), any::<u32>(), any::<u32>(), 1usize..4), 0..25);
        (input, nodes, any::<u32>()).prop_map(|(input, nodes, output)| {
            let mut builder = GraphBuilder::new(input);
            let mut count = 1;
            for (op, first, second, inputs) in nodes {
                let [first, second] = [first, second].map(|input| NodeId(input % count));
                let inputs = &[first, second, first][..inputs];
                count += u32::from(builder.add(op, inputs).is_ok());
            }
            builder.finish(NodeId(output % count)).unwrap()
        })
    }

    fn message() -> v1::Graph {
        let mut builder = GraphBuilder::new(Shape::Map { channels: 3, height: 8, width: 8 });
        let window = Window { kernel: 3, stride: 1, padding: 1 };
        let conv2d = Op::Conv2d { out_channels: 4, window, dilation: 1, groups: 1, bias: false };
        let conv = builder.add(conv2d, &[NodeId(0)]).unwrap();
        let relu = builder.add(Op::Relu, &[conv]).unwrap();
        let pool = builder.add(Op::AvgPool(window), &[relu]).unwrap();
        let sum = builder.add(Op::Add, &[relu, pool]).unwrap();
        v1::Graph::from(&builder.finish(sum).unwrap())
    }

    fn bad(change: impl FnOnce(&mut v1::Graph)) -> String {
        let mut message = message();
        change(&mut message);
        bad_field(Graph::try_from(message))
    }

    proptest! {
        #[test]
        fn graphs_round_trip(graph in any_graph()) {
            prop_assert_eq!(Graph::try_from(v1::Graph::from(&graph)), Ok(graph));
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        assert_eq!(bad(|graph| graph.input = None), "input");
        assert_eq!(bad(|graph| graph.input = Some(v1::Shape::default())), "input.dimensions");
        assert_eq!(bad(|graph| graph.nodes.clear()), "nodes[0]");
        assert_eq!(bad(|graph| graph.nodes[0].inputs.push(0)), "nodes[0]");
        assert_eq!(bad(|graph| graph.nodes[2].op = None), "nodes[2].op");
        assert_eq!(bad(|graph| graph.nodes[2].inputs = vec![2]), "nodes[2].inputs");
        assert_eq!(bad(|graph| graph.nodes[2].inputs.clear()), "nodes[2].inputs");
        assert_eq!(bad(|graph| graph.output = 9), "output");
        let second_input = |graph: &mut v1::Graph| {
            graph.nodes[2].op = Some(v1::node::Op::Input(v1::Unit {}));
        };
        assert_eq!(bad(second_input), "nodes[2].input");
        let no_window = |graph: &mut v1::Graph| {
            graph.nodes[1].op = Some(v1::node::Op::Conv2d(v1::Conv2d::default()));
        };
        assert_eq!(bad(no_window), "nodes[1].conv2d.window");
        let no_stride = |graph: &mut v1::Graph| {
            let window = v1::Window { kernel: 3, stride: 0, padding: 1 };
            graph.nodes[3].op = Some(v1::node::Op::AvgPool(window));
        };
        assert_eq!(bad(no_stride), "nodes[3].avg_pool");
        let no_heads = |graph: &mut v1::Graph| {
            graph.nodes[3].inputs = vec![2, 2, 2];
            graph.nodes[3].op = Some(v1::node::Op::Attention(v1::Attention { heads: 0 }));
        };
        assert_eq!(bad(no_heads), "nodes[3].attention");
        let nothing_left = |graph: &mut v1::Graph| {
            let crop = v1::Crop { top: 8, ..v1::Crop::default() };
            graph.nodes[3].op = Some(v1::node::Op::Crop(crop));
        };
        assert_eq!(bad(nothing_left), "nodes[3].crop");
        let no_factor = |graph: &mut v1::Graph| {
            graph.nodes[3].op = Some(v1::node::Op::Upsample(v1::Upsample { factor: 0 }));
        };
        assert_eq!(bad(no_factor), "nodes[3].upsample");
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let nodes = |graph: &mut v1::Graph| {
            let relu = v1::Node { inputs: vec![0], op: Some(v1::node::Op::Relu(v1::Unit {})) };
            graph.nodes.resize(MAX_NODES + 1, relu);
        };
        assert_eq!(bad(nodes), "nodes");
        let wide = |graph: &mut v1::Graph| {
            graph.input = Some(v1::Shape { dimensions: vec![u32::MAX; 3] });
        };
        assert!(!bad(wide).is_empty());
    }
}
