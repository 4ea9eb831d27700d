"""Graphs as modules of PyTorch, against the known values of the project's own executor."""

import math
import unittest

from cambrian_evaluator import BadNode, Evaluation, Invalid
from cambrian_evaluator._proto import types_pb2
from cambrian_evaluator.graph import Graph
from cambrian_evaluator.operations import (
    OPERATIONS,
    Add,
    AvgPool,
    BatchNorm,
    Flatten,
    GlobalAvgPool,
    Linear,
    Multiply,
    Operation,
    Relu,
    Zero,
)
from conversation import ROOT, Conversation, assignment
from networks import SQUARE, Sketch, conv, golden, nasbench201, zoo

try:
    import torch
except ImportError:
    raise unittest.SkipTest("torch is not installed") from None

from cambrian_evaluator.torch_module import LAYERS, GraphModule


def golden_module() -> GraphModule:
    """`W1[k] = 0.5 sin(k + 1)`, `W2[k] = 0.5 cos(k + 1)` and a fixed `W3`, in double precision."""
    module = GraphModule(golden()).double()
    weights = {
        "node1": [0.5 * math.sin(k) for k in range(1, 19)],
        "node3": [0.5 * math.cos(k) for k in range(1, 55)],
        "node6": [3.0, -3.0, -1.0, -3.0, 3.0, -1.0, -1.0, -1.0, 1.0],
    }
    for name, values in weights.items():
        weight = module.get_submodule(name).get_parameter("weight")
        with torch.no_grad():
            weight.copy_(torch.tensor(values, dtype=torch.double).view_as(weight))
    return module


def golden_images() -> torch.Tensor:
    """`x[k] = sin(0.01 k^2 + 0.3)`, 8 images of 1x4x4."""
    values = [math.sin(0.01 * k * k + 0.3) for k in range(128)]
    return torch.tensor(values, dtype=torch.double).view(8, 1, 4, 4)


class Golden(unittest.TestCase):
    def test_logits_loss_gradients_and_predictions(self) -> None:
        module = golden_module()
        logits = module(golden_images())
        for found, expected in zip(logits[0].tolist(), [-0.552776, 0.092993, 0.060977]):
            self.assertAlmostEqual(found, expected, delta=1e-6)
        self.assertEqual(logits.argmax(1).tolist(), [1, 2, 1, 2, 0, 1, 0, 0])
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(8) % 3)
        self.assertAlmostEqual(loss.item(), 1.128327915, delta=1e-6)
        loss.backward()
        norms = [weight.grad.norm().item() for weight in module.parameters() if weight.grad is not None]
        self.assertAlmostEqual(sum(norms), 1.016481738, delta=1e-6)

    def test_parameters_of_nasbench201(self) -> None:
        module = GraphModule(nasbench201())
        self.assertEqual(sum(weight.numel() for weight in module.parameters()), 1_531_546)

    def test_parameters_are_as_many_as_counted(self) -> None:
        module = GraphModule(zoo())
        self.assertEqual(sum(weight.numel() for weight in module.parameters()), zoo().params())


