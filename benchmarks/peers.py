"""An epoch of ours against an epoch of ClustPy's VaDE, on all of MNIST with the same network.

    pip install clustpy==0.0.3
    SKVADE_DATA=<folder> python -m benchmarks.peers --rounds 3

Batches of 256. Each method has a process of its own, in turn, so that peak memory is its own and
the machine's moods meet all alike. An epoch's seconds are the difference of two fits that differ by
one epoch, for ClustPy, and of a phase of as many steps, for ours: `vade` is the bound without
neighbours, ClustPy's own objective. Records are printed and, unless `--dry`, added to
`benchmarks/results/speed/peers.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.machine import peak_memory_mb
from benchmarks.speed import keep, ready_to_train, seconds
from skvade.datasets import fetch_benchmark

BATCH = 256


def clustpy() -> dict[str, float]:
    """ClustPy 0.0.3; one step of EM for a start, which both fits of a difference have."""
    from clustpy.deep import VaDE
    from clustpy.deep.neural_networks import VariationalAutoencoder
    from sklearn.mixture import GaussianMixture

    X = fetch_benchmark("mnist")[0].astype(np.float32)

    def fit(pretrain: int, train: int) -> float:
        network = VariationalAutoencoder([X.shape[1], 500, 500, 2000, 10])
        model = VaDE(
            10,
            batch_size=BATCH,
            pretrain_epochs=pretrain,
            clustering_epochs=train,
            neural_network=network,
            initial_clustering_class=GaussianMixture,
            initial_clustering_params={"covariance_type": "diag", "max_iter": 1},
            random_state=0,
        )
        return seconds(lambda: model.fit(X))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = fit(1, 1)
        found = {"pretrain": fit(2, 1) - base, "vade": fit(1, 2) - base}
    return found


def ours(precision: str) -> dict[str, float]:
    """The same network, batch and number of steps."""
    X = fetch_benchmark("mnist")[0].astype(np.float32)
    run, phases = ready_to_train(X, precision, BATCH, neighbor_weight=0.0)
    steps = len(X) // BATCH
    pretrain, vade = (replace(phases[name], n_steps=steps) for name in ("pretrain", "bound"))
    return {
        "pretrain": seconds(lambda: run.go([pretrain])),
        "vade": seconds(lambda: run.go([vade])),
    }


METHODS = {
    "clustpy": clustpy,
    "skvade bfloat16": lambda: ours("bfloat16"),
    "skvade float32": lambda: ours("float32"),
}


def main(arguments: list[str] | None = None) -> None:
    """Measure in turn, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="keep no records")
    parser.add_argument("--one", choices=list(METHODS), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        found = {f"{name} epoch": round(s, 2) for name, s in METHODS[given.one]().items()}
        print(json.dumps({"method": given.one, **found, "peak_memory_mb": round(peak_memory_mb())}))
        return
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in METHODS}
    for number in range(given.rounds):
        for name, so_far in records.items():
            command = [sys.executable, "-m", "benchmarks.peers", "--one", name]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            so_far.append(json.loads(output.splitlines()[-1]))
            keep("peers", {"round": number, **so_far[-1]}, given.dry)
    for name, found in records.items():
        for what in ("pretrain epoch", "vade epoch", "peak_memory_mb"):
            values = [record[what] for record in found]
            ratios = [a[what] / b[what] for a, b in zip(records["clustpy"], found, strict=True)]
            middle = statistics.median(ratios)
            print(
                f"{name} {what}: median {statistics.median(values):.2f}; ClustPy's is "
                f"{middle:.2f} times as much ({min(ratios):.2f}-{max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
