"""Evaluators of one's own for Cambrian, in Python.

A function that measures a candidate becomes a program that a worker starts:

    from cambrian_evaluator import Evaluation, evaluator, serve

    @evaluator("mine", metrics={"accuracy": "trained"})
    def mine(evaluation: Evaluation) -> dict[str, float]:
        ...

    if __name__ == "__main__":
        serve(mine)
"""

from .evaluation import Evaluation
from .evaluator import Evaluator, Measured, Results, Source, evaluator
from .failure import BadNode, Failure, Invalid, NonFinite, OutOfMemory, Stopped
from .graph import Graph, Node
from .machine import Slot
from .operations import Operation, Shape, Window
from .service import PROTOCOL, serve

__all__ = [
    "PROTOCOL",
    "BadNode",
    "Evaluation",
    "Evaluator",
    "Failure",
    "Graph",
    "Invalid",
    "Measured",
    "Node",
    "NonFinite",
    "Operation",
    "OutOfMemory",
    "Results",
    "Shape",
    "Slot",
    "Source",
    "Stopped",
    "Window",
    "evaluator",
    "serve",
]
