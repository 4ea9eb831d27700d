//! Building graphs: inferred shapes, refused nodes, and random operations that must never panic.

use proptest::prelude::*;

use super::*;

const SQUARE: Window = Window { kernel: 3, stride: 1, padding: 1 };

fn map(channels: u32, height: u32, width: u32) -> Shape {
    Shape::Map { channels, height, width }
}

fn convolution(out_channels: u32, window: Window) -> Op {
    Op::Conv2d { out_channels, window, dilation: 1, groups: 1, bias: false }
}

/// The shape or error of one operation on an input of one shape.
fn applied(op: Op, input: Shape) -> Result<Shape, GraphError> {
    let mut builder = GraphBuilder::new(input);
    let id = builder.add(op, &[builder.input()])?;
    let graph = builder.finish(id)?;
    Ok(graph.output_shape())
}

fn misfit(op: Op, input: Shape) -> String {
    match applied(op, input) {
        Err(GraphError::Shape { node: 1, reason, .. }) => reason,
        other => panic!("expected a misfit, got {other:?}"),
    }
}

#[test]
fn windows_count_positions_as_libtorch_does() {
    let strided = Window { kernel: 3, stride: 2, padding: 1 };
    assert_eq!(applied(convolution(5, SQUARE), map(3, 7, 9)), Ok(map(5, 7, 9)));
    assert_eq!(applied(convolution(5, strided), map(3, 7, 8)), Ok(map(5, 4, 4)));
    let halving = Window { kernel: 2, stride: 2, padding: 0 };
    assert_eq!(applied(Op::AvgPool(halving), map(3, 7, 8)), Ok(map(3, 3, 4)));
    assert_eq!(applied(Op::MaxPool(SQUARE), map(3, 1, 1)), Ok(map(3, 1, 1)));
    let dilated = Op::Conv2d {
        out_channels: 4,
        window: Window { kernel: 3, stride: 1, padding: 0 },
        dilation: 3,
        groups: 2,
        bias: true,
    };
    assert_eq!(applied(dilated, map(2, 7, 8)), Ok(map(4, 1, 2)));
}

#[test]
fn vectors_come_from_maps() {
    assert_eq!(applied(Op::GlobalAvgPool, map(5, 3, 4)), Ok(Shape::Vector { features: 5 }));
    assert_eq!(applied(Op::Flatten, map(5, 3, 4)), Ok(Shape::Vector { features: 60 }));
    let linear = Op::Linear { out_features: 7, bias: true };
    let vector = Shape::Vector { features: 5 };
    assert_eq!(applied(linear, vector), Ok(Shape::Vector { features: 7 }));
    assert_eq!(applied(Op::BatchNorm, vector), Ok(vector));
    assert!(misfit(linear, map(5, 3, 4)).contains("vector"));
    assert!(misfit(Op::GlobalAvgPool, vector).contains("map"));
    assert!(misfit(Op::Flatten, vector).contains("map"));
    assert!(misfit(convolution(1, SQUARE), vector).contains("map"));
}

#[test]
fn settings_out_of_range_are_refused() {
    let input = map(4, 8, 8);
    let with = |kernel, stride, padding| convolution(4, Window { kernel, stride, padding });
    assert!(misfit(with(0, 1, 0), input).starts_with("kernel is 0"));
    assert!(misfit(with(3, 0, 0), input).starts_with("stride is 0"));
    assert!(misfit(with(u32::MAX, 1, 0), input).starts_with("kernel is"));
    assert!(misfit(with(3, u32::MAX, 0), input).starts_with("stride is"));
    assert!(misfit(with(3, 1, u32::MAX), input).starts_with("padding is"));
    assert!(misfit(with(9, 1, 0), input).contains("does not fit into 8"));
    assert!(misfit(convolution(0, SQUARE), input).contains("empty"));
    assert!(
        misfit(Op::AvgPool(Window { kernel: 3, stride: 1, padding: 2 }), input).contains("half")
    );
    assert!(
        misfit(Op::Linear { out_features: 0, bias: true }, Shape::Vector { features: 3 })
            .contains("empty")
    );
    let grouped = |dilation, groups| Op::Conv2d {
        out_channels: 6,
        window: SQUARE,
        dilation,
        groups,
        bias: false,
    };
    assert!(misfit(grouped(0, 1), input).starts_with("dilation is 0"));
    assert!(misfit(grouped(1, 0), input).starts_with("groups is 0"));
    assert!(misfit(grouped(1, 3), input).contains("divide"), "3 divides 6 but not 4");
    assert!(misfit(grouped(1, 4), input).contains("divide"), "4 divides 4 but not 6");
}

