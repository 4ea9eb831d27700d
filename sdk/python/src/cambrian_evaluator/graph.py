"""A candidate's network as plain values: nodes in topological order, every shape inferred and checked.

Must not know frameworks, nor what single operations do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ._proto import types_pb2
from .failure import BadNode, Invalid
from .operations import MAX_DIMENSION, OPERATIONS, Input, Operation, Shape

MAX_VALUES = 1 << 53
"""The largest number of values that a node may put out for one sample."""


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
    if max(shape) > MAX_DIMENSION or prod(shape) > MAX_VALUES:
        found = "x".join(map(str, shape))
        raise Invalid(
            f"node {position} ({op.name}) is too large: a dimension of its output {found} exceeds "
            f"{MAX_DIMENSION}, or its values exceed {MAX_VALUES}"
        )
    return shape
