"""Runs ours and the reference in turns on the same cells and writes the ratios into the document.

Each round starts both programs once, so that a busy minute strikes both; a time is the mean over
rounds and cells.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys

# Those with a pass for each image have smaller batches than published, and are what they cost an image.
SCORES = """grad_norm snip grasp synflow fisher jacob_cov naswot zico knas_mgm:50 zen:16 linear_regions:3000
grad_sign:16 knas_mgm_code:16 ntk_condition:16""".split()
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"


def times(command):
    found = {}
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    for line in result.stdout.splitlines():
        row = json.loads(line)
        found.setdefault(row["score"], []).append(row["seconds"])
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--document", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--scores", help="by commas, such as naswot,zen:16; the document stays as it is")
    given = parser.parse_args()
    draw = random.Random(1)
    cells = ["".join(str(draw.randrange(5)) for _ in range(6)) for _ in range(given.cells - 1)]
    cells.append("333333")
    reference = [sys.executable, str(pathlib.Path(__file__).with_name("reference.py"))]
    scores = given.scores.split(",") if given.scores else SCORES
    rows = {name.partition(":")[0]: {} for name in ["construction", *scores]}
    for threads in given.threads:
        pooled = {"ours": {}, "reference": {}}
        for turn in range(given.rounds):
            print(f"threads {threads}, round {turn + 1} of {given.rounds}", flush=True)
            arguments = [str(given.batch), str(threads), ",".join(scores), *cells]
            for who, program in [("ours", [given.ours]), ("reference", reference)]:
                for name, seconds in times(program + arguments).items():
                    pooled[who].setdefault(name, []).extend(seconds)
        for name, row in rows.items():
            ours, theirs = (statistics.fmean(pooled[who][name]) for who in ("ours", "reference"))
            row[threads] = (1e3 * ours, 1e3 * theirs)
    head = "| score |" + "".join(f" {t} thread{'s' * (t > 1)}: ours, PyTorch [ms] | ratio |" for t in given.threads)
    lines = [head, "|---|" + "---|---|" * len(given.threads)]
    for name, row in rows.items():
        parts = [f" {ours:,.0f}, {theirs:,.0f} | {theirs / ours:.2f} |" for ours, theirs in row.values()]
        lines.append(f"| {name} |" + "".join(parts))
    table = "\n".join(lines)
    print(table)
    if given.scores:
        return
    text = given.document.read_text()
    before, rest = text.split(BEGIN)
    given.document.write_text(before + BEGIN + "\n" + table + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
