"""What a worker tells an evaluator about its slot, and what an evaluator tells of its device.

Must not know pipes or evaluations.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Slot:
    """The flags that a worker adds to an evaluator's command line."""

    device: str = "cpu"
    """`cpu`, or `cuda:0`: the process sees its own GPU only."""
    threads: int = 1
    """CPU threads of an evaluation."""
    data: Path | None = None
    """The directory of data sets, where the worker names one."""
    gate_dir: Path | None = None
    """Where the evaluators of a machine agree on who measures, where the worker names it."""

    @classmethod
    def from_command_line(cls, arguments: Sequence[str] | None = None) -> Slot:
        """Reads the worker's flags from `arguments` (those of the process) and passes over others."""
        flags = _flags(arguments)
        return cls(flags.device, flags.threads, flags.data, flags.gate_dir)


def check_is_asked(arguments: Sequence[str] | None = None) -> bool:
    """Whether the command line has `--check`: print what is offered, and end."""
    return bool(_flags(arguments).check)


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--gate-dir", type=Path)
    parser.add_argument("--check", action="store_true")
    return parser.parse_known_args(arguments)[0]


def device_class(slot: Slot) -> str:
    """The class of the slot's device, within which times and energies may be compared.

    `cpu:MODEL:THREADSt`, as the project's own evaluator names it, or the GPU's name from torch.
    """
    if slot.device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(slot.device))
    return f"cpu:{_cpu_model()}:{slot.threads}t"


_VIRTUAL_BOARD = "linux,dummy-virt"
"""What virtual machines call their board, whatever they run on."""


def _cpu_model() -> str:
    known = cpu_name(_text("/proc/cpuinfo"), _text("/proc/device-tree/model"))
    return known or platform.machine() or "unknown"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def cpu_name(cpuinfo: str, board: str) -> str | None:
    """A processor's name: by `/proc/cpuinfo`, else that of the board, else the kinds of cores."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    fields = [(name.strip(), value.strip()) for name, _, value in lines]
    model = next((value for name, value in fields if name == "model name"), "")
    # `ARMv7 Processor rev 3 (v7l)` is the name of an instruction set.
    if model.startswith("ARMv"):
        model = ""
    board = board.rstrip("\0")
    if board == _VIRTUAL_BOARD:
        board = ""
    return _short(model) or _short(board) or _cores(fields)


def _short(name: str) -> str:
    words = name.replace("(R)", "").replace("(TM)", "").split()
    words = [word for word in words if word not in ("CPU", "Processor", "@")]
    return "-".join(words).replace(":", "-")


def _cores(fields: list[tuple[str, str]]) -> str | None:
    """Implementer, part and variant of each kind of core, as ARM's processors tell them."""
    kinds: list[str] = []
    implementer = variant = ""
    for name, value in fields:
        if name == "CPU implementer":
            implementer = value
        elif name == "CPU variant":
            variant = value
        elif name == "CPU part":
            kind = "-".join(text for text in (implementer, value, variant) if text)
            if kind not in kinds:
                kinds.append(kind)
    return f"ARM-{'+'.join(kinds)}" if kinds else None


def limit_threads(threads: int) -> None:
    """Keeps numerical libraries to this many threads: those loaded already and those still to come.

    The class of device names this number, so it wins against what the environment says.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, and of NumPy and torch if they are loaded."""
    random.seed(seed)
    if "numpy" in sys.modules:
        import numpy

        numpy.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)
