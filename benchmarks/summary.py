"""The README's table, from the records of `benchmarks.peers`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from statistics import mean, median
from typing import Any

from benchmarks.development import BATTERIES, TABLES
from benchmarks.peers import in_turn

# (name in the records, as readers know it, whether NMI is the score)
SETS = [
    ("mnist", "MNIST", False),
    ("mnist-10k", "MNIST, 10,000 rows of it", False),
    ("usps", "USPS", False),
    ("har", "HAR, smartphone sensors", False),
    ("pendigits", "pendigits", False),
    ("digits", "digits", False),
    ("sc_worm_neuron", "worm neurons, counts of cells", True),
    ("reuters21578", "Reuters-21578, tf-idf", True),
    ("rcv1_dev4", "RCV1 of four topics, tf-idf", True),
    ("breast_cancer", "breast cancer", False),
    ("wine", "wine", False),
    ("iris", "iris", False),
]
OTHERS = [("umap+gmm", "UMAP + mixture"), ("umap+hdbscan", "UMAP + HDBSCAN")]
OTHERS += [("pca+gmm", "PCA + mixture"), ("kmeans", "k-means")]
WITH_TIME = ("skvade", "umap+gmm")
MANY = [("tables", TABLES), ("sets of points in the plane or in space", BATTERIES)]
OF_MANY = [("skvade", "skvade"), ("gmm", "mixture"), ("spectral", "spectral")]
OF_MANY += [("kmeans", "k-means")]


def figures(records: list[dict[str, Any]]) -> str:
    """The table and what it was made on, in Markdown."""
    records = _of_one_processor([r for r in records if r["isa"] == "native"])
    header = ["data", "rows x columns", "score", "skvade (worst)", "CPU s"]
    header += [cell for m, name in OTHERS for cell in (name, *(["CPU s"] * (m in WITH_TIME)))]
    header += ["seeds: ours, others'"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for data, name, by_nmi in SETS:
        own = [r for r in records if r["data"] == data]
        if own:
            lines.append("| " + " | ".join(_row(own, name, "nmi" if by_nmi else "acc")) + " |")
    processor = records[0]["processor"]
    units = "" if processor["bfloat16"] else "out"
    made = f"One thread of {processor['name']}, with{units} bfloat16 units."
    return "\n".join([*lines, "", made])


def means(records: list[dict[str, Any]]) -> str:
    """Many sets a row: means of the sets' median adjusted Rand indices, in Markdown."""
    records = _of_one_processor([r for r in records if r["isa"] == "native"])
    indices: dict[tuple[str, str], list[float]] = {}
    for r in records:
        indices.setdefault((r["data"], r["method"]), []).append(r["ari"])
    lines = ["| data | " + " | ".join(name for _, name in OF_MANY) + " |"]
    lines += ["|---" * (len(OF_MANY) + 1) + "|"]
    for title, sets in MANY:
        known = [data for data in sets if (data, "skvade") in indices]
        found = [
            mean(median(indices[data, method]) for data in known)
            if known and all((data, method) in indices for data in known)
            else None
            for method, _ in OF_MANY
        ]
        best = max((value for value in found if value is not None), default=None)
        cells = ["" if value is None else f"{value:.3f}" for value in found]
        cells = [f"**{c}**" if v == best and c else c for c, v in zip(cells, found, strict=True)]
        lines.append(f"| {len(known)} {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _of_one_processor(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of the processor that has the most of them, since seconds compare on one only."""
    names = Counter(r["processor"]["name"] for r in records)
    return [r for r in records if r["processor"]["name"] == names.most_common(1)[0][0]]


def _row(own: list[dict[str, Any]], name: str, score: str) -> list[str]:
    of: Callable[[str], list[dict[str, Any]]]
    of = lambda method: [r for r in own if r["method"] == method]  # noqa: E731
    found = {m: of(m) for m in ("skvade", *(m for m, _ in OTHERS))}
    middle = {m: round(median(r[score] for r in runs), 3) for m, runs in found.items() if runs}
    best = max(middle.values())
    cells = [name, f"{own[0]['n_rows']:,} x {own[0]['n_features']:,}", score.upper()]
    for method, runs in found.items():
        if not runs:
            cells += ["", *([""] * (method in WITH_TIME))]
            continue
        text = _short(middle[method])
        text = f"**{text}**" if middle[method] == best else text
        if method == "skvade":
            text += f" ({_short(min(r[score] for r in runs))})"
        cells.append(text)
        if method in WITH_TIME:
            cells.append(f"{median(r['cpu_seconds']['fit'] for r in in_turn(runs, own)):.1f}")
    ours, *others = (len(runs) for runs in found.values())
    fewest, most = min(filter(None, others), default=0), max(others)
    return [*cells, f"{ours}, {fewest}" + (f" to {most}" if most > fewest else "")]


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
