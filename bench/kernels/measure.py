"""Times Pareto kernels of several libraries on the same points and writes the report.

Each case is one process a library, one after the other, so that what else the machine does hits all
of them; ratios are what counts. A library that needs longer than the limit drops out for larger
sets. Results are compared as well: fronts must be as many, volumes equal to a part in 10^9.
"""

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy  # noqa: E402  (after the threads are limited)

# Of processor time, all repeats together.
LIMIT_SECONDS = 16
SORT_CASES = [(n, m) for n in (1_000, 10_000, 100_000) for m in (2, 3, 4, 8)]
VOLUME_CASES = [(n, m) for m in (2, 3, 4, 5, 6) for n in (100, 1_000, 10_000)]
SPLIT_CASES = [(n, m) for m in (5, 6) for n in (1_000, 10_000)]
EVOLVE_CASES = [(p, n) for p in ("zdt1", "dtlz2_3", "cat6", "cat40") for n in (100, 1_000, 10_000)]
PEERS = {"sort": ["moocore", "genoxide"], "hypervolume": ["moocore", "pygmo", "genoxide"]}
REFERENCE = 1.1


def points(kind, n, m):
    """uniform: in the unit cube; flat: on the simplex; sphere: concave front; convex: 1 - sphere."""
    rng = numpy.random.default_rng([n, m, sum(map(ord, kind))])
    if kind == "uniform":
        return rng.random((n, m))
    if kind == "flat":
        values = rng.exponential(size=(n, m))
        return values / values.sum(1, keepdims=True)
    values = numpy.abs(rng.normal(size=(n, m)))
    values /= numpy.linalg.norm(values, axis=1, keepdims=True)
    return values if kind == "sphere" else 1 - values


def timed(run):
    """The median of up to 21 runs, as many as fit into a second or so."""

    def once():
        # As in src/clock.rs: what passed, or less if the thread had to wait for a processor.
        processor, start = time.thread_time(), time.perf_counter()
        result = run()
        passed = time.perf_counter() - start
        return min(passed, time.thread_time() - processor), result

    first, result = once()
    repeats = 0 if first > 5 else min(20, max(2, int(1 / max(first, 1e-6))))
    times = sorted([first] + [once()[0] for _ in range(repeats)])
    return times[len(times) // 2], result


def python_peer(library, kernel, file, n, m):
    """Runs in a process of its own: `measure.py peer LIBRARY KERNEL FILE N M`."""
    values = numpy.fromfile(file, "<f8").reshape(n, m)
    reference = numpy.full(m, REFERENCE)
    if library == "moocore":
        import moocore

        if kernel == "sort":
            seconds, ranks = timed(lambda: moocore.pareto_rank(values))
            return seconds, int(ranks.max()) + 1
        seconds, volume = timed(lambda: moocore.hypervolume(values, ref=reference))
        return seconds, float(volume)
    import pygmo

    seconds, volume = timed(lambda: pygmo.hypervolume(values).compute(reference))
    return seconds, float(volume)


class Runner:
    def __init__(self, options):
        self.options = options
        self.too_slow = set()

    def call(self, command):
        limit = (LIMIT_SECONDS, LIMIT_SECONDS)
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, limit),
        )
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return None
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def case(self, library, kernel, kind, file, n, m):
        """Seconds and result, or None if the library takes too long."""
        if (library, kernel, kind, m) in self.too_slow:
            return None
        if library == "cambrian":
            command = [self.options.ours, kernel, file, n, m]
        elif library == "genoxide":
            command = [self.options.genoxide, kernel, file, n, m]
        else:
            command = [sys.executable, __file__, "peer", library, kernel, file, n, m]
        row = self.call([str(part) for part in command])
        if row is None:
            self.too_slow.add((library, kernel, kind, m))
            return None
        return row["seconds"], row["result"]

    def kernels(self, kernel, kinds, cases):
        rows = []
        for kind in kinds:
            for n, m in cases:
                file = self.options.output / f"{kind}-{n}-{m}.f64"
                numpy.ascontiguousarray(points(kind, n, m), "<f8").tofile(file)
                row = {"kernel": kernel, "kind": kind, "n": n, "m": m}
                results = []
                for library in ["cambrian", *PEERS[kernel]]:
                    found = self.case(library, kernel, kind, file, n, m)
                    row[library] = found and found[0]
                    if found:
                        results.append((library, found[1]))
                for library, result in results[1:]:
                    if abs(result - results[0][1]) > 1e-9 * abs(results[0][1]):
                        raise SystemExit(f"{kind} {n} x {m}: {library} {result}, ours {results[0]}")
                file.unlink()
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
        return rows

    def split(self):
        """Our hypervolume on one thread and on two, of which the busier counts."""
        rows = []
        for kind in ("sphere", "convex"):
            for n, m in SPLIT_CASES:
                file = self.options.output / f"{kind}-{n}-{m}.f64"
                numpy.ascontiguousarray(points(kind, n, m), "<f8").tofile(file)
                row = {"kind": kind, "n": n, "m": m}
                found = {}
                for name in ("hypervolume", "hypervolume-2"):
                    found[name] = self.case("cambrian", name, kind, file, n, m)
                    row[name] = found[name] and found[name][0]
                if all(found.values()) and len({result for _, result in found.values()}) > 1:
                    raise SystemExit(f"{kind} {n} x {m}: two threads find another volume")
                file.unlink()
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
        return rows

    def searches(self):
        rows = []
        for problem, population in EVOLVE_CASES:
            generations = 100_000 // population if population < 10_000 else 5
            row = {"problem": problem, "population": population}
            for mode in ("generational", "asynchronous"):
                command = [self.options.ours, "evolve", problem, population, generations, mode]
                found = self.call([str(part) for part in command])
                row[mode] = found and found["micros"]
            command = [self.options.genoxide, "evolve", problem, population, generations]
            found = self.call([str(part) for part in command])
            row["genoxide"] = found and found["micros"]
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
        return rows


