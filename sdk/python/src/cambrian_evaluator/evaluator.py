"""What a user declares: a function, its name, and the metrics that it delivers.

Must not know pipes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import SupportsFloat

from ._proto import types_pb2
from .evaluation import Evaluation
from .failure import Failure, NonFinite

PREFIX = "custom/"
"""How campaigns write the name of an evaluator of a user."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Source:
    """Where the values of a metric come from. Values of different sources never meet in one front."""

    name: str
    """Such as `trained`, `wall-clock` or `modelled`."""
    on_device: bool = False
    """Whether values depend on the class of device, as times and energies do."""


@dataclass(frozen=True)
class Measured:
    """A value with its spread, such as a standard error, in the metric's unit, 0 or more."""

    value: SupportsFloat
    spread: SupportsFloat | None = None


Results = Mapping[str, "SupportsFloat | Measured"]
"""What an evaluation found: a finite value of every metric that it was asked for."""


@dataclass(frozen=True)
class Evaluator:
    """A function that evaluates candidates, under the name that campaigns write behind `custom/`."""

    name: str
    version: str
    """Results of different versions are different results: change it when the values would."""
    metrics: Mapping[str, Source]
    function: Callable[[Evaluation], Results] = field(repr=False)
    yields: bool = False
    """Whether it leaves its state when it is stopped for another attempt to go on with."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"`{self.name}` cannot name an evaluator: use letters, digits, `-`, `_` and `.`, at "
                "most 64, and start with a letter or digit"
            )
        if not self.version or len(self.version) > 64:
            raise ValueError("the version of an evaluator is a text of 1 to 64 characters")
        if not self.metrics:
            raise ValueError(f"the evaluator `{self.name}` delivers no metric")
        for metric, source in self.metrics.items():
            if not _METRIC.fullmatch(metric):
                raise ValueError(
                    f"`{metric}` cannot name a metric: use letters, digits and `_`, at most 64, and "
                    "start with a letter"
                )
            if not source.name:
                raise ValueError(f"the values of `{metric}` need a source, such as `trained`")

    def __call__(self, evaluation: Evaluation) -> Results:
        """Evaluates; for tests of the function itself."""
        return self.function(evaluation)

    def provenance(self, metric: str, device_class: str) -> types_pb2.Provenance:
        """Where the values of `metric` come from on a device of this class."""
        source = self.metrics[metric]
        return types_pb2.Provenance(
            source=source.name, device_class=device_class if source.on_device else ""
        )

    def offer(self, device_class: str) -> types_pb2.EvaluatorOffer:
        """What a worker announces."""
        metrics = {metric: self.provenance(metric, device_class) for metric in self.metrics}
        return types_pb2.EvaluatorOffer(
            name=PREFIX + self.name, version=self.version, metrics=metrics, yields=self.yields
        )

    def measure(self, evaluation: Evaluation, device_class: str) -> types_pb2.Measurements:
        """Evaluates and checks the results. Raises what the function raises, and Failure."""
        results = self(evaluation)
        if not isinstance(results, Mapping):
            raise Failure(
                f"the evaluator `{self.name}` returned {type(results).__name__} instead of a mapping "
                "of metrics to values"
            )
        measurements = [
            _measurement(metric, results, self.provenance(metric, device_class))
            for metric in evaluation.measures
        ]
        return types_pb2.Measurements(measurements=measurements)


def evaluator(
    name: str, *, metrics: Mapping[str, str | Source], version: str = "1", yields: bool = False
) -> Callable[[Callable[[Evaluation], Results]], Evaluator]:
    """Makes a function an evaluator: `@evaluator("mine", metrics={"accuracy": "trained"})`.

    `metrics` says for each metric that the function can deliver where its values come from; a text
    alone is a Source that does not depend on the device. With `yields` the function writes its state to
    `evaluation.yield_path` where that is asked for; see there.
    """
    sources = {
        metric: source if isinstance(source, Source) else Source(source)
        for metric, source in metrics.items()
    }
    return lambda function: Evaluator(name, version, sources, function, yields)


def _measurement(metric: str, results: Results, provenance: types_pb2.Provenance) -> types_pb2.Measurement:
    if metric not in results:
        found = ", ".join(map(str, results)) or "nothing"
        raise Failure(f"the evaluator returned no {metric}; it returned: {found}")
    result = results[metric]
    measured = result if isinstance(result, Measured) else Measured(result)
    measurement = types_pb2.Measurement(
        metric=metric, value=_finite(metric, measured.value), provenance=provenance
    )
    if measured.spread is not None:
        spread = _finite(f"the spread of {metric}", measured.spread)
        if spread < 0:
            raise Failure(f"the spread of {metric} is {spread}; a spread is 0 or more, as a deviation is")
        measurement.spread = spread
    return measurement


def _finite(what: str, value: object) -> float:
    if isinstance(value, (str, bytes)) or not isinstance(value, SupportsFloat):
        raise Failure(f"{what} is {value!r:.100}, which is no number")
    number = float(value)
    if not math.isfinite(number):
        raise NonFinite(f"{what} is {number}")
    return number
