"""Writes the search-quality report from measured rows: Markdown, pictures, and a CSV of means.

Rows are those of `measure.py`, from any number of files; methods whose name begins with `cambrian`
are ours. Where a peer has no rows, its summary in `peers.csv` stands for it: means and standard
deviations of an earlier run. Knows nothing of problems beyond their names and titles.
"""

import argparse
import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from scipy.stats import ttest_ind_from_stats, wilcoxon

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SHOWN = (50, 100, 200, 500, 1000)
OURS = "cambrian"
SIGNIFICANT = 0.05
FEWEST_PAIRS = 6
"""Below six pairs a two-sided signed-rank test cannot reach 5 %."""

Runs = dict[int, dict[int, float]]
"""Gap by seed and number of evaluations."""


@dataclass(frozen=True)
class Summary:
    """What is known of a method at one checkpoint."""

    seeds: int
    mean: float
    spread: float
    """Standard deviation over seeds."""


@dataclass(frozen=True)
class Comparison:
    """Our method against the best peer at one checkpoint."""

    ours: float
    peer: str
    theirs: float
    probability: float
    """That the difference is chance: paired by seed, or of two independent samples of a summary."""

    @property
    def verdict(self) -> str:
        if self.probability >= SIGNIFICANT:
            return "level"
        return "ahead" if self.ours < self.theirs else "behind"


class Measurements:
    """All rows and summaries, by problem, workers and method."""

    def __init__(self, files: list[Path], peers: Path) -> None:
        self.runs: dict[tuple[str, int, str], Runs] = defaultdict(lambda: defaultdict(dict))
        for file in files:
            with file.open() as lines:
                for row in csv.DictReader(lines):
                    key = (row["problem"], int(row["workers"]), row["method"])
                    gap = float(row["gap"])
                    self.runs[key][int(row["seed"])][int(row["evaluations"])] = gap
        self.summaries: dict[tuple[str, int, str], dict[int, Summary]] = defaultdict(dict)
        with peers.open() as lines:
            for row in csv.DictReader(lines):
                key = (row["problem"], int(row["workers"]), row["method"])
                if key not in self.runs:
                    found = Summary(int(row["seeds"]), float(row["mean"]), float(row["sd"]))
                    self.summaries[key][int(row["evaluations"])] = found

    def curves(self) -> set[tuple[str, int, str]]:
        """Problem, workers and method of everything measured or summarised."""
        return self.runs.keys() | self.summaries.keys()

    def problems(self) -> list[str]:
        return sorted({problem for problem, _, _ in self.curves()})

    def workers(self) -> list[int]:
        return sorted({workers for _, workers, _ in self.curves()})

    def methods(self, problem: str, workers: int) -> list[str]:
        """Methods measured there, ours first."""
        found = {m for p, w, m in self.curves() if (p, w) == (problem, workers)}
        return sorted(found, key=lambda method: (not method.startswith(OURS), method))

    def gaps(self, problem: str, workers: int, method: str, evaluations: int) -> dict[int, float]:
        """Gap by seed; empty where the method was not run that far."""
        runs = self.runs.get((problem, workers, method), {})
        return {seed: curve[evaluations] for seed, curve in runs.items() if evaluations in curve}

    def summary(self, problem: str, workers: int, method: str, at: int) -> Summary | None:
        """Of the rows if there are any; `None` where the method was not run that far."""
        gaps = list(self.gaps(problem, workers, method, at).values())
        if gaps:
            spread = float(np.std(gaps, ddof=1)) if len(gaps) > 1 else 0.0
            return Summary(len(gaps), float(np.mean(gaps)), spread)
        return self.summaries.get((problem, workers, method), {}).get(at)

    def checkpoints(self, problem: str, workers: int, method: str) -> list[int]:
        runs = self.runs.get((problem, workers, method), {})
        known = {evaluations for curve in runs.values() for evaluations in curve}
        return sorted(known | self.summaries.get((problem, workers, method), {}).keys())

    def compare(self, problem: str, workers: int, ours: str, at: int) -> Comparison | None:
        """Ours against the peer with the lowest mean there."""
        mine = self.summary(problem, workers, ours, at)
        peers = {
            method: found
            for method in self.methods(problem, workers)
            if not method.startswith(OURS)
            and (found := self.summary(problem, workers, method, at))
            and found.seeds >= FEWEST_PAIRS
        }
        if not mine or not peers:
            return None
        peer = min(peers, key=lambda method: peers[method].mean)
        return Comparison(
            ours=mine.mean,
            peer=peer,
            theirs=peers[peer].mean,
            probability=self._probability(problem, workers, ours, peer, at),
        )

    def _probability(self, problem: str, workers: int, ours: str, peer: str, at: int) -> float:
        """Wilcoxon's signed-rank test over the seeds of both, or Welch's test on a summary."""
        mine = self.gaps(problem, workers, ours, at)
        theirs = self.gaps(problem, workers, peer, at)
        if theirs:
            seeds = sorted(mine.keys() & theirs.keys())
            differences = np.array([mine[seed] - theirs[seed] for seed in seeds])
            informative = len(seeds) >= FEWEST_PAIRS and differences.any()
            return float(wilcoxon(differences).pvalue) if informative else 1.0
        samples = [self.summary(problem, workers, method, at) for method in (ours, peer)]
        if any(sample is None or sample.seeds < FEWEST_PAIRS for sample in samples):
            return 1.0
        numbers = [value for s in samples for value in (s.mean, s.spread, s.seeds)]
        return float(ttest_ind_from_stats(*numbers, equal_var=False).pvalue)


