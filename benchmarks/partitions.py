"""Which partition of the codes a criterion takes, and what that costs: cases, candidates, criteria.

    python -m benchmarks.partitions [--sets NAME,NAME] [--seeds 0,1] [--table]

A case is a default fit of a set and a seed up to its codes and their graph of neighbours; its
candidates are the mixture that `init="gmm"` takes, mixtures of the codes and of the principal
components (the data's view), k-means on both, spectral clustering of the graph, and components of
larger mixtures that are merged along it. Each has a record: what criteria see of it, and its
adjusted Rand index with the classes, which no criterion sees. Records are kept in
`benchmarks/results/partitions.jsonl`; `--table` compares criteria by them: the mean of what they
gain over the mixture's partition, the sets that lose more than .02, and the mean shortfall to the
best candidate.

Beside the development sets there are uneven ones: normal clusters 12 standard deviations apart
("normal/990-10"), and sets of which one class is cut to a thirtieth of the others' mean size, at
least ten rows ("digits/3" is digits with few threes).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import eigsh
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from benchmarks.development import BATTERIES, CLASSICS, TABLES, TEXTS, likelihood, load
from benchmarks.records import measure_and_print
from skvade import VaDEClustering
from skvade.training.merging import merge
from skvade.training.mixture_start import GaussianMixtureStart
from skvade.training.neighbourhood import SMALLEST_CUT, Neighbourhood, Parting
from skvade.training.parted_start import PartedStart
from skvade.training.phases import Initialise
from skvade.training.run import Phase, Run

RESULTS = Path(__file__).parent / "results" / "partitions.jsonl"
NORMAL = tuple(f"normal/{sizes}" for sizes in ("990-10", "980-20", "2000-40-20", "4950-50"))
RARE = tuple(f"{name}/{c}" for name in ("digits", "pendigits", "usps") for c in (0, 3, 8))
LARGE = ("digits", "usps", "har", "pendigits", "reuters21578", "sc_worm_neuron", "mnist-10k")
GROUPS = {
    "large": (*LARGE, *TEXTS),
    "tables": (*CLASSICS, *TABLES),
    **{
        battery: tuple(name for name in BATTERIES if name.startswith(battery + "/"))
        for battery in ("fcps", "graves", "sipu", "wut")
    },
    "uneven": (*NORMAL, *RARE),
}
MIXTURE = "mixture"
OTHER_BOUNDS = ((0.1, 0.1, 0.02), (0.2, 0.2, 0.02), (0.25, 0.3, 0.06), (0.15, 0.15, 1.1))


def load_case(name: str, seed: int) -> tuple[Any, np.ndarray]:
    """Rows and classes of a development set or an uneven one; `seed` draws normal clusters."""
    if name in NORMAL:
        sizes = [int(size) for size in name.split("/")[1].split("-")]
        rng, y = np.random.RandomState(seed), np.repeat(np.arange(len(sizes)), sizes)
        corners = 12 / np.sqrt(2) * np.eye(10)[: len(sizes)]  # 12 standard deviations apart
        return (corners[y] + rng.normal(size=(len(y), 10))).astype(np.float32), y
    if name not in RARE:
        return load(name)
    base, rare = name.split("/")
    X, y = load(base)
    rows = np.flatnonzero(y == int(rare))
    wanted = max(10, round((len(y) - len(rows)) / (len(np.unique(y)) - 1) / 30))
    gone = np.random.RandomState(0).permutation(rows)[wanted:]
    kept = np.setdiff1d(np.arange(len(y)), gone)
    return X[kept], y[kept]


class Keep(Phase):
    """Keeps the codes, the graph and the view that the next phase clusters."""

    name = "keep"

    def __init__(self, kept: dict[str, Any], components: Any):
        self.kept, self.components = kept, components

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        blocks = run.rows.blocks(row_bytes=1 << 14)
        self.kept["codes"] = run.rows.map(run.model.code, row_bytes=1 << 14).double().numpy()
        self.kept["view"] = np.concatenate([self.components(x).numpy() for x in blocks])
        self.kept["graph"] = Neighbourhood.of(run.handover.need_graph())


class UpToClusters(VaDEClustering):
    """A default fit that hands over what it clusters."""

    def _make_phases(self, facts: Any) -> list[Phase]:
        self._kept: dict[str, Any] = {}
        phases = super()._make_phases(facts)
        (start,) = (i for i, phase in enumerate(phases) if isinstance(phase, Initialise))
        return [*phases[:start], Keep(self._kept, facts.components), *phases[start:]]


def spectral(graph: Neighbourhood, n_clusters: int, seed: int) -> np.ndarray:
    """Normalised cuts of the graph: k-means on the leading eigenvectors, scaled by degrees."""
    n_rows, n_neighbors = graph.rows.shape
    weights = np.diff(graph.cumulative, axis=1, prepend=0)
    ends = np.arange(n_rows + 1) * n_neighbors
    joined = sp.csr_matrix((weights.ravel(), graph.rows.ravel(), ends), shape=(n_rows, n_rows))
    joined = joined + joined.T
    root = 1 / np.sqrt(np.asarray(joined.sum(1)).ravel())
    normal = sp.diags(root) @ joined @ sp.diags(root) + sp.eye(n_rows)
    if n_rows > 3_000:
        start = np.random.RandomState(seed).normal(size=n_rows)
        _, vectors = eigsh(normal, k=n_clusters, which="LA", v0=start, tol=1e-4)
    else:
        vectors = np.linalg.eigh(normal.toarray())[1][:, -n_clusters:]
    return KMeans(n_clusters, n_init=3, random_state=seed).fit_predict(vectors * root[:, None])


def candidates(kept: dict[str, Any], n_clusters: int, seed: int) -> dict[str, np.ndarray]:
    """Partitions by name."""
    codes, view, graph = kept["codes"], kept["view"].astype(np.float64), kept["graph"]
    view = view[:, view.std(0) > 1e-6 * view.std()]
    start = GaussianMixtureStart(n_clusters, "full")
    parted, rng = PartedStart(start), np.random.RandomState(seed)
    n_groups = min(max(3 * n_clusters, 10), len(codes) // 5)
    found = {MIXTURE: start(codes, seed, graph).labels}
    mixtures = enumerate(start.fit(codes, rng, 4))
    found |= {f"codes {i}": mixture.predict(codes) for i, mixture in mixtures}
    found["codes k-means"] = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(codes)
    found["view k-means"] = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(view)
    for kind in ("full", "tied", "diag", "spherical"):
        for leading in {10, view.shape[1]}:
            places = view[:, :leading]
            if kind == "full" and len(places) < n_clusters * (places.shape[1] + 1):
                continue
            mixture = GaussianMixture(n_clusters, covariance_type=kind, random_state=seed)
            found[f"view {leading} {kind}"] = mixture.fit_predict(places)
    found["spectral"] = spectral(graph, n_clusters, seed)
    if n_groups > n_clusters:
        ways = parted._merged(codes, seed, graph, n_groups)
        merged = [labels for way in ways for labels in way]
        found |= {f"merged {i}": labels for i, labels in enumerate(merged)}  # way by way
        fine = KMeans(min(100, len(codes) // 3), n_init=1, random_state=seed).fit_predict(codes)
        flow = graph.flow(fine, fine.max() + 1)
        found["merged finely"] = merge(flow, n_clusters)[fine]
    return found


def measure(name: str, seed: int) -> list[dict[str, Any]]:
    """A record for every candidate of a case."""
    X, y = load_case(name, seed)
    y = np.unique(y, return_inverse=True)[1]
    n_clusters = int(y.max()) + 1
    base = name.split("/")[0] if name in RARE else name
    model = UpToClusters(n_clusters, likelihood=likelihood(base), random_state=seed).fit(X)
    records = []
    for candidate, labels in candidates(model._kept, n_clusters, seed).items():
        flow = model._kept["graph"].flow(labels, n_clusters)
        share, parting = np.bincount(labels) / len(labels), Parting.of(flow)
        share = share[share > 0]
        record = {
            "set": name,
            "seed": seed,
            "candidate": candidate,
            "n_clusters": n_clusters,
            "used": parting.used_clusters,
            "information": parting.information / np.log(n_clusters),
            "entropy": float(-(share * np.log(share)).sum() / np.log(n_clusters)),
            "kept": float(np.trace(flow)),
            "worst_cut": parting.worst_cut,
            "modularity": float(np.trace(flow) - (flow.sum(1) ** 2).sum()),
            "ari": adjusted_rand_score(y, labels),
        }
        records.append({k: round(v, 5) if isinstance(v, float) else v for k, v in record.items()})
    return records


Criterion = Callable[[dict[str, Any]], float]


def by_cut(price: float) -> Criterion:
    """Information less the price of the worst cut, as `PartedStart` has it."""
    return lambda r: r["information"] - price * np.log(r["worst_cut"] + SMALLEST_CUT)


CRITERIA: dict[str, Criterion] = {
    "entropy + 1.6 kept": lambda r: r["entropy"] + 1.6 * r["kept"],
    "information": lambda r: r["information"],
    "kept": lambda r: r["kept"],
    "information / entropy": lambda r: r["information"] / max(r["entropy"], 1e-9),
    "modularity": lambda r: r["modularity"],
    "smallest worst cut": lambda r: -r["worst_cut"],
    "information - .15 log cut": by_cut(0.15),
}


def challenge(
    records: list[dict[str, Any]],
    kinds: tuple[str, ...],
    value: Criterion,
    margin: float,
    max_cut: float,
) -> dict[str, Any]:
    """The mixture's, unless one of these kinds is better by a margin and cuts little."""
    (mixture,) = (r for r in records if r["candidate"] == MIXTURE)
    rivals = [
        r
        for r in records
        if r["candidate"].startswith(kinds)
        and r["used"] >= mixture["used"]
        and r["worst_cut"] < max_cut
    ]
    best = max(rivals, key=value, default=mixture)
    return best if value(best) >= value(mixture) + margin else mixture


