#!/usr/bin/env python3
"""Trains a perceptron in plain Python, as wide as the candidate: needs nothing but the package.

The campaign says `evaluator: custom/perceptron` and declares the metric `weights`.
"""

import math
import random

from cambrian_evaluator import Evaluation, Graph, Invalid, evaluator, serve

Point = tuple[float, float]


def moons(count: int) -> list[tuple[Point, int]]:
    """Points of two interleaved half circles, with noise."""
    points = []
    for index in range(count):
        moon, angle = index % 2, random.uniform(0, math.pi)
        x, y = math.cos(angle), math.sin(angle)
        centre = (1 - x, 0.5 - y) if moon else (x, y)
        points.append(((centre[0] + random.gauss(0, 0.1), centre[1] + random.gauss(0, 0.1)), moon))
    return points


class Perceptron:
    """One hidden layer of rectified units, trained by plain gradient descent."""

    def __init__(self, width: int) -> None:
        self.hidden = [[random.gauss(0, 1) for _ in range(3)] for _ in range(width)]
        self.output = [random.gauss(0, width**-0.5) for _ in range(width + 1)]

    def activations(self, point: Point) -> list[float]:
        return [max(0.0, a * point[0] + b * point[1] + c) for a, b, c in self.hidden]

    def probability(self, active: list[float]) -> float:
        total = self.output[-1] + sum(w * a for w, a in zip(self.output, active))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

    def learn(self, point: Point, label: int, rate: float) -> None:
        active = self.activations(point)
        step = rate * (label - self.probability(active))
        for unit, value in enumerate(active):
            if value > 0:
                inward = step * self.output[unit]
                for place, given in enumerate((*point, 1.0)):
                    self.hidden[unit][place] += inward * given
            self.output[unit] += step * value
        self.output[-1] += step


def width(graph: Graph) -> int:
    """As many hidden units as the candidate's widest node has channels."""
    return max(node.shape[0] for node in graph.nodes)


@evaluator("perceptron", version="1", metrics={"accuracy": "trained", "weights": "counted"})
def perceptron(evaluation: Evaluation) -> dict[str, float]:
    """The accuracy of the perceptron in percent, and the parameters of the candidate itself."""
    epochs = evaluation.settings.get("epochs", 20)
    if not isinstance(epochs, int) or epochs < 1:
        raise Invalid(f"the setting epochs is {epochs!r}, which is no number of passes")
    model, known, unseen = Perceptron(width(evaluation.graph)), moons(100), moons(200)

    def accuracy() -> float:
        correct = sum((model.probability(model.activations(p)) > 0.5) == bool(t) for p, t in unseen)
        return 100 * correct / len(unseen)

    for epoch in range(epochs):
        for point, label in known:
            model.learn(point, label, rate=0.1)
        evaluation.progress(epoch + 1, epochs, accuracy=accuracy())
    return {"accuracy": accuracy(), "weights": evaluation.graph.params()}


if __name__ == "__main__":
    serve(perceptron)
