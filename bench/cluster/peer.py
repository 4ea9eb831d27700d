"""A peer at work on evaluations that take no time.

One process of Optuna: `serve` a storage over gRPC, or `work` on a study for some seconds. A worker says
`ready`, waits for a line, asks for and tells trials, and prints what it did as JSON. `batch` hands a number of
evaluations to another peer, which has its own processes, and prints the same.
"""

import json
import os
import sys
import tempfile
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


def hyperqueue(count):
    """Tasks of a job, each a process that does nothing: what HyperQueue runs."""
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with tempfile.TemporaryDirectory(prefix="cambrian-bench-") as folder:
        with LocalCluster(folder, WorkerConfig(cores=os.cpu_count())) as cluster:
            client = cluster.client()
            # A first task, so that the worker is there when the clock starts.
            for tasks in (1, count):
                job = Job(default_workdir=folder)
                for _ in range(tasks):
                    job.program(["/bin/true"], stdout=None, stderr=None)
                began = time.perf_counter()
                client.wait_for_jobs([client.submit(job)])
            return time.perf_counter() - began


def ray_tune(count):
    """Trials of random search that report at once, with actors used again."""
    import ray
    from ray import tune

    class Trial(tune.Trainable):
        def setup(self, config):
            self.score = sum(config.values())

        def step(self):
            return {"score": self.score, "done": True}

        def reset_config(self, config):
            self.setup(config)
            return True

        def save_checkpoint(self, folder):
            pass

    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    space = {f"g{at}": tune.choice([0, 1, 2, 3, 4]) for at in range(6)}
    with tempfile.TemporaryDirectory(prefix="cambrian-bench-") as folder:
        tuner = tune.Tuner(
            Trial, param_space=space,
            tune_config=tune.TuneConfig(metric="score", mode="min", num_samples=count, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        began = time.perf_counter()
        results = tuner.fit()
        elapsed = time.perf_counter() - began
    assert len(results) == count and not results.errors, "a trial of Ray Tune has failed"
    ray.shutdown()
    return elapsed


def ray_core(count):
    """Tasks of Ray without Tune, handed over together."""
    import ray

    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    nothing = ray.remote(lambda: None)
    ray.get([nothing.remote() for _ in range(100)])
    began = time.perf_counter()
    ray.get([nothing.remote() for _ in range(count)])
    elapsed = time.perf_counter() - began
    ray.shutdown()
    return elapsed


BATCHES = {"hyperqueue": hyperqueue, "ray-tune": ray_tune, "ray": ray_core}


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if sys.argv[1] == "serve":
        run_grpc_proxy_server(InMemoryStorage(), host="127.0.0.1", port=int(sys.argv[2]))
    elif sys.argv[1] == "batch":
        count = int(sys.argv[3])
        print(json.dumps({"trials": count, "elapsed": BATCHES[sys.argv[2]](count)}), flush=True)
    else:
        work(sys.argv[2], sys.argv[3], float(sys.argv[4]))


if __name__ == "__main__":
    main()
