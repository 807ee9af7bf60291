"""What several processes make of a fit: accuracy beside one process, speed, and memory.

    SKVADE_DATA=<folder> python -m benchmarks.distributed accuracy [--sets NAME,NAME] [--seeds 0,1]
    SKVADE_DATA=<folder> python -m benchmarks.distributed speed memory
    python -m benchmarks.distributed --table

`accuracy` fits each set by default in one, two and four processes, its rows dealt at random or
sorted by class, and compares labels with the classes and with those of one process. `speed` gives
rows per second of each gradient phase of MNIST, for one process of two threads and two of one, at
the same batch over all processes, and what of it reductions take. `memory` gives the greatest
growth of each process's memory in a fit of 300,000 x 50 rows, in one, two and four processes.
Records are kept in `benchmarks/results/distributed/`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import wraps
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.metrics import adjusted_rand_score

import skvade.estimators.base as base
from benchmarks.development import likelihood, load
from benchmarks.machine import anonymous_growth, versions
from benchmarks.records import Record, read
from skvade import VaDEClustering, distributed
from skvade.datasets import fetch_benchmark
from skvade.metrics import clustering_accuracy
from skvade.training.events import GradientStep, History, Running

RESULTS = Path(__file__).parent / "results" / "distributed"
SETS = ("digits", "usps", "pendigits")
WAYS = ((1, "random"), (2, "random"), (2, "sorted"), (4, "random"), (4, "sorted"))


class Timed(History):
    """Seconds and steps of every gradient phase."""

    found: ClassVar[dict[str, dict[str, float]]] = {}  # of the one fit of this process

    def on_phase_begin(self, run: Running, phase: GradientStep, n_epochs: int) -> None:
        self.start = time.perf_counter()

    def on_phase_end(self, run: Running, phase: GradientStep) -> None:
        own = [record for record in run.history if record["phase"] == phase.name]
        seconds = time.perf_counter() - self.start
        self.found[phase.name] = {"seconds": round(seconds, 3), "steps": own[-1]["steps"]}


# --------------------------------------------------------------- what every process does


def accuracy(name: str, how: str, seed: int) -> dict[str, Any]:
    """A default fit of a part of a set."""
    X, y = load(name)
    y = np.unique(y, return_inverse=True)[1]
    order = np.random.RandomState(seed).permutation(len(y))
    order = np.argsort(y, kind="stable") if how == "sorted" else order
    with distributed.group() as group:
        mine = np.array_split(order, group.size)[group.rank]
        model = VaDEClustering(int(y.max()) + 1, likelihood=likelihood(name), random_state=seed)
        start = time.process_time()
        model.fit(X[mine])
        seconds = group.total(time.process_time() - start)
        tensors = b"".join(t.numpy().tobytes() for t in model.module_.state_dict().values())
        same = len(set(group.collect(hashlib.sha1(tensors).hexdigest()))) == 1
        labels = np.empty(len(y), int)
        labels[group.concatenate(mine)] = group.concatenate(model.labels_)
    elsewhere = getattr(model, "_group", {"elsewhere": 0.0})["elsewhere"]
    found = {"acc": round(clustering_accuracy(y, labels), 4), "same": same}
    found |= {"cpu_s": round(seconds, 1), "elsewhere": round(elsewhere, 4)}
    return {**found, "labels": labels.tolist()}


def speed() -> dict[str, Any]:
    """Seconds of the gradient phases of MNIST, and of the reductions in them."""
    X, _ = fetch_benchmark("mnist")
    base.History = Timed
    reducing = 0.0

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any) -> Any:
            nonlocal reducing
            start = time.perf_counter()
            found = method(*args)
            reducing += time.perf_counter() - start
            return found

        return call

    with distributed.group() as group:
        for name in ("average_part", "add_up", "join_parts_"):
            setattr(type(group), name, timed(getattr(type(group), name)))
        model = VaDEClustering(10, likelihood="bernoulli", compare=False, random_state=0)
        model.set_params(pretrain_iter=3, max_iter=1)
        model.fit(X[group.rank :: group.size])
    return {"phases": Timed.found, "reducing": round(reducing, 3)}


def memory() -> dict[str, Any]:
    """The greatest growth of every process's own memory in a fit, beside its rows."""
    rng = np.random.RandomState(0)
    with distributed.group() as group:
        n_own = 300_000 // group.size
        labels = rng.randint(20, size=300_000)[group.rank :: group.size][:n_own]
        centres = rng.normal(0, 6, (20, 50))
        X = (centres[labels] + rng.normal(size=(n_own, 50))).astype(np.float32)
        with anonymous_growth() as growth:
            model = VaDEClustering(20, compare=False, random_state=0).fit(X)
        grown = group.collect(round(growth.mb))
    return {"mb": grown, "ari": round(adjusted_rand_score(labels, model.labels_), 3)}


