"""Writes `held-out.md`: our search against the best peer on the problems of `held-out.yaml`.

`report.py` puts that file into the document, so that it can be written without these rows.
"""

from pathlib import Path

import yaml

from report import OURS, Measurements, comparisons, rows_parser

HERE = Path(__file__).parent


def fragment(data: Measurements, ours: str) -> str:
    """Titles, the count of cells, and a table for each number of workers."""
    definitions = yaml.safe_load((HERE / "held-out.yaml").read_text())["problems"]
    lines = ["| problem | table and objectives |", "|---|---|"]
    lines += [f"| {name} | {definitions[name]['title']} |" for name in data.problems()]
    lines += ["", *comparisons(data, ours)]
    return "\n".join(lines).strip() + "\n"


def main() -> None:
    data = Measurements(rows_parser(__doc__).parse_args().rows, HERE / "peers.csv")
    # Peers of the main benchmark have summaries there, and no rows here.
    data.summaries.clear()
    (HERE / "held-out.md").write_text(fragment(data, f"{OURS}-auto"))


if __name__ == "__main__":
    main()
