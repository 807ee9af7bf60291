"""Cells: a table cut into small parts of rows that are near each other."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import pairwise_distances_argmin

from skvade.training.units import row_slices

SAMPLED_PER_PART = 50
MAX_PARTS = 64
MAX_SHARE = 0.9
N_STEPS = 5


def cut_into_cells(places: np.ndarray, size: int, rng: np.random.RandomState) -> list[np.ndarray]:
    """Row numbers of every cell; each has some `size` rows, and at most twice as many.

    k-means on a sample cuts the rows into up to 64 parts, and these likewise, until they are small.
    A cut that leaves nearly all rows in one part, as among copies of a row, is made anew along the
    widest column. So the time grows no faster than n log n, and cells that are next to each other
    in the list are mostly near.

    Parameters
    ----------
    places : ndarray of shape (n_samples, n_dimensions)
    size : int
    rng : RandomState
    """
    cells, left = [], [np.arange(len(places))]
    while left:
        rows = left.pop()
        if len(rows) <= 2 * size:
            cells.append(rows)
        else:
            left += _parts(places, rows, min(MAX_PARTS, -(-len(rows) // size)), rng)
    return cells


def _parts(
    places: np.ndarray, rows: np.ndarray, n_parts: int, rng: np.random.RandomState
) -> list[np.ndarray]:
    n_sampled = min(len(rows), SAMPLED_PER_PART * n_parts)
    sample = places[np.sort(rng.choice(rows, n_sampled, replace=False))]
    means = _means(sample, n_parts, rng)
    part = np.empty(len(rows), np.intp)
    for block in row_slices(len(rows), places.shape[1]):
        part[block] = pairwise_distances_argmin(places[rows[block]], means)
    sizes = np.bincount(part)
    if sizes.max() > MAX_SHARE * len(rows):
        along = places[rows, np.ptp(sample, axis=0).argmax()]
        return np.array_split(rows[np.argsort(along, kind="stable")], n_parts)
    ordered = rows[np.argsort(part, kind="stable")]
    return [found for found in np.split(ordered, np.cumsum(sizes)[:-1]) if len(found)]


def _means(sample: np.ndarray, n_means: int, rng: np.random.RandomState) -> np.ndarray:
    """Rough k-means; scikit-learn's would warn where parts stay empty, as among copies they do."""
    n_sampled = len(sample)
    means = sample[rng.choice(n_sampled, n_means, replace=False)]
    for _ in range(N_STEPS):
        nearest = pairwise_distances_argmin(sample, means)
        ones = np.ones(n_sampled, sample.dtype)
        members = sp.csr_array((ones, (nearest, np.arange(n_sampled))), (n_means, n_sampled))
        counts = np.bincount(nearest, minlength=n_means)[:, np.newaxis]
        means = np.where(counts > 0, members @ sample / np.maximum(counts, 1), means)
        means = means.astype(sample.dtype)
    return means
