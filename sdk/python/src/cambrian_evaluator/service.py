"""The evaluator's side of the pipe: greet, evaluate one assignment at a time, always answer.

A thread reads the pipe, so that a stop, or the end of the pipe, reaches an evaluation in work at its
next report. Must not know how anything is evaluated.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from ._proto import evaluator_pb2, types_pb2
from .evaluation import Evaluation
from .evaluator import PREFIX, Evaluator
from .failure import Invalid, Stopped, message_of
from .framing import FramingError, read, write
from .machine import Slot, check_is_asked, device_class, limit_threads, seed_everything

PROTOCOL = 1
"""The version of the contract that this package speaks."""

GRACE_SECONDS = 5.0
"""How long an evaluation in work has to give up once the supervisor's stream has ended."""

_BROKEN_PIPE = 2
_MAX_NOTE = 1024


def serve(
    *evaluators: Evaluator,
    datasets: Iterable[str] | Mapping[str, str] = (),
    unavailable: Mapping[str, str] | None = None,
    device: str | None = None,
) -> None:
    """Serves the worker that started this process, until it closes standard input.

    `datasets` are the data sets that are there, for stages that ask for one; a mapping gives each a text
    that names its content, such as a hash, without which no result on it is kept for other campaigns.
    `unavailable` says of what is missing why. `device` is the class of device that times are comparable on;
    by default it is found.
    From here on whatever is printed goes to standard error, which the worker logs. Print to standard error
    before: standard output belongs to the messages.
    """
    names = {evaluator.name for evaluator in evaluators}
    if not evaluators or len(names) < len(evaluators):
        raise ValueError("serve takes at least one evaluator, each with a name of its own")
    slot = Slot.from_command_line()
    device = device_class(slot) if device is None else device
    capabilities = types_pb2.Capabilities(
        device_class=device,
        evaluators=[evaluator.offer(device) for evaluator in evaluators],
        datasets=sorted(set(datasets)),
        dataset_offers=_named_contents(datasets),
        unavailable=dict(unavailable or {}),
    )
    if check_is_asked():
        _print(capabilities)
        return
    if sys.stdin is not None and sys.stdin.isatty():
        sys.exit(
            "this program is started by a cambrian worker, which speaks with it over standard input; "
            "to see what it offers, add --check"
        )
    limit_threads(slot.threads)
    requests, answers = _private_streams()
    try:
        Service(evaluators, capabilities, slot, requests, answers).run()
    except (FramingError, BrokenPipeError) as error:
        print(f"cambrian_evaluator: {error}", file=sys.stderr)
        sys.exit(_BROKEN_PIPE)


def _named_contents(datasets: Iterable[str] | Mapping[str, str]) -> list[types_pb2.DatasetOffer]:
    if not isinstance(datasets, Mapping):
        return []
    return [
        types_pb2.DatasetOffer(name=name, fingerprint=fingerprint)
        for name, fingerprint in sorted(datasets.items())
    ]


