"""Tests of `convert.py`, on files in the published formats: `python3 -m unittest` in this folder."""

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


class Conversions(unittest.TestCase):
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


if __name__ == "__main__":
    unittest.main()
