"""Every operation of PyTorch's modules against a computation value by value."""

import math
import unittest
from collections.abc import Callable
from functools import partial
from itertools import product

from cambrian_evaluator.operations import (
    FILTERS,
    Attention,
    ChannelMax,
    ChannelMean,
    Crop,
    FilterBank,
    FirstChannels,
    Flatten,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Input,
    Linear,
    Multiply,
    Operation,
    Relu,
    Sigmoid,
    Silu,
    Upsample,
)
from networks import Sketch

try:
    import torch
except ImportError:
    raise unittest.SkipTest("torch is not installed") from None

from cambrian_evaluator.torch_module import LAYERS, GraphModule

SAMPLES, CHANNELS, HEIGHT, WIDTH = 2, 4, 5, 6
PLACES = list(product(range(HEIGHT), range(WIDTH)))

Value = Callable[[int, int, int, int], float]
"""A value of feature maps by sample, channel, row and column."""


def images(sample: int, channel: int, row: int, column: int) -> float:
    """Values of -4 to 5, so that functions in pieces are met in each of them."""
    k = ((sample * CHANNELS + channel) * HEIGHT + row) * WIDTH + column
    return 4 * math.sin(0.7 * k + 1) + 0.1 * k % 1


def tensor(
    value: Value, channels: int = CHANNELS, height: int = HEIGHT, width: int = WIDTH
) -> torch.Tensor:
    """`[samples, channels, height, width]` in double precision."""
    shape = (SAMPLES, channels, height, width)
    values = [value(*place) for place in product(*map(range, shape))]
    return torch.tensor(values, dtype=torch.double).view(shape)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def hard_sigmoid(x: float) -> float:
    return min(max(x + 3, 0.0), 6.0) / 6