#[test]
fn absurd_sizes_are_refused() {
    let too_large = |result| matches!(result, Err(GraphError::TooLarge { .. }));
    let huge = map(MAX_DIMENSION, MAX_DIMENSION, MAX_DIMENSION);
    assert!(too_large(applied(Op::Relu, huge)));
    assert!(too_large(applied(Op::Relu, map(u32::MAX, u32::MAX, u32::MAX))));
    assert!(too_large(applied(convolution(MAX_DIMENSION + 1, SQUARE), map(1, 1, 1))));
    assert!(too_large(applied(Op::Flatten, map(MAX_DIMENSION, 2, 1))));
    let wide = Op::Conv2d {
        out_channels: MAX_DIMENSION,
        window: Window { kernel: 1 << 10, stride: 1, padding: 1 << 10 },
        dilation: 1,
        groups: 1,
        bias: false,
    };
    assert!(too_large(applied(wide, map(MAX_DIMENSION, 1, 1))));
    assert!(matches!(applied(Op::Relu, map(3, 0, 3)), Err(GraphError::Shape { node: 0, .. })));
    let empty = GraphBuilder::new(Shape::Vector { features: 0 });
    assert!(matches!(empty.finish(NodeId(0)), Err(GraphError::Shape { node: 0, .. })));
}

#[test]
fn totals_are_bounded_even_if_every_node_is_small_enough() {
    let side = 1 << 16;
    let mut builder = GraphBuilder::new(map(1 << 20, side, side));
    let mut last = builder.input();
    for _ in 0..2 {
        last = builder.add(Op::Relu, &[last]).unwrap();
    }
    let error = builder.finish(last).unwrap_err();
    assert!(
        matches!(error, GraphError::TooLarge { what: "activation values", limit: MAX_TOTAL, .. }),
        "{error}"
    );

    let mut builder = GraphBuilder::new(map(1, 1, 1));
    let input = builder.input();
    let all = vec![input; MAX_NODES];
    for _ in 0..12 {
        builder.add(Op::Add, &all).unwrap();
    }
    let error = builder.finish(input).unwrap_err();
    assert!(matches!(error, GraphError::TooLarge { what: "number of edges", .. }), "{error}");
}

#[test]
fn the_number_of_nodes_is_bounded() {
    let mut builder = GraphBuilder::new(map(1, 1, 1));
    let input = builder.input();
    for _ in 1..MAX_NODES {
        builder.add(Op::Relu, &[input]).unwrap();
    }
    assert!(matches!(
        builder.add(Op::Relu, &[input]),
        Err(GraphError::TooLarge { what: "number of nodes", .. })
    ));
    assert_eq!(builder.finish(input).map(|graph| graph.nodes().len()), Ok(MAX_NODES));
}

#[test]
fn sums_and_stacks_need_inputs_that_fit() {
    let mut builder = GraphBuilder::new(map(3, 8, 8));
    let input = builder.input();
    let wide = builder.add(convolution(5, SQUARE), &[input]).unwrap();
    let small =
        builder.add(Op::MaxPool(Window { kernel: 2, stride: 2, padding: 0 }), &[input]).unwrap();
    assert!(matches!(builder.add(Op::Add, &[input, wide]), Err(GraphError::Shape { .. })));
    assert!(matches!(builder.add(Op::Concat, &[input, small]), Err(GraphError::Shape { .. })));
    let stacked = builder.add(Op::Concat, &[input, wide, input]).unwrap();
    assert_eq!(builder.shape(stacked), Some(map(11, 8, 8)));
    let doubled = builder.add(Op::Add, &[input, input]).unwrap();
    assert_eq!(builder.shape(doubled), Some(map(3, 8, 8)));
    assert_eq!(builder.shape(NodeId(99)), None);
}

#[test]
fn crops_and_enlarged_maps_have_the_sides_that_are_left() {
    let crop = |top, bottom, left, right| Op::Crop { top, bottom, left, right };
    assert_eq!(applied(crop(1, 0, 2, 3), map(3, 7, 9)), Ok(map(3, 6, 4)));
    assert!(misfit(crop(4, 3, 0, 0), map(3, 7, 9)).contains("leave nothing"));
    assert!(misfit(crop(0, 0, u32::MAX, u32::MAX), map(3, 7, 9)).contains("leave nothing"));
    assert_eq!(applied(Op::Upsample { factor: 3 }, map(2, 4, 5)), Ok(map(2, 12, 15)));
    assert!(misfit(Op::Upsample { factor: 0 }, map(2, 4, 5)).starts_with("factor is 0"));
    assert!(matches!(
        applied(Op::Upsample { factor: MAX_DIMENSION }, map(2, 4, 5)),
        Err(GraphError::TooLarge { .. })
    ));
    assert_eq!(applied(Op::FilterBank, map(3, 4, 5)), Ok(map(12, 4, 5)));
    assert_eq!(applied(Op::ChannelMean, map(3, 4, 5)), Ok(map(1, 4, 5)));
    assert_eq!(applied(Op::ChannelMax, map(3, 4, 5)), Ok(map(1, 4, 5)));
    let vector = Shape::Vector { features: 4 };
    for op in [crop(0, 0, 0, 0), Op::Upsample { factor: 1 }, Op::FilterBank, Op::ChannelMax] {
        assert!(misfit(op, vector).contains("map"), "{}", op.name());
    }
    for op in [Op::Sigmoid, Op::HardSigmoid, Op::Silu, Op::HardSwish] {
        assert!(op.is_activation());
        assert_eq!(applied(op, vector), Ok(vector));
        assert_eq!(applied(op, map(3, 4, 5)), Ok(map(3, 4, 5)));
    }
}

