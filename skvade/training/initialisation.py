"""Initial partitions of the codes: mixtures, k-means, labels, means, or any clusterer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils import check_array

from skvade.training.initialiser import Initialiser, Partition
from skvade.training.latent_classes import LatentClassStart, Table
from skvade.training.mixture_start import GaussianMixtureStart
from skvade.training.neighbourhood import Neighbourhood, Parting
from skvade.training.parted_start import PartedStart, lies_apart, parts_far_better
from skvade.training.peers import Peers
from skvade.training.runtime import alone, n_distinct
from skvade.training.spreading import spread_accuracy, spread_labels


@dataclass(frozen=True)
class KMeansStart(Initialiser):
    """k-means on the codes."""

    n_clusters: int

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        codes = codes.astype(np.float64)
        n_clusters = n_distinct(codes, at_most=self.n_clusters)
        with alone():
            means = KMeans(n_clusters, n_init=10, random_state=seed).fit(codes).cluster_centers_
        return Partition(_nearest(codes, means))


@dataclass(frozen=True)
class RandomStart(Initialiser):
    """The nearest of n_clusters codes drawn at random."""

    n_clusters: int

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        codes = codes.astype(np.float64)
        rows = np.random.RandomState(seed).choice(len(codes), self.n_clusters, replace=False)
        return Partition(_nearest(codes, codes[rows]))


@dataclass(frozen=True)
class MeansStart(Initialiser):
    """The nearest of given latent means, of shape (n_clusters, latent_dim)."""

    means: np.ndarray

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        return Partition(_nearest(codes.astype(np.float64), self.means))


@dataclass(frozen=True)
class LabelsStart(Initialiser):
    """Given labels, of shape (n_samples,), which stay where they cut next to nothing."""

    labels: np.ndarray

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        return Partition(self.labels, stays=_lie_apart(self.labels, neighbours))

    def restricted(self, rows: np.ndarray) -> Initialiser:
        return LabelsStart(self.labels[rows])

    def of_all(self, peers: Peers) -> Initialiser:
        return LabelsStart(peers.concatenate(self.labels))


@dataclass(frozen=True)
class LabelledStart(Initialiser):
    """Another start's partition, its clusters named so that known labels agree with it.

    Clusters and labels are matched one to one, by the rows that they share; or, where that names
    more of the labels rightly when they are left out, or parts the graph far better, labels spread
    along the graph of neighbours: a class need not be one cluster. Then rows with a label go where
    it says. Labels that were spread stay in training, and so do clusters that cut next to nothing
    and agree with all labels: codes would tear what is no ball.

    Attributes
    ----------
    initialiser : Initialiser
    labels : ndarray of shape (n_samples,)
        Known clusters, -1 where none is known.
    n_clusters : int
    """

    initialiser: Initialiser
    labels: np.ndarray
    n_clusters: int

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        found = self.initialiser(codes, seed, neighbours)
        known = self.labels >= 0
        shared = np.zeros((self.n_clusters, self.n_clusters), int)
        np.add.at(shared, (found.labels[known], self.labels[known]), 1)
        _, names = linear_sum_assignment(shared, maximize=True)
        named = names[found.labels]
        agreement = np.mean(named[known] == self.labels[known])
        stays = False
        if neighbours is not None and not known.all():
            first = self._parting(named, neighbours)
            stays = agreement == 1 and lies_apart(first)
            given = self.labels, neighbours.rows, self.n_clusters
            spread = spread_labels(*given)
            spread = np.where(spread >= 0, spread, named)
            better = agreement < 1 and spread_accuracy(*given) > agreement
            if better or self._parts_better(spread, first, neighbours):
                named, stays = spread, True
        return Partition(np.where(known, self.labels, named), found.agreement, bool(stays))

    def _parts_better(self, spread: np.ndarray, first: Parting, neighbours: Neighbourhood) -> bool:
        """Whether spread labels cut next to nothing, and part the graph far better than clusters.

        Labels of the user's own for all rows are not judged so.
        """
        if isinstance(self.initialiser, LabelsStart):
            return False
        return parts_far_better(self._parting(spread, neighbours), first, self.n_clusters)

    def _parting(self, labels: np.ndarray, neighbours: Neighbourhood) -> Parting:
        return Parting.of(neighbours.flow(labels, self.n_clusters))

    def restricted(self, rows: np.ndarray) -> Initialiser:
        return LabelledStart(self.initialiser.restricted(rows), self.labels[rows], self.n_clusters)

    def of_all(self, peers: Peers) -> Initialiser:
        labels = peers.concatenate(self.labels)
        return LabelledStart(self.initialiser.of_all(peers), labels, self.n_clusters)


@dataclass(frozen=True)
class ClustererStart(Initialiser):
    """Any object with scikit-learn's `fit_predict`, run on the codes.

    Rows that it leaves as noise (-1) go to the nearest cluster. What it finds stays where it cuts
    next to nothing.
    """

    clusterer: Any
    n_clusters: int

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        codes, clusterer = codes.astype(np.float64), _seeded(clone(self.clusterer), seed)
        found = np.asarray(clusterer.fit_predict(codes))
        if found.shape != (len(codes),):
            raise ValueError(
                f"init={self.clusterer!r} returned labels of shape {found.shape} from fit_predict; "
                f"expected ({len(codes)},)."
            )
        names, labels = np.unique(found[found != -1], return_inverse=True)
        if not 1 <= len(names) <= self.n_clusters:
            raise ValueError(
                f"init={self.clusterer!r} found {len(names)} clusters, but n_clusters="
                f"{self.n_clusters}; set n_clusters or the clusterer so that they agree."
            )
        means = np.stack([codes[found == name].mean(0) for name in names])
        nearest = _nearest(codes, means)
        nearest[found != -1] = labels
        nearest = nearest.astype(np.int64)
        return Partition(nearest, stays=_lie_apart(nearest, neighbours))


def _lie_apart(labels: np.ndarray, neighbours: Neighbourhood | None) -> bool:
    """Whether each of several clusters has nearly all its neighbours in itself."""
    n_clusters = int(labels.max()) + 1
    if neighbours is None:
        return False
    return lies_apart(Parting.of(neighbours.flow(labels, n_clusters)))


def _nearest(codes: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The nearest of the means for each of the codes: row numbers of shape (n_samples,)."""
    with alone():
        return pairwise_distances_argmin(codes, means)