WORK = {work.__name__: work for work in (accuracy, speed, memory)}


# --------------------------------------------------------------- who starts them


def launch(size: int, work: str, *args: Any, threads: int = 1) -> dict[str, Any]:
    """What the main process of several found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "benchmarks.distributed", "--work", work, json.dumps(args)]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    outputs = [process.communicate()[0] for process in started]
    return json.loads(outputs[0].splitlines()[-1])


def add(name: str, records: list[Record]) -> None:
    """Append records to a file."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.writelines(json.dumps({**record, "versions": versions()}) + "\n" for record in records)


def measure_accuracy(sets: list[str], seeds: list[int]) -> None:
    """All ways of a set and seed that have no record yet."""
    known = read(RESULTS / "accuracy.jsonl")
    for name, seed in product(sets, seeds):
        if any((r["set"], r["seed"]) == (name, seed) for r in known):
            continue
        found = {way: launch(way[0], "accuracy", name, way[1], seed) for way in WAYS}
        alone = found[WAYS[0]]["labels"]
        records = []
        for (size, how), record in found.items():
            ari = round(adjusted_rand_score(alone, record.pop("labels")), 4)
            case = {"set": name, "seed": seed, "processes": size, "dealt": how}
            records.append({**case, **record, "ari_to_one": ari})
        add("accuracy", records)
        print(name, seed, [record["acc"] for record in records], flush=True)


def measure_speed(n_runs: int = 3) -> None:
    """One process of two threads and two of one, in turn."""
    for _ in range(n_runs):
        for size, threads in ((1, 2), (2, 1)):
            found = launch(size, "speed", threads=threads)
            add("speed", [{"processes": size, "threads": threads, **found}])


def measure_memory() -> None:
    """One, two and four processes."""
    for size in (1, 2, 4):
        add("memory", [{"processes": size, **launch(size, "memory")}])


def table_of_accuracy() -> str:
    """What several processes find, in Markdown."""
    lines = [
        "| set | processes, rows dealt | accuracy: median | worst | index to one process | "
        "neighbours elsewhere | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    records = read(RESULTS / "accuracy.jsonl")
    for name, (size, how) in product(dict.fromkeys(r["set"] for r in records), WAYS):
        own = [r for r in records if (r["set"], r["processes"], r["dealt"]) == (name, size, how)]
        middle = {
            k: statistics.median(r[k] for r in own) for k in ("acc", "ari_to_one", "elsewhere")
        }
        worst, cpu = min(r["acc"] for r in own), statistics.median(r["cpu_s"] for r in own)
        lines.append(
            f"| {name} | {size}, {how} | {middle['acc']:.4f} | {worst:.4f} | "
            f"{middle['ari_to_one']:.3f} | {middle['elsewhere']:.1%} | {cpu:.1f} |"
        )
    return "\n".join(lines)


def table_of_speed() -> str:
    """Rows per second by phase, in Markdown."""
    lines = ["| phase | rows per second: one process | two processes | efficiency |"]
    lines += ["|---|---|---|---|"]
    records = read(RESULTS / "speed.jsonl")
    for phase in dict.fromkeys(name for r in records for name in r["phases"]):
        rates = {
            size: statistics.median(
                r["phases"][phase]["steps"] / r["phases"][phase]["seconds"]
                for r in records
                if r["processes"] == size
            )
            for size in (1, 2)
        }
        one, two = (rate * (512 if phase == "pretrain" else 256) for rate in rates.values())
        lines.append(f"| {phase} | {one:,.0f} | {two:,.0f} | {two / one:.2f} |")
    return "\n".join(lines)


def table_of_memory() -> str:
    """Memory by the number of processes, in Markdown."""
    lines = ["| processes | memory of the main one, MB | of the others | index |"]
    lines += ["|---|---|---|---|"]
    for record in read(RESULTS / "memory.jsonl"):
        main, *others = record["mb"]
        rest, ari = max(others, default=0), record["ari"]
        lines.append(f"| {record['processes']} | {main} | {rest} | {ari} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("words", nargs="*", choices=[*WORK, []])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--work", nargs=2)
    asked = parser.parse_args()
    if asked.work:
        warnings.simplefilter("ignore")
        name, arguments = asked.work
        print(json.dumps(WORK[name](*json.loads(arguments))))
    elif asked.table:
        print(table_of_accuracy(), table_of_speed(), sep="\n\n")
        if (RESULTS / "memory.jsonl").exists():
            print("", table_of_memory(), sep="\n")
    if "accuracy" in asked.words:
        measure_accuracy(asked.sets.split(","), [int(seed) for seed in asked.seeds.split(",")])
    if "speed" in asked.words:
        measure_speed()
    if "memory" in asked.words:
        measure_memory()


if __name__ == "__main__":
    main()
