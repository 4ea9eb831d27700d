"""Turns published benchmark files into tables that `cambrian simulate --table` reads (docs/tables.md).

    python3 convert.py nas-bench-macro nas-bench-macro_cifar10.json --output macro.csv
    python3 convert.py nas-bench-graph cora.bench citeseer.bench --output graph.csv
    python3 convert.py nats-bench-topology NATS-tss-v1_0-3ffb9-simple --output tss.csv.gz
    python3 convert.py nats-bench-size NATS-sss-v1_0-50262-simple --output sss.csv.gz
    python3 convert.py hw-nas-bench HW-NAS-Bench-v1_0.pickle --output hardware.csv.gz
    python3 convert.py spikenas-bench data/CIFAR10 --output spiking.csv.gz

Needs Python 3.9 or later and nothing else. Pickles are read without running what they name: of all
that a pickle can call, only numpy's plain numbers and arrays of them and ordered mappings are understood,
and numpy's are decoded here.
"""

import argparse
import bz2
import collections
import csv
import gzip
import io
import json
import math
import pickle
import re
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


def _numbers(dtype, data, count):
    codes = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "u8": "Q", "u4": "I"}
    if not isinstance(dtype, _Dtype) or dtype.code not in codes:
        raise Refused("it holds a numpy number of an unknown type")
    return struct.unpack(f"{dtype.order}{count}{codes[dtype.code]}", data)


def _scalar(dtype, data):
    return _numbers(dtype, data, 1)[0]


class _Array(list):
    """A numpy array of one dimension as a list, of numbers or of anything."""

    def __setstate__(self, state):
        _, shape, dtype, _, data = state
        if len(shape) != 1:
            raise Refused(f"it holds a numpy array of {len(shape)} dimensions")
        is_plain = not isinstance(dtype, _Dtype) or dtype.code != "O8"
        self[:] = _numbers(dtype, data, shape[0]) if is_plain else data


class _Unpickler(pickle.Unpickler):
    NAMES = {
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): _Array,
        ("collections", "OrderedDict"): collections.OrderedDict,
    }
    for _module in ["numpy.core.multiarray", "numpy._core.multiarray"]:
        NAMES[_module, "scalar"] = _scalar
        NAMES[_module, "_reconstruct"] = lambda *_: _Array()

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
    if data[:3] == b"BZh":
        return bz2.decompress(data)
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


def mapping(value, where):
    if not isinstance(value, dict) or not value:
        raise Refused(f"{where}: expected a mapping")
    return value


def cell(text):
    """Whether it is a cell of NAS-Bench-201: three nodes, each with an operation from every earlier one."""
    operation = "(none|skip_connect|nor_conv_1x1|nor_conv_3x3|avg_pool_3x3)"
    nodes = ["".join(f"{operation}~{place}\\|" for place in range(node)) for node in (1, 2, 3)]
    return re.fullmatch(r"\+".join(rf"\|{node}" for node in nodes), text) is not None


def channels(text):
    return re.fullmatch(r"(8|16|24|32|40|48|56|64)(:(8|16|24|32|40|48|56|64)){4}", text) is not None


# What the benchmark's own interface reads: the sets of each training, by their short names.
NATS_SETS = {
    "cifar10-valid": {"valid": "x-valid", "test": "ori-test"},
    "cifar10": {"test": "ori-test"},
    "cifar100": {"valid": "x-valid", "test": "x-test"},
    "ImageNet16-120": {"valid": "x-valid", "test": "x-test"},
}


def nats_columns(arch, schedule, results):
    """The values of one architecture under one schedule: each a mean over its seeds."""
    found, where = {}, f"`{arch}` at {schedule} epochs"
    trials = mapping(results.get("all_results"), where)
    for data_set, seeds in mapping(results.get("dataset_seed"), where).items():
        if data_set not in NATS_SETS:
            raise Refused(f"{where}: `{data_set}` is no data set of the benchmark")
        trial = f"{where}, {data_set}, seed"
        runs = [mapping(trials.get((data_set, seed)), f"{trial} {seed}") for seed in seeds]
        if not runs:
            continue
        prefix = f"{data_set.replace('-', '_').lower()}_{schedule}"

        def mean(name, of):
            values = [number(of(run), f"{where}, {data_set}: `{name}`") for run in runs]
            found[f"{prefix}_{name}"] = sum(values) / len(values)

        for short, name in NATS_SETS[data_set].items():
            last = lambda run: f"{name}@{run.get('epochs', 0) - 1}"
            mean(short, lambda run: mapping(run.get("eval_acc1es"), where).get(last(run)))
        mean("params_m", lambda run: run.get("params"))
        mean("flops_m", lambda run: run.get("flop"))
        if all(isinstance(run.get("train_times"), dict) and run["train_times"] for run in runs):
            mean("train_s", lambda run: sum(run["train_times"].values()))
        if all(isinstance(run.get("latency"), (list, tuple)) and run["latency"] for run in runs):
            mean("latency_s", lambda run: sum(run["latency"]) / len(run["latency"]))
    return found


def nats_records(path):
    """Each architecture with its results, one at a time, from the folder or from the one file."""
    if path.is_dir():
        for file in sorted(path.glob("[0-9]*.pickle.pbz2")):
            yield file.name, unpickle(content(file))
        return
    whole = mapping(unpickle(content(path)), path.name)
    for index, record in mapping(whole.get("arch2infos"), path.name).items():
        yield f"number {index}", record


