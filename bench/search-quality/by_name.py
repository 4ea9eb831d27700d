"""Writes `by-name.md`: our search in named spaces against peers, and against declared genes.

`report.py` puts that file into the document, so that it can be written without these rows.
"""

from pathlib import Path

from report import OURS, Measurements, comparisons, rows_parser

HERE = Path(__file__).parent
NAMED = f"{OURS}-auto-by-name"
DECLARED = f"{OURS}-auto"
SHOWN_AS = "declared"
"""The other search stands where peers do, so it must not be called ours."""


def fragment(data: Measurements) -> str:
    """Comparisons with the best peers, then with declared genes."""
    lines = ["Against the best peer, of which summaries are kept:", "", *comparisons(data, NAMED)]
    data.summaries.clear()
    for problem, workers, method in list(data.runs):
        if method == DECLARED:
            data.runs[problem, workers, SHOWN_AS] = data.runs.pop((problem, workers, method))
    lines += [
        "Against the same search where the genes are declared:",
        "",
        *comparisons(data, NAMED),
    ]
    return "\n".join(lines).strip() + "\n"


def main() -> None:
    """Reads rows of both and writes the fragment."""
    data = Measurements(rows_parser(__doc__).parse_args().rows, HERE / "peers.csv")
    measured = {(problem, workers) for problem, workers, _ in data.runs}
    for key in [key for key in data.summaries if key[:2] not in measured]:
        del data.summaries[key]
    (HERE / "by-name.md").write_text(fragment(data))


if __name__ == "__main__":
    main()
