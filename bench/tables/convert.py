"""Turns published benchmark files into tables that `cambrian simulate --table` reads (docs/tables.md).

    python3 convert.py nas-bench-macro nas-bench-macro_cifar10.json --output macro.csv
    python3 convert.py nas-bench-graph cora.bench citeseer.bench --output graph.csv

Needs Python 3.9 or later and nothing else. Pickles are read without running what they name: of all
that a pickle can call, only numpy's plain numbers are understood, and these are decoded here.
"""

import argparse
import csv
import gzip
import io
import json
import math
import pickle
import struct
import sys
from pathlib import Path


class Refused(Exception):
    """What is wrong with a file, in words."""


class _Dtype:
    """What a pickle says of the type of a numpy number: only its code and byte order matter."""

    def __init__(self, code, *_):
        self.code = code
        self.order = "<"

    def __setstate__(self, state):
        self.order = state[1] if state[1] in "<>" else "<"


def _scalar(dtype, data):
    codes = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "u8": "Q", "u4": "I"}
    if not isinstance(dtype, _Dtype) or dtype.code not in codes:
        raise Refused("it holds a numpy number of an unknown type")
    return struct.unpack(dtype.order + codes[dtype.code], data)[0]


class _Unpickler(pickle.Unpickler):
    NAMES = {
        ("numpy", "dtype"): _Dtype,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "scalar"): _scalar,
    }

    def find_class(self, module, name):
        if (module, name) not in self.NAMES:
            raise Refused(f"it asks for `{module}.{name}`, which is no number")
        return self.NAMES[module, name]

    def persistent_load(self, pid):
        raise Refused("it refers to data outside the file")


def unpickle(data):
    """The plain data in a pickle; numbers, text, lists and mappings only."""
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except Refused:
        raise
    except Exception as error:  # A broken pickle can raise anything.
        raise Refused(f"it is no whole pickle: {error}") from error


def content(path):
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def number(value, where):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Refused(f"{where} is {value!r}, not a finite number")
    return value


def nas_bench_macro(paths):
    """One row a chain of eight digits: the three accuracies, their mean and deviation, and costs."""
    if len(paths) != 1:
        raise Refused("NAS-Bench-Macro is one file")
    try:
        records = json.loads(content(paths[0]))
    except ValueError as error:
        raise Refused(f"it is no JSON: {error}") from error
    if not isinstance(records, dict) or not records:
        raise Refused("expected a mapping from architectures to results")
    header = ["arch", "test_acc_1", "test_acc_2", "test_acc_3", "mean_acc", "std", "params", "flops"]
    rows = []
    for arch, record in sorted(records.items()):
        if len(arch) != 8 or set(arch) - set("012"):
            raise Refused(f"`{arch}` is no architecture: expected eight digits from 0 to 2")
        runs = record.get("test_acc") if isinstance(record, dict) else None
        if not isinstance(runs, list) or len(runs) != 3:
            raise Refused(f"`{arch}` has no list of three in `test_acc`")
        values = runs + [record.get(name) for name in header[4:]]
        rows.append([arch, *(number(value, f"a value of `{arch}`") for value in values)])
    return header, rows


# architecture.py of NAS-Bench-Graph numbers architectures by the digits of a tree and four operations:
# gat, gcn, gin, cheb, sage, arma, graph (k-GNN), fc, skip.
LINKS = ["0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123"]
GRAPH_METRICS = {"valid": "valid_perf", "test": "perf", "latency_s": "latency", "params_m": "para"}


def graph_architecture(key):
    """The eight digits of the space `nasbench_graph`: the inputs of four nodes, and their operations."""
    tree, operations = divmod(key, 10_000)
    operations = f"{operations:04}"
    if not 0 <= tree < len(LINKS) or "9" in operations:
        raise Refused(f"{key} is no number of an architecture")
    return LINKS[tree] + operations


def nas_bench_graph(paths):
    """One row an architecture, four columns a data set, which is the name of its file."""
    table, header = {}, ["arch"]
    for path in paths:
        data_set = path.name.split(".")[0]
        records = unpickle(content(path))
        if not isinstance(records, dict) or not records:
            raise Refused(f"{path.name}: expected a mapping from architectures to results")
        first = len(header)
        header += [f"{data_set}_{metric}" for metric in GRAPH_METRICS]
        for key, record in records.items():
            if not isinstance(key, int) or not isinstance(record, dict):
                raise Refused(f"{path.name}: {key!r} has no results")
            row = table.setdefault(graph_architecture(key), [])
            row += [""] * (first - 1 - len(row))
            for name in GRAPH_METRICS.values():
                row.append(number(record.get(name), f"{path.name}: `{name}` of {key}"))
    width = len(header) - 1
    rows = [[arch, *row, *[""] * (width - len(row))] for arch, row in sorted(table.items())]
    return header, rows


FORMATS = {"nas-bench-macro": nas_bench_macro, "nas-bench-graph": nas_bench_graph}


def write(path, header, rows):
    """Beside the file first, so that an interrupted run leaves no half of a table."""
    beside = path.with_name(path.name + ".part")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(beside, "wt", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    beside.replace(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("format", choices=FORMATS, help="whose file it is")
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="plain or .gz")
    parser.add_argument("--output", type=Path, required=True, help="the table, .csv or .csv.gz")
    options = parser.parse_args(arguments)
    try:
        header, rows = FORMATS[options.format](options.inputs)
        write(options.output, header, rows)
    except (Refused, OSError, EOFError) as error:
        names = ", ".join(str(path) for path in options.inputs)
        print(f"convert: {names}: {error}", file=sys.stderr)
        return 1
    print(f"convert: {len(rows):,} architectures in {options.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
