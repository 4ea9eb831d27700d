"""A graph as a `torch.nn.Module`, with the semantics of the project's own executor.

Nodes whose value cannot reach the output are neither executed nor given weights, and sums skip addends
that are zeros by construction: graphs that compute the same function cost the same. Weights are drawn
as PyTorch does by default. Needs torch; must not know evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from . import operations as ops
from .failure import BadNode, Invalid
from .graph import Graph, Node
from .operations import Shape

# PyTorch's defaults, which NAS-Bench-201 trains with: written down, so that no release changes them.
_STATISTICS_MOMENTUM = 0.1
_VARIANCE_EPSILON = 1e-5


class GlobalAvgPool(nn.Module):
    """The mean of each channel."""

    def forward(self, value: Tensor) -> Tensor:
        return value.mean((2, 3))


class ChannelMean(nn.Module):
    """The mean over channels."""

    def forward(self, value: Tensor) -> Tensor:
        return value.mean(1, keepdim=True)


class ChannelMax(nn.Module):
    """The maximum over channels."""

    def forward(self, value: Tensor) -> Tensor:
        return value.amax(1, keepdim=True)


class Crop(nn.Module):
    """A map without its outer rows and columns."""

    def __init__(self, op: ops.Crop) -> None:
        super().__init__()
        self.op = op

    def forward(self, value: Tensor) -> Tensor:
        height, width = value.shape[2:]
        rows = slice(self.op.top, height - self.op.bottom)
        return value[:, :, rows, self.op.left : width - self.op.right]

    def extra_repr(self) -> str:
        return str(self.op)


class FirstChannels(nn.Module):
    """The first channels of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, value: Tensor) -> Tensor:
        return value[:, : self.channels]

    def extra_repr(self) -> str:
        return str(self.channels)