def _seeded(clusterer: Any, seed: int) -> Any:
    """Give every unset `random_state` of a clusterer or pipeline a value."""
    unset = {
        name: seed
        for name, value in clusterer.get_params(deep=True).items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    return clusterer.set_params(**unset)


def make_initialiser(
    init: Any,
    n_clusters: int,
    latent_dim: int,
    n_samples: int,
    covariance_type: str,
    n_restarts: int = 24,
    table: Table | None = None,
) -> Initialiser:
    """The initialiser that an estimator's `init` names.

    "auto" is latent classes of a table, where one is given.

    Raises
    ------
    ValueError
        If an array has the wrong shape or labels, or a name is unknown.
    """
    if isinstance(init, str):
        mixtures = GaussianMixtureStart(n_clusters, covariance_type, n_restarts)
        return {
            "auto": PartedStart(mixtures) if table is None else LatentClassStart(table, n_clusters),
            "gmm": mixtures,
            "k-means": KMeansStart(n_clusters),
            "random": RandomStart(n_clusters),
        }[init]
    if hasattr(init, "fit_predict"):
        return ClustererStart(init, n_clusters)
    array = check_array(init, ensure_2d=False, dtype="numeric", input_name="init")
    if array.ndim == 1:
        return LabelsStart(_check_labels(array, n_clusters, n_samples))
    if array.shape != (n_clusters, latent_dim):
        raise ValueError(
            f"init has shape {array.shape}; expected labels of shape ({n_samples},) or latent "
            f"means of shape (n_clusters, latent_dim) = ({n_clusters}, {latent_dim})."
        )
    return MeansStart(array.astype(np.float64))


def _check_labels(labels: np.ndarray, n_clusters: int, n_samples: int) -> np.ndarray:
    if labels.shape != (n_samples,):
        raise ValueError(
            f"init has {len(labels)} labels; expected one for each of the {n_samples} rows of X."
        )
    if not np.array_equal(labels, labels.astype(np.int64)) or not (
        0 <= labels.min() and labels.max() < n_clusters
    ):
        raise ValueError(
            f"init must hold integer labels from 0 to n_clusters - 1 = {n_clusters - 1}, got "
            f"values from {labels.min()} to {labels.max()}; encode them with numpy.unique(..., "
            "return_inverse=True) or raise n_clusters."
        )
    return labels.astype(np.int64)
