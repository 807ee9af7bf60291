"""What each part of a default fit is worth, over many small sets at a time.

    SKVADE_DATA=<folder> python -m benchmarks.ablation [--sets NAME,NAME] [--methods NAME,NAME]
    python -m benchmarks.ablation --table

Default fits, and fits without one part by `benchmarks/methods.py`, of the numeric tables with at
most 1,100 rows, sets of batteries with at most 400, and digits; two seeds, one thread. Records are
kept in `benchmarks/results/ablation.jsonl`. `--table` gives for every method the mean adjusted Rand
index to the classes, of tables and of sets of batteries; on how many sets the default is better or
worse by more than .02; how far two seeds agree; and the CPU seconds of a fit as a share of the
default's, the geometric mean over sets. Labels are read for the scores only.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.development import CLASSICS, TABLES, likelihood, load
from benchmarks.machine import processor
from benchmarks.methods import METHODS
from benchmarks.records import measure_and_print
from benchmarks.shelf import Shelf
from skvade.metrics import clustering_accuracy

RESULTS = Path(__file__).parent / "results" / "ablation.jsonl"
LARGE = ("banknote", "cardiotocography", "page_blocks", "segment", "waveform40", "yeast")
PLANE = (
    *("fcps/lsun", "fcps/tetra", "graves/dense", "graves/line", "graves/zigzag"),
    *("graves/zigzag_noisy", "graves/zigzag_outliers", "sipu/compound", "sipu/flame", "sipu/jain"),
    *("sipu/pathbased", "wut/mk1", "wut/x1", "wut/x2", "wut/x3", "wut/z1"),
)
SETS = (*CLASSICS, *(name for name in TABLES if name not in LARGE), "digits", *PLANE)
DEFAULT, SEEDS = "vade", (0, 1)
PARTS = (DEFAULT, *(n for n in METHODS if n.startswith("without-")), "linear")
WORTH = 0.02  # of an index


def measure(name: str, method: str) -> list[dict[str, Any]]:
    """The records of the fits by both seeds."""
    X, y = load(name)
    kept, k = y >= 0, len(np.unique(y[y >= 0]))
    records, labels = [], []
    for seed in SEEDS:
        before = time.process_time()
        labels.append(METHODS[method](X, k, seed, likelihood(name), Shelf()).labels_)
        record = {
            "set": name,
            "method": method,
            "seed": seed,
            "ari": round(adjusted_rand_score(y[kept], labels[-1][kept]), 4),
            "acc": round(clustering_accuracy(y[kept], labels[-1][kept]), 4),
            "cpu_seconds": round(time.process_time() - before, 2),
            "processor": processor(),
        }
        records.append(record)
    agreement = round(adjusted_rand_score(*labels), 4)
    return [record | {"agreement": agreement} for record in records]


def _means(records: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Of the seeds, by set."""
    names = dict.fromkeys(record["set"] for record in records)
    return {n: float(np.mean([r[key] for r in records if r["set"] == n])) for n in names}


def table(records: list[dict[str, Any]]) -> str:
    """A row for each part, in Markdown."""
    lines = [
        "| fit | ARI, tables | ARI, batteries | sets better by it | worse | seeds agree | CPU |",
        "|---|---|---|---|---|---|---|",
    ]
    of = {m: [r for r in records if r["method"] == m] for m in PARTS}
    default, spent = _means(of[DEFAULT], "ari"), _means(of[DEFAULT], "cpu_seconds")
    for method, own in of.items():
        seconds, agreement = _means(own, "cpu_seconds"), _means(own, "agreement")
        found = {n: ari for n, ari in _means(own, "ari").items() if n in default}
        groups = [[found[n] for n in found if ("/" in n) == is_battery] for is_battery in (0, 1)]
        if not found:
            continue
        gains = np.array([default[n] - found[n] for n in found])
        cells = [
            *(f"{np.mean(group):.3f}" if group else "" for group in groups),
            *(str((sign * gains > WORTH).sum()) for sign in (1, -1)),
            f"{np.mean([agreement[n] for n in found]):.2f}",
            f"{np.exp(np.mean([np.log(seconds[n] / spent[n]) for n in found])):.2f}",
        ]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    axes = {"set": SETS, "method": PARTS}
    measure_and_print(__doc__, RESULTS, axes, measure, table)


if __name__ == "__main__":
    main()
