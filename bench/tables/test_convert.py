"""Tests of `convert.py`, on files in the published formats: `python3 -m unittest` in this folder."""

import bz2
import contextlib
import csv
import gzip
import io
import json
import os
import pickle
import struct
import tempfile
import unittest
from collections import OrderedDict
from pathlib import Path

import convert


class Named:
    """Pickled as a call of what `name` says, as numpy pickles its numbers."""

    def __init__(self, call, arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def numpy_pickle(value):
    """A pickle of {30128: record}, whose `para` is a double as numpy writes it, without numpy."""
    data = struct.pack("<d", value)
    short = lambda text: b"X" + struct.pack("<I", len(text)) + text
    dtype = (
        b"cnumpy\ndtype\n" + short(b"f8") + b"\x89\x88\x87R"
        b"(K\x03" + short(b"<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    scalar = b"cnumpy.core.multiarray\nscalar\n" + dtype + b"C\x08" + data + b"\x86R"
    plain = b"".join(
        short(name) + b"G" + struct.pack(">d", number)
        for name, number in [(b"valid_perf", 0.75), (b"perf", 0.5), (b"latency", 0.25)]
    )
    key = b"M" + struct.pack("<H", 30128)
    return b"\x80\x03}(" + key + b"}(" + plain + short(b"para") + scalar + b"uu."


class Files(unittest.TestCase):
    """A folder of files, and what becomes of them."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def convert(self, kind, *inputs, output="table.csv"):
        """The exit status, what was said, and the table's rows if there is one."""
        said = io.StringIO()
        path = self.folder / output
        with contextlib.redirect_stderr(said):
            status = convert.main([kind, *map(str, inputs), "--output", str(path)])
        if not path.exists():
            return status, said.getvalue(), None
        text = gzip.open(path, "rt") if path.suffix == ".gz" else open(path)
        with text as file:
            return status, said.getvalue(), list(csv.reader(file))

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path


class Conversions(Files):
    def test_nas_bench_macro_is_one_row_a_chain(self):
        record = {"test_acc": [90.5, 91.0, 91.5], "mean_acc": 91.0, "std": 0.5, "params": 7, "flops": 9}
        data = json.dumps({"22212220": record, "00000000": record}).encode()
        for name, data in [("a.json", data), ("a.json.gz", gzip.compress(data))]:
            status, said, rows = self.convert("nas-bench-macro", self.file(name, data))
            self.assertEqual((status, "2 architectures" in said), (0, True))
            self.assertEqual(rows[0][:2], ["arch", "test_acc_1"])
            self.assertEqual([row[0] for row in rows[1:]], ["00000000", "22212220"])
            self.assertEqual(rows[1][1:], ["90.5", "91.0", "91.5", "91.0", "0.5", "7", "9"])

    def test_faults_of_nas_bench_macro_are_named_and_nothing_is_written(self):
        record = {"test_acc": [1, 2, 3], "mean_acc": 2, "std": 1, "params": 7, "flops": float("nan")}
        for data, reason in [
            (b"{", "no JSON"),
            (b"[]", "mapping"),
            (json.dumps({"2221222": record}).encode(), "eight digits"),
            (json.dumps({"22212220": {"test_acc": [1]}}).encode(), "list of three"),
            (json.dumps({"22212220": record}).encode(), "finite"),
        ]:
            status, said, rows = self.convert("nas-bench-macro", self.file("a.json", data))
            self.assertEqual((status, rows), (1, None))
            self.assertIn(reason, said)

    def test_nas_bench_graph_becomes_digits_and_numpy_numbers_are_read_without_numpy(self):
        cora = self.file("cora.bench", numpy_pickle(1.5))
        status, _, rows = self.convert("nas-bench-graph", cora, output="table.csv.gz")
        self.assertEqual(status, 0)
        names = ["arch", "cora_valid", "cora_test", "cora_latency_s", "cora_params_m"]
        # 30128: the fourth tree (0012), then gat, gcn, gin, skip.
        self.assertEqual(rows, [names, ["00120128", "0.75", "0.5", "0.25", "1.5"]])

    def test_data_sets_are_joined_by_architecture(self):
        record = {"valid_perf": 0.5, "perf": 0.25, "latency": 1, "para": 2}
        cora = self.file("cora.bench", pickle.dumps({1147: record, 80000: record}))
        proteins = self.file("proteins.bench", pickle.dumps({11457: record, 1147: record}))
        status, _, rows = self.convert("nas-bench-graph", cora, proteins)
        self.assertEqual(status, 0)
        values, none = ["0.5", "0.25", "1", "2"], [""] * 4
        self.assertEqual(rows[1], ["00001147", *values, *values])
        self.assertEqual(rows[2], ["00011457", *none, *values])
        self.assertEqual(rows[3], ["01230000", *values, *none])

    def test_a_pickle_that_names_anything_else_is_refused_and_not_run(self):
        witness = self.folder / "witness"
        bad = pickle.dumps({1: Named(os.mkdir, (str(witness),))})
        status, said, rows = self.convert("nas-bench-graph", self.file("cora.bench", bad))
        self.assertEqual((status, rows), (1, None))
        self.assertIn("no number", said)
        self.assertFalse(witness.exists())

    def test_broken_files_are_refused(self):
        record = {"valid_perf": 0.5, "perf": 0.25, "latency": 1, "para": 2}
        whole = pickle.dumps({1: record})
        for data, reason in [
            (whole[:-9], "whole"),
            (pickle.dumps([1]), "mapping"),
            (pickle.dumps({9: record}), "number of an architecture"),
            (pickle.dumps({90000: record}), "number of an architecture"),
            (pickle.dumps({1: {**record, "para": "2"}}), "finite"),
        ]:
            status, said, rows = self.convert("nas-bench-graph", self.file("cora.bench", data))
            self.assertEqual((status, rows), (1, None), reason)
            self.assertIn(reason, said)


CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"


def trial(valid, test, latency=(0.5, 1.5)):
    """One training of NATS-Bench as its class `ResultsCount` stores it, of two epochs."""
    return {
        "name": "", "net_state_dict": None, "train_acc1es": {0: 1.0, 1: 2.0}, "train_acc5es": None,
        "train_losses": {0: 1.0, 1: 1.0}, "train_times": OrderedDict([(0, 10.0), (1, 12.0)]),
        "arch_config": {"arch_str": CELL}, "params": 1.5, "flop": 20.0, "seed": 777, "epochs": 2,
        "latency": list(latency), "eval_names": ["x-valid", "ori-test", "x-test"],
        "eval_acc1es": {"x-valid@0": 1.0, "x-valid@1": valid, "ori-test@1": test, "x-test@1": test},
        "eval_times": {}, "eval_losses": {},
    }


def nats_record(arch, schedule="12"):
    """What is known of an architecture: CIFAR-10 with validation under two seeds, and CIFAR-100."""
    trials = {
        ("cifar10-valid", 777): trial(80.0, 79.0),
        ("cifar10-valid", 888): trial(82.0, 80.0),
        ("cifar100", 777): trial(50.0, 49.0, latency=()),
    }
    seeds = {"cifar10-valid": [777, 888], "cifar100": [777]}
    results = {"arch_index": 7, "arch_str": arch, "all_results": trials, "dataset_seed": seeds}
    return {schedule: {**results, "clear_net_done": True}}


def array_pickle(kind, count, data):
    """A pickle of a numpy array as numpy writes it, without numpy."""
    short = lambda text: b"X" + struct.pack("<I", len(text)) + text
    none = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\n" + short(kind) + b"\x89\x88\x87R(K\x03" + short(b"<") + none + b"K\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    state = b"(K\x01" + b"M" + struct.pack("<H", count) + b"\x85" + dtype + b"\x89" + data + b"tb"
    return b"\x80\x03" + empty + state + b"."


def spiking_log(identity=10000, epochs=3, end="\r\n"):
    """A log of SpikeNAS-Bench as its training writes it."""
    lines = [
        f"architecture id: {identity}", "model parameters: 17917668",
        "epoch, train_acc, train_loss, val_acc, val_loss",
        *(f"{epoch}.000, 9.880, 2.303, {10 + epoch}.968, 2.303" for epoch in range(epochs)),
        "test accuracy: 13.250", "firing rate of layers: -1.000, 0.125",
        "Elapsed time: 1.0hour7.0minute39.7second",
    ]
    return end.join(lines) + end


class Spaces(Files):
    """The files of NATS-Bench, HW-NAS-Bench and SpikeNAS-Bench in their published layouts."""

    def nats(self, *records):
        folder = self.folder / "NATS-simple"
        folder.mkdir(exist_ok=True)
        (folder / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps({"meta_archs": []})))
        for index, record in enumerate(records):
            data = bz2.compress(pickle.dumps(record, protocol=4))
            (folder / f"{index:06}.pickle.pbz2").write_bytes(data)
        return folder

    def test_nats_bench_is_read_from_its_folder_and_from_its_file(self):
        record = nats_record(CELL)
        whole = {"meta_archs": [CELL], "arch2infos": {0: record}, "evaluated_indexes": {0}}
        file = self.file("NATS-tss.pickle.pbz2", bz2.compress(pickle.dumps(whole, protocol=4)))
        for source in [self.nats(record), file]:
            status, said, rows = self.convert("nats-bench-topology", source)
            self.assertEqual(status, 0, said)
            values = dict(zip(*rows))
            self.assertEqual(values["arch"], CELL)
            expected = {
                "cifar10_valid_12_valid": "81.0", "cifar10_valid_12_test": "79.5",
                "cifar10_valid_12_params_m": "1.5", "cifar10_valid_12_flops_m": "20.0",
                "cifar10_valid_12_train_s": "22.0", "cifar10_valid_12_latency_s": "1.0",
                "cifar100_12_valid": "50.0", "cifar100_12_test": "49.0",
            }
            self.assertEqual({name: values.get(name) for name in expected}, expected)
            self.assertNotIn("cifar100_12_latency_s", values)

    def test_sizes_are_rows_of_channels_and_no_cells(self):
        status, _, rows = self.convert("nats-bench-size", self.nats(nats_record("8:16:24:32:64", "90")))
        self.assertEqual((status, rows[1][0]), (0, "8:16:24:32:64"))
        self.assertIn("cifar10_valid_90_valid", rows[0])
        for kind in ["nats-bench-topology", "nats-bench-size"]:
            status, said, _ = self.convert(kind, self.nats(nats_record("8:16:24:32:7")), output="none.csv")
            self.assertEqual(status, 1)
            self.assertIn("no architecture of this space", said)

    def test_faults_of_nats_bench_are_named(self):
        lacking = nats_record(CELL)
        del lacking["12"]["all_results"]["cifar100", 777]["eval_acc1es"]["x-valid@1"]
        unknown = nats_record(CELL)
        unknown["12"]["dataset_seed"]["mnist"] = [1]
        for records, reason in [
            ([nats_record(CELL), nats_record(CELL)], "twice"),
            ([lacking], "not a finite number"),
            ([unknown], "no data set"),
            ([], "no results"),
        ]:
            for old in (self.folder / "NATS-simple").glob("*"):
                old.unlink()
            status, said, rows = self.convert("nats-bench-topology", self.nats(*records))
            self.assertEqual((status, rows), (1, None))
            self.assertIn(reason, said)

    def test_hw_nas_bench_has_a_column_a_device_and_no_value_where_it_does_not_compile(self):
        other = CELL.replace("nor_conv_3x3", "none")
        network = {"name": "infer.tiny", "C": 16, "N": 5, "num_classes": 10}
        config = [{**network, "arch_str": arch} for arch in (CELL, other)]
        metrics = {
            "config": config, "edgegpu_latency": [5.5, 6.5], "edgegpu_energy": [24.5, 25.0],
            "edgetpu_latency": [0.5, -1], "eyeriss_arithmetic_intensity": [1.0, 2.0],
        }
        spaces = {
            "fbnet": {}, "nasbench201": {
                "cifar10": metrics, "ImageNet16-120": {"config": config[:1], "pixel3_latency": [3.5]},
            },
        }
        status, said, rows = self.convert("hw-nas-bench", self.file("a.pickle", pickle.dumps(spaces)))
        self.assertEqual(status, 0, said)
        self.assertEqual(rows[0], [
            "arch", "cifar10_edgegpu_latency", "cifar10_edgegpu_energy", "cifar10_edgetpu_latency",
            "imagenet16_120_pixel3_latency",
        ])
        self.assertEqual(sorted(rows[1:]), sorted([
            [CELL, "5.5", "24.5", "0.5", "3.5"], [other, "6.5", "25.0", "", ""],
        ]))
        metrics["edgegpu_energy"].pop()
        broken = self.file("b.pickle", pickle.dumps(spaces))
        status, said, _ = self.convert("hw-nas-bench", broken, output="b.csv")
        self.assertEqual(status, 1)
        self.assertIn("one value for each architecture", said)

    def test_numpy_arrays_are_read_without_numpy(self):
        data = struct.pack("<2d", 1.5, -2.0)
        self.assertEqual(convert.unpickle(array_pickle(b"f8", 2, b"C\x10" + data)), [1.5, -2.0])
        self.assertEqual(convert.unpickle(array_pickle(b"O8", 1, b"]K\x07a")), [7])
        with self.assertRaises(convert.Refused):
            convert.unpickle(array_pickle(b"f8", 3, b"C\x10" + data))

    def test_spikenas_bench_is_digits_values_and_a_curve(self):
        for identity, text in [(10000, spiking_log()), (1, spiking_log(1, epochs=2, end="\n"))]:
            folder = self.folder / "CIFAR10" / str(identity)
            folder.mkdir(parents=True)
            (folder / "train_process.txt").write_bytes(text.encode())
        status, said, rows = self.convert("spikenas-bench", self.folder / "CIFAR10")
        self.assertEqual(status, 0, said)
        self.assertEqual(rows, [
            ["ops", "params", "test_acc", "elapsed_s", "e0", "e1", "e2"],
            ["000013", "17917668", "13.25", "4059.7", "10.968", "11.968", "12.968"],
            ["100000", "17917668", "13.25", "4059.7", "10.968", "11.968", ""],
        ])

    def test_faults_of_spikenas_bench_are_named(self):
        folder = self.folder / "CIFAR10" / "7"
        folder.mkdir(parents=True)
        whole = spiking_log()
        for text, reason in [
            ("architecture id: 7\n", "no whole log"),
            (spiking_log(15625), "no number of an architecture"),
            (whole.replace("1.000,", "5.000,", 1), "line of epoch 1"),
            (whole.replace("test accuracy: 13.250", "test accuracy: nan"), "not as expected"),
        ]:
            (folder / "train_process.txt").write_text(text)
            status, said, rows = self.convert("spikenas-bench", self.folder / "CIFAR10")
            self.assertEqual((status, rows), (1, None), reason)
            self.assertIn(reason, said)


if __name__ == "__main__":
    unittest.main()
