//! What the structural hash must ignore, and what it must tell apart.

use proptest::prelude::*;

use super::*;
use crate::graph::GraphBuilder;

const SQUARE: Window = Window { kernel: 3, stride: 1, padding: 1 };
const CONVOLUTION: Op =
    Op::Conv2d { out_channels: 3, window: SQUARE, dilation: 1, groups: 1, bias: false };
const SHAPE: Shape = Shape::Map { channels: 3, height: 4, width: 4 };

/// The graph with these nodes behind its input, each with its inputs' positions; the last is the
/// output.
fn graph(nodes: &[(Op, &[u32])]) -> Graph {
    graph_of(SHAPE, nodes)
}

fn graph_of(shape: Shape, nodes: &[(Op, &[u32])]) -> Graph {
    let mut builder = GraphBuilder::new(shape);
    let mut last = builder.input();
    for (op, inputs) in nodes {
        let inputs: Vec<NodeId> = inputs.iter().copied().map(NodeId).collect();
        last = builder.add(*op, &inputs).unwrap();
    }
    builder.finish(last).unwrap()
}

#[test]
fn parts_are_kept_apart() {
    let of = |parts: &[&str]| CanonicalHash::of("test", parts.iter().map(|part| part.as_bytes()));
    assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
    let different =
        [of(&["ab", "c"]), of(&["a", "bc"]), of(&["abc"]), of(&["ab", "c", ""]), of(&["c", "ab"])];
    for (place, hash) in different.iter().enumerate() {
        assert!(!different[..place].contains(hash), "{place}");
    }
    assert_ne!(
        CanonicalHash::of("testa", [b"b".as_slice()]),
        CanonicalHash::of("test", [b"ab".as_slice()])
    );
}

#[test]
fn hashes_do_not_change_between_releases() {
    let hash = CanonicalHash::of("cambrian test", [b"one".as_slice(), b"two".as_slice()]);
    assert_eq!(hash.to_string(), "5a657186911baec301e93b867b825b03");
    let graph = graph(&[(CONVOLUTION, &[0]), (Op::Relu, &[1]), (Op::Add, &[0, 2])]);
    assert_eq!(graph.canonical_hash().to_string(), "52d07ca30c5f2307f2bdc31116f0fe96");
}

#[test]
fn text_round_trips_and_bad_text_is_refused() {
    let hash = CanonicalHash::of("test", []);
    let text = hash.to_string();
    assert_eq!((text.len(), text.parse()), (32, Ok(hash)));
    assert_eq!(text.to_uppercase().parse(), Ok(hash));
    let json = serde_json::to_string(&hash).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<CanonicalHash>(&json).unwrap(), hash);
    for bad in ["", "00", &text[1..], &format!("{text}0"), &"g".repeat(32), &"é".repeat(16)] {
        assert_eq!(bad.parse::<CanonicalHash>(), Err(ParseHashError), "{bad}");
    }
    assert!(serde_json::from_str::<CanonicalHash>("\"xyz\"").is_err());
    assert_eq!(CanonicalHash::from_bytes(*hash.as_bytes()), hash);
}

#[test]
fn numbering_and_order_of_sums_and_products_do_not_matter() {
    for merge in [Op::Add, Op::Multiply] {
        let one = graph(&[(CONVOLUTION, &[0]), (Op::Relu, &[0]), (merge, &[1, 2, 0])]);
        let other = graph(&[(Op::Relu, &[0]), (CONVOLUTION, &[0]), (merge, &[0, 1, 2])]);
        assert_ne!(one, other);
        assert_eq!(one.canonical_hash(), other.canonical_hash());
    }
    // Factors of different shapes, too.
    let gate: &[(Op, &[u32])] = &[(Op::ChannelMax, &[0]), (Op::Multiply, &[0, 1])];
    let turned: &[(Op, &[u32])] = &[(Op::ChannelMax, &[0]), (Op::Multiply, &[1, 0])];
    assert_eq!(graph(gate).canonical_hash(), graph(turned).canonical_hash());
}