def nats_bench(paths, is_architecture):
    if len(paths) != 1:
        raise Refused("NATS-Bench is one folder or file")
    table, header = {}, []
    for where, record in nats_records(paths[0]):
        row = {}
        for schedule, results in mapping(record, where).items():
            arch = mapping(results, where).get("arch_str")
            if not isinstance(arch, str) or not is_architecture(arch):
                raise Refused(f"{where}: {arch!r} is no architecture of this space")
            row.update(nats_columns(arch, schedule, results))
        if arch in table:
            raise Refused(f"{where}: `{arch}` is there twice")
        table[arch] = row
        header += [name for name in row if name not in header]
    if not table:
        raise Refused("it holds no results, which are files such as `000000.pickle.pbz2`")
    rows = [[arch, *(row.get(name, "") for name in header)] for arch, row in sorted(table.items())]
    return ["arch", *header], rows


def nats_bench_topology(paths):
    """One row a cell of NAS-Bench-201, columns for each data set and schedule."""
    return nats_bench(paths, cell)


def nats_bench_size(paths):
    """One row a choice of five numbers of channels, such as `8:16:24:32:40`."""
    return nats_bench(paths, channels)


def hw_nas_bench(paths):
    """One row a cell of NAS-Bench-201, a column for each data set and measurement of a device."""
    if len(paths) != 1:
        raise Refused("HW-NAS-Bench is one file")
    spaces = mapping(unpickle(content(paths[0])), "the file")
    table, header = {}, ["arch"]
    for data_set, metrics in mapping(spaces.get("nasbench201"), "`nasbench201`").items():
        configs = mapping(metrics, data_set).get("config")
        configs = list(configs.values()) if isinstance(configs, dict) else configs
        if not isinstance(configs, list) or not configs:
            raise Refused(f"{data_set}: no architectures in `config`")
        first = len(header)
        names = [name for name in metrics if name.endswith(("_latency", "_energy"))]
        header += [f"{data_set.replace('-', '_').lower()}_{name}" for name in names]
        for name in names:
            if not isinstance(metrics[name], list) or len(metrics[name]) != len(configs):
                raise Refused(f"{data_set}: `{name}` has not one value for each architecture")
        for index, config in enumerate(configs):
            arch = mapping(config, f"{data_set}, {index}").get("arch_str")
            if not isinstance(arch, str) or not cell(arch):
                raise Refused(f"{data_set}, {index}: {arch!r} is no architecture")
            row = table.setdefault(arch, [])
            row += [""] * (first - 1 - len(row))
            for name in names:
                value = number(metrics[name][index], f"{data_set}: `{name}` of {index}")
                # A device that the network could not be compiled for.
                row.append("" if value < 0 else value)
    width = len(header) - 1
    return header, [[arch, *row, *[""] * (width - len(row))] for arch, row in sorted(table.items())]


def log_number(line, pattern, where):
    found = re.fullmatch(pattern, line)
    if not found:
        raise Refused(f"{where}: `{line[:60]}` is not as expected")
    return [float(group) for group in found.groups()]


def spiking_log(text, where):
    """The six operations, and the values: parameters, test accuracy, time, and the curve in validation."""
    lines = text.splitlines()
    if len(lines) < 7:
        raise Refused(f"{where}: it is no whole log")
    number_ = r"(\d+(?:\.\d+)?)"
    [identity] = log_number(lines[0], r"architecture id: (\d+)", where)
    [params] = log_number(lines[1], r"model parameters: (\d+)", where)
    if identity >= 5**6:
        raise Refused(f"{where}: {identity:.0f} is no number of an architecture")
    epoch = rf"{number_}, {number_}, (?:{number_}|nan), {number_}, (?:{number_}|nan)"
    curve = []
    for place, line in enumerate(lines[3:-3]):
        found = re.fullmatch(epoch, line)
        if not found or float(found.group(1)) != place:
            raise Refused(f"{where}: `{line[:60]}` is not the line of epoch {place}")
        curve.append(float(found.group(4)))
    [test] = log_number(lines[-3], rf"test accuracy: {number_}", where)
    hours, minutes, seconds = log_number(
        lines[-1], rf"Elapsed time: {number_}hour{number_}minute{number_}second", where
    )
    digits = "".join(str(int(identity) // 5**edge % 5) for edge in range(6))
    return digits, [int(params), test, round(3600 * hours + 60 * minutes + seconds, 3)], curve


def spikenas_bench(paths):
    """One row a spiking cell of six digits, and the accuracy in validation after each epoch."""
    if len(paths) != 1 or not paths[0].is_dir():
        raise Refused("SpikeNAS-Bench is one folder a data set, with a folder for each architecture")
    table = {}
    for file in sorted(paths[0].glob("*/train_process.txt")):
        where = f"{file.parent.name}/{file.name}"
        digits, values, curve = spiking_log(file.read_text(), where)
        if digits in table:
            raise Refused(f"{where}: `{digits}` is there twice")
        table[digits] = (values, curve)
    if not table:
        raise Refused("it holds no logs, which are files such as `0/train_process.txt`")
    # Of those that were trained for 200 epochs the rest of the curve is kept as well.
    longest = max(len(curve) for _, curve in table.values())
    header = ["ops", "params", "test_acc", "elapsed_s", *(f"e{epoch}" for epoch in range(longest))]
    rows = []
    for digits, (values, curve) in sorted(table.items()):
        rows.append([digits, *values, *curve, *[""] * (longest - len(curve))])
    return header, rows


FORMATS = {
    "nas-bench-macro": nas_bench_macro,
    "nas-bench-graph": nas_bench_graph,
    "nats-bench-topology": nats_bench_topology,
    "nats-bench-size": nats_bench_size,
    "hw-nas-bench": hw_nas_bench,
    "spikenas-bench": spikenas_bench,
}


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
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="plain, .gz or .bz2, or a folder")
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
