"""Whether `report()` speaks against the runs that a simple method beats.

    python -m benchmarks.verdicts [--sets NAME,NAME] [--table]

Each development set of few rows is fitted by default and in ways that impair a fit. A run is bad if
its adjusted Rand index with the classes is more than .15 below that of the better of k-means and
a Gaussian mixture. Records are kept in `benchmarks/results/verdicts.jsonl`, with what the fit was
compared with, so that other bounds need no other fits; `--table` has the share of bad runs that was
caught, and that of the others that was spoken against.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from benchmarks.development import BATTERIES, CLASSICS, TABLES, likelihood
from benchmarks.partitions import NORMAL, load_case
from benchmarks.records import measure_and_print
from skvade import VaDEClustering
from skvade.estimators.comparison import objections

RESULTS = Path(__file__).parent / "results" / "verdicts.jsonl"
LARGE = ("page_blocks", "segment", "waveform40", "sipu/d31", "wut/trapped_lovers")
SETS = tuple(n for n in (*CLASSICS, *TABLES, "digits", *BATTERIES, *NORMAL) if n not in LARGE)
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "without neighbours": {"neighbor_weight": 0},
    "hardly trained": {"pretrain_iter": 1, "max_iter": 1},
    "one latent dimension": {"latent_dim": 1},
    "a random start": {"init": "random"},
    "a rate of .1": {"learning_rate": 0.1},
    "a mixture's start": {"init": "gmm"},
}
BAD = 0.15


def measure(name: str, seed: int = 7) -> list[dict[str, Any]]:
    """A record for every way of fitting a set."""
    X, y = load_case(name, seed)
    y = np.unique(y, return_inverse=True)[1]
    n_clusters = int(y.max()) + 1
    simple = [
        KMeans(n_clusters, n_init=10, random_state=0),
        GaussianMixture(n_clusters, n_init=3, random_state=0, reg_covar=1e-3),
    ]
    best = max(adjusted_rand_score(y, method.fit_predict(X)) for method in simple)
    records = []
    for way, given in WAYS.items():
        model = VaDEClustering(n_clusters, likelihood=likelihood(name), random_state=seed, **given)
        ari = adjusted_rand_score(y, model.fit(X).labels_)
        records.append(
            {
                "set": name,
                "way": way,
                "ari": round(ari, 4),
                "simple": round(best, 4),
                "comparison": rounded(model._comparison),
                "other findings": len(model._findings),
            }
        )
    return records


def rounded(comparison: Any) -> Any:
    """The same with five decimals."""
    if isinstance(comparison, dict):
        return {name: rounded(value) for name, value in comparison.items()}
    return round(comparison, 5) if isinstance(comparison, float) else comparison


def spoken_against(record: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the comparison has a finding, and whether there is any."""
    by_comparison = bool(objections(record["comparison"]))
    return by_comparison, by_comparison or record["other findings"] > 0


def table(records: list[dict[str, Any]]) -> str:
    """What was caught, by the way of fitting, in Markdown."""
    lines = [
        "| fit | runs | bad | caught by the comparison | by any finding | others spoken against "
        "by the comparison | by any finding |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in (*WAYS, "all"):
        own = [r for r in records if way in (r["way"], "all")]
        bad = np.array([r["simple"] - r["ari"] > BAD for r in own], bool)
        spoken = np.array([spoken_against(r) for r in own]).reshape(-1, 2)
        cells = [
            f"{spoken[which, kind].mean():.2f}" if which.any() else "-"
            for which in (bad, ~bad)
            for kind in (0, 1)
        ]
        lines.append(f"| {way} | {len(own)} | {bad.sum()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    measure_and_print(__doc__, RESULTS, {"set": SETS}, measure, table)


if __name__ == "__main__":
    main()
