"""Graphs: reading them, their shapes, their counts, and what is refused."""

import unittest

from cambrian_evaluator import BadNode, Evaluation, Invalid
from cambrian_evaluator._proto import types_pb2
from cambrian_evaluator.graph import OPERATIONS, Add, Conv2d, Graph, Linear, Window
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
            (message(types_pb2.Node(inputs=[0], linear=linear)), "1x8x8: it needs a vector"),
            (message(types_pb2.Node(inputs=[0], max_pool=types_pb2.Window(kernel=9, stride=1))), "fit"),
            (message(types_pb2.Node(inputs=[0], max_pool=types_pb2.Window())), "at least 1"),
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


class Counting(unittest.TestCase):
    def test_parameters_are_those_of_the_publications(self) -> None:
        self.assertEqual(golden().params(), 81)
        self.assertEqual(nasbench201().params(), 1_531_546)

    def test_every_operation_has_the_shape_of_the_executor(self) -> None:
        shapes = [node.shape for node in zoo().nodes]
        self.assertEqual(shapes[1:4], [(6, 5, 4)] * 3)
        self.assertEqual(shapes[8:], [(18, 5, 4), (360,), (5,), (18,), (5,), (5,)])


if __name__ == "__main__":
    unittest.main()
