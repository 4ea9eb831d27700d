"""The operations of networks: their settings, the shapes they accept and make, their parameters.

An operation is one class and one entry of `OPERATIONS`, named as in `types.proto`; whoever executes
graphs has a table of its own. Must not know graphs nor frameworks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from ._proto import types_pb2

Shape = tuple[int, ...]
"""One sample: (channels, height, width) for a map, (features,) for a vector."""

MAX_DIMENSION = 1 << 20
"""The largest size of any channel, height, width or feature dimension, and of any setting."""

FILTERS: tuple[tuple[float, ...], ...] = (
    (-0.125, 0.0, 0.125, -0.25, 0.0, 0.25, -0.125, 0.0, 0.125),
    (-0.125, -0.25, -0.125, 0.0, 0.0, 0.0, 0.125, 0.25, 0.125),
    (0.0, 0.125, 0.0, 0.125, -0.5, 0.125, 0.0, 0.125, 0.0),
    (0.0625, 0.125, 0.0625, 0.125, 0.25, 0.125, 0.0625, 0.125, 0.0625),
)
"""The 3x3 filters of `FilterBank`, row by row: the horizontal and the vertical derivative (Sobel), the
Laplacian, and a blur (binomial)."""


@dataclass(frozen=True)
class Window:
    """A square sliding window."""

    kernel: int
    stride: int
    padding: int
    """Zeros on each side."""


class Operation:
    """What a node computes."""

    name: ClassVar[str]
    """As in `types.proto`."""
    inputs: ClassVar[tuple[int, int | None]] = (1, 1)
    """The fewest and the most inputs; `None` for any number."""

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of one sample's output. Raises ValueError where the inputs do not fit."""
        raise NotImplementedError

    def params(self, input: Shape) -> int:
        """The number of trainable parameters."""
        return 0


class _SameShape(Operation):
    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return inputs[0]


@dataclass(frozen=True)
class Input(Operation):
    """The network's input: the first node and no other."""

    name = "input"
    inputs = (0, 0)


