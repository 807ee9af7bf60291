"""Initial partitions of the codes: mixtures, k-means, labels, means, or any clusterer."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, pairwise_distances_argmin
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_array

from skvade.metrics import mutual_information, neighbour_information


@dataclass(frozen=True)
class Partition:
    """A hard clustering of the codes.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
    agreement : float
        Adjusted Rand index between the two best restarts; NaN where there was only one.
    """

    labels: np.ndarray
    agreement: float = float("nan")


class Initialiser(ABC):
    """Takes codes (n_samples, latent_dim) and a seed to a partition into 0 ... n_clusters - 1."""

    @abstractmethod
    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: np.ndarray | None = None
    ) -> Partition:
        """Cluster the codes; neighbours (n_samples, n_neighbors), if known, are row numbers."""

    def restricted(self, rows: np.ndarray) -> Initialiser:
        """The same for codes of the given rows only."""
        return self


@dataclass(frozen=True)
class GaussianMixtureStart(Initialiser):
    """Several Gaussian mixtures on a subsample; the one that decides most keeps its partition.

    Restarts begin, in turn, at k-means, at k-means++ centres, and, where neighbours are known, at
    small groups of rows merged along the graph. They are ranked by used clusters first; then by
    the mutual information of the assignment, to which that between neighbours' assignments is added
    where neighbours are known. The likelihood is a poor judge here: it prefers mixtures that spend
    two components on the shape of one cluster.
    """

    n_clusters: int
    covariance_type: str
    n_restarts: int = 24
    max_samples: int = 12_500
    reg_covar: float = 1e-3

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: np.ndarray | None = None
    ) -> Partition:
        rng = np.random.RandomState(seed)
        rows = _subsample(len(codes), self.max_samples, rng)
        data = _Sample(codes[rows], *_around(codes, rows, neighbours))
        fits = [self._fit(data, number, rng) for number in range(self.n_restarts)]
        fits.sort(key=lambda fit: fit[0], reverse=True)
        labels = [fit.predict(data.codes) for _, fit in fits[:2]]
        return Partition(fits[0][1].predict(codes), agreement=_agreement(labels))

    def _fit(
        self, data: _Sample, number: int, rng: np.random.RandomState
    ) -> tuple[tuple[int, float], GaussianMixture]:
        kind = ("kmeans", "k-means++", "merged")[number % 3]
        seed, reg_covar = rng.randint(2**31), self.reg_covar * max(data.codes.var(), 1e-6)
        start: dict[str, Any] = {"init_params": "kmeans" if kind == "merged" else kind}
        with warnings.catch_warnings():
            # A restart that stops early is judged like any other.
            warnings.simplefilter("ignore", ConvergenceWarning)
            with config_context(array_api_dispatch=False):  # these codes are numpy's in any case
                if kind == "merged" and data.has_neighbours:
                    start |= self._merged_start(data, seed, reg_covar)
                mixture = GaussianMixture(
                    self.n_clusters,
                    covariance_type=self.covariance_type,
                    reg_covar=reg_covar,
                    random_state=seed,
                    **start,
                ).fit(data.codes)
                proba = mixture.predict_proba(data.codes)
                information = mutual_information(proba)
                if data.has_neighbours:
                    near = mixture.predict_proba(data.others)[data.neighbours]
                    information += neighbour_information(proba, near)
        return (len(np.unique(proba.argmax(1))), information), mixture

    def _merged_start(self, data: _Sample, seed: int, reg_covar: float) -> dict[str, Any]:
        n_groups = min(6 * self.n_clusters, len(data.codes) // 4)
        if n_groups <= self.n_clusters:
            return {}
        groups = KMeans(n_groups, n_init=1, random_state=seed).fit(data.codes)
        near = groups.predict(data.others)[data.neighbours]
        pairs = np.zeros((n_groups, n_groups))
        np.add.at(pairs, (np.repeat(groups.labels_, near.shape[1]), near.ravel()), 1.0)
        labels = merge_groups(pairs + pairs.T, self.n_clusters)[groups.labels_]
        parts = [data.codes[labels == c] for c in range(self.n_clusters)]
        if min(map(len, parts)) < 2:
            return {}
        one = GaussianMixture(1, covariance_type=self.covariance_type, reg_covar=reg_covar)
        fits = [clone(one).fit(part) for part in parts]
        means = np.concatenate([fit.means_ for fit in fits])
        tied = self.covariance_type == "tied"
        return {
            "weights_init": np.array([len(part) for part in parts]) / len(labels),
            "means_init": means,
            "precisions_init": one.fit(data.codes - means[labels]).precisions_
            if tied
            else np.concatenate([fit.precisions_ for fit in fits]),
        }


@dataclass(frozen=True)
class _Sample:
    """Codes to be clustered; `others[neighbours]` are the codes of their neighbours."""

    codes: np.ndarray
    others: np.ndarray
    neighbours: np.ndarray

    @property
    def has_neighbours(self) -> bool:
        return len(self.others) > 0


def _around(
    codes: np.ndarray, rows: np.ndarray, neighbours: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    if neighbours is None:
        return codes[:0], np.empty((len(rows), 0), dtype=np.int64)
    others, where = np.unique(neighbours[rows], return_inverse=True)
    return codes[others], where.reshape(len(rows), -1)


def merge_groups(pairs: np.ndarray, n_clusters: int) -> np.ndarray:
    """Merge groups along a graph until n_clusters are left: (n_groups, n_groups) to (n_groups,).

    Each step merges the two groups a, b whose share P_ab of the pairs of neighbours exceeds chance
    by most, P_ab - P_a P_b: greedy maximisation of the modularity.

    Parameters
    ----------
    pairs : ndarray of shape (n_groups, n_groups), symmetric
        How often a row of one group has a neighbour in the other.

    References
    ----------
    Clauset, Newman, Moore, "Finding community structure in very large networks", Physical Review E
    70, 066111, 2004.
    """
    joint = pairs / pairs.sum()
    labels, names = np.arange(len(joint)), np.arange(len(joint))
    while len(joint) > n_clusters:
        shares = joint.sum(1)
        gains = joint - np.outer(shares, shares)
        np.fill_diagonal(gains, -np.inf)
        a, b = sorted(np.unravel_index(gains.argmax(), gains.shape))
        joint[a] += joint[b]
        joint[:, a] += joint[:, b]
        labels[labels == names[b]] = names[a]
        joint, names = np.delete(np.delete(joint, b, 0), b, 1), np.delete(names, b)
    return np.searchsorted(names, labels)


@dataclass(frozen=True)
class KMeansStart(Initialiser):
    """k-means on the codes."""

    n_clusters: int

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: np.ndarray | None = None
    ) -> Partition:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            means = (
                KMeans(self.n_clusters, n_init=10, random_state=seed).fit(codes).cluster_centers_
            )
        return Partition(pairwise_distances_argmin(codes, means))


@dataclass(frozen=True)
class RandomStart(Initialiser):
    """The nearest of n_clusters codes drawn at random."""

    n_clusters: int

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: np.ndarray | None = None
    ) -> Partition:
        rows = np.random.RandomState(seed).choice(len(codes), self.n_clusters, replace=False)
        return Partition(pairwise_distances_argmin(codes, codes[rows]))


@dataclass(frozen=True)
class MeansStart(Initialiser):
    """The nearest of given latent means, of shape (n_clusters, latent_dim)."""

    means: np.ndarray

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: np.ndarray | None = None
    ) -> Partition:
        return Partition(pairwise_distances_argmin(codes, self.means))


@dataclass(frozen=True)
class LabelsStart(Initialiser):
    """Given labels, of shape (n_samples,)."""

    labels: np.ndarray

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: np.ndarray | None = None
    ) -> Partition:
        return Partition(self.labels)

    def restricted(self, rows: np.ndarray) -> Initialiser:
        return LabelsStart(self.labels[rows])


@dataclass(frozen=True)
class ClustererStart(Initialiser):
    """Any object with scikit-learn's `fit_predict`, run on the codes.

    Rows that it leaves as noise (-1) go to the nearest cluster.
    """

    clusterer: Any
    n_clusters: int

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: np.ndarray | None = None
    ) -> Partition:
        clusterer = _seeded(clone(self.clusterer), seed)
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
        nearest = pairwise_distances_argmin(codes, means)
        nearest[found != -1] = labels
        return Partition(nearest.astype(np.int64))


def _agreement(labels: list[np.ndarray]) -> float:
    return adjusted_rand_score(*labels) if len(labels) == 2 else float("nan")


def _subsample(n_rows: int, max_rows: int, rng: np.random.RandomState) -> np.ndarray:
    return rng.choice(n_rows, max_rows, replace=False) if n_rows > max_rows else np.arange(n_rows)


def _seeded(clusterer: Any, seed: int) -> Any:
    """Give every unset `random_state` of a clusterer or pipeline a value."""
    unset = {
        name: seed
        for name, value in clusterer.get_params(deep=True).items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    return clusterer.set_params(**unset)


def make_initialiser(
    init: Any, n_clusters: int, latent_dim: int, n_samples: int, covariance_type: str
) -> Initialiser:
    """The initialiser that an estimator's `init` names.

    Raises
    ------
    ValueError
        If an array has the wrong shape or labels, or a name is unknown.
    """
    if isinstance(init, str):
        return {
            "gmm": GaussianMixtureStart(n_clusters, covariance_type),
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
