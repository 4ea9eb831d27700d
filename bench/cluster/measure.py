"""Runs `cambrian bench cluster` and peers in turns and writes the document."""

import argparse
import datetime
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

PEER = str(pathlib.Path(__file__).with_name("peer.py"))
WITH_POSTGRESQL = str(pathlib.Path(__file__).with_name("with-postgresql"))
WORKERS = 8
PARTS = ["rate", "postgresql", "million", "fleet", "takeover"]
# Evaluations handed to peers that work in batches of their own.
BATCHES = {"hyperqueue": 5000, "ray": 2000, "ray-tune": 30}


def ours(program, *arguments, around=()):
    command = [*around, program, "bench", "cluster", "--json", *arguments]
    print("cluster: bench cluster", " ".join(arguments), flush=True)
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_of(process):
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def optuna(kind, seconds):
    """Trials a second, p50 and p99 of an ask in ms, and CPU of all processes a trial in us."""
    print(f"cluster: Optuna, {kind}, {WORKERS} processes", flush=True)
    with tempfile.TemporaryDirectory(prefix="cambrian-bench-") as folder:
        where, server = f"{folder}/journal.log", None
        if kind == "grpc":
            where = str(free_port())
            server = subprocess.Popen([sys.executable, PEER, "serve", where])
        workers = []
        try:
            for _ in range(WORKERS):
                command = [sys.executable, PEER, "work", kind, where, str(seconds)]
                worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                workers.append(worker)
                assert worker.stdout.readline() == "ready\n", "a worker of Optuna has failed"
            before = cpu_of(server.pid) if server else 0.0
            for worker in workers:
                worker.stdin.write("go\n")
                worker.stdin.flush()
            rows = [json.loads(worker.stdout.readline()) for worker in workers]
            served = cpu_of(server.pid) - before if server else 0.0
        finally:
            for process in [*workers, *([server] if server else [])]:
                process.kill()
                process.wait()
    asks = sorted(ask for row in rows for ask in row["asks"])
    trials = sum(row["trials"] for row in rows)
    return {
        "rate": trials / max(row["elapsed"] for row in rows),
        "p50": 1e3 * asks[len(asks) // 2],
        "p99": 1e3 * asks[min(len(asks) - 1, int(0.99 * len(asks)))],
        "cpu": 1e6 * (served + sum(row["cpu"] for row in rows)) / trials,
    }


def batch(kind, count):
    print(f"cluster: {kind}, {count} evaluations", flush=True)
    command = [sys.executable, PEER, "batch", kind, str(count)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    row = json.loads(result.stdout.splitlines()[-1])
    return {"rate": row["trials"] / row["elapsed"], "p50": None, "p99": None, "cpu": None}


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def short(value, digits=3):
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def against_peer(runs, peers):
    names = {"8": "Cambrian, 8 workers of 1 slot", "8x8": "Cambrian, 8 workers of 8 slots",
             "64": "Cambrian, 64 workers of 1 slot",
             "grpc": "Optuna, `GrpcStorageProxy` over memory, 8 processes",
             "journal": "Optuna, `JournalStorage` on disk, 8 processes",
             "hyperqueue": "HyperQueue, processes of `/bin/true`",
             "ray": "Ray, tasks without Tune",
             "ray-tune": "Ray Tune, random search, actors used again"}
    best = max(peers[kind]["rate"] for kind in ("grpc", "journal"))
    rows = []
    for name in ("8", "8x8", "64"):
        run = runs[name]
        cpu = run["coordinator_cpu_us"] + run["generator_cpu_us"]
        asks = run["assignment"]
        rows.append([names[name], short(run["durable_per_second"]), short(run["durable_per_second"] / best),
                     f"{short(asks['p50_ms'])} / {short(asks['p99_ms'])}", short(cpu)])
    for kind, peer in peers.items():
        asks = f"{short(peer['p50'])} / {short(peer['p99'])}" if peer["p50"] else "-"
        rows.append([names[kind], short(peer["rate"]), short(peer["rate"] / best), asks, short(peer["cpu"])])
    head = ["", "evaluations/s", "over Optuna's best", "ask p50 / p99, ms", "CPU, us an evaluation"]
    return table(head, rows)


LINES = [
    ("durable evaluations/s", lambda run: run["durable_per_second"]),
    ("assignment p50, ms", lambda run: run["assignment"]["p50_ms"]),
    ("assignment p99, ms", lambda run: run["assignment"]["p99_ms"]),
    ("acknowledgement p99, ms", lambda run: run["acknowledgement"]["p99_ms"]),
    ("CPU of the coordinator, us an evaluation", lambda run: run["coordinator_cpu_us"]),
    ("CPU of the workers, us an evaluation", lambda run: run["generator_cpu_us"]),
    ("memory of the coordinator, MiB", lambda run: run["coordinator_resident_bytes"] / 2**20),
    ("memory an idle worker, KiB", lambda run: run["bytes_per_idle_worker"] / 2**10),
    ("plain stream, evaluations/s", lambda run: run["limits"] and run["limits"]["stream_per_second"]),
    ("plain stream, 8 with 32 in flight", lambda run: run["limits"] and run["limits"]["pipelined_stream_per_second"]),
    ("plain insert, evaluations/s", lambda run: run["limits"] and run["limits"]["insert_per_second"]),
    ("rate over the tighter of stream and insert", lambda run: run["limits"] and run["limits"]["ratio"]),
    ("utilisation of slots, %", lambda run: run["utilisation"] and 100 * run["utilisation"]),
    ("latest heartbeat, ms after its time", lambda run: run["heartbeat_delay_ms"]),
    ("lost leases", lambda run: float(run["verified"]["lost_attempts"])),
    ("load average before", lambda run: run["load_average"]),
]


def columns(runs, names):
    rows = []
    for name, value in LINES:
        cells = [short(value(run)) for run in runs]
        if any(cell != "-" for cell in cells):
            rows.append([name, *cells])
    return table(["", *names], rows)


def decades(runs, names):
    most = max((run["decades"] for run in runs), key=len)
    rows = []
    for at, decade in enumerate(most):
        cells = []
        for run in runs:
            found = run["decades"][at]
            cells.append(f"{short(found['durable_per_second'])} ({short(found['coordinator_cpu_us'])})")
        rows.append([f"to {decade['to']:,}", *cells])
    rows.append(["slowest over fastest after the first 1,000", *(short(run["flatness"]) for run in runs)])
    rows.append(["the same of CPU time", *(short(run["cpu_flatness"]) for run in runs)])
    rows.append(["memory a candidate, bytes", *(short(run["bytes_per_candidate"]) for run in runs)])
    rows.append(["records of the journal", *(f"{run['restart']['records']:,}" for run in runs)])
    rows.append(["serving again after a restart, s", *(short(run["restart"]["seconds"]) for run in runs)])
    return table(["evaluations/s (CPU of the coordinator, us)", *names], rows)


def takeovers(runs, names):
    """How work went on after each kill, and a start on the journal, a column a run."""
    def spread(run, name):
        seconds = sorted(found[name] for found in run["takeovers"])
        return f"{short(seconds[len(seconds) // 2])} / {short(seconds[-1])}" if seconds else "-"
    lines = [
        ("evaluations before the first and the last kill",
         lambda run: " / ".join(f"{run['takeovers'][at]['after_evaluations']:,}" for at in (0, -1))
         if run["takeovers"] else "-"),
        ("leaders killed", lambda run: str(len(run["takeovers"]))),
        ("next result durable, s, median / longest", lambda run: spread(run, "first_result_s")),
        ("one of every worker durable, s, median / longest", lambda run: spread(run, "all_workers_s")),
        ("records of the journal at the end", lambda run: f"{run['verified']['records']:,}"),
        ("lost leases", lambda run: short(float(run["verified"]["lost_attempts"]))),
        ("serving after a start on the whole journal, s", lambda run: short(run["restart"]["seconds"])),
        ("load average before", lambda run: short(run["load_average"])),
    ]
    return table(["", *names], [[name, *(show(run) for run in runs)] for name, show in lines])


# The fleets whose rates are measured.
SHAPES = {"8": ["--workers", str(WORKERS)], "8x8": ["--workers", str(WORKERS), "--slots", "8"],
          "64": ["--workers", "64"], "1000": ["--workers", "1000"]}
SHAPE_NAMES = ["8 workers", "8 workers of 8 slots", "64 workers", "1,000 workers"]


def best(runs):
    """Of each fleet the run with the highest rate."""
    return {name: max(found, key=lambda run: run["durable_per_second"]) for name, found in runs.items()}


def measure(given, part):
    """The rows of one part, in turns with the peer where it has one, each the best of the rounds:
    whatever else the machine does can only slow a run down."""
    bench = lambda *arguments: ours(given.cambrian, *arguments)
    if part == "postgresql":
        runs = {name: [] for name in SHAPES}
        for _ in range(given.rounds):
            for name, arguments in SHAPES.items():
                more = ["--evaluations", "50000", "--no-restart", "--no-limits", "--store", "{}"]
                runs[name] += ours(given.cambrian, *arguments, *more, around=[WITH_POSTGRESQL])["runs"]
        return best(runs)
    if part == "rate":
        runs = {name: [] for name in SHAPES}
        peers = {kind: [] for kind in ("grpc", "journal", *BATCHES)}
        for turn in range(given.rounds):
            print(f"cluster: round {turn + 1} of {given.rounds}", flush=True)
            for name, arguments in SHAPES.items():
                found = bench(*arguments, "--evaluations", "100000", "--no-restart")
                machine = found["settings"]["machine"]
                runs[name] += found["runs"]
            for kind, rows in peers.items():
                rows.append(batch(kind, BATCHES[kind]) if kind in BATCHES else optuna(kind, given.seconds))
        return {
            "machine": machine,
            "runs": best(runs),
            "peers": {kind: max(found, key=lambda row: row["rate"]) for kind, found in peers.items()},
        }
    if part == "million":
        long = ["--workers", "64", "--evaluations", "1000000", "--no-limits", "--algorithm"]
        return {name: bench(*long, name)["runs"][0] for name in ("random", "nsga2")}
    if part == "takeover":
        kill = ["--workers", "100", "--store", "{}"]
        on_postgresql = lambda *arguments: ours(given.cambrian, *kill, *arguments, around=[WITH_POSTGRESQL])["runs"][0]
        return {
            "kills": on_postgresql("--duration", "100ms", "--evaluations", "120000", "--takeovers", "10"),
            "long": on_postgresql("--evaluations", "1000000", "--takeovers-after", "200000", "--takeovers", "3"),
            "file": bench("--workers", "64", "--evaluations", "200000", "--no-limits")["runs"][0],
        }
    arguments = ["--workers", "10000", "--evaluations", "60000", "--duration", "5s"]
    runs = [bench(*arguments, "--no-limits", "--no-restart")["runs"][0] for _ in range(given.rounds)]
    return min(runs, key=lambda run: run["assignment"]["p99_ms"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cambrian", required=True)
    parser.add_argument("--template", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--document", type=pathlib.Path, required=True)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS,
                        help="what to measure; the document takes the others from their last time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each set-up of the peer")
    given = parser.parse_args()
    for part in given.parts:
        rows = {"date": datetime.date.today().isoformat(), "rows": measure(given, part)}
        (given.output / f"{part}.json").write_text(json.dumps(rows, indent=1) + "\n")
    kept = {part: given.output / f"{part}.json" for part in PARTS}
    missing = [part for part, path in kept.items() if not path.exists()]
    if missing:
        sys.exit(f"cluster: no document yet: {', '.join(missing)} not measured")
    kept = {part: json.loads(path.read_text()) for part, path in kept.items()}
    rate, postgresql, million, fleet, takeover = (kept[part]["rows"] for part in PARTS)
    fill = {
        "DATE": max(part["date"] for part in kept.values()),
        "MACHINE": rate["machine"],
        "PEER": against_peer(rate["runs"], rate["peers"]),
        "RATE": columns([rate["runs"][name] for name in SHAPES], SHAPE_NAMES),
        "POSTGRESQL": columns([postgresql[name] for name in SHAPES], SHAPE_NAMES),
        "DECADES": decades([million["random"], million["nsga2"]], ["random search", "NSGA-II"]),
        "FLEET": columns([fleet], ["10,000 workers"]),
        "TAKEOVER": takeovers([takeover[name] for name in ("kills", "long", "file")],
                              ["PostgreSQL, evaluations of 0.1 s", "PostgreSQL, more than a million records",
                               "SQLite, a million records"]),
    }
    text = given.template.read_text()
    for name, value in fill.items():
        text = text.replace(f"@{name}@", value)
    given.document.write_text(text)


if __name__ == "__main__":
    main()