@dataclass(frozen=True)
class Conv2d(Operation):
    """A 2-D convolution."""

    out_channels: int
    window: Window
    dilation: int
    groups: int
    bias: bool
    name = "conv2d"

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        channels, height, width = _map(inputs[0])
        _check_window(self.window)
        _check_setting("dilation", self.dilation, 1)
        _check_setting("groups", self.groups, 1)
        if channels % self.groups or self.out_channels % self.groups:
            raise ValueError(f"groups {self.groups} must divide its input and output channels")
        extent = self.dilation * (self.window.kernel - 1) + 1
        positions = [_positions(side, extent, self.window) for side in (height, width)]
        return (self.out_channels, *positions)

    def params(self, input: Shape) -> int:
        weights = self.out_channels * (input[0] // self.groups) * self.window.kernel**2
        return weights + (self.out_channels if self.bias else 0)


@dataclass(frozen=True)
class BatchNorm(_SameShape):
    """Batch normalisation with trainable scale and shift per channel."""

    name = "batch_norm"

    def params(self, input: Shape) -> int:
        return 2 * input[0]


@dataclass(frozen=True)
class Relu(_SameShape):
    """The rectified linear unit."""

    name = "relu"


@dataclass(frozen=True)
class Sigmoid(_SameShape):
    """The logistic function."""

    name = "sigmoid"


@dataclass(frozen=True)
class HardSigmoid(_SameShape):
    """The logistic function in three pieces, `min(max(x + 3, 0), 6) / 6` (Howard et al., ICCV 2019)."""

    name = "hard_sigmoid"


@dataclass(frozen=True)
class Silu(_SameShape):
    """`x * sigmoid(x)` (Elfwing et al., Neural Networks 2018)."""

    name = "silu"


@dataclass(frozen=True)
class HardSwish(_SameShape):
    """`x * hard_sigmoid(x)` (Howard et al., ICCV 2019)."""

    name = "hard_swish"


@dataclass(frozen=True)
class _Pool(Operation):
    window: Window

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        channels, height, width = _map(inputs[0])
        _check_window(self.window)
        if self.window.padding > self.window.kernel // 2:
            raise ValueError(
                f"padding {self.window.padding} exceeds half of the kernel {self.window.kernel}"
            )
        kernel = self.window.kernel
        return (channels, *(_positions(side, kernel, self.window) for side in (height, width)))


@dataclass(frozen=True)
class AvgPool(_Pool):
    """Average pooling that does not count padding."""

    name = "avg_pool"


@dataclass(frozen=True)
class MaxPool(_Pool):
    """Maximum pooling."""

    name = "max_pool"


@dataclass(frozen=True)
class GlobalAvgPool(Operation):
    """The mean of each channel: a map becomes a vector."""

    name = "global_avg_pool"

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return (_map(inputs[0])[0],)


@dataclass(frozen=True)
class _OneChannel(Operation):
    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return (1, *_map(inputs[0])[1:])


@dataclass(frozen=True)
class ChannelMean(_OneChannel):
    """The mean over channels at each place: a map of one channel."""

    name = "channel_mean"


@dataclass(frozen=True)
class ChannelMax(_OneChannel):
    """The maximum over channels at each place: a map of one channel."""

    name = "channel_max"


@dataclass(frozen=True)
class Crop(Operation):
    """A map without its outer rows and columns, as many as given at each side."""

    top: int
    bottom: int
    left: int
    right: int
    name = "crop"

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        channels, height, width = _map(inputs[0])
        for name in ("top", "bottom", "left", "right"):
            _check_setting(name, getattr(self, name), 0)
        return (channels, _rest(height, self.top, self.bottom), _rest(width, self.left, self.right))


@dataclass(frozen=True)
class FirstChannels(Operation):
    """The first channels of a map, the others cut off."""

    channels: int
    """How many."""
    name = "first_channels"

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        channels, height, width = _map(inputs[0])
        _check_setting("channels", self.channels, 1)
        if self.channels > channels:
            raise ValueError(f"there are no {self.channels} channels")
        return (self.channels, height, width)


@dataclass(frozen=True)
class Upsample(Operation):
    """A map with each value repeated in a square (nearest-neighbour upsampling)."""

    factor: int
    """The side of that square."""
    name = "upsample"

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        channels, height, width = _map(inputs[0])
        _check_setting("factor", self.factor, 1)
        return (channels, height * self.factor, width * self.factor)


@dataclass(frozen=True)
class FilterBank(Operation):
    """For each channel in turn its convolutions with `FILTERS`, which are not trained.

    The sides are padded with zeros and stay.
    """

    name = "filter_bank"

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        channels, height, width = _map(inputs[0])
        return (channels * len(FILTERS), height, width)


@dataclass(frozen=True)
class Flatten(Operation):
    """A map read as a vector, channel-major."""

    name = "flatten"

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return (prod(_map(inputs[0])),)


@dataclass(frozen=True)
class Linear(Operation):
    """A fully connected layer."""

    out_features: int
    bias: bool
    name = "linear"

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(inputs[0]) != 1:
            raise ValueError("it needs a vector")
        return (self.out_features,)

    def params(self, input: Shape) -> int:
        return self.out_features * (input[0] + (1 if self.bias else 0))


@dataclass(frozen=True)
class Add(Operation):
    """The sum of one or more inputs of equal shape."""

    name = "add"
    inputs = (1, None)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if any(shape != inputs[0] for shape in inputs):
            raise ValueError("shapes that are added differ")
        return inputs[0]


@dataclass(frozen=True)
class Multiply(Operation):
    """The product of one or more inputs of equal shape.

    Beside maps of several channels a map of one channel multiplies each of them, and a vector each
    channel by one of its features.
    """

    name = "multiply"
    inputs = (1, None)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        # A map of the most channels, or a vector where there are vectors alone.
        widest = max(inputs, key=lambda shape: (len(shape), shape[0]))
        for shape in inputs:
            if shape != widest and not _multiplies_map(shape, widest):
                raise ValueError(f"shape {_text(shape)} does not multiply shape {_text(widest)}")
        return widest


@dataclass(frozen=True)
class Attention(Operation):
    """Scaled dot-product attention among the places of a map (Vaswani et al., NeurIPS 2017).

    Inputs are queries, keys and values, maps of equal height and width, queries and keys of as many
    channels; the output has the channels of the values.
    """

    heads: int
    """Divides the channels of queries and of values."""
    name = "attention"
    inputs = (3, 3)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        queries, keys, values = inputs
        channels, *sides = _map(queries)
        _check_setting("heads", self.heads, 1)
        if keys != queries:
            raise ValueError(f"its keys have shape {_text(keys)}")
        if len(values) != 3 or list(values[1:]) != sides:
            raise ValueError(f"its values have shape {_text(values)}")
        if channels % self.heads or values[0] % self.heads:
            raise ValueError(
                f"heads {self.heads} must divide its {channels} channels of queries and {values[0]} of "
                "values"
            )
        return values


@dataclass(frozen=True)
class Concat(Operation):
    """Maps of equal height and width stacked along channels, in order."""

    name = "concat"
    inputs = (1, None)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        maps = [_map(shape) for shape in inputs]
        if any(shape[1:] != maps[0][1:] for shape in maps):
            raise ValueError("maps that are stacked differ in height or width")
        return (sum(shape[0] for shape in maps), *maps[0][1:])


@dataclass(frozen=True)
class Zero(_SameShape):
    """Zeros in the shape of the input: a cell's edge without a connection."""

    name = "zero"


def _window(message: types_pb2.Window) -> Window:
    return Window(message.kernel, message.stride, message.padding)


def _conv2d(node: types_pb2.Node) -> Operation:
    conv = node.conv2d
    return Conv2d(conv.out_channels, _window(conv.window), conv.dilation, conv.groups, conv.bias)


def _crop(node: types_pb2.Node) -> Operation:
    return Crop(node.crop.top, node.crop.bottom, node.crop.left, node.crop.right)


OPERATIONS: dict[str, Callable[[types_pb2.Node], Operation]] = {
    Input.name: lambda node: Input(),
    Conv2d.name: _conv2d,
    BatchNorm.name: lambda node: BatchNorm(),
    Relu.name: lambda node: Relu(),
    Sigmoid.name: lambda node: Sigmoid(),
    HardSigmoid.name: lambda node: HardSigmoid(),
    Silu.name: lambda node: Silu(),
    HardSwish.name: lambda node: HardSwish(),
    AvgPool.name: lambda node: AvgPool(_window(node.avg_pool)),
    MaxPool.name: lambda node: MaxPool(_window(node.max_pool)),
    GlobalAvgPool.name: lambda node: GlobalAvgPool(),
    ChannelMean.name: lambda node: ChannelMean(),
    ChannelMax.name: lambda node: ChannelMax(),
    Crop.name: _crop,
    FirstChannels.name: lambda node: FirstChannels(node.first_channels.channels),
    Upsample.name: lambda node: Upsample(node.upsample.factor),
    FilterBank.name: lambda node: FilterBank(),
    Flatten.name: lambda node: Flatten(),
    Linear.name: lambda node: Linear(node.linear.out_features, node.linear.bias),
    Add.name: lambda node: Add(),
    Multiply.name: lambda node: Multiply(),
    Attention.name: lambda node: Attention(node.attention.heads),
    Concat.name: lambda node: Concat(),
    Zero.name: lambda node: Zero(),
}
"""How each operation is read, by its name in `types.proto`."""


def _map(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError("it needs a map of channels x height x width")
    return (shape[0], shape[1], shape[2])


def _check_setting(name: str, value: int, least: int) -> None:
    if not least <= value <= MAX_DIMENSION:
        raise ValueError(f"{name} is {value}, expected {least} to {MAX_DIMENSION}")


def _check_window(window: Window) -> None:
    _check_setting("kernel", window.kernel, 1)
    _check_setting("stride", window.stride, 1)
    _check_setting("padding", window.padding, 0)


def _positions(side: int, extent: int, window: Window) -> int:
    room = side + 2 * window.padding - extent
    if room < 0:
        raise ValueError(f"a window of {extent} does not fit into {side}")
    return room // window.stride + 1


def _rest(side: int, first: int, last: int) -> int:
    if first + last >= side:
        raise ValueError(f"of a side of {side}, {first} and {last} leave nothing")
    return side - first - last


def _multiplies_map(shape: Shape, widest: Shape) -> bool:
    """Whether a factor of another shape than the widest map's multiplies each of its channels."""
    if len(widest) != 3:
        return False
    return shape == (1, *widest[1:]) if len(shape) == 3 else shape == widest[:1]


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
