"""How well, how surely and how fast: every method on every data set, seed by seed.

Protocol. Unsupervised on all rows, train and test together, as the papers do (`--split all`), or
fitted on the official training rows and judged on the test rows (`--split train`). One set of
defaults for all data, apart from `n_clusters` (the number of classes), the likelihood that suits
the data, and the preprocessing of `fetch_benchmark`: pixels in [0, 1] (bernoulli), other features
as they are (gaussian), counts (negative_binomial; methods without a likelihood get their
log-normalised values). Labels are read after the fit and for the scores only. Each seed runs in a
process of its own, so that its peak memory is its own. A record per seed is printed as a JSON line
and, unless `--dry`, added to `benchmarks/results/<data>.jsonl`, where it replaces one of the same
data, split, method and seed.

    SKVADE_DATA=<folder> python -m benchmarks.accuracy --data mnist --method vade --seeds 0:10
    python -m benchmarks.tables     # writes docs/benchmarks.md from the records
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
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

import skvade
from benchmarks.methods import METHODS
from skvade.datasets import fetch_benchmark
from skvade.metrics import clustering_accuracy

RESULTS = Path(__file__).parent / "results"
KEY = ("data", "split", "method", "seed")
LIKELIHOODS = {
    "digits": "bernoulli",
    "mnist": "bernoulli",
    "mnist-10k": "bernoulli",
    "usps": "bernoulli",
    "har": "gaussian",
    "pendigits": "gaussian",
    "reuters21578": "gaussian",
    "sc_worm_neuron": "negative_binomial",
}
WITHOUT_LIKELIHOOD = ("kmeans", "gmm")


def load(data: str, subset: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows as the method gets them, and classes."""
    if data == "mnist-10k":
        X, y = fetch_benchmark("mnist", subset=subset)
        rows = np.random.RandomState(0).permutation(len(X))[:10_000]
        return X[rows], y[rows]
    X, y = fetch_benchmark(data, subset=subset)
    if LIKELIHOODS[data] == "negative_binomial" and method in WITHOUT_LIKELIHOOD:
        totals = X.sum(1, keepdims=True).clip(1)
        X = np.log1p(X / totals * np.median(totals))
    return X, y


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def commit() -> str:
    """The last commit that changed the library; empty without git."""
    command = ["git", "log", "-1", "--format=%h", "--", "skvade"]
    folder = Path(__file__).parent.parent
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def scores(y: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """ACC, NMI and ARI."""
    return {
        "acc": round(clustering_accuracy(y, labels), 4),
        "nmi": round(normalized_mutual_info_score(y, labels), 4),
        "ari": round(adjusted_rand_score(y, labels), 4),
    }


def judge_on_test(model: Any, X: np.ndarray, y: np.ndarray, data: str, method: str) -> dict:
    """Scores on the test rows, and the k-nearest-neighbour error of the codes in percent."""
    X_test, y_test = load(data, "test", method)
    found = {f"test_{n}": v for n, v in scores(y_test, model.predict(X_test)).items()}
    if hasattr(model, "transform"):
        codes, test_codes = model.transform(X), model.transform(X_test)
        for k in (3, 5, 10):
            right = KNeighborsClassifier(k).fit(codes, y).score(test_codes, y_test)
            found[f"knn{k}_error"] = round(100 * (1 - right), 2)
    return found


def measure(data: str, split: str, method: str, seed: int) -> dict[str, Any]:
    """Fit once and return the record."""
    X, y = load(data, split, method)
    k = len(np.unique(y))
    before = peak_memory_mb()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        model = METHODS[method](X, k, seed, LIKELIHOODS[data])
        seconds = time.perf_counter() - start
    peak = peak_memory_mb()
    record = {
        **dict(zip(KEY, (data, split, method, seed), strict=True)),
        "n_samples": len(X),
        **scores(y, model.labels_),
        "used_clusters": len(np.unique(model.labels_)),
        "n_clusters": k,
    }
    if hasattr(model, "mutual_information_"):
        record["mutual_information"] = round(model.mutual_information_, 4)
        record["restart_agreement"] = round(model.restart_agreement_, 4)
        record["lower_bound"] = round(model.lower_bound_, 3)
    if split == "train":
        record |= judge_on_test(model, X, y, data, method)
    return record | {
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "memory_before_fit_mb": round(before),
        "peak_memory_mb": round(peak),
        "warnings": [str(w.message) for w in caught],
        "versions": {
            "skvade": skvade.__version__,
            "commit": commit(),
            "scikit-learn": sklearn.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def keep(record: dict[str, Any], folder: Path = RESULTS) -> None:
    """Add a record to its file, in the place of an older one with the same key."""
    path = folder / f"{record['data']}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    records = [old for old in records if any(old.get(n) != record[n] for n in KEY)] + [record]
    records.sort(key=lambda r: tuple(r[n] for n in KEY))
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


def main() -> None:
    """Measure every seed in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", choices=sorted(LIKELIHOODS))
    parser.add_argument("--method", default="vade", help="one or more, with commas between them")
    parser.add_argument("--split", default="all", choices=["all", "train"])
    parser.add_argument("--seeds", default="0:10", help="first:last, last excluded")
    parser.add_argument("--dry", action="store_true", help="keep no records")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.data, arguments.split, arguments.method, arguments.one)))
        return
    for method in arguments.method.split(","):
        records = []
        for seed in range(*map(int, arguments.seeds.split(":"))):
            options = ["--data", arguments.data, "--method", method, "--split", arguments.split]
            output = subprocess.run(
                [sys.executable, "-m", "benchmarks.accuracy", *options, "--one", str(seed)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            print(output, end="", flush=True)
            records.append(json.loads(output.splitlines()[-1]))
            if not arguments.dry:
                keep(records[-1])
        for name in ("acc", "nmi", "ari", "seconds", "peak_memory_mb"):
            values = [record[name] for record in records]
            print(
                f"{method} {name}: median {np.median(values):.3f}, "
                f"min {min(values):.3f}, max {max(values):.3f}, {len(values)} seeds"
            )


if __name__ == "__main__":
    main()
