"""Made shapes that no Gaussian has, and very uneven clusters, by default fits.

    python -m benchmarks.shapes [--shapes NAME,NAME] [--seeds 0,1,2] [--table]

Rings, moons, and normal clusters 12 standard deviations apart; a seed is that of the points and of
the model. Records are kept in `benchmarks/results/shapes.jsonl`. `--table` prints the median and
the worst adjusted Rand index, and CPU seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score

from benchmarks.partitions import NORMAL, load_case
from benchmarks.records import measure_and_print
from skvade import VaDEClustering

RESULTS = Path(__file__).parent / "results" / "shapes.jsonl"
Points = tuple[np.ndarray, np.ndarray]


def rings(radii: tuple[float, ...], noise: float, n_rows: int, seed: int) -> Points:
    """Rows around one centre, as many on each ring."""
    rng, y = np.random.default_rng(seed), np.arange(n_rows) % len(radii)
    angle = rng.uniform(0, 2 * np.pi, n_rows)
    X = np.asarray(radii)[y, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return X + noise * rng.normal(size=X.shape), y


def moons(n_rows: int, seed: int) -> Points:
    """scikit-learn's."""
    return make_moons(n_rows, noise=0.06, random_state=seed)


SHAPES: dict[str, Callable[[int], Points]] = {
    **{name: partial(load_case, name) for name in NORMAL},
    **{f"two rings of {n}": partial(rings, (1, 2), 0.1, n) for n in (200, 1000, 3000, 10_000)},
    **{f"three rings of {n}": partial(rings, (2, 4, 6), 0.15, n) for n in (600, 6000)},
    **{f"moons of {n}": partial(moons, n) for n in (200, 1500, 6000)},
}


def measure(name: str, seed: int) -> list[dict[str, Any]]:
    """The record of a fit."""
    X, y = SHAPES[name](seed)
    started = time.process_time()
    labels = VaDEClustering(len(np.unique(y)), random_state=seed).fit_predict(X)
    seconds = round(time.process_time() - started, 1)
    ari = round(adjusted_rand_score(y, labels), 4)
    return [{"shape": name, "seed": seed, "ari": ari, "cpu": seconds}]


def table(records: list[dict[str, Any]]) -> str:
    """By shape, in Markdown."""
    lines = ["| shape | ARI: median | worst | CPU s | seeds |", "|---|---|---|---|---|"]
    for name in SHAPES:
        own = [r for r in records if r["shape"] == name]
        if own:
            aris, seconds = [r["ari"] for r in own], np.median([r["cpu"] for r in own])
            lines.append(
                f"| {name} | {np.median(aris):.3f} | {min(aris):.3f} | {seconds:.1f} | {len(own)} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    axes = {"shape": tuple(SHAPES), "seed": range(10)}
    measure_and_print(__doc__, RESULTS, axes, measure, table)


if __name__ == "__main__":
    main()
