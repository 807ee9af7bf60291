"""What simple methods and a start make of the same rows, and who keeps neighbours together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from skvade.training.mixture_start import GaussianMixtureStart
from skvade.training.neighbourhood import Neighbourhood, Parting
from skvade.training.neighbours import cumulative_weights
from skvade.training.parted_start import PartedStart, value
from skvade.training.runtime import alone, n_distinct

MAX_ROWS, N_NEIGHBORS = 4_000, 15
N_LEADING, N_RESTARTS = 10, 8  # components that a start is made of, and its mixtures
MEANS, MIXTURE, START = "k-means", "a Gaussian mixture", "a start by init='auto'"
SAME = 0.8  # adjusted Rand index, from which two clusterings are about the same
MORE_KEPT, BETTER = 0.04, {MEANS: 0.3, MIXTURE: 0.3, START: 0.22}
TWICE, OTHER, LESS_KEPT = 0.95, 0.7, 0.04  # two alike, both unlike a model, and worse by no more


class Mixture(GaussianMixture):
    """A mixture that does not warn if EM ends before it has converged: it is judged as it is."""

    converged_ = property(lambda self: True, lambda self, value: None)


def compare(
    places: np.ndarray, labels: np.ndarray, n_clusters: int, seed: int, start: bool = True
) -> dict[str, Any]:
    """Judge a clustering beside k-means, a Gaussian mixture, and the start of a default fit.

    By the neighbours of rows along their principal components.

    Parameters
    ----------
    places : ndarray of shape (n_rows, n_components)
        Rows along their principal components, at most 4,000.
    labels : ndarray of shape (n_rows,)
    n_clusters : int
    seed : int
    start : bool
        Whether a default fit starts at such a partition, and not at latent classes of a table.

    Returns
    -------
    dict
        "kept", the probability that a row and a neighbour are in one cluster, "worst cut" and
        "value", as `PartedStart` has them; "leaving", for the cluster that keeps least, its number,
        the share of its neighbours' weight that leaves it, and to which cluster most goes;
        "others", for each of these partitions the same three and the "agreement", its adjusted
        Rand index with the labels; and "mixture and start", that of these two where there are both.
        Empty, where there is nothing to compare.
    """
    if not 1 < n_clusters < len(places) or not np.ptp(places, axis=0).any():
        return {}
    with alone(), config_context(array_api_dispatch=False):
        search = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(places) - 1)).fit(places)
        distances, neighbours = search.kneighbors()
        graph = Neighbourhood(neighbours, cumulative_weights(distances))
        n_different = n_distinct(places, at_most=n_clusters)
        means = KMeans(n_different, n_init=3, random_state=seed).fit_predict(places)
        found = {MEANS: means}
        if len(places) > n_clusters * (places.shape[1] + 1):
            floor = 1e-4 * float(places.var(0).sum())
            mixture = Mixture(n_different, reg_covar=floor, random_state=seed)
            found[MIXTURE] = mixture.fit_predict(places)
        leading = places[:, :N_LEADING]
        if start and len(places) > n_clusters * (leading.shape[1] + 1):
            parted = PartedStart(GaussianMixtureStart(n_clusters, "full", N_RESTARTS))
            found[START] = parted(leading, seed, graph).labels
    flow = graph.flow(labels, n_clusters)
    volume = flow.sum(1)
    cuts = np.where(volume > 0, 1 - np.diag(flow) / np.maximum(volume, 1e-300), -1)
    least = int(cuts.argmax())
    elsewhere = flow[least].copy()
    elsewhere[least] = -1
    others = {
        name: {
            **_measures(graph.flow(other, n_clusters)),
            "agreement": float(adjusted_rand_score(labels, other)),
        }
        for name, other in found.items()
    }
    leaving = [least, float(cuts[least]), int(elsewhere.argmax())]
    compared: dict[str, Any] = {**_measures(flow), "leaving": leaving, "others": others}
    if MIXTURE in found and START in found:
        compared["mixture and start"] = float(adjusted_rand_score(found[MIXTURE], found[START]))
    return compared


def _measures(flow: np.ndarray) -> dict[str, float]:
    parting = Parting.of(flow)
    return {
        "kept": float(np.trace(flow)),
        "worst cut": parting.worst_cut,
        "value": value(parting, len(flow)),
    }


def objections(comparison: dict[str, Any]) -> tuple[str, ...]:
    """What speaks for another partition: other clusters, which part the data better.

    Or, where none do, which two methods find alike, and which part the data hardly worse.
    """
    better = tuple(
        f"{name[0].upper() + name[1:]} of the principal components finds other clusters (adjusted "
        f"Rand index {other['agreement']:.2f}, below {SAME}) and parts the data better: it keeps "
        f"{other['kept']:.1%} of neighbours together where this model keeps "
        f"{comparison['kept']:.1%}, and cuts {other['worst cut']:.0%} of a cluster's weight at "
        f"most ({comparison['worst cut']:.0%}). Look at both, and at another random_state."
        for name, other in comparison.get("others", {}).items()
        if other["agreement"] < SAME
        and (
            other["kept"] > comparison["kept"] + MORE_KEPT
            or other["value"] > comparison["value"] + BETTER.get(name, math.inf)
        )
    )
    return better or _found_twice(comparison)


def _found_twice(comparison: dict[str, Any]) -> tuple[str, ...]:
    """That a mixture and a start agree on clusters that are not the model's."""
    alike = comparison.get("mixture and start", 0.0)
    others = [other for name, other in comparison.get("others", {}).items() if name != MEANS]
    if alike <= TWICE or not others:  # not known of files of another version
        return ()
    agreement = max(other["agreement"] for other in others)
    kept = max(other["kept"] for other in others)
    if agreement >= OTHER or kept <= comparison["kept"] - LESS_KEPT:
        return ()
    return (
        f"{MIXTURE[0].upper() + MIXTURE[1:]} of the principal components and {START} find the same "
        f"clusters (adjusted Rand index {alike:.2f}), which are not this model's "
        f"({agreement:.2f} at most, below {OTHER}), and keep {kept:.1%} of neighbours together "
        f"where this model keeps {comparison['kept']:.1%}. Look at both, and at another "
        "random_state.",
    )
