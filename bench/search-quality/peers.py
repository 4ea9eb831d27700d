"""The peers behind one ask/tell interface, each used as its documentation tells a user to.

Genes are plain categorical variables. An evaluation that fails is reported in the peer's own way,
or, where it has none, with the worst values that the table holds.
"""

import logging
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from problems import Genotype, Problem


class Peer(Protocol):
    """A search method: candidates out, results in."""

    def ask(self) -> tuple[Any, Genotype] | None:
        """Next candidate with a handle for `tell`; `None` when the method has nothing left."""

    def tell(self, handle: Any, values: np.ndarray | None) -> None:
        """Result of a candidate; `None` when its evaluation failed."""


class Random:
    """Uniform samples, repeats included."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.cardinalities = problem.cardinalities

    def ask(self) -> tuple[Any, Genotype]:
        return None, tuple(int(gene) for gene in self.rng.integers(self.cardinalities))

    def tell(self, handle: Any, values: np.ndarray | None) -> None:
        pass


class Pymoo:
    """pymoo's generational algorithms on integer genes: uniform crossover, and mutation that draws
    one gene of a candidate anew on average (its `ChoiceRandomMutation`). Its `MixedVariableMating`
    would draw every second gene anew, near random search on spaces like these."""

    def __init__(self, problem: Problem, seed: int, algorithm: str, population: int) -> None:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.algorithms.moo.sms import SMSEMOA
        from pymoo.core.problem import Problem as PymooProblem
        from pymoo.core.variable import Choice
        from pymoo.operators.crossover.ux import UX
        from pymoo.operators.mutation.rm import ChoiceRandomMutation
        from pymoo.operators.sampling.rnd import IntegerRandomSampling

        class Resample(ChoiceRandomMutation):
            def _do(self, *args: Any, **options: Any) -> np.ndarray:
                return super()._do(*args, **options).astype(int)

        space = PymooProblem(
            vars={f"g{i}": Choice(options=range(n)) for i, n in enumerate(problem.cardinalities)},
            n_obj=problem.objectives.shape[1],
        )
        space.xl = np.zeros(len(problem.cardinalities), dtype=int)
        space.xu = np.array(problem.cardinalities) - 1
        self.algorithm = {"nsga2": NSGA2, "smsemoa": SMSEMOA}[algorithm](
            pop_size=population,
            sampling=IntegerRandomSampling(),
            crossover=UX(),
            mutation=Resample(),
            eliminate_duplicates=True,
        )
        self.algorithm.setup(space, termination=("n_gen", 10**6), seed=seed, verbose=False)
        self.worst = problem.objectives.max(axis=0)
        self.generation: Any = []
        self.asked = self.told = 0
        self.values: list[np.ndarray] = []

    def ask(self) -> tuple[Any, Genotype] | None:
        if self.asked == len(self.generation):
            if self.told < self.asked:
                raise RuntimeError("generational: all results first, then the next candidates")
            self.generation = self.algorithm.ask()
            self.asked = self.told = 0
            self.values = [self.worst] * len(self.generation)
            if len(self.generation) == 0:
                return None
        place = self.asked
        self.asked += 1
        return place, tuple(int(gene) for gene in self.generation[place].X)

    def tell(self, handle: Any, values: np.ndarray | None) -> None:
        if values is not None:
            self.values[handle] = values
        self.told += 1
        if self.told == len(self.generation):
            self.generation.set("F", np.array(self.values))
            self.algorithm.tell(infills=self.generation)


class OptunaLike:
    """Optuna and Rustuna, which share an interface."""

    def __init__(self, problem: Problem, library: Any, sampler: Any) -> None:
        self.failed = library.trial.TrialState.FAIL
        self.study = library.create_study(
            directions=["minimize"] * problem.objectives.shape[1], sampler=sampler
        )
        self.choices = [list(range(n)) for n in problem.cardinalities]

    def ask(self) -> tuple[Any, Genotype]:
        trial = self.study.ask()
        genes = [trial.suggest_categorical(f"g{i}", c) for i, c in enumerate(self.choices)]
        return trial.number, tuple(genes)

    def tell(self, handle: Any, values: np.ndarray | None) -> None:
        if values is None:
            self.study.tell(handle, state=self.failed)
        else:
            self.study.tell(handle, [float(value) for value in values])


class SyneTune:
    """Syne Tune's multi-objective regularized evolution, population 50 and samples of 10.

    Its own ranking is mended: as shipped, indices of sorted members are read as scores (and ranks
    within a front as indices), which leaves selection near random."""

    def __init__(self, problem: Problem, seed: int) -> None:
        from syne_tune.config_space import choice
        from syne_tune.optimizer.schedulers.multiobjective import (
            MultiObjectiveRegularizedEvolution,
        )
        from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import (
            MOPriority,
        )
        from syne_tune.optimizer.schedulers.multiobjective.non_dominated_priority import (
            compute_epsilon_net,
            pareto_efficient,
        )

        class Ranks(MOPriority):
            def priority_unsafe(self, objectives: np.ndarray) -> np.ndarray:
                ranks = np.empty(len(objectives), dtype=int)
                remaining = np.arange(len(objectives))
                while remaining.size:
                    efficient = pareto_efficient(objectives[remaining])
                    front = remaining[efficient]
                    ahead = len(objectives) - len(remaining)
                    ranks[front] = ahead + compute_epsilon_net(objectives[front], dim=0)
                    remaining = remaining[~efficient]
                return ranks

        # Syne Tune draws its first population from the global generator.
        np.random.seed(seed)
        self.names = [f"g{i}" for i in range(len(problem.cardinalities))]
        self.searcher = MultiObjectiveRegularizedEvolution(
            config_space={
                name: choice(list(range(n)))
                for name, n in zip(self.names, problem.cardinalities, strict=True)
            },
            points_to_evaluate=[],
            population_size=50,
            sample_size=10,
            multiobjective_priority=Ranks(),
            random_seed=seed,
        )

    def ask(self) -> tuple[Any, Genotype]:
        config = self.searcher.suggest()
        return config, tuple(int(config[name]) for name in self.names)

    def tell(self, handle: Any, values: np.ndarray | None) -> None:
        if values is not None:
            self.searcher.on_trial_complete("0", handle, [float(value) for value in values])


def _optuna(problem: Problem, sampler: str, **options: Any) -> Peer:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    return OptunaLike(problem, optuna, getattr(optuna.samplers, sampler)(**options))


def _rustuna(problem: Problem, sampler: str, **options: Any) -> Peer:
    import rustuna

    return OptunaLike(problem, rustuna, getattr(rustuna.samplers, sampler)(**options))


def _nsga2(library: Callable[..., Peer], population: int) -> Callable[[Problem, int], Peer]:
    return lambda problem, seed: library(
        problem, "NSGAIISampler", seed=seed, population_size=population
    )


logging.getLogger("syne_tune").setLevel(logging.ERROR)

GENERATIONAL: dict[str, Callable[[Problem, int], Peer]] = {
    "pymoo-nsga2-20": lambda problem, seed: Pymoo(problem, seed, "nsga2", 20),
    "pymoo-nsga2-50": lambda problem, seed: Pymoo(problem, seed, "nsga2", 50),
    "pymoo-smsemoa-20": lambda problem, seed: Pymoo(problem, seed, "smsemoa", 20),
}
"""Methods that wait for a whole generation: one worker only."""

ASYNCHRONOUS: dict[str, Callable[[Problem, int], Peer]] = {
    "random": Random,
    "rustuna-nsga2-20": _nsga2(_rustuna, 20),
    "rustuna-nsga2-50": _nsga2(_rustuna, 50),
    "rustuna-tpe": lambda problem, seed: _rustuna(problem, "TPESampler", seed=seed),
    "rustuna-tpe-multivariate": lambda problem, seed: _rustuna(
        problem, "TPESampler", seed=seed, multivariate=True
    ),
    "synetune-more-50": SyneTune,
    "optuna-nsga2-20": _nsga2(_optuna, 20),
    "optuna-nsga2-50": _nsga2(_optuna, 50),
    "optuna-tpe": lambda problem, seed: _optuna(problem, "TPESampler", seed=seed),
    "optuna-tpe-multivariate": lambda problem, seed: _optuna(
        problem, "TPESampler", seed=seed, multivariate=True
    ),
}
"""Methods that take a result and give the next candidate at any time."""

PEERS = GENERATIONAL | ASYNCHRONOUS
