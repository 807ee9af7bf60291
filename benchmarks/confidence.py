"""Whether rows are as often right as `predict_proba` says, with `doubt_` and without it.

    SKVADE_DATA=<folder> python -m benchmarks.confidence [--sets NAME,NAME] [--table]

Each set is fitted by default with two seeds: by `VaDEClustering`, told the number of classes, and
digits by the classifiers, too, with five labels of every class. Expected calibration errors are of
15 bins of equal width, over all rows, or those without a label; a cluster is right where it is the
class that the best one-to-one naming gives it. Records are kept in
`benchmarks/results/confidence.jsonl`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix

import skvade
from benchmarks.development import BATTERIES, CLASSICS, TABLES, likelihood, load
from benchmarks.draws import TASKS
from benchmarks.machine import processor
from benchmarks.records import measure_and_print

RESULTS = Path(__file__).parent / "results" / "confidence.jsonl"
SETS = (*CLASSICS, *TABLES, *BATTERIES, "digits", "usps", "mnist")
CLUSTERER = "VaDEClustering"
CLASSIFIERS = ("VaDEClassifier", "M2Classifier", "ADGMClassifier", "AuxiliaryTaskClassifier")
SEEDS = (0, 1)
N_BINS = 15
ACCURATE, ASKED = 0.9, 0.03


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The expected one: how far the two are apart in the mean of a bin, weighted by its rows."""
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    excess = np.bincount(bins, confidence - right, minlength=N_BINS)
    return float(np.abs(excess).sum() / len(right))


def named(y: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The class of every row's cluster, by the best one-to-one naming; -1 for one without."""
    counts = contingency_matrix(y, labels)
    classes, clusters = linear_sum_assignment(counts, maximize=True)
    names = np.full(counts.shape[1], -1)
    names[clusters] = np.unique(y)[classes]
    return names[np.unique(labels, return_inverse=True)[1]]


def measure(name: str, method: str, seed: int) -> list[dict[str, Any]]:
    """One record."""
    if method == CLUSTERER:
        X, y = load(name)
        some = y >= 0
        n_clusters = len(np.unique(y[some]))
        model = skvade.VaDEClustering(n_clusters, likelihood=likelihood(name), random_state=seed)
        X_asked, y_asked = X[some], y[some]
        predicted = named(y_asked, model.fit(X).predict(X_asked))
    else:
        X, _, known, X_asked, y_asked = TASKS[name](seed)
        n_clusters = len(np.unique(y_asked))
        model = getattr(skvade, method)(random_state=seed).fit(X, known)
        predicted = model.predict(X_asked)
    right, doubt = (predicted == y_asked).astype(float), model.doubt_
    confidence = model.predict_proba(X_asked).max(1).astype(float)
    surer = (confidence - doubt / n_clusters) / (1 - doubt)
    return [
        {
            "set": name,
            "method": method,
            "seed": seed,
            "accuracy": round(float(right.mean()), 4),
            "doubt": round(doubt, 5),
            "without doubt": round(calibration_error(surer, right), 4),
            "error": round(calibration_error(confidence, right), 4),
            **processor(),
        }
    ]


def cases(sets: Iterable[str]) -> list[tuple[str, str, int]]:
    """What is measured of some sets."""
    of_all = [(name, CLUSTERER, seed) for name in sets for seed in SEEDS]
    more = CLASSIFIERS if "digits" in sets else ()
    return of_all + [("digits", method, seed) for method in more for seed in SEEDS]


def table(records: list[dict[str, Any]]) -> str:
    """All accurate fits together, and each of a set that has an error above .03, in Markdown."""
    accurate = [r for r in records if r["accuracy"] >= ACCURATE]
    lines = ["| fits | mean | worst | at most .03 |", "|---|---|---|---|"]
    for key, title in (("without doubt", "q(c given x)"), ("error", "`predict_proba`")):
        errors = np.array([r[key] for r in accurate if r["method"] == CLUSTERER] or [np.nan])
        cells = f"{errors.mean():.4f} | {errors.max():.3f} | {(errors <= ASKED).mean():.2f}"
        lines.append(f"| {title}, {len(errors)} fits | {cells} |")
    lines += ["", "| set | method | accuracy | `doubt_` | without it | with it |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, method in dict.fromkeys((r["set"], r["method"]) for r in records):
        own = [r for r in accurate if (r["set"], r["method"]) == (name, method)]
        if any(max(r["without doubt"], r["error"]) > ASKED for r in own):
            keys = (("accuracy", 3), ("doubt", 3), ("without doubt", 3), ("error", 3))
            cells = (" ".join(f"{r[key]:.{n}f}" for r in own) for key, n in keys)
            lines.append(f"| {name} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    names = ("set", "method", "seed")
    measure_and_print(__doc__, RESULTS, {"set": SETS}, measure, table, names=names, cases=cases)


if __name__ == "__main__":
    main()