#[test]
fn everything_else_matters() {
    let window = Window { kernel: 1, stride: 1, padding: 0 };
    let conv = |out_channels, window, dilation, groups, bias| Op::Conv2d {
        out_channels,
        window,
        dilation,
        groups,
        bias,
    };
    let five = Window { kernel: 5, stride: 1, padding: 2 };
    let relu_tail: &[(Op, &[u32])] = &[(Op::Relu, &[0]), (CONVOLUTION, &[1])];
    let mut graphs = vec![
        graph(&[(CONVOLUTION, &[0])]),
        graph(&[(conv(6, SQUARE, 1, 1, false), &[0])]),
        graph(&[(conv(3, window, 1, 1, false), &[0])]),
        graph(&[(conv(3, five, 1, 1, false), &[0])]),
        graph(&[(conv(3, SQUARE, 1, 3, false), &[0])]),
        graph(&[(conv(3, SQUARE, 1, 1, true), &[0])]),
        graph(&[(conv(3, Window { padding: 2, ..SQUARE }, 2, 1, false), &[0])]),
        graph(&[(Op::AvgPool(SQUARE), &[0])]),
        graph(&[(Op::MaxPool(SQUARE), &[0])]),
        graph(&[(Op::Relu, &[0])]),
        graph(&[(Op::BatchNorm, &[0])]),
        graph(&[(Op::Zero, &[0])]),
        graph(&[(Op::Sigmoid, &[0])]),
        graph(&[(Op::HardSigmoid, &[0])]),
        graph(&[(Op::Silu, &[0])]),
        graph(&[(Op::HardSwish, &[0])]),
        graph(&[(Op::ChannelMean, &[0])]),
        graph(&[(Op::ChannelMax, &[0])]),
        graph(&[(Op::FilterBank, &[0])]),
        graph(&[(Op::Upsample { factor: 1 }, &[0])]),
        graph(&[(Op::Upsample { factor: 2 }, &[0])]),
        graph(&[(Op::Crop { top: 1, bottom: 0, left: 0, right: 0 }, &[0])]),
        graph(&[(Op::Crop { top: 0, bottom: 1, left: 0, right: 0 }, &[0])]),
        graph(&[(Op::Crop { top: 0, bottom: 0, left: 1, right: 0 }, &[0])]),
        graph(&[(Op::Crop { top: 0, bottom: 0, left: 0, right: 1 }, &[0])]),
        graph(&[(Op::Multiply, &[0])]),
        graph(&[(Op::Multiply, &[0, 0])]),
        graph(&[(Op::Attention { heads: 1 }, &[0, 0, 0])]),
        graph(&[(Op::Attention { heads: 3 }, &[0, 0, 0])]),
        // Queries, keys and values are told apart.
        graph(&[(Op::Relu, &[0]), (Op::Attention { heads: 1 }, &[1, 0, 0])]),
        graph(&[(Op::Relu, &[0]), (Op::Attention { heads: 1 }, &[0, 1, 0])]),
        graph(&[(Op::Relu, &[0]), (Op::Attention { heads: 1 }, &[0, 0, 1])]),
        graph(&[(Op::GlobalAvgPool, &[0])]),
        graph(&[(Op::Flatten, &[0])]),
        graph(&[(Op::Add, &[0])]),
        graph(&[(Op::Add, &[0, 0])]),
        graph(&[(Op::Concat, &[0])]),
        graph(&[(Op::Concat, &[0, 0])]),
        graph(relu_tail),
        graph(&[(CONVOLUTION, &[0]), (Op::Relu, &[1])]),
        // A different input, and the two ways round of a stack.
        graph_of(Shape::Map { channels: 3, height: 4, width: 5 }, relu_tail),
        graph(&[(Op::Relu, &[0]), (Op::Concat, &[0, 1])]),
        graph(&[(Op::Relu, &[0]), (Op::Concat, &[1, 0])]),
        // One convolution read twice, two convolutions, and one beside an unread one.
        graph(&[(CONVOLUTION, &[0]), (Op::Add, &[1, 1])]),
        graph(&[(CONVOLUTION, &[0]), (CONVOLUTION, &[0]), (Op::Add, &[1, 2])]),
        graph(&[(CONVOLUTION, &[0]), (CONVOLUTION, &[0]), (Op::Add, &[1, 1])]),
        // (a + a) and (b + b), against (a + b) twice.
        graph(&[
            (CONVOLUTION, &[0]),
            (CONVOLUTION, &[0]),
            (Op::Add, &[1, 1]),
            (Op::Add, &[2, 2]),
            (CONVOLUTION, &[3]),
            (CONVOLUTION, &[4]),
            (Op::Add, &[5, 6]),
        ]),
        graph(&[
            (CONVOLUTION, &[0]),
            (CONVOLUTION, &[0]),
            (Op::Add, &[1, 2]),
            (Op::Add, &[1, 2]),
            (CONVOLUTION, &[3]),
            (CONVOLUTION, &[4]),
            (Op::Add, &[5, 6]),
        ]),
    ];
    // The same nodes with another output.
    let mut builder = GraphBuilder::new(SHAPE);
    let first = builder.add(Op::Relu, &[builder.input()]).unwrap();
    builder.add(CONVOLUTION, &[first]).unwrap();
    graphs.push(builder.finish(first).unwrap());

    for (place, graph) in graphs.iter().enumerate() {
        for (other, earlier) in graphs[..place].iter().enumerate() {
            assert_ne!(graph.canonical_hash(), earlier.canonical_hash(), "{other} and {place}");
        }
    }
}

