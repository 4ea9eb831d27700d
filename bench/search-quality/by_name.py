"""Writes `by-name.md`: our search in a space that is named against the same search where its genes are declared.

`report.py` puts that file into the document, so that the document can be written without these rows.
"""

import argparse
from pathlib import Path

from report import OURS, Measurements, comparison_table, tally

HERE = Path(__file__).parent
NAMED = f"{OURS}-auto-by-name"
DECLARED = f"{OURS}-auto"
SHOWN_AS = "declared"
"""The other search stands where peers do, so it must not be called ours."""


def fragment(data: Measurements) -> str:
    """The count of cells, and a table for each number of workers."""
    for problem, workers, method in list(data.runs):
        if method == DECLARED:
            data.runs[problem, workers, SHOWN_AS] = data.runs.pop((problem, workers, method))
    lines = [tally(data, NAMED), ""]
    for workers in data.workers():
        title = "One worker" if workers == 1 else f"{workers} simulated workers"
        lines += [f"{title}:", "", *comparison_table(data, workers, NAMED), ""]
    return "\n".join(lines).strip() + "\n"


def main() -> None:
    """Reads rows of both and writes the fragment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="+", type=Path, help="CSV files of rows")
    arguments = parser.parse_args()
    data = Measurements(arguments.rows, HERE / "peers.csv")
    data.summaries.clear()
    (HERE / "by-name.md").write_text(fragment(data))


if __name__ == "__main__":
    main()
