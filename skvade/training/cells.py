"""Nearest neighbours among many rows, sought in the cells around each row's own."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import NearestNeighbors

from skvade.training.runtime import n_distinct

SAMPLED_PER_CELL = 50
CELLS_ASKED = 64
MAX_EXCESS = 3


def neighbours_in_cells(
    places: np.ndarray, n_neighbors: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of, and distances to, near others, both (n_samples, n_neighbors).

    k-means on a sample makes as many cells as the root of the number of rows. The neighbours of a
    cell's rows are the nearest among the rows of the cells around it that together hold as many as
    64 of mean size, so that time grows with the power 1.5 of the rows. Where one cell is crowded,
    with copies of a row for instance, three times as many are asked at most, drawn at random.

    Parameters
    ----------
    places : ndarray of shape (n_samples, n_dimensions)
    n_neighbors : int
    seed : int
    """
    rng = np.random.RandomState(seed)
    n_rows = len(places)
    n_cells = round(n_rows**0.5)
    centres = _centres(places, n_cells, rng)
    cell = pairwise_distances_argmin(places, centres)
    sizes = np.bincount(cell, minlength=len(centres))
    members = np.split(np.argsort(cell, kind="stable"), np.cumsum(sizes)[:-1])

    n_wanted = max(round(CELLS_ASKED * n_rows / n_cells), 2 * n_neighbors)
    neighbours = np.empty((n_rows, n_neighbors), np.int64)
    distances = np.empty((n_rows, n_neighbors), places.dtype)
    for own, centre in zip(members, centres, strict=True):
        if not len(own):
            continue
        order = np.square(centres - centre).sum(1).argsort()
        n_around = np.searchsorted(sizes[order].cumsum(), n_wanted) + 1
        asked = np.concatenate([members[c] for c in order[:n_around]])
        if len(asked) > MAX_EXCESS * n_wanted:
            asked = rng.choice(asked, MAX_EXCESS * n_wanted, replace=False)
        neighbours[own], distances[own] = _nearest_others(places, own, asked, n_neighbors)
    return neighbours, distances


def _centres(places: np.ndarray, n_cells: int, rng: np.random.RandomState) -> np.ndarray:
    n_sampled = min(len(places), SAMPLED_PER_CELL * n_cells)
    sample = places[rng.choice(len(places), n_sampled, replace=False)]
    n_cells = n_distinct(sample, at_most=n_cells)
    kmeans = KMeans(n_cells, init="random", n_init=1, max_iter=10, random_state=rng)
    return kmeans.fit(sample).cluster_centers_


def _nearest_others(
    places: np.ndarray, own: np.ndarray, asked: np.ndarray, n_neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    search = NearestNeighbors(n_neighbors=n_neighbors + 1, algorithm="brute").fit(places[asked])
    distances, found = search.kneighbors(places[own])
    found = asked[found]
    drop = found == own[:, None]
    drop[~drop.any(1), -1] = True  # among copies a row may not find itself, or not be asked
    shape = len(own), n_neighbors
    return found[~drop].reshape(shape), distances[~drop].reshape(shape)