#[test]
fn products_need_factors_that_fit() {
    let mut builder = GraphBuilder::new(map(3, 8, 8));
    let input = builder.input();
    let vector = builder.add(Op::GlobalAvgPool, &[input]).unwrap();
    let gate = builder.add(Op::ChannelMax, &[input]).unwrap();
    let wide = builder.add(convolution(6, SQUARE), &[input]).unwrap();
    let cut = Op::Crop { top: 1, bottom: 0, left: 0, right: 0 };
    let small = builder.add(cut, &[gate]).unwrap();
    let mut multiply = |inputs: &[NodeId]| {
        let node = builder.add(Op::Multiply, inputs)?;
        Ok(builder.shape(node).unwrap())
    };
    assert_eq!(multiply(&[vector, gate, input]), Ok(map(3, 8, 8)));
    assert_eq!(multiply(&[gate, gate]), Ok(map(1, 8, 8)));
    assert_eq!(multiply(&[vector, vector]), Ok(Shape::Vector { features: 3 }));
    for misfits in [[input, wide], [vector, wide], [small, input], [vector, gate]] {
        let error = multiply(&misfits);
        assert!(matches!(error, Err(GraphError::Shape { .. })), "{misfits:?}: {error:?}");
    }
}

#[test]
fn attention_needs_queries_keys_and_values_that_fit() {
    let mut builder = GraphBuilder::new(map(6, 4, 5));
    let input = builder.input();
    let values = builder.add(convolution(8, SQUARE), &[input]).unwrap();
    let pooled = Window { kernel: 2, stride: 2, padding: 0 };
    let small = builder.add(Op::AvgPool(pooled), &[input]).unwrap();
    let mut attend = |heads, inputs: &[NodeId]| {
        let node = builder.add(Op::Attention { heads }, inputs)?;
        Ok(builder.shape(node).unwrap())
    };
    assert_eq!(attend(2, &[input, input, values]), Ok(map(8, 4, 5)));
    let misfits: [(u32, &[NodeId]); 6] = [
        (0, &[input, input, values]),
        (3, &[input, input, values]),
        (4, &[input, input, values]),
        (2, &[input, values, values]),
        (2, &[input, small, values]),
        (2, &[input, input, small]),
    ];
    for (heads, inputs) in misfits {
        let error = attend(heads, inputs);
        assert!(matches!(error, Err(GraphError::Shape { .. })), "{heads} {inputs:?}: {error:?}");
    }
    assert!(matches!(attend(1, &[input, input]), Err(GraphError::Arity { found: 2, .. })));
}

#[test]
fn wrong_references_and_arities_leave_the_builder_as_it_was() {
    let mut builder = GraphBuilder::new(map(3, 8, 8));
    let input = builder.input();
    assert_eq!(
        builder.add(Op::Relu, &[NodeId(1)]),
        Err(GraphError::UnknownInput { node: 1, op: "relu", input: 1 })
    );
    assert!(matches!(builder.add(Op::Relu, &[]), Err(GraphError::Arity { found: 0, .. })));
    assert!(matches!(
        builder.add(Op::Relu, &[input, input]),
        Err(GraphError::Arity { found: 2, .. })
    ));
    assert!(matches!(builder.add(Op::Add, &[]), Err(GraphError::Arity { found: 0, .. })));
    assert_eq!(builder.add(Op::Input, &[]), Err(GraphError::MisplacedInput { node: 1 }));
    assert_eq!(builder.add(Op::Relu, &[input]), Ok(NodeId(1)));
    assert_eq!(builder.finish(NodeId(2)), Err(GraphError::UnknownOutput { output: 2, nodes: 2 }));
}

