#!/usr/bin/env python3
"""An evaluator that goes wrong as its settings ask; for tests of both sides of the pipe."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from cambrian_evaluator import (
    BadNode,
    Evaluation,
    Invalid,
    Measured,
    NonFinite,
    OutOfMemory,
    Results,
    Source,
    Stopped,
    evaluator,
    serve,
)


def reports(evaluation: Evaluation) -> Results:
    """Reports without end."""
    step = 0
    while True:
        step += 1
        evaluation.progress(step, 2**31, accuracy=step)
        time.sleep(0.005)


def swallows(evaluation: Evaluation) -> Results:
    """Reports without end, and takes every error for a bad training step."""
    step = 0
    while True:
        step += 1
        try:
            evaluation.progress(step, 2**31)
            raise ValueError("a bad step")
        except Exception:
            time.sleep(0.005)


def hangs(evaluation: Evaluation) -> Results:
    """Is busy and never looks whether it is wanted."""
    evaluation.progress(1, 2)
    while True:
        time.sleep(1)


def raises(evaluation: Evaluation) -> Results:
    """A defect of the user's code."""
    evaluation.progress(1, 2, accuracy=1)
    return {"accuracy": [][int(evaluation.attempt)]}


def exits(evaluation: Evaluation) -> Results:
    """Ends the process."""
    evaluation.progress(1, 2)
    sys.exit(7)


def killed(evaluation: Evaluation) -> Results:
    """As by the system."""
    evaluation.progress(1, 2)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def prints(evaluation: Evaluation) -> Results:
    """Writes to standard output in every way, and reads standard input."""
    print("printed", flush=True)
    os.write(1, b"written\n")
    subprocess.run(["echo", "by a child"], check=True)
    sys.stdout.write("not flushed")
    assert sys.stdin.read() == ""
    return {"accuracy": 1.5}


def fails(error: BaseException) -> Callable[[Evaluation], Results]:
    """Raises this."""

    def function(evaluation: Evaluation) -> Results:
        raise error

    return function


def returns(results: object) -> Callable[[Evaluation], Results]:
    """Returns this, whether or not it is a result."""
    return lambda evaluation: results  # type: ignore[return-value]


def continues(evaluation: Evaluation) -> Results:
    """Counts on from where the stage before has ended."""
    begun = int(evaluation.resume_path.read_text()) if evaluation.resume_path else 0
    if not begun:
        evaluation.note("it began anew " + "ü" * 1000)
    if evaluation.checkpoint_path:
        evaluation.checkpoint_path.write_text(str(begun + 1))
    return {"accuracy": begun + 1}


def yields(evaluation: Evaluation) -> Results:
    """Counts until it is stopped, and leaves how far it has got if somebody goes on from there."""
    step = int(evaluation.resume_path.read_text()) if evaluation.resume_path else 0
    if evaluation.resume_path:
        return {"accuracy": step}
    try:
        while True:
            step += 1
            evaluation.progress(step, 1_000_000)
            if evaluation.save_path:
                evaluation.save_path.write_text(str(step))
                evaluation.saved(step)
            time.sleep(0.01)
    except Stopped:
        if evaluation.yield_path:
            evaluation.yield_path.write_text(str(step))
            evaluation.left(step)
        raise


WAYS: dict[str, Callable[[Evaluation], Results]] = {
    "reports": reports,
    "swallows": swallows,
    "hangs": hangs,
    "continues": continues,
    "yields": yields,
    "raises": raises,
    "exits": exits,
    "killed": killed,
    "prints": prints,
    "bad_node": fails(BadNode("no data here")),
    "invalid": fails(Invalid("no such optimizer")),
    "out_of_memory": fails(OutOfMemory("12 GiB do not fit")),
    "memory_error": fails(MemoryError()),
    "allocator": fails(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 1 EB")),
    "diverges": fails(NonFinite("the loss is nan")),
    "floating_point": fails(FloatingPointError("overflow encountered")),
    "long": fails(ValueError("ü" * 100_000 + "the end")),
    "fine": returns({"accuracy": 1, "latency": Measured(2.5, 0.5), "unasked": float("nan")}),
    "nan": returns({"accuracy": float("nan")}),
    "spread": returns({"accuracy": Measured(1.0, float("inf"))}),
    "negative_spread": returns({"accuracy": Measured(1.0, -0.5)}),
    "missing": returns({"latency": 1.0}),
    "text": returns({"accuracy": "1.0"}),
    "nothing": returns(None),
}


@evaluator(
    "faulty", version="3", metrics={"accuracy": "trained", "latency": Source("clock", True)}, yields=True
)
def faulty(evaluation: Evaluation) -> Results:
    """Goes the way that the settings name."""
    return WAYS[evaluation.settings["way"]](evaluation)


if __name__ == "__main__":
    if "--talkative" in sys.argv:
        print("printed before it serves")
    serve(faulty, datasets={"digits": "5f3a"}, unavailable={"letters": "not fetched"})