class Upsample(nn.Module):
    """Each value repeated in a square."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, value: Tensor) -> Tensor:
        # PyTorch's interpolation rounds places in single precision, and errs by some factors, such as 41.
        return value.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)

    def extra_repr(self) -> str:
        return str(self.factor)


class FilterBank(nn.Module):
    """The fixed filters on each of so many channels."""

    filters: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        filters = torch.tensor(ops.FILTERS).view(-1, 1, 3, 3)
        self.register_buffer("filters", filters.repeat(channels, 1, 1, 1))

    def forward(self, value: Tensor) -> Tensor:
        return nn.functional.conv2d(value, self.filters, padding=1, groups=value.shape[1])


class Add(nn.Module):
    """The sum of its arguments."""

    def forward(self, *values: Tensor) -> Tensor:
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


class Multiply(nn.Module):
    """The product of its arguments; a vector beside maps is one of maps of one pixel."""

    def forward(self, *values: Tensor) -> Tensor:
        maps = any(value.dim() == 4 for value in values)
        factors = [value[:, :, None, None] if maps and value.dim() == 2 else value for value in values]
        product = factors[0]
        for factor in factors[1:]:
            product = product * factor
        return product


class Attention(nn.Module):
    """Scaled dot-product attention among places, each head on its share of the channels."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        samples, _, height, width = values.shape
        # [samples, heads, channels of a head, places]
        queries, keys, values = (
            maps.reshape(samples, self.heads, maps.shape[1] // self.heads, height * width)
            for maps in (queries, keys, values)
        )
        scores = queries.transpose(2, 3) @ keys / queries.shape[2] ** 0.5
        mixed = values @ scores.softmax(-1).transpose(2, 3)
        return mixed.reshape(samples, -1, height, width)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


class Concat(nn.Module):
    """Its arguments stacked along channels."""

    def forward(self, *values: Tensor) -> Tensor:
        return torch.cat(values, 1)


class Zeros(nn.Module):
    """Zeros of `shape` for as many samples as the network's input has."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, network_input: Tensor) -> Tensor:
        return network_input.new_zeros((network_input.shape[0], *self.shape))

    def extra_repr(self) -> str:
        return "x".join(map(str, self.shape))


def _conv2d(op: ops.Conv2d, shape: Shape) -> nn.Module:
    return nn.Conv2d(
        shape[0],
        op.out_channels,
        op.window.kernel,
        op.window.stride,
        op.window.padding,
        op.dilation,
        op.groups,
        op.bias,
    )


def _batch_norm(op: ops.BatchNorm, shape: Shape) -> nn.Module:
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], eps=_VARIANCE_EPSILON, momentum=_STATISTICS_MOMENTUM)


def _avg_pool(op: ops.AvgPool, shape: Shape) -> nn.Module:
    window = op.window
    return nn.AvgPool2d(window.kernel, window.stride, window.padding, count_include_pad=False)


def _max_pool(op: ops.MaxPool, shape: Shape) -> nn.Module:
    return nn.MaxPool2d(op.window.kernel, op.window.stride, op.window.padding)


LAYERS: dict[type[ops.Operation], Callable[[Any, Shape], nn.Module]] = {
    ops.Input: lambda op, shape: nn.Identity(),
    ops.Conv2d: _conv2d,
    ops.BatchNorm: _batch_norm,
    ops.Relu: lambda op, shape: nn.ReLU(),
    ops.Sigmoid: lambda op, shape: nn.Sigmoid(),
    ops.HardSigmoid: lambda op, shape: nn.Hardsigmoid(),
    ops.Silu: lambda op, shape: nn.SiLU(),
    ops.HardSwish: lambda op, shape: nn.Hardswish(),
    ops.AvgPool: _avg_pool,
    ops.MaxPool: _max_pool,
    ops.GlobalAvgPool: lambda op, shape: GlobalAvgPool(),
    ops.ChannelMean: lambda op, shape: ChannelMean(),
    ops.ChannelMax: lambda op, shape: ChannelMax(),
    ops.Crop: lambda op, shape: Crop(op),
    ops.FirstChannels: lambda op, shape: FirstChannels(op.channels),
    ops.Upsample: lambda op, shape: Upsample(op.factor),
    ops.FilterBank: lambda op, shape: FilterBank(shape[0]),
    ops.Flatten: lambda op, shape: nn.Flatten(),
    ops.Linear: lambda op, shape: nn.Linear(shape[0], op.out_features, op.bias),
    ops.Add: lambda op, shape: Add(),
    ops.Multiply: lambda op, shape: Multiply(),
    ops.Attention: lambda op, shape: Attention(op.heads),
    ops.Concat: lambda op, shape: Concat(),
    ops.Zero: lambda op, shape: Zeros(shape),
}
"""The layer of each operation, from the operation and the shape of its first input."""


class GraphModule(nn.Module):
    """The network of a graph with fresh weights.

    The layer of node `i` is the submodule `node{i}`, so that forward hooks see the value of every node
    that is executed; the input's is an identity. A batch normalisation of a vector refuses to train on
    a single sample, as PyTorch's layers do.
    """

    def __init__(self, graph: Graph) -> None:
        """Raises Invalid where no weight reaches the output: there is nothing to train."""
        super().__init__()
        self.graph = graph
        self._steps = _plan(graph)
        for position, inputs, _ in self._steps:
            self.add_module(f"node{position}", _layer(graph, position, inputs))
        if next(self.parameters(), None) is None:
            raise Invalid("no weight of the graph reaches its output, so there is nothing to train")

    def forward(self, input: Tensor) -> Tensor:
        """The output, `[samples, ...]`, for `input` of `[samples, *graph.input_shape]`."""
        values: dict[int, Tensor] = {}
        for position, inputs, finished in self._steps:
            # The input itself and zeros are made from the network's input.
            sources = [values[source] for source in inputs] or [input]
            values[position] = self.get_submodule(f"node{position}")(*sources)
            for source in finished:
                del values[source]
        return values[self.graph.output]


def _layer(graph: Graph, position: int, inputs: tuple[int, ...]) -> nn.Module:
    node = graph.nodes[position]
    if not inputs and not isinstance(node.op, ops.Input):
        return Zeros(node.shape)
    build = LAYERS.get(type(node.op))
    if build is None:
        raise BadNode(f"node {position} ({node.op.name}) cannot be executed by PyTorch here")
    shape = graph.nodes[node.inputs[0]].shape if node.inputs else node.shape
    return build(node.op, shape)


def _plan(graph: Graph) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """The executed nodes in order: position, positions that it reads, positions freed after it."""
    inputs = _effective_inputs(graph.nodes)
    live = {graph.output}
    for position in range(graph.output, -1, -1):
        if position in live:
            live.update(inputs[position])
    last_use: dict[int, int] = {}
    for position in sorted(live):
        for source in inputs[position]:
            last_use[source] = position
    freed: dict[int, list[int]] = {}
    for source, position in last_use.items():
        freed.setdefault(position, []).append(source)
    return [(at, inputs[at], tuple(freed.get(at, ()))) for at in sorted(live)]


def _effective_inputs(nodes: tuple[Node, ...]) -> list[tuple[int, ...]]:
    """The inputs that matter to each node.

    None where its value is zeros whatever they are (a product with zeros is), and of a sum those that
    are not zeros by construction.
    """
    zero: list[bool] = []
    effective: list[tuple[int, ...]] = []
    for node in nodes:
        inputs = node.inputs
        if isinstance(node.op, ops.Zero):
            inputs = ()
        elif isinstance(node.op, ops.Add):
            inputs = tuple(source for source in inputs if not zero[source])
        elif isinstance(node.op, ops.Multiply) and any(zero[source] for source in inputs):
            inputs = ()
        zero.append(not inputs and not isinstance(node.op, ops.Input))
        effective.append(inputs)
    return effective
