"""Problems of `problems.yaml` and `held-out.yaml`: genotypes with objectives and durations that a
published table has of them.

Knows nothing of search methods. Objectives are minimised and scaled by the ideal and nadir point of
the table's true Pareto front.
"""

import csv
import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import moocore
import numpy as np
import yaml

DEFINITIONS = Path(__file__).with_name("problems.yaml")

Genotype = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """One table as a search problem."""

    name: str
    title: str
    space: str
    """What the space is called; if one of ours has this name, the genotypes are those of it."""
    cardinalities: tuple[int, ...]
    """Number of choices of every gene."""
    objectives: np.ndarray
    """Scaled objectives, rows x objectives."""
    seconds: np.ndarray
    """Evaluation time of every row before noise."""
    noise: float
    reference: float
    best: float
    """Hypervolume of the true front."""
    rows: dict[Genotype, int]
    """Row of every genotype that the table answers, whatever its spelling."""

    def gap(self, front: np.ndarray) -> float:
        """1000 x (1 - HV / HV of the true front)."""
        return 1000.0 * (1.0 - hypervolume(front, self.reference) / self.best)


class Front:
    """Non-dominated points seen so far."""

    def __init__(self, reference: float, objectives: int) -> None:
        self.reference = reference
        self.points = np.empty((0, objectives))

    def insert(self, point: np.ndarray) -> None:
        """Adds a point unless an earlier one is as good everywhere."""
        if (point >= self.reference).any() or (self.points <= point).all(axis=1).any():
            return
        kept = self.points[~(point <= self.points).all(axis=1)]
        self.points = np.vstack([kept, point])


def hypervolume(points: np.ndarray, reference: float) -> float:
    """Exact hypervolume of minimised points."""
    if len(points) == 0:
        return 0.0
    return float(moocore.hypervolume(points, ref=np.full(points.shape[1], reference)))


def load(data: Path, file: Path = DEFINITIONS) -> dict[str, Problem]:
    """All problems that `file` defines, from the tables below `data`."""
    definitions = yaml.safe_load(file.read_text())
    return {
        name: _problem(name, definition, definitions, data)
        for name, definition in definitions["problems"].items()
    }


def _problem(name: str, definition: dict, shared: dict, data: Path) -> Problem:
    table = _join(definition["tables"], definition["key"], data)
    if "where" in definition:
        table = [row for row in table if float(row[definition["where"]]) > 0]
    objectives = np.array(
        [
            [_signed(row[objective["column"]], objective["goal"]) for row in table]
            for objective in definition["objectives"]
        ]
    ).T
    front = objectives[moocore.is_nondominated(objectives, keep_weakly=True)]
    ideal, nadir = front.min(axis=0), front.max(axis=0)
    scaled = (objectives - ideal) / (nadir - ideal)
    reference = shared["reference"]
    genotypes, cardinalities = _genotypes(table, definition["genotype"])
    rows = {genotype: row for row, genotype in enumerate(genotypes)}
    if definition.get("canonical") == "nas_bench_graph":
        rows = _nas_bench_graph_spellings(rows, table)
    return Problem(
        name=name,
        title=definition["title"],
        space=definition["space"],
        cardinalities=cardinalities,
        objectives=scaled,
        seconds=_seconds([row[definition["duration"]] for row in table], shared["duration"]),
        noise=shared["duration"]["noise"],
        reference=reference,
        best=hypervolume((front - ideal) / (nadir - ideal), reference),
        rows=rows,
    )


def _join(files: list[str], key: str, data: Path) -> list[dict[str, str]]:
    joined: dict[str, dict[str, str]] = {}
    for file in files:
        with gzip.open(data / file, "rt") as lines:
            for row in csv.DictReader(lines):
                joined.setdefault(row[key], {}).update(row)
    return list(joined.values())


def _signed(cell: str, goal: str) -> float:
    return -float(cell) if goal == "maximize" else float(cell)


def _seconds(cells: list[str], rule: dict) -> np.ndarray:
    logarithm = np.log(np.array(cells, dtype=float))
    low, high = np.quantile(logarithm, rule["quantiles"])
    return rule["spread"] ** np.clip((logarithm - low) / (high - low), 0.0, 1.0)


def _genotypes(
    table: list[dict[str, str]], columns: list[dict]
) -> tuple[list[Genotype], tuple[int, ...]]:
    parts: list[list[Genotype]] = []
    cardinalities: list[int] = []
    for column in columns:
        cells = [row[column["column"]] for row in table]
        if column["as"] == "category":
            categories = sorted(set(cells))
            parts.append([(categories.index(cell),) for cell in cells])
            cardinalities.append(len(categories))
        else:
            parts.append([tuple(int(digit) for digit in cell) for cell in cells])
            cardinalities.extend([column["choices"]] * len(cells[0]))
    genotypes = [sum(genes, start=()) for genes in zip(*parts, strict=True)]
    return genotypes, tuple(cardinalities)


def _nas_bench_graph_spellings(
    rows: dict[Genotype, int], table: list[dict[str, str]]
) -> dict[Genotype, int]:
    """NAS-Bench-Graph stores one spelling of every network; this finds it for all the others."""
    links = sorted({row["link"] for row in table})
    stored = {_graph_form(links[genes[0]], genes[1:]): row for genes, row in rows.items()}
    spellings: dict[Genotype, int] = {}
    for link in range(len(links)):
        for ops in np.ndindex(9, 9, 9, 9):
            row = stored.get(_graph_form(links[link], ops))
            if row is not None:
                spellings[(link, *ops)] = row
    return spellings


def _graph_form(link: str, ops: tuple[int, ...]) -> str:
    """Canonical text of a network: the tree of its operations, skips (8) resolved to what they
    carry, children sorted, and how often each operation's result reaches the output. A skip of the
    raw input to the output counts for nothing, as in the benchmark."""
    carried = [0]
    for node, op in enumerate(ops, start=1):
        carried.append(carried[int(link[node - 1])] if op == 8 else node)
    outputs = Counter(carried[node] for node in range(1, 5) if str(node) not in link)

    def subtree(node: int) -> str:
        children = sorted(
            subtree(child)
            for child in range(1, 5)
            if carried[child] == child and carried[int(link[child - 1])] == node
        )
        name = f"{ops[node - 1]}*{outputs[node]}" if node else "input"
        return f"{name}({','.join(children)})"

    return subtree(0)
