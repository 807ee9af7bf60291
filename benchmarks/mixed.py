"""Clusters of tables with numbers, categories and holes, beside what users take today.

    SKVADE_DATA=<folder> python -m benchmarks.mixed --methods skvade,k-means,tied
    SKVADE_DATA=<folder> python -m benchmarks.mixed --methods k-prototypes,stepmix
    python -m benchmarks.mixed --table

Tables are the `.csv` files of `tables/` in that folder, with the class in the last column. Numbers
are standardised for all. `k-means` and `tied`, a Gaussian mixture, see means in holes and a column
for each category, of which a missing one is one more; `k-prototypes` (of the package kmodes) sees
categories as they are, k-modes where there are no numbers; `stepmix`, latent classes, knows holes.
The second line needs those two packages, `pip install kmodes stepmix`, best in an environment of
its own: it asks nothing of skvade. Five seeds each; records are kept in
`benchmarks/results/mixed.jsonl`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.impute import SimpleImputer
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.records import measure_and_print

RESULTS = Path(__file__).parent / "results" / "mixed.jsonl"
SETS = (
    *("autos", "credit_approval", "cylinder_bands", "eucalyptus", "german_credit"),
    *("heart_cleveland", "horse_colic", "mushroom", "soybean", "thyroid_hypo", "titanic"),
)
SEEDS = range(5)


def load(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """The columns that hold anything, numbers standardised, and the classes."""
    path = Path(os.environ["SKVADE_DATA"]) / "tables" / f"{name}.csv"
    frame = pd.read_csv(path)
    X, y = frame.iloc[:, :-1], frame.iloc[:, -1].astype(str).to_numpy()
    X = X.loc[:, X.notna().any()]
    numbers = X.select_dtypes("number").columns
    if len(numbers):
        scaled = StandardScaler().fit_transform(X[numbers])
        X = X.assign(**dict(zip(numbers, scaled.T, strict=True)))
    return X, y


def _parts(X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with means in holes, and categories as texts, of which "missing" is one."""
    numbers = X.select_dtypes("number")
    texts = X.drop(columns=numbers.columns).astype(object)
    filled = SimpleImputer().fit_transform(numbers) if numbers.shape[1] else numbers.to_numpy()
    return filled, texts.where(texts.notna(), "missing").astype(str).to_numpy()


def _encoded(X: pd.DataFrame) -> np.ndarray:
    numbers, texts = _parts(X)
    hot = OneHotEncoder(sparse_output=False).fit_transform(texts)
    both = np.hstack([numbers, hot])
    return both[:, both.std(0) > 0]


def skvade(X: pd.DataFrame, n_clusters: int, seed: int) -> Any:
    """Ours, by default."""
    from skvade import VaDEClustering

    model = VaDEClustering(n_clusters, categorical_features="from_dtype", random_state=seed)
    return model.fit_predict(X)


def k_means(X: pd.DataFrame, n_clusters: int, seed: int) -> Any:
    """k-means of numbers and columns of categories."""
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(_encoded(X))


def tied(X: pd.DataFrame, n_clusters: int, seed: int) -> Any:
    """A Gaussian mixture with one covariance, of the same."""
    mixture = GaussianMixture(
        n_clusters, covariance_type="tied", reg_covar=1e-3, n_init=3, random_state=seed
    )
    return mixture.fit_predict(_encoded(X))


def k_prototypes(X: pd.DataFrame, n_clusters: int, seed: int) -> Any:
    """kmodes' k-prototypes, or k-modes."""
    from kmodes.kmodes import KModes
    from kmodes.kprototypes import KPrototypes

    numbers, texts = _parts(X)
    if not numbers.shape[1]:
        return KModes(n_clusters, n_init=3, random_state=seed).fit_predict(texts)
    both = np.hstack([numbers.astype(object), texts])
    places = list(range(numbers.shape[1], both.shape[1]))
    model = KPrototypes(n_clusters, n_init=3, random_state=seed)
    return model.fit_predict(both, categorical=places)


def stepmix(X: pd.DataFrame, n_clusters: int, seed: int) -> Any:
    """Latent classes of StepMix, for numbers and categories with holes."""
    from stepmix import StepMix

    numbers = X.select_dtypes("number")
    texts = X.drop(columns=numbers.columns)
    codes = texts.apply(lambda column: column.astype("category").cat.codes.astype(float))
    both = pd.concat([numbers, codes.replace(-1, np.nan)], axis=1)
    kinds = {
        "numbers": {"model": "gaussian_diag_nan", "n_columns": numbers.shape[1]},
        "categories": {"model": "categorical_nan", "n_columns": codes.shape[1]},
    }
    kinds = {name: kind for name, kind in kinds.items() if kind["n_columns"]}
    model = StepMix(
        n_clusters, measurement=kinds, n_init=3, random_state=seed, progress_bar=0, verbose=0
    )
    return model.fit(both).predict(both)


METHODS: dict[str, Callable[[pd.DataFrame, int, int], Any]] = {
    "skvade": skvade,
    "k-means": k_means,
    "tied": tied,
    "k-prototypes": k_prototypes,
    "stepmix": stepmix,
}


def measure(name: str, method: str, seed: int) -> list[dict[str, Any]]:
    """One record."""
    X, y = load(name)
    started = time.process_time()
    labels = METHODS[method](X, len(np.unique(y)), seed)
    nmi = normalized_mutual_info_score(y, labels)
    cpu = round(time.process_time() - started, 1)
    record = {"set": name, "method": method, "seed": seed, "nmi": round(float(nmi), 4), "cpu": cpu}
    return [record]


def table(records: list[dict[str, Any]]) -> str:
    """Medians over seeds, the worst in brackets, in Markdown; the best of a set is bold."""
    methods = [name for name in METHODS if any(r["method"] == name for r in records)]
    lines = ["| set | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
    medians: dict[str, list[float]] = {method: [] for method in methods}
    for name in SETS:
        own = {
            m: [r["nmi"] for r in records if (r["set"], r["method"]) == (name, m)] for m in methods
        }
        middle = {method: float(np.median(found)) for method, found in own.items() if found}
        cells = []
        for method, found in own.items():
            text = "-"
            if found:
                medians[method].append(middle[method])
                text = f"{middle[method]:.3f}"
                text = f"**{text}**" if middle[method] == max(middle.values()) else text
                text += f" ({min(found):.3f})"
            cells.append(text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    means = (f"{np.mean(found):.3f}" for found in medians.values())
    lines.append("| mean | " + " | ".join(means) + " |")
    seconds = (np.median([r["cpu"] for r in records if r["method"] == m]) for m in methods)
    lines.append("| CPU seconds, median | " + " | ".join(f"{s:.1f}" for s in seconds) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    axes = {"set": SETS, "method": ("skvade", "k-means", "tied"), "seed": SEEDS}
    measure_and_print(__doc__, RESULTS, axes, measure, table)


if __name__ == "__main__":
    main()
