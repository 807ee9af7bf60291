"""The initial mixture: many starts, and a choice among them without labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skvade.metrics import mutual_information
from skvade.training.initialiser import Initialiser, Partition


class Verdict(NamedTuple):
    """What is known of a soft assignment without labels.

    Attributes
    ----------
    used_clusters : int
    mutual_information : float
        In nats.
    neighbours_kept : float
        Probability that a row and a neighbour of it are in one cluster; 0 without neighbours.
    """

    used_clusters: int
    mutual_information: float
    neighbours_kept: float


@dataclass(frozen=True)
class Jury:
    """Rows, and their neighbours, on which mixtures are compared.

    Attributes
    ----------
    codes : ndarray of shape (n_judged, latent_dim)
    around : ndarray of shape (n_others, latent_dim)
        Codes of everything that is a neighbour of one of them.
    neighbours : ndarray of shape (n_judged, n_neighbors)
        Numbers of rows of `around`; none of them, where no neighbours are known.
    """

    codes: np.ndarray
    around: np.ndarray
    neighbours: np.ndarray

    @classmethod
    def draw(
        cls,
        codes: np.ndarray,
        neighbours: np.ndarray | None,
        max_rows: int,
        rng: np.random.RandomState,
    ) -> Jury:
        """At most max_rows of the codes, with the neighbours (n_samples, n_neighbors) if known."""
        rows = _subsample(len(codes), max_rows, rng)
        if neighbours is None:
            return cls(codes[rows], codes[:0], np.empty((len(rows), 0), np.intp))
        others, where = np.unique(neighbours[rows], return_inverse=True)
        return cls(codes[rows], codes[others], where.reshape(len(rows), -1))

    def __call__(self, mixture: GaussianMixture) -> Verdict:
        """Judge a fitted mixture."""
        proba, kept = mixture.predict_proba(self.codes), 0.0
        if self.neighbours.size:
            near = mixture.predict_proba(self.around)
            kept = np.mean([(proba * near[column]).sum(1).mean() for column in self.neighbours.T])
        return Verdict(len(np.unique(proba.argmax(1))), mutual_information(proba), float(kept))


@dataclass(frozen=True)
class GaussianMixtureStart(Initialiser):
    """Gaussian mixtures on subsamples; the one that decides most gives the partition.

    Each restart draws rows of its own. Every third begins at k-means; the others, where neighbours
    are known, at small groups of rows merged along the graph. They are ranked by used clusters,
    then by

        I(x; c) + w P(c = c'),

    the mutual information of the assignment and the share of neighbours x, x' in one cluster. The
    first alone likes clusters of even sizes, and would rather cut one in two than have a small
    one; the second alone likes a single large cluster. The likelihood is a poor judge: it prefers
    mixtures that spend two components on the shape of one cluster, and running EM to its end gains
    nothing. Merging likes even sizes too; so the best restart of the other kind wins after all if
    it clearly leaves more neighbours together.

    Attributes
    ----------
    n_clusters : int
    covariance_type : str
    n_restarts : int
    max_samples : int
        Rows that a restart is fitted to.
    max_judged : int
        Rows, the same for all, that the restarts are compared on, beside the neighbours of these.
    max_iter : int
        Of EM.
    reg_covar : float
        Relative to the variance of the codes.
    neighbor_value : float
        w, in nats.
    margin : float
        Share of the pairs of neighbours that counts as clearly more.
    """

    n_clusters: int
    covariance_type: str
    n_restarts: int = 48
    max_samples: int = 6_000
    max_judged: int = 20_000
    max_iter: int = 20
    reg_covar: float = 1e-3
    neighbor_value: float = 2.25
    margin: float = 0.006

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: np.ndarray | None = None
    ) -> Partition:
        rng = np.random.RandomState(seed)
        jury = Jury.draw(codes, neighbours, self.max_judged, rng)
        with warnings.catch_warnings(), config_context(array_api_dispatch=False):
            warnings.simplefilter("ignore", ConvergenceWarning)  # judged like any other
            mixtures = [self._fit(codes, neighbours, i, rng) for i in range(self.n_restarts)]
            verdicts = [jury(mixture) for mixture in mixtures]
            order = sorted(range(self.n_restarts), key=lambda i: self._rank(verdicts[i]))
            rival = self._rival(order, verdicts)
            if verdicts[rival].neighbours_kept > verdicts[order[0]].neighbours_kept + self.margin:
                order.remove(rival)
                order.insert(0, rival)
            best = [mixtures[i].predict(jury.codes) for i in order[:2]]
            labels = mixtures[order[0]].predict(codes)
        agreement = adjusted_rand_score(*best) if len(best) == 2 else float("nan")
        return Partition(labels, agreement)

    def _rank(self, verdict: Verdict) -> tuple[int, float]:
        """What sorts the best first."""
        value = verdict.mutual_information + self.neighbor_value * verdict.neighbours_kept
        return -verdict.used_clusters, -value

    def _rival(self, order: list[int], verdicts: list[Verdict]) -> int:
        """The best restart of the other kind that uses as many clusters, or the best itself."""
        first = order[0]
        others = (i for i in order if _is_merged(i) != _is_merged(first))
        used = verdicts[first].used_clusters
        return next((i for i in others if verdicts[i].used_clusters == used), first)

    def _fit(
        self,
        codes: np.ndarray,
        neighbours: np.ndarray | None,
        number: int,
        rng: np.random.RandomState,
    ) -> GaussianMixture:
        rows, seed = _subsample(len(codes), self.max_samples, rng), rng.randint(2**31)
        mixture = GaussianMixture(
            self.n_clusters,
            covariance_type=self.covariance_type,
            reg_covar=self.reg_covar * max(codes.var(), 1e-6),
            max_iter=self.max_iter,
            random_state=seed,
        )
        if _is_merged(number):
            if neighbours is None:
                mixture.set_params(init_params="k-means++")
            else:
                mixture.set_params(**self._merged_start(codes, rows, neighbours, mixture))
        return mixture.fit(codes[rows])

    def _merged_start(
        self,
        codes: np.ndarray,
        rows: np.ndarray,
        neighbours: np.ndarray,
        mixture: GaussianMixture,
    ) -> dict[str, Any]:
        n_groups = min(6 * self.n_clusters, len(rows) // 4)
        if n_groups <= self.n_clusters:
            return {}
        sample = codes[rows]
        groups = KMeans(n_groups, n_init=1, random_state=mixture.random_state).fit(sample)
        others, where = np.unique(neighbours[rows], return_inverse=True)
        near = groups.predict(codes[others])[where.reshape(len(rows), -1)]
        pairs = np.zeros((n_groups, n_groups))
        np.add.at(pairs, (np.repeat(groups.labels_, near.shape[1]), near.ravel()), 1.0)
        labels = merge_groups(pairs + pairs.T, self.n_clusters)[groups.labels_]
        if np.bincount(labels, minlength=self.n_clusters).min() < 2:
            return {}
        return _moments(sample, labels, clone(mixture).set_params(n_components=1))


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


def _is_merged(number: int) -> bool:
    return number % 3 > 0


def _moments(codes: np.ndarray, labels: np.ndarray, one: GaussianMixture) -> dict[str, Any]:
    """A mixture's parameters from a partition; `one` is an unfitted mixture of one component."""
    fits = [clone(one).fit(codes[labels == c]) for c in np.unique(labels)]
    means = np.concatenate([fit.means_ for fit in fits])
    if one.covariance_type == "tied":
        precisions = one.fit(codes - means[labels]).precisions_
    else:
        precisions = np.concatenate([fit.precisions_ for fit in fits])
    return {
        "weights_init": np.bincount(labels) / len(labels),
        "means_init": means,
        "precisions_init": precisions,
    }


def _subsample(n_rows: int, max_rows: int, rng: np.random.RandomState) -> np.ndarray:
    return rng.choice(n_rows, max_rows, replace=False) if n_rows > max_rows else np.arange(n_rows)