/// Random nodes over maps of one shape, so that every choice of inputs is valid.
fn any_nodes() -> impl Strategy<Value = Vec<(Op, Vec<u32>)>> {
    let op = prop::sample::select(vec![
        CONVOLUTION,
        Op::Relu,
        Op::BatchNorm,
        Op::Add,
        Op::Add,
        Op::Multiply,
        Op::Silu,
        Op::AvgPool(SQUARE),
        Op::Zero,
    ]);
    prop::collection::vec((op, prop::collection::vec(any::<u32>(), 1..4)), 1..15).prop_map(
        |mut nodes| {
            for (position, (op, inputs)) in (1u32..).zip(nodes.iter_mut()) {
                inputs.iter_mut().for_each(|input| *input %= position);
                inputs.truncate(if op.is_commutative() { 3 } else { 1 });
            }
            nodes
        },
    )
}

/// The same graph with its nodes in another topological order and the inputs of sums turned.
fn renumbered(graph: &Graph, priorities: &[u32]) -> Graph {
    let nodes = graph.nodes();
    let mut place: Vec<Option<NodeId>> = vec![None; nodes.len()];
    let mut builder = GraphBuilder::new(graph.input_shape());
    place[0] = Some(builder.input());
    for _ in 1..nodes.len() {
        let ready = |position: &usize| {
            place[*position].is_none()
                && nodes[*position].inputs.iter().all(|id| place[id.0 as usize].is_some())
        };
        let next =
            (1..nodes.len()).filter(ready).min_by_key(|&position| priorities[position]).unwrap();
        let node = &nodes[next];
        let mut inputs: Vec<NodeId> =
            node.inputs.iter().map(|id| place[id.0 as usize].unwrap()).collect();
        if node.op.is_commutative() {
            let turn = priorities[next] as usize % inputs.len();
            inputs.rotate_left(turn);
        }
        place[next] = Some(builder.add(node.op, &inputs).unwrap());
    }
    builder.finish(place[graph.output().0 as usize].unwrap()).unwrap()
}

proptest! {
    #[test]
    fn a_renumbered_graph_has_the_same_hash_and_costs(
        nodes in any_nodes(),
        output in any::<prop::sample::Index>(),
        priorities in prop::collection::vec(any::<u32>(), 16),
    ) {
        let mut builder = GraphBuilder::new(SHAPE);
        for (op, inputs) in &nodes {
            let inputs: Vec<NodeId> = inputs.iter().copied().map(NodeId).collect();
            builder.add(*op, &inputs).unwrap();
        }
        let graph = builder.finish(NodeId(output.index(nodes.len() + 1) as u32)).unwrap();
        let other = renumbered(&graph, &priorities);
        prop_assert_eq!(graph.canonical_hash(), other.canonical_hash());
        prop_assert_eq!(
            (graph.params(), graph.macs(), graph.depth(), graph.memory_traffic_bytes()),
            (other.params(), other.macs(), other.depth(), other.memory_traffic_bytes())
        );
    }

    #[test]
    fn peak_memory_agrees_with_counting_each_instant(nodes in any_nodes()) {
        let nodes: Vec<(Op, &[u32])> = nodes.iter().map(|(op, inputs)| (*op, inputs.as_slice())).collect();
        let graph = graph(&nodes);
        let live_at = |instant: usize| {
            let is_live = |&position: &usize| {
                let read_later = graph.nodes()[instant..]
                    .iter()
                    .any(|node| node.inputs.contains(&NodeId(position as u32)));
                position == instant || read_later || graph.output() == NodeId(position as u32)
            };
            (0..=instant).filter(is_live).count() as u64 * 4 * SHAPE.elements()
        };
        let peak = (0..graph.nodes().len()).map(live_at).max();
        prop_assert_eq!(Some(graph.peak_activation_bytes()), peak);
    }
}