class Executing(unittest.TestCase):
    def observed(self, graph: Graph, images: torch.Tensor, train: bool = False) -> dict[str, torch.Tensor]:
        """The value of every node that is executed."""
        module, seen = GraphModule(graph).train(train), {}
        for name, layer in module.named_children():
            layer.register_forward_hook(lambda _, __, value, name=name: seen.update({name: value}))
        module(images)
        return seen

    def test_every_operation_can_be_executed(self) -> None:
        kinds = {type(read(types_pb2.Node())) for read in OPERATIONS.values()}
        self.assertEqual(set(LAYERS), kinds)

    def test_every_value_has_the_inferred_shape(self) -> None:
        graph = zoo()
        for train in [True, False]:
            seen = self.observed(graph, torch.randn(3, 4, 9, 7), train)
            shapes = {name: tuple(value.shape) for name, value in seen.items()}
            expected = {f"node{at}": (3, *node.shape) for at, node in enumerate(graph.nodes)}
            self.assertEqual(shapes, expected)

    def test_average_pooling_does_not_count_padding(self) -> None:
        sketch = Sketch((1, 4, 4))
        sketch.chain(0, AvgPool(SQUARE), Flatten(), Linear(2, False))
        ones = torch.ones(1, 1, 4, 4)
        self.assertTrue(torch.equal(self.observed(sketch.graph(), ones)["node1"], ones))

    def test_what_cannot_reach_the_output_is_left_out(self) -> None:
        sketch = Sketch((1, 4, 4))
        kept = sketch.add(conv(2), 0)
        zero = sketch.add(Zero(), sketch.add(conv(2), kept))
        nothing = sketch.add(Add(), zero, zero)
        total = sketch.add(Add(), kept, nothing)
        sketch.chain(total, GlobalAvgPool(), Linear(3, False))
        seen = self.observed(sketch.graph(), torch.ones(1, 1, 4, 4))
        self.assertEqual(list(seen), ["node0", "node1", "node5", "node6", "node7"])
        self.assertEqual(len(list(GraphModule(sketch.graph()).parameters())), 2)

    def test_a_product_with_zeros_is_zeros_and_computes_nothing(self) -> None:
        sketch = Sketch((2, 4, 4))
        dead, zero = sketch.add(Relu(), 0), sketch.add(Zero(), 0)
        product = sketch.add(Multiply(), dead, zero)
        sketch.chain(product, GlobalAvgPool(), Linear(3, True))
        seen = self.observed(sketch.graph(), torch.randn(2, 2, 4, 4))
        self.assertEqual(list(seen), ["node3", "node4", "node5"])
        self.assertTrue(torch.equal(seen["node3"], torch.zeros(2, 2, 4, 4)))
        self.assertTrue(torch.equal(seen["node5"][0], seen["node5"][1]))

    def test_an_output_in_the_middle_ends_the_network(self) -> None:
        sketch = Sketch((1, 4, 4))
        sketch.chain(0, conv(2), Relu(), conv(3))
        graph = Graph(sketch.graph().nodes, 2)
        self.assertEqual(list(self.observed(graph, torch.ones(1, 1, 4, 4))), ["node0", "node1", "node2"])

    def test_zeros_are_made_where_an_operation_needs_them(self) -> None:
        sketch = Sketch((1, 4, 4))
        sketch.chain(0, Zero(), BatchNorm(), GlobalAvgPool(), Linear(3, True))
        logits = GraphModule(sketch.graph()).eval().double()(golden_images())
        self.assertEqual((tuple(logits.shape), logits.dtype), ((8, 3), torch.double))
        self.assertTrue(torch.equal(logits[0], logits[7]))

    def test_batch_normalisation_is_that_of_the_publication(self) -> None:
        for shape in [(2, 4, 4), (2,)]:
            sketch = Sketch(shape)
            sketch.add(BatchNorm(), 0)
            module = GraphModule(sketch.graph())
            images = torch.randn(5, *shape)
            module(images)
            mean = module.get_submodule("node1").get_buffer("running_mean")
            channels = images.transpose(0, 1).flatten(1)
            self.assertTrue(torch.allclose(mean, 0.1 * channels.mean(1)))
            scaled = module.eval()(torch.zeros(1, *shape))
            variance = module.get_submodule("node1").get_buffer("running_var")
            expected = (-mean / (variance + 1e-5).sqrt()).view(1, 2, *[1] * (len(shape) - 1))
            self.assertTrue(torch.allclose(scaled, expected.expand_as(scaled), atol=1e-6))

    def test_a_network_without_weights_is_refused(self) -> None:
        sketch = Sketch((1, 4, 4))
        sketch.chain(0, conv(3), Zero(), GlobalAvgPool())
        with self.assertRaisesRegex(Invalid, "nothing to train"):
            GraphModule(sketch.graph())

    def test_an_operation_without_a_layer_is_for_another_worker(self) -> None:
        class Later(Operation):
            name = "later"

            def shape(self, inputs: object) -> tuple[int, ...]:
                return (3,)

        sketch = Sketch((3,))
        sketch.chain(0, Linear(3, True), Later())
        with self.assertRaisesRegex(BadNode, r"node 2 \(later\)"):
            GraphModule(sketch.graph())


class Example(unittest.TestCase):
    def test_the_classifier_learns_and_stops(self) -> None:
        unit, window = types_pb2.Unit(), types_pb2.Window(kernel=3, stride=1, padding=1)
        conv = types_pb2.Conv2d(out_channels=8, window=window, dilation=1, groups=1)
        nodes = [
            types_pb2.Node(input=unit),
            types_pb2.Node(inputs=[0], conv2d=conv),
            types_pb2.Node(inputs=[1], batch_norm=unit),
            types_pb2.Node(inputs=[2], relu=unit),
            types_pb2.Node(inputs=[3], flatten=unit),
            types_pb2.Node(inputs=[4], linear=types_pb2.Linear(out_features=4, bias=True)),
        ]
        shape = types_pb2.Shape(dimensions=[1, 8, 8])
        graph = types_pb2.Graph(input=shape, nodes=nodes, output=5)
        with Conversation(ROOT / "examples/pytorch_classifier.py") as classifier:
            classifier.hear()
            found = []
            for task in [1, 2]:
                asked = assignment('{"epochs": 2}', task, "custom/classifier")
                asked.graph.CopyFrom(graph)
                classifier.evaluate(asked)
                self.assertTrue(math.isfinite(classifier.hear().progress.metrics["loss"]))
                found.append(classifier.outcome().measured.measurements[0])
            # Chance is 25 %; the seed decides everything.
            self.assertGreater(found[0].value, 60)
            self.assertEqual(found[0], found[1])
            asked.task, asked.stage.settings_json = 3, '{"epochs": 1000000}'
            classifier.evaluate(asked)
            classifier.hear()
            classifier.stop(3)
            self.assertEqual(classifier.outcome().failed.kind, types_pb2.FAILURE_KIND_PREEMPTED)
            self.assertEqual(classifier.close(), 0)


class Drawing(unittest.TestCase):
    def test_a_seed_names_the_weights(self) -> None:
        asked = assignment("{}")
        first, same = Evaluation(asked).module(), Evaluation(asked).module()
        asked.seed = 7
        other = Evaluation(asked).module()
        weights = [module.get_submodule("node1").get_parameter("weight") for module in (first, same, other)]
        self.assertTrue(torch.equal(weights[0], weights[1]))
        self.assertFalse(torch.equal(weights[0], weights[2]))

    def test_weights_fill_the_interval_of_their_fan_in(self) -> None:
        sketch = Sketch((16, 4, 4))
        sketch.chain(0, conv(64), Flatten(), Linear(100, True))
        module = GraphModule(sketch.graph())
        for name, fan_in in [("node1.weight", 16 * 9), ("node3.weight", 1024), ("node3.bias", 1024)]:
            largest = module.get_parameter(name).abs().max().item() * fan_in**0.5
            self.assertTrue(0.9 < largest <= 1, f"{name}: {largest}")


if __name__ == "__main__":
    unittest.main()