def _private_streams() -> tuple[BinaryIO, int]:
    """The pipes to the supervisor, out of reach of whatever reads and prints in this process."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    # What was printed before and is still in the buffer must not get among the messages either.
    sys.stdout.flush()
    sys.stdout = sys.stderr
    return requests, answers


class Service:
    """One conversation with a supervisor."""

    def __init__(
        self,
        evaluators: Iterable[Evaluator],
        capabilities: types_pb2.Capabilities,
        slot: Slot,
        requests: BinaryIO,
        answers: int,
    ) -> None:
        self._evaluators = {PREFIX + evaluator.name: evaluator for evaluator in evaluators}
        self._capabilities = capabilities
        self._slot = slot
        self._requests = requests
        self._answers = answers
        # Filled by the reading thread; `None` at the end of the stream, or why it cannot be read.
        self._work: queue.SimpleQueue[types_pb2.Assignment | FramingError | None] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._stopped: dict[tuple[int, int], bool] = {}
        # Of those that are stopped, whose state is wanted.
        self._yielding: set[tuple[int, int]] = set()
        # The file that the state is asked for in, of those that go on.
        self._asked: dict[tuple[int, int], str] = {}
        self._ended = threading.Event()
        self._finished = threading.Event()

    def run(self) -> None:
        """Serves until the stream ends. Raises FramingError and OSError of the pipes."""
        hello = evaluator_pb2.Hello(protocol=PROTOCOL, capabilities=self._capabilities)
        self._send(evaluator_pb2.EvaluatorMessage(hello=hello))
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()
        try:
            while (assignment := self._work.get()) is not None:
                if isinstance(assignment, FramingError):
                    raise assignment
                self._answer(assignment)
        finally:
            self._finished.set()

    def _send(self, message: evaluator_pb2.EvaluatorMessage) -> None:
        # A function may report from several threads.
        with self._sending:
            write(self._answers, message)

    def _listen(self) -> None:
        fault: FramingError | None = None
        try:
            while message := read(self._requests, evaluator_pb2.SupervisorMessage):
                self._take(message)
        except FramingError as error:
            fault = error
        except OSError as error:
            fault = FramingError(str(error))
        self._ended.set()
        self._work.put(fault)
        # Whoever evaluates has a moment to notice; a process without a supervisor must not live on.
        if not self._finished.wait(GRACE_SECONDS):
            os._exit(_BROKEN_PIPE)

    def _take(self, message: evaluator_pb2.SupervisorMessage) -> None:
        kind = message.WhichOneof("message")
        if kind == "evaluate":
            with self._lock:
                self._stopped[_key(message.evaluate)] = False
            self._work.put(message.evaluate)
        elif kind == "stop":
            with self._lock:
                key = _key(message.stop.attempt)
                if key in self._stopped:
                    self._stopped[key] = True
                    if message.stop.keep_state:
                        self._yielding.add(key)
                    else:
                        self._yielding.discard(key)
        elif kind == "write_state":
            with self._lock:
                key = _key(message.write_state.attempt)
                if key in self._stopped:
                    self._asked[key] = message.write_state.path
        else:
            print("ignored a message of a kind that this evaluator does not know", file=sys.stderr)

    def _is_stopped(self, key: tuple[int, int]) -> bool:
        with self._lock:
            return self._ended.is_set() or self._stopped.get(key, False)

    def _is_state_wanted(self, key: tuple[int, int]) -> bool:
        with self._lock:
            return not self._ended.is_set() and key in self._yielding

    def _asked_path(self, key: tuple[int, int]) -> str:
        with self._lock:
            return self._asked.get(key, "")

    def _answer(self, assignment: types_pb2.Assignment) -> None:
        key = _key(assignment)
        outcome, energy = self._evaluate(assignment, key)
        with self._lock:
            self._stopped.pop(key, None)
            self._yielding.discard(key)
            self._asked.pop(key, None)
        if self._ended.is_set():
            return
        attempt = types_pb2.TaskAttempt(task=assignment.task, attempt=assignment.attempt)
        ended = evaluator_pb2.EvaluationEnded(attempt=attempt, outcome=outcome, energy_joules=energy)
        self._send(evaluator_pb2.EvaluatorMessage(ended=ended))

    def _evaluate(
        self, assignment: types_pb2.Assignment, key: tuple[int, int]
    ) -> tuple[types_pb2.Outcome, float | None]:
        def report(step: int, steps: int, metrics: dict[str, float]) -> None:
            progress = evaluator_pb2.EvaluationProgress(
                attempt=types_pb2.TaskAttempt(task=key[0], attempt=key[1]),
                step=step,
                steps=steps,
                metrics=metrics,
            )
            say(evaluator_pb2.EvaluatorMessage(progress=progress))

        def saved(step: int) -> None:
            with self._lock:
                self._asked.pop(key, None)
            attempt = types_pb2.TaskAttempt(task=key[0], attempt=key[1])
            written = evaluator_pb2.StateWritten(attempt=attempt, step=step)
            say(evaluator_pb2.EvaluatorMessage(state_written=written))

        def say(message: evaluator_pb2.EvaluatorMessage) -> None:
            try:
                self._send(message)
            except OSError:
                # The supervisor is gone: the evaluation is not wanted any more.
                self._ended.set()
                raise Stopped from None

        evaluation = Evaluation(
            assignment,
            self._slot,
            report,
            lambda: self._is_stopped(key),
            lambda: self._is_state_wanted(key),
            lambda: self._asked_path(key),
            saved,
        )
        try:
            evaluator = self._evaluator(assignment.stage)
            evaluation.check()
            seed_everything(assignment.seed)
            measured = evaluator.measure(evaluation, self._capabilities.device_class)
            note = "; ".join(evaluation.notes).encode()[:_MAX_NOTE].decode(errors="ignore")
            return types_pb2.Outcome(measured=measured, note=note), evaluation.energy_joules
        except (Exception, Stopped) as error:
            if not isinstance(error, Stopped):
                traceback.print_exc()
            outcome = types_pb2.Outcome(failed=message_of(error), step=evaluation.step_left)
            return outcome, evaluation.energy_joules

    def _evaluator(self, stage: types_pb2.Stage) -> Evaluator:
        evaluator = self._evaluators.get(stage.evaluator)
        if evaluator is None:
            known = ", ".join(self._evaluators)
            raise Invalid(f"there is no evaluator `{stage.evaluator}` here; there is {known}")
        missing = [metric for metric in stage.measures if metric not in evaluator.metrics]
        if missing:
            raise Invalid(f"`{stage.evaluator}` does not measure {', '.join(missing)}")
        return evaluator


def _key(attempt: types_pb2.Assignment | types_pb2.TaskAttempt) -> tuple[int, int]:
    return (attempt.task, attempt.attempt)


def _print(capabilities: types_pb2.Capabilities) -> None:
    print(f"device class  {capabilities.device_class}")
    for offer in capabilities.evaluators:
        print(f"evaluator     {offer.name} (version {offer.version})")
        for metric, provenance in sorted(offer.metrics.items()):
            print(f"  metric      {metric} ({provenance.source})")
    for dataset in capabilities.datasets:
        print(f"data set      {dataset}")
    for name, reason in sorted(capabilities.unavailable.items()):
        print(f"unavailable   {name}: {reason}")
