"""A candidate's network as plain values: nodes in topological order, every shape inferred and checked.

An operation is one class and one entry of `OPERATIONS`, named as in `types.proto`; whoever executes
graphs has a table of its own. Must not know frameworks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from ._proto import types_pb2
from .failure import BadNode, Invalid

Shape = tuple[int, ...]
"""One sample: (channels, height, width) for a map, (features,) for a vector."""


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
        if self.dilation < 1 or self.groups < 1:
            raise ValueError("dilation and groups are at least 1")
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


OPERATIONS: dict[str, Callable[[types_pb2.Node], Operation]] = {
    Input.name: lambda node: Input(),
    Conv2d.name: _conv2d,
    BatchNorm.name: lambda node: BatchNorm(),
    Relu.name: lambda node: Relu(),
    AvgPool.name: lambda node: AvgPool(_window(node.avg_pool)),
    MaxPool.name: lambda node: MaxPool(_window(node.max_pool)),
    GlobalAvgPool.name: lambda node: GlobalAvgPool(),
    Flatten.name: lambda node: Flatten(),
    Linear.name: lambda node: Linear(node.linear.out_features, node.linear.bias),
    Add.name: lambda node: Add(),
    Concat.name: lambda node: Concat(),
    Zero.name: lambda node: Zero(),
}
"""How each operation is read, by its name in `types.proto`."""


@dataclass(frozen=True)
class Node:
    """One operation with its inputs and the shape of one sample's output."""

    op: Operation
    inputs: tuple[int, ...]
    """Positions of earlier nodes, in order."""
    shape: Shape


@dataclass(frozen=True)
class Graph:
    """A valid network; the first node is its input."""

    nodes: tuple[Node, ...]
    output: int
    """The position of the node whose value the network returns."""

    @property
    def input_shape(self) -> Shape:
        """The shape of one input sample."""
        return self.nodes[0].shape

    @property
    def output_shape(self) -> Shape:
        """The shape of one output sample."""
        return self.nodes[self.output].shape

    def params(self) -> int:
        """The number of trainable parameters, those of nodes that cannot reach the output included."""
        inputs = ((node, self.nodes[node.inputs[0]].shape) for node in self.nodes if node.inputs)
        return sum(node.op.params(shape) for node, shape in inputs)

    @classmethod
    def build(cls, input: Shape, ops: Sequence[tuple[Operation, Sequence[int]]]) -> Graph:
        """The graph with these operations behind the input, the last one being the output.

        Positions count from 0, the input. Raises Invalid, naming the first node that does not fit.
        """
        nodes = [Node(Input(), (), _checked(0, Input(), tuple(input)))]
        for op, inputs in ops:
            nodes.append(_node(nodes, op, tuple(inputs)))
        return cls(tuple(nodes), len(nodes) - 1)

    @classmethod
    def from_message(cls, message: types_pb2.Graph) -> Graph:
        """The graph of a message.

        Raises Invalid where it is no network, and BadNode where it has an operation that this release
        does not know: another worker may know it.
        """
        ops = [_operation(position, node) for position, node in enumerate(message.nodes)]
        if not ops or not isinstance(ops[0], Input) or message.nodes[0].inputs:
            raise Invalid("the graph does not begin with its input")
        if any(isinstance(op, Input) for op in ops[1:]):
            raise Invalid("the graph has more than one input")
        if message.output >= len(ops):
            raise Invalid(f"the output is node {message.output} of {len(ops)} nodes")
        rest = [(op, tuple(node.inputs)) for op, node in zip(ops[1:], message.nodes[1:])]
        graph = cls.build(tuple(message.input.dimensions), rest)
        return cls(graph.nodes, message.output)


def _operation(position: int, node: types_pb2.Node) -> Operation:
    name = node.WhichOneof("op")
    read = OPERATIONS.get(name) if name else None
    if read is None:
        what = f"`{name}`" if name else "an operation"
        raise BadNode(
            f"node {position} of the graph is {what} that this release of cambrian-evaluator does "
            "not know; install the release of the coordinator"
        )
    return read(node)


def _node(nodes: Sequence[Node], op: Operation, inputs: tuple[int, ...]) -> Node:
    position = len(nodes)
    least, most = op.inputs
    if len(inputs) < least or (most is not None and len(inputs) > most):
        raise Invalid(f"node {position} ({op.name}) has {len(inputs)} inputs")
    if any(not 0 <= input < position for input in inputs):
        raise Invalid(f"node {position} ({op.name}) reads a node that does not come before it")
    try:
        shape = op.shape([nodes[input].shape for input in inputs])
    except ValueError as error:
        found = "x".join(map(str, nodes[inputs[0]].shape))
        raise Invalid(
            f"node {position} ({op.name}) does not fit its input of shape {found}: {error}"
        ) from None
    return Node(op, inputs, _checked(position, op, shape))


def _checked(position: int, op: Operation, shape: Shape) -> Shape:
    if len(shape) not in (1, 3) or any(side < 1 for side in shape):
        raise Invalid(f"node {position} ({op.name}) has no shape of a map or a vector: {shape}")
    return shape


def _map(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError("it needs a map of channels x height x width")
    return (shape[0], shape[1], shape[2])


def _check_window(window: Window) -> None:
    if window.kernel < 1 or window.stride < 1 or window.padding < 0:
        raise ValueError("kernel and stride are at least 1, padding is not negative")


def _positions(side: int, extent: int, window: Window) -> int:
    room = side + 2 * window.padding - extent
    if room < 0:
        raise ValueError(f"a window of {extent} does not fit into {side}")
    return room // window.stride + 1
