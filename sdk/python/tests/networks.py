"""Networks with known numbers, for tests."""

from __future__ import annotations

from cambrian_evaluator.graph import Graph
from cambrian_evaluator.operations import (
    Add,
    Attention,
    AvgPool,
    BatchNorm,
    ChannelMax,
    ChannelMean,
    Concat,
    Conv2d,
    Crop,
    FilterBank,
    FirstChannels,
    Flatten,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool,
    Multiply,
    Operation,
    Relu,
    Shape,
    Sigmoid,
    Silu,
    Upsample,
    Window,
    Zero,
)

SQUARE = Window(3, 1, 1)


def conv(out_channels: int, window: Window = SQUARE) -> Conv2d:
    """A convolution without bias."""
    return Conv2d(out_channels, window, 1, 1, False)


class Sketch:
    """A graph that grows node by node."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.ops: list[tuple[Operation, tuple[int, ...]]] = []

    def add(self, op: Operation, *inputs: int) -> int:
        """The position of a new node."""
        self.ops.append((op, inputs))
        return len(self.ops)

    def chain(self, position: int, *ops: Operation) -> int:
        """The position of the last of these, each reading the one before."""
        for op in ops:
            position = self.add(op, position)
        return position

    def graph(self) -> Graph:
        """What has grown; the last node is the output."""
        return Graph.build(self.shape, self.ops)


def golden() -> Graph:
    """The network whose values the project's own executor is tested with."""
    sketch = Sketch((1, 4, 4))
    sketch.chain(0, conv(2), Relu(), conv(3), Relu(), GlobalAvgPool(), Linear(3, False))
    return sketch.graph()


def nasbench201(channels: int = 16, cells: int = 5) -> Graph:
    """The network of NAS-Bench-201 (Dong and Yang, ICLR 2020) whose edges all are 3x3 convolutions."""
    sketch = Sketch((3, 32, 32))

    def relu_conv_norm(position: int, out: int, stride: int = 1) -> int:
        return sketch.chain(position, Relu(), conv(out, Window(3, stride, 1)), BatchNorm())

    position = sketch.chain(0, conv(channels), BatchNorm())
    for stage in range(3):
        width = channels << stage
        if stage > 0:
            inner = relu_conv_norm(relu_conv_norm(position, width, 2), width)
            short = sketch.chain(position, AvgPool(Window(2, 2, 0)), conv(width, Window(1, 1, 0)))
            position = sketch.add(Add(), short, inner)
        for _ in range(cells):
            values = [position]
            for _ in range(3):
                terms = [relu_conv_norm(value, width) for value in values]
                values.append(sketch.add(Add(), *terms))
            position = values[-1]
    sketch.chain(position, BatchNorm(), Relu(), GlobalAvgPool(), Linear(10, True))
    return sketch.graph()


def zoo() -> Graph:
    """Every operation once, with unusual settings."""
    sketch = Sketch((4, 9, 7))
    grouped = Conv2d(6, Window(3, 2, 2), 2, 2, True)
    a = sketch.chain(0, grouped, BatchNorm(), Relu())
    b, c = sketch.add(AvgPool(SQUARE), a), sketch.add(MaxPool(SQUARE), a)
    zero = sketch.add(Zero(), a)
    total = sketch.add(Add(), b, zero, c)
    stack = sketch.add(Concat(), total, a, zero)
    hidden = sketch.chain(stack, Flatten(), Linear(5, True))
    other = sketch.chain(stack, GlobalAvgPool(), Linear(5, False))
    gate = sketch.chain(a, GlobalAvgPool(), HardSigmoid())
    mean, most = sketch.chain(a, ChannelMean(), Sigmoid()), sketch.add(ChannelMax(), a)
    product = sketch.add(Multiply(), gate, mean, a, most)
    values = sketch.chain(product, FilterBank())
    mixed = sketch.add(Attention(3), a, product, values)
    enlarged = sketch.chain(mixed, Crop(1, 2, 0, 3), FirstChannels(5), Silu(), Upsample(2))
    last = sketch.chain(enlarged, Flatten(), HardSwish(), Linear(5, True))
    sketch.add(Add(), hidden, other, last)
    return sketch.graph()
