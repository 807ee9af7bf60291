"""Accuracy, time and peak memory of default-constructed VaDEClustering over seeds.

Unsupervised on all rows, train and test together, as the papers do. Labels are read after the fit
and for the scores only. Each seed runs in a process of its own, so that its peak memory is its
own; a record per seed is printed as a JSON line, and a summary at the end.

    SKVADE_DATA=<folder> python -m benchmarks.accuracy --data mnist --seeds 0:1
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
import warnings
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import skvade
from skvade import VaDEClustering
from skvade.datasets import fetch_benchmark
from skvade.metrics import clustering_accuracy


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(data: str, seed: int) -> dict[str, Any]:
    """Fit once and return the record."""
    X, y = fetch_benchmark(data)
    before = peak_memory_mb()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        model = VaDEClustering(n_clusters=len(np.unique(y)), random_state=seed).fit(X)
        seconds = time.perf_counter() - start
    return {
        "data": data,
        "n_samples": len(X),
        "method": "vade",
        "seed": seed,
        "acc": round(clustering_accuracy(y, model.labels_), 4),
        "nmi": round(normalized_mutual_info_score(y, model.labels_), 4),
        "ari": round(adjusted_rand_score(y, model.labels_), 4),
        "used_clusters": int((model.cluster_sizes_ > 0).sum()),
        "mutual_information": round(model.mutual_information_, 4),
        "restart_agreement": round(model.restart_agreement_, 4),
        "seconds": round(seconds, 1),
        "memory_before_fit_mb": round(before),
        "peak_memory_mb": round(peak_memory_mb()),
        "warnings": [str(w.message) for w in caught],
        "versions": {
            "skvade": skvade.__version__,
            "scikit-learn": sklearn.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def main() -> None:
    """Measure every seed in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seeds", default="0:10", help="first:last, last excluded")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.data, arguments.one)))
        return
    records = []
    for seed in range(*map(int, arguments.seeds.split(":"))):
        command = [sys.executable, "-m", "benchmarks.accuracy", "--data", arguments.data]
        output = subprocess.run(
            [*command, "--one", str(seed)], check=True, capture_output=True, text=True
        ).stdout
        print(output, end="", flush=True)
        records.append(json.loads(output.splitlines()[-1]))
    for name in ("acc", "nmi", "ari", "seconds", "peak_memory_mb"):
        values = [record[name] for record in records]
        print(
            f"{name}: median {np.median(values):.3f}, "
            f"min {min(values):.3f}, max {max(values):.3f}, {len(values)} seeds"
        )


if __name__ == "__main__":
    main()
