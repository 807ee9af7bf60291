"""k-means of the same rows from several beginnings at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from skvade.training.units import row_slices

TOLERANCE = 1e-4  # squared way of all centres together, in variances of a feature
MAX_ITER = 300


def fit_kmeans(x: np.ndarray, n_clusters: int, seeds: Sequence[int]) -> np.ndarray:
    """Partition rows by k-means, once for each seed.

    The partitions are those of :class:`~sklearn.cluster.KMeans` with ``n_init=1`` and these seeds
    (where two rows are equally good to begin at, the first drawn is taken). All go on together, a
    step being a product for the distances and a sparse one for the sums; of a few hundred rows,
    each fit by itself costs more for what is around its steps than for these.

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Of at least n_clusters different rows.
    n_clusters : int
    seeds : sequence of int

    Returns
    -------
    ndarray of shape (n_seeds, n)
    """
    x = x - x.mean(0, dtype=np.float64)  # differences of squares lose digits far from zero
    runs = row_slices(len(seeds), len(x) * _n_trials(n_clusters))
    begun = [plus_plus(x, n_clusters, seeds[some]) for some in runs]
    return lloyd(x, x[np.concatenate(begun)])


def _n_trials(n_clusters: int) -> int:
    return 2 + int(np.log(n_clusters))


def plus_plus(x: np.ndarray, n_clusters: int, seeds: Sequence[int]) -> np.ndarray:
    """Rows to begin at, by greedy k-means++: (n_seeds, n_clusters).

    Each is drawn in proportion to the squared distance to the nearest row that was chosen before;
    of 2 + log K draws that one is taken which leaves the smallest sum of such distances.
    """
    rngs = [np.random.RandomState(seed) for seed in seeds]
    n_rows, runs = len(x), np.arange(len(seeds))
    norms = (x**2).sum(1)

    def distances_to(chosen: np.ndarray) -> np.ndarray:
        squared = norms[chosen][..., None] - 2 * (x[chosen] @ x.T) + norms
        return np.maximum(squared, 0, out=squared)

    # scikit-learn's way to draw one row of equal weights
    alike = np.full(n_rows, 1 / n_rows)
    rows = [np.array([rng.choice(n_rows, p=alike) for rng in rngs])]
    nearest = distances_to(rows[0])
    for _ in range(1, n_clusters):
        draws = np.array([rng.uniform(size=_n_trials(n_clusters)) for rng in rngs])
        draws *= nearest.sum(1, keepdims=True)
        pairs = zip(nearest.cumsum(1), draws, strict=True)
        tried = np.minimum([np.searchsorted(total, draw) for total, draw in pairs], n_rows - 1)
        left = np.minimum(nearest[:, None], distances_to(tried))
        sums = left.sum(2)
        # Two rows that have nobody near but each other are as good, whatever rounding says.
        best = (sums <= (1 + 1e-9) * sums.min(1, keepdims=True)).argmax(1)
        rows.append(tried[runs, best])
        nearest = left[runs, best]
    return np.stack(rows, axis=1)


def lloyd(x: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Partitions by Lloyd's algorithm from centres (n_runs, n_clusters, d): (n_runs, n).

    A run stays as it is once no row changes its cluster, or once centres hardly move.
    """
    n_runs, n_clusters, _ = centers.shape
    tolerance = TOLERANCE * x.var(0).mean()
    centers, features = centers.copy(), np.column_stack([np.ones(len(x)), x])
    labels = np.full((n_runs, len(x)), -1)
    unsettled, going = np.full(n_runs, True), np.arange(n_runs)
    for _ in range(MAX_ITER):
        found = _nearest(x, centers[going])
        same = (found == labels[going]).all(1)
        labels[going], unsettled[going] = found, ~same
        sums = sums_of_clusters(features, found, n_clusters)
        for run in np.flatnonzero((sums[..., 0] == 0).any(1)):
            _fill_empty(features, found[run], centers[going[run]], sums[run])
        means = sums[..., 1:] / sums[..., :1]
        way = ((means - centers[going]) ** 2).sum((1, 2))
        centers[going] = means
        going = going[~same & (way > tolerance)]
        if not len(going):
            break
    labels[unsettled] = _nearest(x, centers[unsettled])
    return labels


def sums_of_clusters(features: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Sums of features (n, n_features) over the rows of each cluster, by partitions (n_runs, n).

    By a sparse product: a dense one would take as many times longer as there are clusters.

    Returns
    -------
    ndarray of shape (n_runs, n_clusters, n_features)
    """
    n_runs, n = labels.shape
    clusters = (labels + n_clusters * np.arange(n_runs)[:, None]).T.ravel()
    starts = np.arange(0, labels.size + 1, n_runs)
    shape = (n_runs * n_clusters, n)
    belongs = sp.csc_array((np.ones(labels.size), clusters, starts), shape=shape)
    return (belongs @ features).reshape(n_runs, n_clusters, -1)


def _nearest(x: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The nearest of the centres of each run: (n_runs, n)."""
    flat = centers.reshape(-1, x.shape[1])
    labels = np.empty((len(centers), len(x)), np.int64)
    for part in row_slices(len(x), 2 * len(flat)):
        # |x - c|^2 / 2 = |x|^2 / 2 + |c|^2 / 2 - x' c
        beyond = (flat**2).sum(1) / 2 - x[part] @ flat.T
        labels[:, part] = beyond.reshape(len(beyond), *centers.shape[:2]).argmin(2).T
    return labels


def _fill_empty(
    features: np.ndarray, labels: np.ndarray, centers: np.ndarray, sums: np.ndarray
) -> None:
    """Give clusters of one run that have no rows those furthest from their centres, in place.

    Where no row is off its centre, and for a cluster that gave its only row away, there is the
    largest cluster's centre once more.
    """
    empty = np.flatnonzero(sums[:, 0] == 0)
    far = ((features[:, 1:] - centers[labels]) ** 2).sum(1)
    furthest = np.argpartition(far, -len(empty))[: -len(empty) - 1 : -1]
    for cluster, row in zip(empty, furthest, strict=True) if far.any() else ():
        sums[labels[row]] -= features[row]
        sums[cluster] = features[row]
    sums[sums[:, 0] == 0] = sums[sums[:, 0].argmax()]