def table(records: list[dict[str, Any]]) -> str:
    """Criteria compared, in Markdown."""
    cases: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for record in records:
        cases.setdefault((record["set"], record["seed"]), []).append(record)
    merged = tuple(f"merged {i}" for i in range(6))  # records before the second way have three
    choices: dict[str, Callable[[list[dict[str, Any]]], dict[str, Any]]] = {
        f"best {name}, of all": lambda found, value=value: max(
            (r for r in found if r["used"] == max(s["used"] for s in found)), key=value
        )
        for name, value in CRITERIA.items()
    }
    for name, kinds in {
        "merged (init='auto')": merged,
        "merged finely": ("merged finely",),
        "spectral": ("spectral",),
        "the view's": ("view",),
        "all": ("merged", "spectral", "view", "codes"),
    }.items():
        choices[f"mixture, challenged by {name}"] = lambda found, kinds=kinds: challenge(
            found, kinds, by_cut(0.15), 0.15, 0.02
        )
    for price, margin, cut in (
        (0.1, 0.1, 0.02),
        (0.2, 0.2, 0.02),
        (0.25, 0.3, 0.06),
        (0.15, 0.15, 1.1),
    ):
        choices[f"merged, price {price}, margin {margin}, cut under {cut}"] = (
            lambda found, p=price, m=margin, c=cut: challenge(found, merged, by_cut(p), m, c)
        )
    lines = [
        "| choice | " + " | ".join(GROUPS) + " | mean of groups | sets that lose | shortfall |",
        "|---" * (len(GROUPS) + 4) + "|",
    ]
    for name, choose in choices.items():
        gains: dict[str, list[float]] = {}
        short = []
        for (data, _), found in cases.items():
            chosen = choose(found)["ari"]
            (mixture,) = (r["ari"] for r in found if r["candidate"] == MIXTURE)
            gains.setdefault(data, []).append(chosen - mixture)
            short.append(max(r["ari"] for r in found) - chosen)
        means = {data: float(np.mean(values)) for data, values in gains.items()}
        groups = [
            float(np.mean([means[data] for data in sets if data in means] or [np.nan]))
            for sets in GROUPS.values()
        ]
        losers = sum(mean < -0.02 for mean in means.values())
        cells = [f"{gain:+.3f}" for gain in [*groups, float(np.nanmean(groups))]]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {losers} | {np.mean(short):.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no record yet, and print the table."""
    axes = {"set": [name for sets in GROUPS.values() for name in sets], "seed": (0, 1)}
    measure_and_print(__doc__, RESULTS, axes, measure, table)


if __name__ == "__main__":
    main()
