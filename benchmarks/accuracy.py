"""How well, how surely and how fast: every method on every data set, seed by seed.

Protocol. Unsupervised on all rows, train and test together, as the papers do (`--split all`), or
fitted on the official training rows and judged on the test rows (`--split train`). One set of
defaults for all data, apart from `n_clusters` (the number of classes), the likelihood that suits
the data, and the preprocessing of `fetch_benchmark`: pixels in [0, 1] and tf-idf (bernoulli), other
features as they are (gaussian), counts (negative_binomial; methods without a likelihood get their
log-normalised values). Labels are read after the fit and for the scores only. Each fit has a
process of its own, so that its peak memory is its own. A record per seed is printed as a JSON line
and, unless `--dry`, added to `benchmarks/results/<data>.jsonl`, where it replaces one of the same
data, split, method and seed. With `--jobs 2` two seeds run side by side, on half of the cores each,
which takes less time in all; `threads` says on how many threads a record was made.

`--split few-labels` is of classifiers that get few labels of every class, drawn by the seed, and
are judged by their error on test rows: ten labels a class of MNIST's official training rows.
(`benchmarks.draws` has smaller sets, by ten draws.)

With `--shelf FOLDER` phases that methods have in common are trained once (see `shelf.py`), and
records count what that took as if they had been trained again.

    SKVADE_DATA=<folder> python -m benchmarks.accuracy --data mnist --method vade --seeds 0:10
    python -m benchmarks.pages      # writes the records' figures into README and docs
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

from benchmarks import development
from benchmarks.few_labels import CLASSIFIERS, hide_labels
from benchmarks.machine import code_digest, versions
from benchmarks.methods import METHODS
from benchmarks.records import put, read
from benchmarks.shelf import Shelf
from benchmarks.usage import peak_memory_mb
from skvade.metrics import clustering_accuracy

RESULTS = Path(__file__).parent / "results"
KEY = ("data", "split", "method", "seed")
FEW = "few-labels"
SETS = ("digits", "mnist", "mnist-10k", *development.SEVEN[2:])
LIKELIHOODS = {data: development.likelihood(data) for data in SETS}
WITHOUT_LIKELIHOOD = ("kmeans", "gmm")


def load(data: str, subset: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows as the method gets them, and classes."""
    X, y = development.load(data, subset=subset)
    if LIKELIHOODS[data] == "negative_binomial" and method in WITHOUT_LIKELIHOOD:
        X = development.log_normalised(X)
    return X, y


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


def measure(data: str, split: str, method: str, seed: int, folder: Path | None) -> dict[str, Any]:
    """Fit once and return the record."""
    few = split == FEW
    X, y = load(data, "train" if few else split, method)
    k = len(np.unique(y))
    shelf = Shelf(folder)
    before = peak_memory_mb()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        given = (X, hide_labels(y, seed)) if few else (X, k)
        model = (CLASSIFIERS if few else METHODS)[method](*given, seed, LIKELIHOODS[data], shelf)
        seconds = time.perf_counter() - start
    peak = peak_memory_mb()
    labels = model.predict(X) if few else model.labels_
    record = {
        **dict(zip(KEY, (data, split, method, seed), strict=True)),
        "n_samples": len(X),
        **scores(y, labels),
        "used_clusters": len(np.unique(labels)),
        "n_clusters": k,
    }
    if hasattr(model, "mutual_information_"):
        record["mutual_information"] = round(model.mutual_information_, 4)
        record["restart_agreement"] = round(model.restart_agreement_, 4)
        if hasattr(model, "lower_bound_"):
            record["lower_bound"] = round(model.lower_bound_, 3)
    if split == "train":
        record |= judge_on_test(model, X, y, data, method)
    if few:
        X_test, y_test = load(data, "test", method)
        hidden = hide_labels(y, seed) == -1
        record["hidden_error"] = round(100 * float(np.mean(labels[hidden] != y[hidden])), 2)
        record["error"] = round(100 * (1 - float(np.mean(model.predict(X_test) == y_test))), 2)
    return record | {
        "seconds": round(seconds + shelf.spared_seconds, 1),
        "seconds_of_shelf": round(shelf.spared_seconds, 1),
        "threads": torch.get_num_threads(),
        "memory_before_fit_mb": round(before),
        "peak_memory_mb": round(max(peak, shelf.spared_memory_mb)),
        "warnings": [str(w.message) for w in caught],
        "versions": versions(),
        "code": code_digest(),
    }


def keep(record: dict[str, Any], folder: Path = RESULTS) -> None:
    """Add a record to its file, in the place of an older one with the same key."""
    put(record, folder / f"{record['data']}.jsonl", itemgetter(*KEY))


def in_own_process(arguments: argparse.Namespace, method: str, seed: int) -> dict[str, Any]:
    """The record of one fit, measured by a process of its own on its share of the cores."""
    command = [sys.executable, "-m", "benchmarks.accuracy", "--one", "--method", method]
    command += ["--data", arguments.data, "--split", arguments.split, "--seeds", str(seed)]
    command += ["--shelf", str(arguments.shelf)] if arguments.shelf else []
    environment = dict(os.environ)
    if arguments.jobs > 1:
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // arguments.jobs))
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(output.stdout.splitlines()[-1])


def measured(data: str, split: str, folder: Path = RESULTS) -> set[tuple[str, int]]:
    """The methods and seeds that have a record of the same code."""
    return {
        (record["method"], record["seed"])
        for record in read(folder / f"{data}.jsonl")
        if record["split"] == split and record.get("code") == code_digest()
    }


def measure_all(arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The records of every method that are missing, seed by seed, printed and kept as they come.

    The methods of one seed follow one another, so that each finds the shelf as the last left it.
    """
    writing = Lock()
    records: dict[str, list[dict[str, Any]]] = {m: [] for m in arguments.method.split(",")}
    have = set() if arguments.dry else measured(arguments.data, arguments.split)

    def measure_seed(seed: int) -> None:
        for method, so_far in records.items():
            if (method, seed) in have:
                continue
            record = in_own_process(arguments, method, seed)
            with writing:
                print(json.dumps(record), flush=True)
                so_far.append(record)
                if not arguments.dry:
                    keep(record)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        seeds = range(*map(int, arguments.seeds.split(":")))
        fits = [pool.submit(measure_seed, seed) for seed in seeds]
        try:
            for fit in as_completed(fits):
                fit.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return records


def main(arguments: list[str] | None = None) -> None:
    """Measure every method and seed in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", choices=sorted(LIKELIHOODS))
    parser.add_argument("--method", default="vade", help="one or more, with commas between them")
    parser.add_argument("--split", default="all", choices=["all", "train", FEW])
    parser.add_argument("--seeds", default="0:10", help="first:last, last excluded")
    parser.add_argument("--jobs", type=int, default=1, help="seeds side by side")
    parser.add_argument("--shelf", type=Path, help="folder for what methods have in common")
    parser.add_argument("--dry", action="store_true", help="keep no records, and heed none")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        record = measure(given.data, given.split, given.method, int(given.seeds), given.shelf)
        print(json.dumps(record))
        return
    for method, records in measure_all(given).items():
        for name in ("acc", "nmi", "ari", "seconds", "peak_memory_mb") if records else ():
            values = [record[name] for record in records]
            print(
                f"{method} {name}: median {np.median(values):.3f}, "
                f"min {min(values):.3f}, max {max(values):.3f}, {len(values)} seeds"
            )


if __name__ == "__main__":
    main()
