"""One process of Optuna: `serve` a storage over gRPC, or `work` on a study for some seconds.

A worker says `ready`, waits for a line, asks for and tells trials that take no time, and prints what it
did as JSON.
"""

import json
import sys
import time
import warnings

import optuna
from optuna.storages import GrpcStorageProxy, InMemoryStorage, JournalStorage, run_grpc_proxy_server
from optuna.storages.journal import JournalFileBackend

STUDY = "bench"


def storage(kind, where):
    if kind == "grpc":
        proxy = GrpcStorageProxy(host="127.0.0.1", port=int(where))
        proxy.wait_server_ready(timeout=60)
        return proxy
    return JournalStorage(JournalFileBackend(where))


def work(kind, where, seconds):
    sampler = optuna.samplers.RandomSampler(seed=None)
    study = optuna.create_study(
        storage=storage(kind, where), study_name=STUDY, sampler=sampler, load_if_exists=True,
        directions=["minimize", "minimize"],
    )
    print("ready", flush=True)
    sys.stdin.readline()
    asks, trials, cpu, began = [], 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        before = time.perf_counter()
        trial = study.ask()
        genes = [trial.suggest_categorical(f"g{at}", [0, 1, 2, 3, 4]) for at in range(6)]
        asks.append(time.perf_counter() - before)
        study.tell(trial, [sum(genes) / 24, 1 - sum(genes) / 24])
        trials += 1
    elapsed = time.perf_counter() - began
    print(json.dumps({"trials": trials, "elapsed": elapsed, "asks": asks,
                      "cpu": time.process_time() - cpu}), flush=True)


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if sys.argv[1] == "serve":
        run_grpc_proxy_server(InMemoryStorage(), host="127.0.0.1", port=int(sys.argv[2]))
    else:
        work(sys.argv[2], sys.argv[3], float(sys.argv[4]))


if __name__ == "__main__":
    main()