class ValueByValue(unittest.TestCase):
    def computed(self, op: Operation, *before: Operation) -> torch.Tensor:
        """What `op` makes of what each operation `before` makes of the images.

        It makes it of the images themselves where there are none. A linear layer behind it gives the
        network a weight.
        """
        sketch = Sketch((CHANNELS, HEIGHT, WIDTH))
        sources = [0 if isinstance(source, Input) else sketch.add(source, 0) for source in before]
        node = sketch.add(op, *(sources or [0]))
        if len(sketch.graph().output_shape) == 3:
            sketch.add(Flatten(), node)
        sketch.chain(len(sketch.ops), Linear(2, False))
        module, found = GraphModule(sketch.graph()).double().eval(), []
        module.get_submodule(f"node{node}").register_forward_hook(lambda _, __, value: found.append(value))
        module(tensor(images))
        self.assertEqual(len(found), 1)
        return found[0]

    def assert_maps(self, found: torch.Tensor, expected: torch.Tensor) -> None:
        self.assertEqual(found.shape, expected.shape)
        self.assertTrue(torch.allclose(found, expected, 1e-12, 1e-12), f"{found} is not {expected}")

    def test_activations_are_functions_of_each_value(self) -> None:
        functions: list[tuple[Operation, Callable[[float], float]]] = [
            (Relu(), lambda x: max(x, 0.0)),
            (Sigmoid(), sigmoid),
            (HardSigmoid(), hard_sigmoid),
            (Silu(), lambda x: x * sigmoid(x)),
            (HardSwish(), lambda x: x * hard_sigmoid(x)),
        ]
        self.assertTrue(tensor(images).min() < -3 and tensor(images).max() > 3)
        for op, function in functions:
            with self.subTest(op.name):
                expected = tensor(lambda *place, function=function: function(images(*place)))
                self.assert_maps(self.computed(op), expected)

    def test_channels_are_reduced_at_each_place(self) -> None:
        def values(n: int, y: int, x: int) -> list[float]:
            return [images(n, c, y, x) for c in range(CHANNELS)]

        mean = tensor(lambda n, _, y, x: sum(values(n, y, x)) / CHANNELS, 1)
        most = tensor(lambda n, _, y, x: max(values(n, y, x)), 1)
        self.assert_maps(self.computed(ChannelMean()), mean)
        self.assert_maps(self.computed(ChannelMax()), most)

    def test_the_first_channels_are_the_first(self) -> None:
        self.assert_maps(self.computed(FirstChannels(2)), tensor(images)[:, :2])

    def test_crops_leave_out_rows_and_columns_of_each_side(self) -> None:
        expected = tensor(lambda n, c, y, x: images(n, c, y + 2, x), height=HEIGHT - 3, width=WIDTH - 3)
        self.assert_maps(self.computed(Crop(2, 1, 0, 3)), expected)
        expected = tensor(lambda n, c, y, x: images(n, c, y, x + 4), height=HEIGHT - 1, width=WIDTH - 5)
        self.assert_maps(self.computed(Crop(0, 1, 4, 1)), expected)
        self.assert_maps(self.computed(Crop(0, 0, 0, 0)), tensor(images))

    def test_upsampling_repeats_each_value(self) -> None:
        def repeated(factor: int, n: int, c: int, y: int, x: int) -> float:
            return images(n, c, y // factor, x // factor)

        for factor in [1, 2, 3, 41]:
            with self.subTest(factor):
                expected = tensor(partial(repeated, factor), height=factor * HEIGHT, width=factor * WIDTH)
                self.assertTrue(torch.equal(self.computed(Upsample(factor)), expected))
                # In single precision 41 times 1 / 41 is less than 1.
                layer = LAYERS[Upsample](Upsample(factor), (CHANNELS, HEIGHT, WIDTH))
                self.assertTrue(torch.equal(layer(tensor(images).float()), expected.float()))

    def test_the_filter_bank_filters_each_channel_in_turn(self) -> None:
        def padded(n: int, c: int, y: int, x: int) -> float:
            return images(n, c, y, x) if 0 <= y < HEIGHT and 0 <= x < WIDTH else 0.0

        def filtered(n: int, c: int, y: int, x: int) -> float:
            channel, taps = c // len(FILTERS), FILTERS[c % len(FILTERS)]
            steps = product((-1, 0, 1), (-1, 0, 1))
            return sum(tap * padded(n, channel, y + v, x + u) for tap, (v, u) in zip(taps, steps))

        self.assert_maps(self.computed(FilterBank()), tensor(filtered, CHANNELS * len(FILTERS)))

    def test_filters_are_not_trained(self) -> None:
        sketch = Sketch((2, 4, 4))
        sketch.chain(0, FilterBank(), Flatten(), Linear(3, False))
        module = GraphModule(sketch.graph())
        self.assertEqual([name for name, _ in module.named_parameters()], ["node3.weight"])
        self.assertEqual([name for name, _ in module.named_buffers()], ["node1.filters"])

    def test_products_take_maps_of_one_channel_and_vectors(self) -> None:
        def value(n: int, c: int, y: int, x: int) -> float:
            mean = sum(images(n, c, *place) for place in PLACES) / len(PLACES)
            most = max(images(n, channel, y, x) for channel in range(CHANNELS))
            return mean * images(n, c, y, x) * most

        expected = tensor(value)
        for factors in [
            [GlobalAvgPool(), Input(), ChannelMax()],
            [ChannelMax(), GlobalAvgPool(), Input()],
            [Input(), ChannelMax(), GlobalAvgPool()],
        ]:
            self.assert_maps(self.computed(Multiply(), *factors), expected)

    def test_a_product_of_vectors_is_a_vector(self) -> None:
        means = tensor(images).mean((2, 3))
        found = self.computed(Multiply(), GlobalAvgPool(), GlobalAvgPool(), GlobalAvgPool())
        self.assert_maps(found, means**3)

    def test_attention_weighs_every_place_in_each_head(self) -> None:
        # Queries, keys and values that differ, and more channels of values.
        bank = self.computed(FilterBank())
        outputs = CHANNELS * len(FILTERS)

        def attended(heads: int, n: int, c: int, y: int, x: int) -> float:
            depth, head = CHANNELS // heads, c // (outputs // heads)
            channels = range(head * depth, (head + 1) * depth)
            products = [
                sum(images(n, k, y, x) * sigmoid(images(n, k, *place)) for k in channels)
                for place in PLACES
            ]
            weights = [math.exp(product / math.sqrt(depth)) for product in products]
            terms = [weight * bank[n, c, v, u].item() for weight, (v, u) in zip(weights, PLACES)]
            return sum(terms) / sum(weights)

        for heads in [1, 2, 4]:
            found = self.computed(Attention(heads), Input(), Sigmoid(), FilterBank())
            with self.subTest(heads):
                self.assert_maps(found, tensor(partial(attended, heads), outputs))


if __name__ == "__main__":
    unittest.main()
