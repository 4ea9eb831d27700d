"""Share of finished results that a generational peer bars from breeding, by number of workers.

Optuna's and Rustuna's NSGA-II (population 50) fix the parents of the next generation at the first
ask after 50 results of the present one; a result that arrives later is *late*: it can never breed.
Virtual time: 2,000 trials of ten integers 0..9, width w = sum / 90, duration
(1 + 19 w) x uniform(0.9, 1.1), objectives (1 - w + 0.1 x uniform, w); a worker asks again at once.
Writes one CSV row per library, number of workers and seed.
"""

import argparse
import csv
import heapq
import sys
from collections import Counter
from typing import Any

import numpy as np

GENES = 10
POPULATION = 50
COLUMNS = [
    "library",
    "workers",
    "seed",
    "generations",
    "random_generation",
    "late",
    "late_fastest_quarter",
    "late_slowest_quarter",
]


def study(library: str, seed: int) -> Any:
    """A two-objective study with NSGA-II of the named library."""
    if library == "optuna":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
        return optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    import rustuna

    sampler = rustuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    return rustuna.create_study(directions=["minimize", "minimize"], sampler=sampler)


def measure(library: str, workers: int, trials: int, seed: int) -> list[float]:
    """Generations, share of the random first one, late shares: all, fastest, slowest quarter."""
    rng = np.random.default_rng(seed)
    search = study(library, seed)
    widths = np.empty(trials)
    durations = np.empty(trials)
    late = np.empty(trials, dtype=bool)
    generation = np.empty(trials, dtype=int)
    results: Counter[int] = Counter()
    running: list[tuple[float, int]] = []
    asked = told = 0
    now = 0.0
    generation_of = _generation_reader(library, search)
    while told < trials:
        while asked < trials and len(running) < workers:
            trial = search.ask()
            genes = [trial.suggest_int(f"x{i}", 0, 9) for i in range(GENES)]
            widths[asked] = sum(genes) / (9 * GENES)
            durations[asked] = (1 + 19 * widths[asked]) * rng.uniform(0.9, 1.1)
            generation[asked] = generation_of(trial)
            heapq.heappush(running, (now + durations[asked], asked))
            asked += 1
        now, number = heapq.heappop(running)
        width = widths[number]
        search.tell(number, [1 - width + 0.1 * rng.uniform(), width])
        late[number] = results[generation[number]] >= POPULATION
        results[generation[number]] += 1
        told += 1
    fast, slow = np.quantile(durations, [0.25, 0.75])
    return [
        int(generation.max()) + 1,
        float((generation == 0).mean()),
        float(late.mean()),
        float(late[durations <= fast].mean()),
        float(late[durations >= slow].mean()),
    ]


def _generation_reader(library: str, search: Any) -> Any:
    """Reads the generation that the sampler has noted for a trial."""

    def read(trial: Any) -> int:
        if library == "optuna":
            attributes = search._storage.get_trial(trial._trial_id).system_attrs
        else:
            attributes = search._storage.get_trial(trial._trial_id).system_attrs.to_dict()
        noted = [value for key, value in attributes.items() if key.endswith("generation")]
        if len(noted) != 1:
            raise RuntimeError(f"no generation noted: {attributes}")
        return int(noted[0])

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--libraries", nargs="*", default=["optuna", "rustuna"])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 64, 1000])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    output = csv.writer(sys.stdout, lineterminator="\n")
    output.writerow(COLUMNS)
    for library in arguments.libraries:
        for workers in arguments.workers:
            for seed in range(1, arguments.seeds + 1):
                row = measure(library, workers, arguments.trials, seed)
                output.writerow([library, workers, seed, *(round(value, 3) for value in row)])
                sys.stdout.flush()


if __name__ == "__main__":
    main()
