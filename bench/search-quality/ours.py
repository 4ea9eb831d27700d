"""Runs our search on the problems by `cambrian simulate` and appends rows to a CSV file.

Every problem becomes a campaign with a declared space of categorical genes, as the peers see it,
and a table of all genotypes that have a row; with `--by-name` one with our space of that name,
which knows which genotypes are one network and what nobody reads in them. The file that is written
has the rows of `measure.py`; a problem whose rows are in it already is skipped.
"""

import argparse
import csv
import subprocess
import tempfile
from pathlib import Path

import yaml

from measure import CHECKPOINTS, COLUMNS
from problems import DEFINITIONS, Genotype, Problem, load

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""Of NAS-Bench-201, in the order of the digits that the tables know them by."""


def nasbench201(genotype: Genotype) -> str:
    """The published notation of a cell; edges are 0-1, 0-2, 1-2, 0-3, 1-3, 2-3."""
    edges = [OPERATIONS[gene] for gene in genotype]
    nodes = [edges[:1], edges[1:3], edges[3:]]
    return "+".join(
        "|" + "".join(f"{edge}~{at}|" for at, edge in enumerate(node)) for node in nodes
    )


SPACES = {"nasbench201": nasbench201}
"""Spaces that can be named, and how a genotype is written there."""


def spelling(problem: Problem, genotype: Genotype, *, by_name: bool) -> str:
    """A genotype in the notation of the campaign's space."""
    return SPACES[problem.space](genotype) if by_name else ":".join(map(str, genotype))


def space(problem: Problem, *, by_name: bool) -> dict:
    """The space of a problem's campaign."""
    if by_name:
        return {"kind": problem.space}
    genes = [
        {"name": f"g{at}", "cat": [str(choice) for choice in range(choices)]}
        for at, choices in enumerate(problem.cardinalities)
    ]
    return {"kind": "declared", "genes": genes, "notation": "list :"}


def campaign(problem: Problem, algorithm: str, evaluations: int, *, by_name: bool) -> dict:
    """The campaign file of a problem."""
    metrics = [f"o{at}" for at in range(problem.objectives.shape[1])]
    stage = {
        "evaluator": "tabular",
        "measures": metrics,
        "settings": {
            "table": "table.csv",
            "key": "genotype",
            "columns": {metric: metric for metric in metrics},
        },
    }
    return {
        "version": 1,
        "name": problem.name,
        "space": space(problem, by_name=by_name),
        "metrics": {metric: {"goal": "minimize"} for metric in metrics},
        "objectives": metrics,
        "algorithm": algorithm,
        "stages": [stage],
        "budget": {"evaluations": evaluations},
    }


def write_table(problem: Problem, path: Path, *, by_name: bool) -> None:
    """One line for every genotype with a row: its spelling, objectives and seconds."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        metrics = [f"o{at}" for at in range(problem.objectives.shape[1])]
        writer.writerow(["genotype", *metrics, "seconds"])
        for genotype, row in problem.rows.items():
            key = spelling(problem, genotype, by_name=by_name)
            writer.writerow(
                [key, *map(repr, map(float, problem.objectives[row])), problem.seconds[row]]
            )


def simulate(problem: Problem, workers: int, arguments: argparse.Namespace) -> list[list]:
    """The rows of all seeds of a problem."""
    checkpoints = [at for at in CHECKPOINTS if at <= arguments.budget]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # Workers go on asking until the last checkpoint is reached, as the peers' do.
        evaluations = arguments.budget + workers - 1
        named = arguments.by_name
        content = campaign(problem, arguments.algorithm, evaluations, by_name=named)
        (work / "campaign.yaml").write_text(yaml.safe_dump(content))
        write_table(problem, work / "table.csv", by_name=named)
        command = [str(arguments.cambrian), "simulate", "campaign.yaml", "--table", "table.csv"]
        command += ["--workers", str(workers), "--seeds", str(arguments.seeds)]
        command += ["--duration", "column:seconds", "--duration-noise", str(problem.noise)]
        command += ["--at", ",".join(map(str, checkpoints)), "--output", "out", "--quiet"]
        subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)
        method = f"cambrian-{arguments.algorithm}{'-by-name' if named else ''}"
        with (work / "out" / "hypervolume.csv").open() as file:
            return [
                [
                    problem.name,
                    method,
                    row["seed"],
                    workers,
                    row["evaluations"],
                    row["gap_thousandths"],
                ]
                for row in csv.DictReader(file)
            ]


def main() -> None:
    """Measures every problem with every number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--definitions", type=Path, default=DEFINITIONS, help="the problems")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cambrian", type=Path, required=True)
    parser.add_argument("--algorithm", default="auto")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--problems", nargs="+")
    parser.add_argument("--by-name", action="store_true", help="where the space is one of ours")
    arguments = parser.parse_args()
    arguments.cambrian = arguments.cambrian.resolve()
    done = set()
    if arguments.output.exists():
        with arguments.output.open() as file:
            done = {(row["problem"], int(row["workers"])) for row in csv.DictReader(file)}
    else:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(",".join(COLUMNS) + "\n")
    for name, problem in load(arguments.data, arguments.definitions).items():
        if arguments.by_name and problem.space not in SPACES:
            continue
        for workers in arguments.workers:
            if (name, workers) in done or (arguments.problems and name not in arguments.problems):
                continue
            rows = simulate(problem, workers, arguments)
            with arguments.output.open("a", newline="") as file:
                csv.writer(file).writerows(rows)
            print(f"{name} with {workers} workers: measured", flush=True)


if __name__ == "__main__":
    main()
