"""Runs peers on the problems in virtual time and appends rows to a CSV file.

One row a checkpoint: problem,method,seed,workers,evaluations,gap. A run whose rows are in the file
already is skipped, so the command can be stopped and started again.
"""

import argparse
import csv
import heapq
import itertools
import os
import time
from pathlib import Path

import numpy as np

from peers import GENERATIONAL, PEERS, Peer
from problems import DEFINITIONS, Front, Problem, load

COLUMNS = ["problem", "method", "seed", "workers", "evaluations", "gap"]
CHECKPOINTS = [
    *range(10, 100, 10),
    *range(100, 200, 20),
    *range(200, 500, 50),
    *range(500, 1001, 100),
]


def gaps(problem: Problem, peer: Peer, seed: int, workers: int, budget: int) -> dict[int, float]:
    """Gap at every checkpoint, by completed evaluations.

    A worker asks as soon as its result is told, until `budget` results are in: no value depends on
    the budget. A failed evaluation takes as long as the table's median one.
    """
    rng = np.random.default_rng([seed, workers])
    front = Front(problem.reference, problem.objectives.shape[1])
    median = float(np.median(problem.seconds))
    running: list[tuple[float, int, object, int | None]] = []
    order = itertools.count()
    now = 0.0

    def start() -> None:
        candidate = peer.ask()
        if candidate is None:
            return
        handle, genotype = candidate
        row = problem.rows.get(genotype)
        seconds = median if row is None else float(problem.seconds[row])
        finish = now + seconds * rng.uniform(1.0 - problem.noise, 1.0 + problem.noise)
        heapq.heappush(running, (finish, next(order), handle, row))

    for _ in range(workers):
        start()
    result: dict[int, float] = {}
    completed = 0
    while running and completed < budget:
        now, _, handle, row = heapq.heappop(running)
        values = None if row is None else problem.objectives[row]
        peer.tell(handle, values)
        if values is not None:
            front.insert(values)
        completed += 1
        if completed in CHECKPOINTS:
            result[completed] = problem.gap(front.points)
        start()
    for checkpoint in CHECKPOINTS:
        if completed < checkpoint <= budget:
            result[checkpoint] = problem.gap(front.points)
    return result


def finished(path: Path) -> set[tuple[str, str, int, int, int]]:
    """Keys (problem, method, seed, workers, evaluations) of all rows in the file."""
    if not path.exists():
        return set()
    with path.open() as lines:
        return {
            (
                row["problem"],
                row["method"],
                int(row["seed"]),
                int(row["workers"]),
                int(row["evaluations"]),
            )
            for row in csv.DictReader(lines)
        }


def append(path: Path, key: tuple[str, str, int, int], curve: dict[int, float]) -> None:
    """Writes the rows of one run with one call, so that a stop leaves whole runs."""
    new = not path.exists()
    lines = [",".join(COLUMNS) + "\n"] if new else []
    lines += [f"{','.join(map(str, key))},{n},{gap:.4f}\n" for n, gap in sorted(curve.items())]
    with path.open("a") as output:
        output.write("".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--definitions", type=Path, default=DEFINITIONS, help="the problems")
    parser.add_argument("--data", type=Path, required=True, help="folder with the tables")
    parser.add_argument("--output", type=Path, required=True, help="CSV file to append to")
    parser.add_argument("--problems", nargs="*", help="default: all")
    parser.add_argument("--methods", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 64])
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=1000)
    arguments = parser.parse_args()
    problems = load(arguments.data, arguments.definitions)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    done = finished(arguments.output)
    for name, workers, method in itertools.product(
        arguments.problems or problems, arguments.workers, arguments.methods
    ):
        if workers > 1 and method in GENERATIONAL:
            continue
        started, values = time.process_time(), []
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            if (name, method, seed, workers, arguments.budget) in done:
                continue
            peer = PEERS[method](problems[name], seed)
            curve = gaps(problems[name], peer, seed, workers, arguments.budget)
            append(arguments.output, (name, method, seed, workers), curve)
            values.append(curve)
        if values:
            means = {
                n: np.mean([c[n] for c in values]) for n in (100, 200, 500, 1000) if n in values[0]
            }
            text = " ".join(f"{n}: {mean:.1f}" for n, mean in means.items())
            print(
                f"{name} {method} {workers}w x{len(values)} {text} "
                f"({time.process_time() - started:.0f} s CPU)",
                flush=True,
            )


if __name__ == "__main__":
    os.nice(max(0, 10 - os.nice(0)))
    main()
