"""Why an evaluation failed, in the kinds that a worker reports.

Each kind has its rule in the coordinator: some are tried again, some are the candidate's fault, one
keeps the stage away from this worker. Must not know pipes or evaluators.
"""

from __future__ import annotations

import traceback
from typing import ClassVar

from ._proto import types_pb2

MAX_TEXT_BYTES = 4096
"""The longest text of a failure, in UTF-8; a longer one loses its middle."""

_OUT_OF_MEMORY_MARKS = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


class Stopped(BaseException):
    """The supervisor does not want the evaluation any more.

    Raised by `Evaluation.progress` and `Evaluation.check`; let it pass. It is no `Exception`, so that
    `except Exception` around a training step does not swallow it.
    """


class Failure(Exception):
    """An evaluation that failed in a known way. Raise one of the subclasses."""

    kind: ClassVar[types_pb2.FailureKind] = types_pb2.FAILURE_KIND_CRASH


class OutOfMemory(Failure):
    """The candidate does not fit into the memory of the device."""

    kind = types_pb2.FAILURE_KIND_OUT_OF_MEMORY


class NonFinite(Failure):
    """The loss or a metric is not a finite number."""

    kind = types_pb2.FAILURE_KIND_NON_FINITE


class BadNode(Failure):
    """This machine cannot evaluate the stage at all: no candidate is to blame.

    A missing file, a broken device. The worker gets nothing more of the stage until it is restarted.
    """

    kind = types_pb2.FAILURE_KIND_BAD_NODE


class Invalid(Failure):
    """The assignment makes no sense to the evaluator: a setting, a space without networks."""

    kind = types_pb2.FAILURE_KIND_INVALID


def message_of(error: BaseException) -> types_pb2.Failure:
    """The failure that an exception from an evaluator stands for."""
    if isinstance(error, Stopped):
        return _failure(types_pb2.FAILURE_KIND_PREEMPTED, "stopped on request")
    if isinstance(error, Failure):
        return _failure(error.kind, str(error) or type(error).__name__)
    return _failure(_kind_of(error), f"{_words(error)}{_place(error)}")


def _kind_of(error: BaseException) -> types_pb2.FailureKind:
    if isinstance(error, MemoryError) or _is_torch_out_of_memory(error):
        return types_pb2.FAILURE_KIND_OUT_OF_MEMORY
    if isinstance(error, FloatingPointError):
        return types_pb2.FAILURE_KIND_NON_FINITE
    return types_pb2.FAILURE_KIND_CRASH


def _is_torch_out_of_memory(error: BaseException) -> bool:
    # By name and text, so that torch need not be installed: its CPU allocator raises RuntimeError.
    for kind in type(error).__mro__:
        if kind.__name__ == "OutOfMemoryError" and kind.__module__.split(".")[0] == "torch":
            return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(mark in text for mark in _OUT_OF_MEMORY_MARKS)


def _words(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f" ({last.filename}, line {last.lineno}, in {last.name})"


def _failure(kind: types_pb2.FailureKind, text: str) -> types_pb2.Failure:
    return types_pb2.Failure(kind=kind, message=bounded(text))


def bounded(text: str) -> str:
    """`text` in at most MAX_TEXT_BYTES bytes, without its middle if it is longer."""
    content = text.encode(errors="replace")
    if len(content) <= MAX_TEXT_BYTES:
        return content.decode()
    half = MAX_TEXT_BYTES // 2 - 4
    head = content[:half].decode(errors="ignore")
    tail = content[-half:].decode(errors="ignore")
    return f"{head}\n…\n{tail}"
