"""What `n_clusters="auto"` finds.

    python -m benchmarks.counts [--sets NAME,NAME] [--seeds 0,1] [--table]

Default fits of development sets; records are kept in `benchmarks/results/counts.jsonl`, with the
number of classes, what was found, whether it was clear, and how long the fit took.
`--table` prints them by set: how often the number was right, and how often within one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.development import BATTERIES, CLASSICS, TABLES, likelihood, load
from benchmarks.machine import processor
from benchmarks.records import measure_and_print
from skvade import VaDEClustering
from skvade.metrics import clustering_accuracy

RESULTS = Path(__file__).parent / "results" / "counts.jsonl"
# The classes of the other sets overlap, or are no clusters of any method's.
PARTED = (
    *("digits", "usps", "mnist", "mnist-10k", "pendigits"),
    *("iris", "wine", "breast_cancer", "dermatology"),
    *("fcps/atom", "fcps/lsun", "fcps/tetra", "fcps/twodiamonds", "fcps/wingnut"),
    *("graves/dense", "graves/line", "graves/zigzag", "graves/zigzag_noisy"),
    *("sipu/aggregation", "sipu/jain", "sipu/r15", "sipu/s1", "sipu/s2"),
    *("wut/circles", "wut/cross", "wut/mk1", "wut/mk3", "wut/mk4", "wut/windows"),
    *("wut/x1", "wut/x2", "wut/x3", "wut/z2", "wut/z3"),
)


def measure(name: str, seed: int) -> list[dict[str, Any]]:
    """The record of a fit."""
    X, y = load(name)
    model = VaDEClustering("auto", likelihood=likelihood(name), random_state=seed)
    before = time.process_time()
    model.fit(X)
    record = {
        "set": name,
        "seed": seed,
        "classes": len(np.unique(y)),
        "found": model.n_clusters_,
        "clear": model._count_is_clear,
        "accuracy": round(clustering_accuracy(y, model.labels_), 4),
        "ari": round(adjusted_rand_score(y, model.labels_), 4),
        "cpu_seconds": round(time.process_time() - before, 1),
        "processor": processor(),
    }
    return [record]


def table(records: list[dict[str, Any]], sets: Sequence[str] = ()) -> str:
    """What was found, by set, in Markdown; of these sets in detail, or of all."""
    lines = ["| set | classes | found | clear | ACC | CPU s |", "|---|---|---|---|---|---|"]
    within = []
    for name in dict.fromkeys(record["set"] for record in records):
        own = sorted((r for r in records if r["set"] == name), key=lambda r: r["seed"])
        classes = own[0]["classes"]
        near = np.mean([abs(r["found"] - classes) <= 1 for r in own])
        if name in PARTED:
            within.append(near)
        if sets and name not in sets:
            continue
        found = " ".join(str(r["found"]) for r in own)
        clear = sum(r["clear"] for r in own)
        accuracy, seconds = (
            np.median([r[key] for r in own]) for key in ("accuracy", "cpu_seconds")
        )
        lines.append(
            f"| {name} | {classes} | {found} | {clear} of {len(own)} | {accuracy:.3f} | "
            f"{seconds:.1f} |"
        )
    if within:
        lines.append(f"\nWithin one, mean of {len(within)} parted sets: {np.mean(within):.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    others = (name for name in (*CLASSICS, *TABLES, *BATTERIES) if name not in PARTED)
    axes = {"set": (*PARTED, *others), "seed": (0, 1)}
    measure_and_print(__doc__, RESULTS, axes, measure, table)


if __name__ == "__main__":
    main()