#[test]
fn parts_are_validated_like_anything_else() {
    let shape = map(3, 8, 8);
    let (input, output) = (NodeId(0), NodeId(1));
    let parts = |first: Op, inputs: Vec<NodeId>| vec![(first, inputs), (Op::Relu, vec![input])];
    let graph = Graph::from_parts(parts(Op::Input, vec![]), shape, output).unwrap();
    assert_eq!((graph.input_shape(), graph.output_shape()), (shape, shape));
    assert_eq!(
        Graph::from_parts(vec![], shape, input),
        Err(GraphError::MisplacedInput { node: 0 })
    );
    assert_eq!(
        Graph::from_parts(parts(Op::Zero, vec![]), shape, output),
        Err(GraphError::MisplacedInput { node: 0 })
    );
    let error = Graph::from_parts(parts(Op::Input, vec![output]), shape, output).unwrap_err();
    assert!(matches!(error, GraphError::Arity { node: 0, .. }));
    let twice = vec![(Op::Input, vec![]), (Op::Input, vec![])];
    assert_eq!(Graph::from_parts(twice, shape, input), Err(GraphError::MisplacedInput { node: 1 }));
}

/// Small numbers, so that many graphs are valid, and absurd ones.
fn number() -> impl Strategy<Value = u32> + Clone {
    prop_oneof![8 => 0..5u32, 1 => Just(1 << 19), 1 => Just(MAX_DIMENSION), 1 => any::<u32>()]
}

fn any_op() -> impl Strategy<Value = Op> {
    let window = (number(), number(), number()).prop_map(|(kernel, stride, padding)| Window {
        kernel,
        stride,
        padding,
    });
    let convolution = (number(), window.clone(), number(), number(), any::<bool>()).prop_map(
        |(out_channels, window, dilation, groups, bias)| Op::Conv2d {
            out_channels,
            window,
            dilation,
            groups,
            bias,
        },
    );
    prop_oneof![
        2 => convolution,
        1 => window.clone().prop_map(Op::AvgPool),
        1 => window.prop_map(Op::MaxPool),
        1 => (number(), any::<bool>()).prop_map(|(out_features, bias)| Op::Linear { out_features, bias }),
        1 => prop::array::uniform4(number())
            .prop_map(|[top, bottom, left, right]| Op::Crop { top, bottom, left, right }),
        1 => number().prop_map(|factor| Op::Upsample { factor }),
        1 => number().prop_map(|heads| Op::Attention { heads }),
        6 => prop::sample::select(vec![
            Op::BatchNorm, Op::Relu, Op::Zero, Op::Add, Op::Concat, Op::GlobalAvgPool, Op::Flatten, Op::Input,
            Op::Silu, Op::Multiply, Op::ChannelMean, Op::FilterBank,
        ]),
    ]
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let map = (number(), number(), number()).prop_map(|(channels, height, width)| Shape::Map {
        channels,
        height,
        width,
    });
    prop_oneof![4 => map, 1 => number().prop_map(|features| Shape::Vector { features })]
}

fn read_everything(graph: &Graph) {
    let values: u64 = graph.nodes().iter().map(|node| node.shape.elements()).sum();
    assert!(values <= MAX_TOTAL && graph.macs() <= MAX_TOTAL && graph.params() <= MAX_TOTAL);
    let attends = graph.nodes().iter().any(|node| matches!(node.op, Op::Attention { .. }));
    assert!(attends || graph.peak_activation_bytes() <= 4 * values);
    assert!(graph.activations() <= values);
    assert!((graph.depth() as usize) < graph.nodes().len());
    assert!(graph.modelled_energy_millijoules() >= graph.modelled_compute_energy_millijoules());
    assert!(graph.modelled_energy_millijoules().is_finite());
    let _ = graph.canonical_hash();
}

proptest! {
    #[test]
    fn any_sequence_of_operations_gives_a_graph_or_an_error(
        input in any_shape(),
        ops in prop::collection::vec((any_op(), prop::collection::vec(0..12u32, 0..4)), 0..12),
        output in 0..14u32,
    ) {
        let mut builder = GraphBuilder::new(input);
        for (op, inputs) in &ops {
            let inputs: Vec<NodeId> = inputs.iter().copied().map(NodeId).collect();
            let before = builder.nodes.len();
            let added = builder.add(*op, &inputs);
            prop_assert_eq!(builder.nodes.len(), before + usize::from(added.is_ok()));
        }
        let Ok(graph) = builder.finish(NodeId(output)) else { return Ok(()) };
        read_everything(&graph);
        let parts = graph.nodes().iter().map(|node| (node.op, node.inputs.to_vec())).collect();
        prop_assert_eq!(Graph::from_parts(parts, graph.input_shape(), graph.output()), Ok(graph));
    }

    #[test]
    fn any_parts_give_a_graph_or_an_error(
        input in any_shape(),
        parts in prop::collection::vec((any_op(), prop::collection::vec(any::<u32>(), 0..3)), 0..6),
        output in any::<u32>(),
    ) {
        let parts = parts.into_iter();
        let parts = parts.map(|(op, inputs)| (op, inputs.into_iter().map(NodeId).collect())).collect();
        if let Ok(graph) = Graph::from_parts(parts, input, NodeId(output)) {
            read_everything(&graph);
        }
    }
}
