"""Graphs: reading them, their shapes, their counts, and what is refused."""

import unittest

from cambrian_evaluator import BadNode, Evaluation, Invalid
from cambrian_evaluator._proto import types_pb2
from cambrian_evaluator.graph import Graph
from cambrian_evaluator.operations import (
    OPERATIONS,
    Add,
    Attention,
    AvgPool,
    ChannelMax,
    ChannelMean,
    Conv2d,
    Crop,
    FilterBank,
    FirstChannels,
    Flatten,
    GlobalAvgPool,
    Linear,
    Multiply,
    Operation,
    Shape,
    Upsample,
    Window,
)
from conversation import assignment, two_layers
from networks import Sketch, conv, golden, nasbench201, zoo


def message(*nodes: types_pb2.Node, output: int | None = None) -> types_pb2.Graph:
    """A graph of an image of one channel."""
    return types_pb2.Graph(
        input=types_pb2.Shape(dimensions=[1, 8, 8]),
        nodes=[types_pb2.Node(input=types_pb2.Unit()), *nodes],
        output=len(nodes) if output is None else output,
    )


class Reading(unittest.TestCase):
    def test_every_operation_of_the_contract_is_known(self) -> None:
        fields = types_pb2.Node.DESCRIPTOR.oneofs_by_name["op"].fields
        self.assertEqual({field.name for field in fields}, set(OPERATIONS))
        for name, read in OPERATIONS.items():
            self.assertEqual(read(types_pb2.Node()).name, name)

    def test_settings_and_shapes_are_read(self) -> None:
        window = types_pb2.Window(kernel=3, stride=2, padding=1)
        op = types_pb2.Conv2d(out_channels=4, window=window, dilation=1, groups=1, bias=True)
        graph = Graph.from_message(
            message(
                types_pb2.Node(inputs=[0], conv2d=op),
                types_pb2.Node(inputs=[1], max_pool=types_pb2.Window(kernel=2, stride=2)),
                types_pb2.Node(inputs=[2], flatten=types_pb2.Unit()),
                types_pb2.Node(inputs=[3], linear=types_pb2.Linear(out_features=7)),
                output=3,
            )
        )
        self.assertEqual(graph.nodes[1].op, Conv2d(4, Window(3, 2, 1), 1, 1, True))
        self.assertEqual(graph.nodes[4].op, Linear(7, False))
        shapes = [node.shape for node in graph.nodes]
        self.assertEqual(shapes, [(1, 8, 8), (4, 4, 4), (4, 2, 2), (16,), (7,)])
        self.assertEqual((graph.input_shape, graph.output_shape), ((1, 8, 8), (16,)))

    def test_settings_of_crops_attention_and_upsampling_are_read(self) -> None:
        crop = types_pb2.Crop(top=1, bottom=2, left=3, right=4)
        graph = Graph.from_message(
            message(
                types_pb2.Node(inputs=[0], crop=crop),
                types_pb2.Node(inputs=[1], upsample=types_pb2.Upsample(factor=3)),
                types_pb2.Node(inputs=[2], filter_bank=types_pb2.Unit()),
                types_pb2.Node(inputs=[3, 3, 3], attention=types_pb2.Attention(heads=2)),
            )
        )
        ops = [node.op for node in graph.nodes[1:]]
        self.assertEqual(ops, [Crop(1, 2, 3, 4), Upsample(3), FilterBank(), Attention(2)])
        shapes = [node.shape for node in graph.nodes[1:]]
        self.assertEqual(shapes, [(1, 5, 1), (1, 15, 3), (4, 15, 3), (4, 15, 3)])

    def test_an_operation_of_a_later_release_is_for_another_worker(self) -> None:
        later = types_pb2.Node.FromString(b"\x0a\x01\x00\xfa\x3f\x00")
        with self.assertRaisesRegex(BadNode, "node 1 .* does not know"):
            Graph.from_message(message(later))

    def test_what_is_no_network_is_refused_with_its_place(self) -> None:
        unit, linear = types_pb2.Unit(), types_pb2.Linear(out_features=3)
        for graph, words in [
            (types_pb2.Graph(), "begin with its input"),
            (message(types_pb2.Node(input=unit)), "more than one input"),
            (message(output=1), "node 1 of 1"),
            (message(types_pb2.Node(inputs=[1], relu=unit)), r"node 1 \(relu\) reads"),
            (message(types_pb2.Node(relu=unit)), r"node 1 \(relu\) has 0 inputs"),
            (message(types_pb2.Node(inputs=[0, 0], relu=unit)), "has 2 inputs"),
            (message(types_pb2.Node(inputs=[0], max_pool=types_pb2.Window(kernel=9, stride=1))), "fit"),
            (message(types_pb2.Node(inputs=[0], max_pool=types_pb2.Window())), "kernel is 0"),
            (message(types_pb2.Node(inputs=[0], upsample=types_pb2.Upsample())), "factor is 0"),
            (message(types_pb2.Node(inputs=[0], crop=types_pb2.Crop(top=8))), "leave nothing"),
            (message(types_pb2.Node(inputs=[0, 0, 0], attention=types_pb2.Attention())), "heads is 0"),
            (message(types_pb2.Node(inputs=[0, 0], attention=types_pb2.Attention())), "has 2 inputs"),
            (message(types_pb2.Node(inputs=[0], linear=linear)), "1x8x8: it needs a vector"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(Invalid, words):
                Graph.from_message(graph)

    def test_shapes_that_do_not_meet_are_refused(self) -> None:
        sketch = Sketch((2, 4, 4))
        sketch.add(Add(), 0, sketch.add(conv(3), 0))
        with self.assertRaisesRegex(Invalid, "node 2 .*differ"):
            sketch.graph()

    def test_a_candidate_without_a_network_is_invalid_for_who_asks_for_one(self) -> None:
        asked = assignment("{}")
        self.assertEqual(Evaluation(asked).graph, Graph.from_message(two_layers()))
        asked.ClearField("graph")
        with self.assertRaisesRegex(Invalid, "no network"):
            _ = Evaluation(asked).graph


class Fitting(unittest.TestCase):
    """As the project's own graphs are built and refused."""

    def applied(self, op: Operation, *shapes: Shape) -> Shape:
        """The shape of what `op` makes of inputs of these shapes."""
        return op.shape(shapes)

    def assert_misfit(self, words: str, op: Operation, *shapes: Shape) -> None:
        with self.subTest(shapes=shapes, op=op), self.assertRaisesRegex(ValueError, words):
            op.shape(shapes)

    def test_crops_and_enlarged_maps_have_the_sides_that_are_left(self) -> None:
        self.assertEqual(self.applied(Crop(1, 0, 2, 3), (3, 7, 9)), (3, 6, 4))
        self.assertEqual(self.applied(Upsample(3), (2, 4, 5)), (2, 12, 15))
        self.assertEqual(self.applied(FilterBank(), (3, 4, 5)), (12, 4, 5))
        self.assertEqual(self.applied(ChannelMean(), (3, 4, 5)), (1, 4, 5))
        self.assertEqual(self.applied(ChannelMax(), (3, 4, 5)), (1, 4, 5))
        self.assert_misfit("of 7, 4 and 3 leave nothing", Crop(4, 3, 0, 0), (3, 7, 9))
        self.assert_misfit("of 9, 0 and 9 leave nothing", Crop(0, 0, 0, 9), (3, 7, 9))
        self.assert_misfit("left is -1", Crop(0, 0, -1, 0), (3, 7, 9))
        self.assert_misfit("right is 4294967295", Crop(0, 0, 0, (1 << 32) - 1), (3, 7, 9))
        self.assert_misfit("factor is 0", Upsample(0), (2, 4, 5))
        self.assertEqual(self.applied(FirstChannels(2), (3, 7, 9)), (2, 7, 9))
        self.assert_misfit("there are no 4 channels", FirstChannels(4), (3, 7, 9))
        for op in [Crop(0, 0, 0, 0), Upsample(1), FilterBank(), ChannelMean(), ChannelMax(), Attention(1)]:
            self.assert_misfit("needs a map", op, *[(4,)] * op.inputs[0])

    def test_activations_keep_every_shape(self) -> None:
        for name in ["relu", "sigmoid", "hard_sigmoid", "silu", "hard_swish"]:
            op = OPERATIONS[name](types_pb2.Node())
            for shape in [(3, 4, 5), (4,)]:
                self.assertEqual((self.applied(op, shape), op.params(shape)), (shape, 0))

    def test_products_need_factors_that_fit(self) -> None:
        product: Shape = (3, 8, 8)
        products: list[list[Shape]] = [
            [(3,), (1, 8, 8), product],
            [product, (1, 8, 8)],
            [product, product, (3,), (3,)],
            [product],
        ]
        for factors in products:
            self.assertEqual(self.applied(Multiply(), *factors), product)
            self.assertEqual(self.applied(Multiply(), *reversed(factors)), product)
        self.assertEqual(self.applied(Multiply(), (1, 8, 8), (1, 8, 8)), (1, 8, 8))
        self.assertEqual(self.applied(Multiply(), (1,), (1, 8, 8)), (1, 8, 8))
        self.assertEqual(self.applied(Multiply(), (3,), (3,)), (3,))
        unlike: list[list[Shape]] = [
            [product, (6, 8, 8)],
            [(3,), (6, 8, 8)],
            [(1, 7, 8), product],
            [(3,), (1, 8, 8)],
            [(3, 7, 8), product],
            [(3,), (1,)],
        ]
        for misfits in unlike:
            self.assert_misfit("does not multiply", Multiply(), *misfits)
            self.assert_misfit("does not multiply", Multiply(), *reversed(misfits))

    def test_attention_needs_queries_keys_and_values_that_fit(self) -> None:
        queries, values = (6, 4, 5), (8, 4, 5)
        self.assertEqual(self.applied(Attention(2), queries, queries, values), values)
        self.assert_misfit("heads is 0", Attention(0), queries, queries, values)
        self.assert_misfit("must divide", Attention(3), queries, queries, values)
        self.assert_misfit("must divide", Attention(4), queries, queries, values)
        self.assert_misfit("keys have shape 8x4x5", Attention(2), queries, values, values)
        self.assert_misfit("keys have shape 6x2x2", Attention(2), queries, (6, 2, 2), values)
        self.assert_misfit("values have shape 6x2x2", Attention(2), queries, queries, (6, 2, 2))
        self.assert_misfit("values have shape 8", Attention(2), queries, queries, (8,))

    def test_what_is_too_large_is_refused(self) -> None:
        most = 1 << 20
        networks: list[tuple[Shape, list[Operation]]] = [
            ((1, 2, 1), [Upsample(most)]),
            ((most // 4 + 1, 1, 1), [FilterBank()]),
            ((1, 1, 1), [Upsample(most), Flatten()]),
            ((1, most + 1, 1), []),
            ((1 << 14, 1, 1), [Upsample(most)]),
        ]
        for shape, ops in networks:
            sketch = Sketch(shape)
            sketch.chain(0, *ops)
            with self.subTest(shape), self.assertRaisesRegex(Invalid, f"node {len(ops)} .* too large"):
                sketch.graph()
        sketch = Sketch((most // 4, 1, 1))
        sketch.chain(0, AvgPool(Window(1, 1, 0)), FilterBank(), GlobalAvgPool(), Multiply())
        self.assertEqual(sketch.graph().output_shape, (most,))
        sketch = Sketch((1, 1, 1))
        sketch.chain(0, conv(8, Window(most + 1, 1, 0)))
        with self.assertRaisesRegex(Invalid, f"kernel is {most + 1}, expected 1 to {most}"):
            sketch.graph()


class Counting(unittest.TestCase):
    def test_parameters_are_those_of_the_publications(self) -> None:
        self.assertEqual(golden().params(), 81)
        self.assertEqual(nasbench201().params(), 1_531_546)

    def test_every_operation_has_the_shape_of_the_executor(self) -> None:
        shapes = [node.shape for node in zoo().nodes]
        self.assertEqual(shapes[1:4], [(6, 5, 4)] * 3)
        self.assertEqual(shapes[8:13], [(18, 5, 4), (360,), (5,), (18,), (5,)])
        self.assertEqual(shapes[13:18], [(6,), (6,), (1, 5, 4), (1, 5, 4), (1, 5, 4)])
        self.assertEqual(shapes[18:21], [(6, 5, 4), (24, 5, 4), (24, 5, 4)])
        self.assertEqual(
            shapes[21:], [(24, 2, 1), (5, 2, 1), (5, 2, 1), (5, 4, 2), (40,), (40,), (5,), (5,)]
        )

    def test_the_networks_hold_every_operation(self) -> None:
        self.assertEqual({node.op.name for node in zoo().nodes}, set(OPERATIONS))

    def test_weights_of_convolutions_normalisations_and_linear_layers_alone_count(self) -> None:
        counted = [(node.op.name, zoo().nodes[node.inputs[0]].shape) for node in zoo().nodes[1:]]
        weighted = {name for (name, shape), node in zip(counted, zoo().nodes[1:]) if node.op.params(shape)}
        self.assertEqual(weighted, {"conv2d", "batch_norm", "linear"})
        convolution, normalisation = 6 * 2 * 9 + 6, 2 * 6
        linear = 5 * (360 + 1) + 5 * 18 + 5 * (40 + 1)
        self.assertEqual(zoo().params(), convolution + normalisation + linear)


if __name__ == "__main__":
    unittest.main()
