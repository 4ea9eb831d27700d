"""Runs `cambrian bench cluster` and Optuna's distributed set-ups in turns and writes the document."""

import argparse
import datetime
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

PEER = str(pathlib.Path(__file__).with_name("peer.py"))
WORKERS = 8


def ours(program, *arguments):
    command = [program, "bench", "cluster", "--json", *arguments]
    print("cluster:", " ".join(command[1:]), flush=True)
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


def against_peer(run, peers):
    cpu = run["coordinator_cpu_us"] + run["generator_cpu_us"]
    latency = run["assignment"]
    rows = [["Cambrian, SQLite on disk, `synchronous=FULL`", short(run["durable_per_second"]), "1",
             f"{short(latency['p50_ms'])} / {short(latency['p99_ms'])}", short(cpu)]]
    names = {"grpc": "Optuna, `GrpcStorageProxy` over memory", "journal": "Optuna, `JournalStorage` on disk"}
    for kind, peer in peers.items():
        rows.append([names[kind], short(peer["rate"]), short(run["durable_per_second"] / peer["rate"]),
                     f"{short(peer['p50'])} / {short(peer['p99'])}", short(peer["cpu"])])
    head = [f"{WORKERS} workers", "evaluations/s", "Cambrian : it", "ask p50 / p99, ms", "CPU, us an evaluation"]
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
    ("plain insert, evaluations/s", lambda run: run["limits"] and run["limits"]["insert_per_second"]),
    ("rate over the tighter of both", lambda run: run["limits"] and run["limits"]["ratio"]),
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cambrian", required=True)
    parser.add_argument("--template", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--document", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true", help="no document, only the comparison")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each set-up of the peer")
    given = parser.parse_args()

    rounds = {}
    first = ours(given.cambrian, "--workers", str(WORKERS), "--evaluations", "100000")
    peers = {kind: optuna(kind, given.seconds) for kind in ("grpc", "journal")}
    machine = first["settings"]["machine"]
    rounds["first"], rounds["peers"] = first, peers
    print(against_peer(first["runs"][0], peers), flush=True)
    if not given.quick:
        rounds["rate"] = ours(given.cambrian, "--workers", "64,1000", "--evaluations", "100000")
        rounds["slots"] = ours(given.cambrian, "--workers", str(WORKERS), "--slots", "8", "--evaluations", "100000")
        rounds["million"] = ours(given.cambrian, "--workers", "64", "--evaluations", "1000000")
        rounds["nsga2"] = ours(given.cambrian, "--workers", "64", "--evaluations", "1000000",
                               "--algorithm", "nsga2")
        rounds["fleet"] = ours(given.cambrian, "--workers", "10000", "--evaluations", "60000",
                               "--duration", "5s", "--no-limits", "--no-restart")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    (given.output / f"{stamp}.json").write_text(json.dumps(rounds, indent=1) + "\n")
    if given.quick:
        return
    one = lambda name: rounds[name]["runs"][0]
    fill = {
        "DATE": datetime.date.today().isoformat(),
        "MACHINE": machine,
        "PEER": against_peer(first["runs"][0], peers),
        "RATE": columns([first["runs"][0], one("slots"), *rounds["rate"]["runs"]],
                        ["8 workers", "8 workers of 8 slots", "64 workers", "1,000 workers"]),
        "DECADES": decades([one("million"), one("nsga2")], ["random search", "NSGA-II"]),
        "FLEET": columns([one("fleet")], ["10,000 workers"]),
    }
    text = given.template.read_text()
    for name, value in fill.items():
        text = text.replace(f"@{name}@", value)
    given.document.write_text(text)


if __name__ == "__main__":
    main()