def milliseconds(seconds):
    return "-" if seconds is None else f"{seconds * 1e3:.3g}"


def kernel_table(rows, libraries):
    lines = [
        f"| N | M | points | Cambrian | {' | '.join(libraries)} | best of the others : Cambrian |",
        f"| ---: | ---: | --- | ---: |{' ---: |' * len(libraries)} ---: |",
    ]
    for row in rows:
        others = [row[library] for library in libraries if row[library] is not None]
        ratio = f"{min(others) / row['cambrian']:.2f}" if others and row["cambrian"] else "-"
        if ratio != "-" and float(ratio) < 1:
            ratio = f"**{ratio}**"
        times = " | ".join(milliseconds(row[library]) for library in libraries)
        lines.append(
            f"| {row['n']:,} | {row['m']} | {row['kind']} | {milliseconds(row['cambrian'])} | {times} | {ratio} |"
        )
    return "\n".join(lines)


def split_table(rows):
    lines = [
        "| N | M | points | one thread | busier of two | ratio |",
        "| ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        one, two = row["hypervolume"], row["hypervolume-2"]
        ratio = f"{one / two:.2f}" if one and two else "-"
        lines.append(
            f"| {row['n']:,} | {row['m']} | {row['kind']} | {milliseconds(one)} | {milliseconds(two)} | {ratio} |"
        )
    return "\n".join(lines)


def search_table(rows):
    lines = [
        "| problem | population | Cambrian generational | asynchronous | genoxide generational |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    micros = lambda value: "-" if value is None else f"{value:.2f}"
    for row in rows:
        lines.append(
            f"| {row['problem']} | {row['population']:,} | {micros(row['generational'])} | "
            f"{micros(row['asynchronous'])} | {micros(row['genoxide'])} |"
        )
    return "\n".join(lines)


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--genoxide", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--document", type=Path, required=True)
    options = parser.parse_args()
    runner = Runner(options)
    sorts = runner.kernels("sort", ["uniform", "flat"], SORT_CASES)
    volumes = runner.kernels("hypervolume", ["sphere", "convex"], VOLUME_CASES)
    split = runner.split()
    searches = runner.searches()
    rows = {"sort": sorts, "hypervolume": volumes, "split": split, "evolve": searches}
    (options.output / "rows.json").write_text(json.dumps(rows, indent=1))
    template = (Path(__file__).parent / "benchmarks.md.in").read_text()
    text = (
        template.replace("@PROCESSOR@", processor())
        .replace("@DATE@", time.strftime("%Y-%m-%d"))
        .replace("@SORT@", kernel_table(sorts, PEERS["sort"]))
        .replace("@HYPERVOLUME@", kernel_table(volumes, PEERS["hypervolume"]))
        .replace("@SPLIT@", split_table(split))
        .replace("@SEARCH@", search_table(searches))
    )
    options.document.write_text(text)
    print(f"kernels: wrote {options.document}", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:2] == ["peer"]:
        seconds, result = python_peer(*sys.argv[2:5], int(sys.argv[5]), int(sys.argv[6]))
        print(json.dumps({"seconds": seconds, "result": result}))
    else:
        main()
