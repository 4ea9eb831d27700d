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


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2] for line in lines if line.startswith("model name")), "")
    words = name.replace("(R)", "").replace("(TM)", "").split()
    words = [word for word in words if word not in ("CPU", "Processor", "@")]
    return "-".join(words).replace(":", "-") or platform.machine() or "unknown"


def limit_threads(threads: int) -> None:
    """Keeps numerical libraries to this many threads: those loaded already and those still to come."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, str(threads))
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
