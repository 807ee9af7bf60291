"""Which score without labels finds the setting that is nearest to the classes.

    SKVADE_DATA=<folder> python -m benchmarks.searches
    python -m benchmarks.searches --table

One parameter of VaDEClustering is varied at a time, from its default (and the number of classes),
on development tables. A setting is scored by two folds: `score`, the log-likelihood of held-out
rows; `stability`, `skvade.metrics.stability_score`; `decided`, the mutual information of held-out
rows and clusters as a share of log n_clusters. How near it is to the classes is said by the
adjusted Rand index of a fit to all rows. The table has, for each parameter, the mean over tables of
Spearman's rank correlation of a score with that index, and of the index at the setting that the
score takes, beside that of the default and of the best. Records are kept in
`benchmarks/results/searches.jsonl`.
"""

from __future__ import annotations

import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import KFold

from benchmarks.development import likelihood, load
from benchmarks.records import measure_and_print
from skvade import VaDEClustering
from skvade.metrics import mutual_information, stability_score

RESULTS = Path(__file__).parent / "results" / "searches.jsonl"
SETS = (
    *("iris", "wine", "breast_cancer", "balance", "breast_tissue", "crabs", "dermatology"),
    *("ecoli", "glass", "new_thyroid", "user_knowledge", "zoo"),
)
SCORES = ("score", "stability", "decided")


def settings(parameter: str, n_classes: int) -> list[Any]:
    """The values of a parameter that are compared, the default first."""
    numbers = [k for k in range(n_classes - 2, n_classes + 4) if k > 1 and k != n_classes]
    return {
        "latent_dim": ["auto", 1, 2, 4, 8],
        "covariance_type": ["full", "tied", "diag", "spherical"],
        "n_clusters": [n_classes, *numbers],
    }[parameter]


PARAMETERS = ("latent_dim", "covariance_type", "n_clusters")


def measure(name: str, parameter: str, seed: int = 0) -> list[dict[str, Any]]:
    """A record for every setting of a parameter."""
    X, y = load(name)
    n_classes = len(np.unique(y))
    records = []
    for value in settings(parameter, n_classes):
        given = {"n_clusters": n_classes, parameter: value}
        model = VaDEClustering(
            **given, likelihood=likelihood(name), compare=False, random_state=seed
        )
        started = time.process_time()
        found: dict[str, list[float]] = {score: [] for score in SCORES}
        for train, test in KFold(2, shuffle=True, random_state=0).split(X):
            fitted = clone(model).fit(X[train])
            proba = fitted._predictor.memberships(X[test])
            found["score"].append(fitted.score(X[test]))
            found["stability"].append(stability_score(fitted, X[test]))
            found["decided"].append(mutual_information(proba) / np.log(given["n_clusters"]))
        ari = adjusted_rand_score(y, model.fit(X).labels_)
        records.append(
            {
                "set": name,
                "parameter": parameter,
                "value": value,
                "ari": round(float(ari), 4),
                **{score: round(float(np.mean(each)), 4) for score, each in found.items()},
                "cpu": round(time.process_time() - started, 1),
            }
        )
    return records


def table(records: list[dict[str, Any]]) -> str:
    """Means over tables, in Markdown."""
    names = ("parameter", "score", "rank correlation", "ARI of its choice", "of the default")
    lines = ["| " + " | ".join([*names, "best", "tables"]) + " |", "|---" * 7 + "|"]
    for parameter, score in product(PARAMETERS, SCORES):
        correlations, chosen, default, best = [], [], [], []
        for name in SETS:
            own = [r for r in records if (r["set"], r["parameter"]) == (name, parameter)]
            if not own:
                continue
            index, judged = [r["ari"] for r in own], [r[score] for r in own]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of equal scores
                correlations.append(float(np.nan_to_num(spearmanr(index, judged).statistic)))
            chosen.append(index[int(np.argmax(judged))])
            default.append(index[0])
            best.append(max(index))
        if chosen:
            cells = [f"{np.mean(each):.3f}" for each in (correlations, chosen, default, best)]
            lines.append("| " + " | ".join([parameter, score, *cells, str(len(chosen))]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    axes = {"set": SETS, "parameter": tuple(PARAMETERS)}
    measure_and_print(__doc__, RESULTS, axes, measure, table)


if __name__ == "__main__":
    main()
