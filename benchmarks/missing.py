"""Clusters of rows with missing values, and what fills these, beside imputers.

    python -m benchmarks.missing [--table]

Shares of all entries are taken away at random, with five seeds, of which each also is that of the
models. `VaDE` gets rows with holes, the others what an imputer makes of them; `error` is the root
mean squared error of what was filled, `complete` VaDE of all entries. Records are kept in
`benchmarks/results/missing.jsonl`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.mixture import GaussianMixture

from benchmarks.development import load
from benchmarks.records import measure_and_print
from skvade import VaDEClustering
from skvade.metrics import clustering_accuracy

RESULTS = Path(__file__).parent / "results" / "missing.jsonl"
SETS, RATES, SEEDS = ("digits", "wine", "usps"), (0.1, 0.2, 0.4), range(5)
IMPUTERS: dict[str, Callable[[], Any]] = {
    "mean": SimpleImputer,
    "nearest": KNNImputer,
    "iterative": lambda: IterativeImputer(random_state=0),
}
SLOW = {"usps": ("iterative",)}  # hours, for 256 columns


def measure(name: str, rate: float, seed: int) -> list[dict[str, Any]]:
    """A record for every method."""
    X, y = load(name)
    X, n_clusters = np.asarray(X, np.float64), len(np.unique(y))
    holes = np.random.RandomState(seed).random_sample(X.shape) < rate
    with_holes = np.where(holes, np.nan, X)
    records = []

    def note(method: str, labels: Any, filled: Any, started: float) -> None:
        error = np.sqrt(np.mean(np.square(filled - X)[holes]))
        records.append(
            {
                "set": name,
                "rate": rate,
                "seed": seed,
                "method": method,
                "acc": round(clustering_accuracy(y, labels), 4),
                "error": round(float(error), 4),
                "cpu": round(time.process_time() - started, 1),
            }
        )

    def model() -> VaDEClustering:
        return VaDEClustering(n_clusters, compare=False, random_state=seed)

    started = time.process_time()
    note("complete", model().fit_predict(X), X, started)
    started = time.process_time()
    ours = model().fit(with_holes)
    note("VaDE", ours.labels_, ours.impute(with_holes), started)
    for imputer, make in IMPUTERS.items():
        if imputer in SLOW.get(name, ()):
            continue
        started = time.process_time()
        filled = make().fit_transform(with_holes)
        mixture = GaussianMixture(n_clusters, reg_covar=1e-3, random_state=seed)
        note(f"{imputer}, mixture", mixture.fit_predict(filled), filled, started)
        note(f"{imputer}, VaDE", model().fit_predict(filled), filled, started)
    return records


def table(records: list[dict[str, Any]], methods: Sequence[str] = ()) -> str:
    """Medians over seeds, in Markdown: accuracy, and the error; of all methods or of these."""
    methods = methods or list(dict.fromkeys(record["method"] for record in records))
    lines = ["| set, share | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
    for name, rate in product(SETS, RATES):
        cells = []
        for method in methods:
            own = [r for r in records if (r["set"], r["rate"], r["method"]) == (name, rate, method)]
            cell = "-"
            if own:
                acc, error = (np.median([r[what] for r in own]) for what in ("acc", "error"))
                worst = min(r["acc"] for r in own)
                cell = f"{acc:.3f} ({worst:.3f})" + (f", {error:.3f}" if error else "")
            cells.append(cell)
        if set(cells) == {"-"}:
            continue
        lines.append(f"| {name}, {rate:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    axes = {"set": SETS, "rate": RATES, "seed": SEEDS}
    measure_and_print(__doc__, RESULTS, axes, measure, table)


if __name__ == "__main__":
    main()
