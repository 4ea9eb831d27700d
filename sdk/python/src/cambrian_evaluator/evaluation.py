"""One evaluation as its function sees it: what to do, and the way to report and to be stopped.

Must not know pipes or other evaluations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from ._proto import types_pb2
from .failure import BadNode, Invalid, Stopped
from .graph import Graph
from .machine import Slot

if TYPE_CHECKING:
    from .torch_module import GraphModule

_MAX_STEPS = 2**32 - 1

Report = Callable[[int, int, dict[str, float]], None]
"""Takes a step, the number of steps, and finite values by metric."""


class Evaluation:
    """A candidate and what to measure of it."""

    def __init__(
        self,
        assignment: types_pb2.Assignment,
        slot: Slot | None = None,
        report: Report = lambda step, steps, metrics: None,
        is_stopped: Callable[[], bool] = lambda: False,
        is_state_wanted: Callable[[], bool] = lambda: False,
        asked_path: Callable[[], str] = lambda: "",
        say_saved: Callable[[int], None] = lambda step: None,
    ) -> None:
        """An evaluation of a message; the defaults are for tests of an evaluator's function."""
        self._assignment = assignment
        self._report = report
        self._is_stopped = is_stopped
        self._is_state_wanted = is_state_wanted
        self._asked_path = asked_path
        self._say_saved = say_saved
        self._step = 0
        self._notes: list[str] = []
        self._energy_joules: float | None = None
        self.slot = slot or Slot()
        """Device, threads and directories."""

    def __repr__(self) -> str:
        return f"Evaluation(candidate={self.candidate!r}, stage={self.stage!r})"

    @property
    def candidate(self) -> str:
        """The candidate as people write it, CAMPAIGN/ORDINAL."""
        candidate = self._assignment.candidate
        return f"{candidate.campaign}/{candidate.ordinal}"

    @property
    def attempt(self) -> int:
        """How often the task was given out, this time included."""
        return self._assignment.attempt

    @property
    def genotype(self) -> str:
        """The candidate in its space's notation."""
        return self._assignment.genotype

    @property
    def seed(self) -> int:
        """The seed of everything random in the evaluation, 0 to 2^64 - 1.

        The generators of Python, NumPy and torch are seeded with it before the function is called.
        """
        return self._assignment.seed

    @property
    def stage(self) -> str:
        """The stage's name, for messages."""
        return self._assignment.stage.name

    @property
    def measures(self) -> tuple[str, ...]:
        """The metrics that the function has to return."""
        return tuple(self._assignment.stage.measures)

    @property
    def dataset(self) -> str | None:
        """The data set that the stage asks for."""
        return self._assignment.stage.dataset or None

    @property
    def timeout_seconds(self) -> float:
        """The longest that the evaluation may take."""
        return self._assignment.stage.timeout_micros / 1e6

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The stage's settings as the campaign has them. Nobody has checked them."""
        try:
            settings = json.loads(self._assignment.stage.settings_json or "{}")
        except ValueError as error:
            raise Invalid(f"the settings are not JSON: {error}") from None
        if not isinstance(settings, dict):
            raise Invalid("the settings are no JSON object")
        return settings

    @cached_property
    def graph(self) -> Graph:
        """The candidate's network. Raises Invalid where the search space has no networks."""
        if not self._assignment.HasField("graph"):
            raise Invalid("the candidate has no network: the search space builds none")
        return Graph.from_message(self._assignment.graph)

    def module(self) -> GraphModule:
        """The candidate's network as a new `torch.nn.Module` with weights drawn from the seed.

        It is on the CPU: move it to `evaluation.slot.device`.
        """
        graph = self.graph
        try:
            import torch
        except ImportError as error:
            raise BadNode(f"torch cannot be imported: {error}") from error
        from .torch_module import GraphModule

        torch.set_num_threads(self.slot.threads)
        torch.manual_seed(self.seed)
        return GraphModule(graph)

    @property
    def resume_path(self) -> Path | None:
        """The file that an earlier stage, or an earlier attempt that was stopped or lost, has left.

        Without one this one begins anew.
        """
        return _path(self._assignment.resume_path)

    @property
    def checkpoint_path(self) -> Path | None:
        """Where to write what a later stage needs to continue this one; None if none does.

        Write the file before the function returns. It is taken away afterwards.
        """
        return _path(self._assignment.checkpoint_path)

    @property
    def yield_path(self) -> Path | None:
        """Where to write the state that another attempt goes on with; None unless that is asked for.

        It is there once the evaluation is stopped because its slot is needed or its worker has to go,
        and only where the evaluator `yields`. Write the file, whole or not at all, call `left`, and let
        `Stopped` through. The next attempt finds it as `resume_path`.
        """
        return _path(self._assignment.yield_path) if self._is_state_wanted() else None

    def left(self, step: int) -> None:
        """Says how many steps are done in the state at `yield_path`."""
        if not 0 <= step <= _MAX_STEPS:
            raise ValueError(f"{step} is no number of steps")
        self._step = step

    @property
    def save_path(self) -> Path | None:
        """Where to write the state while the evaluation goes on; None unless that is asked for.

        A worker asks for it every so often, and only where the evaluator `yields`: if the worker is lost,
        the next attempt finds the last one that was stored as `resume_path`. Look between two steps, write
        the file, whole or not at all, and call `saved`.
        """
        return _path(self._asked_path())

    def saved(self, step: int) -> None:
        """Says that the state after this many steps is at `save_path`, which belongs to the worker then."""
        if not 0 <= step <= _MAX_STEPS:
            raise ValueError(f"{step} is no number of steps")
        if not self._asked_path():
            raise ValueError("nobody has asked for the state; see save_path")
        self._say_saved(step)

    @property
    def step_left(self) -> int:
        """What `left` was told."""
        return self._step

    def note(self, text: str) -> None:
        """Says with the result, for people, what was different from what was asked for."""
        self._notes.append(text)

    @property
    def notes(self) -> tuple[str, ...]:
        """What `note` was told."""
        return tuple(self._notes)

    @property
    def stopped(self) -> bool:
        """Whether the evaluation was asked to end; see `check`."""
        return self._is_stopped()

    def check(self) -> None:
        """Raises Stopped if the evaluation was asked to end.

        Call it, or `progress`, every second or so: a process that has not ended within the worker's
        `stop_grace_seconds` is killed.
        """
        if self.stopped:
            raise Stopped

    def progress(self, step: int, steps: int, **metrics: SupportsFloat) -> None:
        """Reports that `step` of `steps` is done, with values so far; raises Stopped like `check`.

        Values that are not finite are left out. The worker passes on a few reports a second.
        """
        if not 0 <= step <= steps <= _MAX_STEPS:
            raise ValueError(f"step {step} of {steps} steps makes no sense")
        self.check()
        values = {name: float(value) for name, value in metrics.items()}
        self._report(step, steps, {k: v for k, v in values.items() if math.isfinite(v)})

    def used_energy(self, joules: SupportsFloat) -> None:
        """Adds energy that the evaluation has used; budgets of energy count it.

        Without it the evaluation counts as nothing there. Failed evaluations count too.
        """
        amount = float(joules)
        if not (math.isfinite(amount) and amount >= 0):
            raise ValueError(f"{amount} J is no amount of energy")
        self._energy_joules = (self._energy_joules or 0.0) + amount

    @property
    def energy_joules(self) -> float | None:
        """The energy used so far; None if nothing is known of it."""
        return self._energy_joules


def _path(text: str) -> Path | None:
    return Path(text) if text else None
