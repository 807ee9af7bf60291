"""The initial mixture: many starts, and a choice among them without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from skvade.training.em import FittedMixture, fit_mixtures
from skvade.training.initialiser import Initialiser, Partition
from skvade.training.jury import Jury, Verdict, subsample
from skvade.training.neighbourhood import Neighbourhood
from skvade.training.peers import ALONE, Peers
from skvade.training.runtime import n_distinct, on_one_blas_thread
from skvade.training.units import total_variance

ROWS_PER_CLUSTER = 20  # of which a mixture is made at least, where there are as many


@dataclass(frozen=True)
class GaussianMixtureStart(Initialiser):
    """Gaussian mixtures on subsamples; the best without labels gives the partition.

    Each restart draws rows of its own and begins at k-means; processes share them out. They are
    ranked by used clusters, then by

        I(x; c) / log K + w P(c = c'),

    the mutual information of the assignment, as a share of the most there can be, and the share of
    neighbours x, x' in one cluster; without neighbours the first decides. The first alone likes
    clusters of even sizes, and would rather cut one in two than have a small one; the second alone
    likes a single large cluster. The likelihood is a poor judge: it prefers mixtures that spend two
    components on the shape of one cluster, and running EM to its end gains nothing.

    Attributes
    ----------
    n_clusters : int
    covariance_type : str
    n_restarts : int
    max_samples : int
        Rows that a restart is fitted to; twenty for each cluster, where that is more.
    max_judged : int
        Rows, the same for all, that the restarts are compared on, beside the neighbours of these.
    max_iter : int
        Of EM.
    reg_covar : float
        Relative to the variance of the codes.
    kept_weight : float
        w; chosen on sets of 6 and 10 clusters with 15 neighbours.
    """

    n_clusters: int
    covariance_type: str
    n_restarts: int = 24
    max_samples: int = 6_000
    max_judged: int = 20_000
    max_iter: int = 20
    reg_covar: float = 1e-3
    kept_weight: float = 1.6

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        return self.among(ALONE, codes, seed, neighbours)

    def among(
        self, peers: Peers, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        rng = np.random.RandomState(seed)
        near = None if neighbours is None else neighbours.numbers()
        jury = Jury.draw(codes, near, self.max_judged, rng, peers)
        del near
        mixtures = self.fit(codes, rng, self.n_restarts, peers)
        with peers.together(), on_one_blas_thread():
            judged = [jury(mixture) for mixture in peers.every(mixtures)]
        verdicts = peers.of_each(judged)
        order = sorted(range(self.n_restarts), key=lambda i: self._rank(verdicts[i]), reverse=True)
        with on_one_blas_thread():
            best = [mixtures[i].predict(jury.codes[jury.own]) for i in order[:2]]
        agreement = adjusted_rand_score(*best) if len(best) == 2 else float("nan")
        first, agreement = peers.tell((order[0], agreement))  # processors may round differently
        with on_one_blas_thread():
            return Partition(mixtures[first].predict(codes), agreement)

    def _rank(self, verdict: Verdict) -> tuple[int, float]:
        """Used clusters, then the value; the greater, the better.

        Of restarts that found the same clusters the first is taken, not what rounding prefers.
        """
        decided = verdict.mutual_information / np.log(max(self.n_clusters, 2))
        value = decided + self.kept_weight * verdict.neighbours_kept
        return verdict.used_clusters, round(value, 9)

    def fit(
        self,
        codes: np.ndarray,
        rng: np.random.RandomState,
        n_restarts: int,
        peers: Peers = ALONE,
    ) -> list[FittedMixture]:
        """Restarts from k-means; EM of all at once, where each is fitted to all rows.

        All processes call it, with codes of their own, and get the same mixtures.
        """
        n_samples = max(self.max_samples, ROWS_PER_CLUSTER * self.n_clusters)
        n_rows = peers.total(len(codes))
        floor = self.reg_covar * max(total_variance(codes, peers) / codes.shape[1], 1e-6)
        draws = [(subsample(n_rows, n_samples, rng), rng.randint(2**31)) for _ in range(n_restarts)]
        if n_rows <= n_samples:
            work = [(peers.concatenate(codes), [seed for _, seed in peers.every(draws)])]
        else:
            work = peers.every((peers.pick(codes, rows), [seed]) for rows, seed in draws)
        with peers.together(), on_one_blas_thread():
            fits = [self._fit(rows, seeds, floor) for rows, seeds in work if seeds]
        return peers.of_each([mixture for fit in fits for mixture in fit])

    def _fit(self, rows: np.ndarray, seeds: list[int], floor: float) -> list[FittedMixture]:
        rows = rows.astype(np.float64)
        n_different = n_distinct(rows, at_most=self.n_clusters)
        unchecked = {"assume_finite": True, "skip_parameter_validation": True}
        with config_context(array_api_dispatch=False, **unchecked):
            starts = [KMeans(n_different, n_init=1, random_state=seed).fit(rows) for seed in seeds]
        labels = np.stack([start.labels_ for start in starts])
        kind = self.covariance_type
        return fit_mixtures(rows, labels, n_different, kind, floor, self.max_iter)


def used_components(
    labels: np.ndarray, n_components: int, peers: Peers = ALONE
) -> tuple[np.ndarray, int]:
    """Labels without the components that have no row of any process, and how many are left."""
    used = peers.total(np.bincount(labels, minlength=n_components)) > 0
    return (used.cumsum() - 1)[labels], int(used.sum())