def number(value: float) -> str:
    """Two significant digits or whole numbers, as the tables show them."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def comparison_table(data: Measurements, workers: int, ours: str) -> list[str]:
    lines = [
        f"| problem | {' | '.join(f'{n:,}' for n in SHOWN)} |",
        f"|---|{'---|' * len(SHOWN)}",
    ]
    for problem in data.problems():
        cells = []
        for at in SHOWN:
            result = data.compare(problem, workers, ours, at)
            if result is None:
                cells.append("")
                continue
            text = f"{number(result.ours)} : {number(result.theirs)} {result.peer}"
            cells.append(
                f"**{text}**" if result.verdict == "ahead" else f"{text} ({result.verdict})"
            )
        if any(cells):
            lines.append(f"| {problem} | {' | '.join(cells)} |")
    return lines


def tally(data: Measurements, ours: str) -> str:
    """How many cells of the comparison are ahead, level and behind."""
    results = [
        result
        for workers in data.workers()
        for problem in data.problems()
        for at in SHOWN
        if (result := data.compare(problem, workers, ours, at)) is not None
    ]
    counts = {v: sum(r.verdict == v for r in results) for v in ("ahead", "level", "behind")}
    lower = sum(result.ours <= result.theirs for result in results)
    return (
        f"Of {len(results)} cells `{ours}` has the lower or equal mean in {lower}; "
        f"significantly ahead in {counts['ahead']}, level in {counts['level']}, "
        f"significantly behind in {counts['behind']}."
    )


def comparisons(data: Measurements, ours: str) -> list[str]:
    """The count of cells, and a table for each number of workers."""
    lines = [tally(data, ours), ""]
    for workers in data.workers():
        title = "One worker" if workers == 1 else f"{workers} simulated workers"
        lines += [f"{title}:", "", *comparison_table(data, workers, ours), ""]
    return lines


def means_table(data: Measurements, workers: int) -> list[str]:
    lines = [
        f"| problem | method | seeds | {' | '.join(f'{n:,}' for n in SHOWN)} |",
        f"|---|---|---|{'---|' * len(SHOWN)}",
    ]
    for problem in data.problems():
        for method in data.methods(problem, workers):
            cells, seeds = [], set()
            for at in SHOWN:
                found = data.summary(problem, workers, method, at)
                if found:
                    seeds.add(found.seeds)
                    cells.append(f"{number(found.mean)}±{number(found.spread)}")
                else:
                    cells.append("")
            counts = "/".join(str(count) for count in sorted(seeds, reverse=True))
            lines.append(f"| {problem} | {method} | {counts} | {' | '.join(cells)} |")
    return lines


def picture(data: Measurements, workers: int, titles: dict[str, str], path: Path) -> None:
    """Mean gap over evaluations, one panel a problem; shaded: one standard deviation of ours and of
    the best peer at 200 evaluations."""
    problems = [problem for problem in data.problems() if data.methods(problem, workers)]
    methods = sorted({method for p in problems for method in data.methods(p, workers)})
    peers = [method for method in methods if not method.startswith(OURS)]
    own = [method for method in methods if method.startswith(OURS)]
    colours = dict(zip(peers, matplotlib.colormaps["tab20"].colors, strict=False))
    colours |= dict(zip(own, ["black", "#b00020", "#00509e", "#3a7d00"], strict=False))
    rows = -(-len(problems) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(15, 4.2 * rows), squeeze=False)
    for axis, problem in zip(axes.flat, problems, strict=False):
        for method in [*peers, *own]:
            checkpoints = data.checkpoints(problem, workers, method)
            if not checkpoints:
                continue
            found = [data.summary(problem, workers, method, n) for n in checkpoints]
            mean = np.array([summary.mean for summary in found])
            mine = method in own
            axis.plot(
                checkpoints,
                mean,
                color=colours[method],
                linewidth=2.4 if mine else 1.1,
                label=method,
                zorder=3 if mine else 2,
            )
            if mine or method == _best_at(data, problem, workers, peers, 200):
                spread = np.array([summary.spread for summary in found])
                low = np.maximum(mean - spread, mean / 4)
                axis.fill_between(
                    checkpoints, low, mean + spread, color=colours[method], alpha=0.13, linewidth=0
                )
        axis.set(xscale="log", yscale="log", xlim=(10, 1000))
        axis.set_title(f"{problem}: {titles.get(problem, '')}", fontsize=8)
        axis.grid(True, which="both", linewidth=0.3, alpha=0.5)
    for axis in list(axes.flat)[len(problems) :]:
        axis.axis("off")
    for axis in axes[-1]:
        axis.set_xlabel("completed evaluations")
    for axis in axes[:, 0]:
        axis.set_ylabel("1000 × (1 − HV / HV of true front)")
    handles = {}
    for axis in axes.flat:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncol=6, fontsize=8)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _best_at(
    data: Measurements, problem: str, workers: int, methods: list[str], at: int
) -> str | None:
    means = {
        method: found.mean
        for method in methods
        if (found := data.summary(problem, workers, method, at))
    }
    return min(means, key=lambda method: means[method]) if means else None


def write_means(data: Measurements, path: Path) -> None:
    """All checkpoints of all methods: mean and standard deviation over seeds."""
    with path.open("w") as output:
        rows = csv.writer(output, lineterminator="\n")
        rows.writerow(["problem", "workers", "method", "evaluations", "seeds", "mean", "sd"])
        for problem, workers, method in sorted(data.curves()):
            for at in data.checkpoints(problem, workers, method):
                found = data.summary(problem, workers, method, at)
                mean, spread = f"{found.mean:.4f}", f"{found.spread:.4f}"
                rows.writerow([problem, workers, method, at, found.seeds, mean, spread])


def late_table(file: Path) -> list[str]:
    """Means over seeds of the rows of `late_results.py`."""
    groups: dict[tuple[str, int], list[dict[str, str]]] = defaultdict(list)
    with file.open() as lines:
        for row in csv.DictReader(lines):
            groups[(row["library"], int(row["workers"]))].append(row)
    shares = ["random_generation", "late", "late_fastest_quarter", "late_slowest_quarter"]
    lines = [
        "| search | workers | drawn at random | barred, all | fastest quarter | slowest quarter |",
        "|---|---|---|---|---|---|",
    ]
    for (library, workers), rows in sorted(groups.items()):
        cells = [f"{100 * np.mean([float(row[share]) for row in rows]):.0f} %" for share in shares]
        lines.append(f"| {library} | {workers:,} | {' | '.join(cells)} |")
    return lines


def write_report(
    data: Measurements,
    ours: str,
    problems: Path,
    template: Path,
    late: Path | None,
    document: Path,
) -> None:
    """The Markdown document: the template's text around tables and pictures."""
    titles = {
        name: problem["title"]
        for name, problem in yaml.safe_load(problems.read_text())["problems"].items()
    }
    images = document.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[str]] = {
        "PROBLEMS": ["| problem | table and objectives |", "|---|---|"]
        + [f"| {name} | {titles[name]} |" for name in data.problems()],
        "COMPARISON": [],
        "PICTURES": [],
        "MEANS": [],
        "LATE": late_table(late) if late else ["Not measured."],
        "HELD OUT": (template.parent / "held-out.md").read_text().splitlines(),
        "BY NAME": (template.parent / "by-name.md").read_text().splitlines(),
    }
    has_ours = any(method.startswith(OURS) for _, _, method in data.curves())
    parts["COMPARISON"] += comparisons(data, ours) if has_ours else ["Ours: not measured.", ""]
    for workers in data.workers():
        title = "One worker" if workers == 1 else f"{workers} simulated workers"
        image = images / f"search-quality-{workers}.png"
        picture(data, workers, titles, image)
        parts["PICTURES"] += [f"![Gap over evaluations, {title.lower()}](images/{image.name})", ""]
        parts["MEANS"] += [f"### {title}", "", *means_table(data, workers), ""]
    text = template.read_text()
    for name, lines in parts.items():
        text = text.replace(f"<!-- {name} -->", "\n".join(lines).strip())
    document.write_text(text)


def rows_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of a program that writes about rows."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("rows", nargs="+", type=Path, help="CSV files of rows")
    return parser


def main() -> None:
    parser = rows_parser(__doc__)
    parser.add_argument("--late", type=Path, help="CSV file of late_results.py")
    parser.add_argument("--ours", default="cambrian-auto", help="our method that is compared")
    parser.add_argument("--document", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--means", type=Path, required=True, help="CSV file to write")
    arguments = parser.parse_args()
    here = Path(__file__).parent
    data = Measurements(arguments.rows, here / "peers.csv")
    write_means(data, arguments.means)
    write_report(
        data,
        arguments.ours,
        here / "problems.yaml",
        here / "report.md.in",
        arguments.late,
        arguments.document,
    )


if __name__ == "__main__":
    main()
