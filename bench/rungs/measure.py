"""Runs four.yaml and one.yaml beside each other over seeds and writes the section of docs/stages.md."""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
KINDS = {"four": "four rungs", "one": "one rung"}
REFERENCE = (70, 6e6)
"""That of the campaigns: accuracy in percent, multiply-adds."""
SECTION = re.compile(r"(<!-- rungs -->\n).*?(<!-- /rungs -->)", re.DOTALL)


def start(given, kind, seed):
    """A run with one worker of one thread: what it proposes and finds does not depend on the machine's load."""
    folder = given.output / f"{kind}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    text = (HERE / f"{kind}.yaml").read_text()
    campaign = folder / "campaign.yaml"
    campaign.write_text(re.sub(r"(?m)^seed: .*$", f"seed: {seed}", text))
    command = [given.cambrian, "--quiet", "run", str(campaign), "--workers", "1", "--threads", "1",
               "--output", str(folder / "run"), "--evaluator", given.evaluator, "--no-progress"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def area(points, reference):
    """Hypervolume of (accuracy up, macs down) points in percent of the box between the reference and (100 %, 0)."""
    accuracy_at, macs_at = reference
    total, best = 0.0, accuracy_at
    for accuracy, macs in sorted(points, key=lambda point: point[1]):
        if accuracy > best and macs < macs_at:
            total += (accuracy - best) * (macs_at - macs)
            best = accuracy
    return 100 * total / ((100 - accuracy_at) * macs_at)


def epochs(stages):
    """Epochs trained; scores count as the epochs that fit into their time in slots."""
    entered = [stage["entered"] for stage in stages]
    if len(stages) == 1:
        return 8.0 * entered[0]
    trained = entered[1] + 7 * entered[2]
    return trained * (1 + stages[0]["slot_seconds"] / (stages[1]["slot_seconds"] + stages[2]["slot_seconds"]))


def row(given, kind, seed):
    found = json.loads((given.output / f"{kind}-{seed}" / "run" / "front.json").read_text())
    members = [{name: cell["value"] for name, cell in member["metrics"].items()}
               for member in found["front"]["members"]]
    stages = found["campaign"]["stages"]
    return {
        "hypervolume": area([(member["accuracy"], member["macs"]) for member in members], REFERENCE),
        "test": area([(member["test_accuracy"], member["macs"]) for member in members], REFERENCE),
        "entered": [stage["entered"] for stage in stages],
        "epochs": epochs(stages),
    }


def mean(values):
    values = list(values)
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def section(rows):
    lines = ["| seed | " + " | ".join(f"{name}: entered | epochs | hypervolume, % | on test images, %"
                                      for name in KINDS.values()) + " |",
             "| --- |" + " --- | ---: | ---: | ---: |" * len(KINDS)]
    for seed in sorted(rows["four"]):
        cells = []
        for kind in KINDS:
            found = rows[kind][seed]
            cells += [" → ".join(map(str, found["entered"])), f"{found['epochs']:.0f}",
                      f"{found['hypervolume']:.2f}", f"{found['test']:.2f}"]
        lines.append(f"| {seed} | " + " | ".join(cells) + " |")
    cells = []
    for kind in KINDS:
        every = rows[kind].values()
        cells += ["", f"{statistics.mean(found['epochs'] for found in every):.0f}",
                  mean(found["hypervolume"] for found in every), mean(found["test"] for found in every)]
    lines.append("| mean | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cambrian", required=True)
    parser.add_argument("--evaluator", required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--document", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    given = parser.parse_args()
    rows = {kind: {} for kind in KINDS}
    for seed in given.seeds:
        running = {kind: start(given, kind, seed) for kind in KINDS}
        for kind, process in running.items():
            if process.wait() != 0:
                sys.exit(f"rungs: {kind} with seed {seed} failed")
        for kind in KINDS:
            rows[kind][seed] = row(given, kind, seed)
            print(f"rungs: seed {seed}, {KINDS[kind]}: {rows[kind][seed]}", flush=True)
    (given.output / "rungs.json").write_text(json.dumps(rows, indent=1) + "\n")
    text = given.document.read_text()
    given.document.write_text(SECTION.sub(lambda found: found[1] + section(rows) + found[2], text))


if __name__ == "__main__":
    main()
