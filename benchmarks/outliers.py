"""How well `outlier_scores` tells rows that are of no cluster, beside methods made for that.

    python -m benchmarks.outliers [--table]

Two kinds of outliers. A class is left out of training, three classes of each set in turn, and its
rows are told from a fifth of the others, also kept out; and a tenth as many rows as there are, of
which each column is drawn from another row, are trained on with the rest. Figures are areas under
the ROC curve; records are kept in `benchmarks/results/outliers.jsonl`.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor

from benchmarks.development import likelihood, load
from benchmarks.records import measure_and_print
from skvade import GMVAEClustering, M2Clustering, VaDEClustering

RESULTS = Path(__file__).parent / "results" / "outliers.jsonl"
SETS = ("wine", "breast_cancer", "digits", "pendigits", "segment", "usps")
SHUFFLED = -1
OURS = {"VaDE": VaDEClustering, "GMVAE": GMVAEClustering, "M2": M2Clustering}


def unusual(name: str, n_clusters: int, inside: Any, asked: Any) -> dict[str, np.ndarray]:
    """By method, how unusual the rows asked of are."""
    found = {}
    for method, cls in OURS.items():
        model = cls(n_clusters, likelihood=likelihood(name), compare=False, random_state=0)
        found[method] = -model.fit(inside).score_samples(asked)
    mixture = GaussianMixture(n_clusters, reg_covar=1e-3, random_state=0).fit(inside)
    found["Gaussian mixture"] = -mixture.score_samples(asked)
    forest = IsolationForest(random_state=0).fit(inside)
    found["isolation forest"] = -forest.score_samples(asked)
    factor = LocalOutlierFactor(novelty=True).fit(inside)
    found["local outlier factor"] = -factor.score_samples(asked)
    return found


def measure(name: str, left_out: int) -> list[dict[str, Any]]:
    """A record for every method."""
    X, y = load(name)
    y = np.unique(y, return_inverse=True)[1]
    if left_out >= y.max():
        return []
    rng = np.random.RandomState(left_out + 1)
    if left_out == SHUFFLED:
        n_rows = len(X) // 10
        donors = rng.randint(len(X), size=(n_rows, X.shape[1]))
        inside = asked = np.concatenate([X, X[donors, np.arange(X.shape[1])]])
        outside, n_clusters = np.arange(len(asked)) >= len(X), int(y.max()) + 1
    else:
        kept = (y != left_out) & (rng.random_sample(len(y)) < 0.8)
        inside, asked = X[kept], X[~kept]
        outside, n_clusters = y[~kept] == left_out, int(y.max())
    scores = unusual(name, n_clusters, inside, asked)
    return [
        {"set": name, "left out": left_out, "method": m, "auc": round(roc_auc_score(outside, s), 4)}
        for m, s in scores.items()
    ]


def table(records: list[dict[str, Any]]) -> str:
    """Means over classes by set, in Markdown."""
    methods = list(dict.fromkeys(record["method"] for record in records))
    lines = ["| set, outliers | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
    for name, shuffled in product(SETS, (False, True)):
        own = [r for r in records if r["set"] == name and (r["left out"] == SHUFFLED) == shuffled]
        means = [np.mean([r["auc"] for r in own if r["method"] == m]) for m in methods]
        cells = " | ".join(f"{mean:.3f}".lstrip("0") for mean in means)
        lines.append(f"| {name}, {'shuffled' if shuffled else 'a class left out'} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    measure_and_print(
        __doc__,
        RESULTS,
        {"set": SETS},
        measure,
        table,
        names=("set", "left out"),
        cases=lambda sets: product(sets, (SHUFFLED, 0, 1, 2)),
    )


if __name__ == "__main__":
    main()
