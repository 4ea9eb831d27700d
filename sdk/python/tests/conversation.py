"""The supervisor's side of the pipe, for tests: starts a program and speaks with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from cambrian_evaluator._proto import evaluator_pb2, types_pb2
from cambrian_evaluator.framing import read, write

ROOT = Path(__file__).resolve().parent.parent
FAULTY = ROOT / "tests/faulty_evaluator.py"
PATIENCE = 60.0
"""Longer than anything takes, in seconds."""


def two_layers() -> types_pb2.Graph:
    """A vector of eight features, two linear layers."""
    ops = types_pb2
    return ops.Graph(
        input=ops.Shape(dimensions=[8]),
        nodes=[
            ops.Node(input=ops.Unit()),
            ops.Node(inputs=[0], linear=ops.Linear(out_features=16, bias=True)),
            ops.Node(inputs=[1], relu=ops.Unit()),
            ops.Node(inputs=[2], linear=ops.Linear(out_features=10, bias=False)),
        ],
        output=3,
    )


def assignment(
    settings: str,
    task: int = 1,
    evaluator: str = "custom/faulty",
    measures: tuple[str, ...] = ("accuracy",),
) -> types_pb2.Assignment:
    """What a worker asks for."""
    return types_pb2.Assignment(
        task=task,
        attempt=1,
        candidate=types_pb2.CandidateId(campaign=2, ordinal=3),
        graph=two_layers(),
        genotype="x",
        stage=types_pb2.Stage(
            name="own",
            evaluator=evaluator,
            settings_json=settings,
            measures=measures,
            timeout_micros=60_000_000,
        ),
        seed=2**64 - 1,
    )


class Conversation:
    """A running evaluator. Ends with the `with` block."""

    def __init__(self, program: Path, *flags: str) -> None:
        # A file, since nobody reads it while the program runs.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # Unbuffered output would be out before the package can lead it elsewhere.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self.process = subprocess.Popen(
            [sys.executable, str(program), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._log):
            cast(BinaryIO, stream).close()

    def hear(self) -> evaluator_pb2.EvaluatorMessage:
        """The next message."""
        message = read(cast(BinaryIO, self.process.stdout), evaluator_pb2.EvaluatorMessage)
        assert message is not None, f"the evaluator ended: {self.log()}"
        return message

    def evaluate(self, assignment: types_pb2.Assignment) -> None:
        """Asks for an evaluation."""
        self.say(evaluator_pb2.SupervisorMessage(evaluate=assignment))

    def stop(self, task: int, attempt: int = 1, *, keep_state: bool = False) -> None:
        """Takes it back; with `keep_state` for another attempt to go on."""
        key = types_pb2.TaskAttempt(task=task, attempt=attempt)
        stop = evaluator_pb2.StopEvaluation(attempt=key, keep_state=keep_state)
        self.say(evaluator_pb2.SupervisorMessage(stop=stop))

    def write_state(self, task: int, path: str, attempt: int = 1) -> None:
        """Asks for the state of an evaluation that goes on."""
        key = types_pb2.TaskAttempt(task=task, attempt=attempt)
        request = evaluator_pb2.WriteState(attempt=key, path=path)
        self.say(evaluator_pb2.SupervisorMessage(write_state=request))

    def say(self, message: evaluator_pb2.SupervisorMessage) -> None:
        """Sends a message."""
        write(cast(BinaryIO, self.process.stdin).fileno(), message)

    def outcome(self) -> types_pb2.Outcome:
        """How the evaluation in work ends; progress is passed over."""
        while True:
            message = self.hear()
            if message.HasField("ended"):
                return message.ended.outcome

    def close(self) -> int:
        """Closes its input; the exit code."""
        cast(BinaryIO, self.process.stdin).close()
        return self.process.wait(PATIENCE)

    def log(self) -> str:
        """What it has written to standard error."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")
