"""Labels that spread along the graph of neighbours, from few rows to all."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def spread_labels(
    labels: np.ndarray, neighbours: np.ndarray, n_clusters: int, alpha: float = 0.99
) -> np.ndarray:
    """A label for every row, by diffusion along the graph.

    F <- alpha S F + (1 - alpha) Y with the symmetrically normalised adjacency S of the graph, in
    which i and j are joined if either is a neighbour of the other. Y holds the known labels, each
    class with the same sum.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        From 0, and -1 where none is known.
    neighbours : ndarray of shape (n_samples, n_neighbors)
        Row numbers.
    n_clusters : int
    alpha : float
        How far labels reach: a step to a neighbour keeps this share.

    Returns
    -------
    ndarray of shape (n_samples,)
        -1 in rows that no path joins to a label.

    References
    ----------
    Zhou, Bousquet, Lal, Weston, Schölkopf, "Learning with local and global consistency", NeurIPS
    2003.
    """
    n_rows, n_neighbors = neighbours.shape
    start = np.repeat(np.arange(n_rows), n_neighbors)
    ones = np.ones(len(start), np.float32)
    joined = sp.csr_array((ones, (start, neighbours.ravel())), shape=(n_rows, n_rows))
    joined = joined.maximum(joined.T).tocsr()
    root = 1 / np.sqrt(np.maximum(joined.sum(1), 1))
    step = joined.multiply(root[:, np.newaxis]).multiply(root).tocsr()
    known = np.zeros((n_rows, n_clusters), np.float32)
    (rows,) = np.nonzero(labels >= 0)
    known[rows, labels[rows]] = 1
    known /= np.maximum(known.sum(0), 1)
    spread = known
    for _ in range(round(3 / (1 - alpha))):  # what is left after that is alpha ** n < .05
        spread = alpha * (step @ spread) + (1 - alpha) * known
    return np.where(spread.any(1), spread.argmax(1), -1)


def spread_accuracy(
    labels: np.ndarray, neighbours: np.ndarray, n_clusters: int, n_folds: int = 3
) -> float:
    """Share of known labels that the others, spread, name rightly; NaN with one label of a class.

    Parameters
    ----------
    labels, neighbours, n_clusters
        As in `spread_labels`.
    n_folds : int
        Parts of every class that are left out in turn; at most as many as the least class has
        labels.
    """
    (known,) = np.nonzero(labels >= 0)
    n_folds = min(n_folds, np.bincount(labels[known], minlength=n_clusters).min())
    if n_folds < 2:
        return float("nan")
    place = np.empty(len(known), int)
    for c in range(n_clusters):
        mine = labels[known] == c
        place[mine] = np.arange(mine.sum()) % n_folds
    right = 0
    for fold in range(n_folds):
        left_out = known[place == fold]
        fewer = labels.copy()
        fewer[left_out] = -1
        found = spread_labels(fewer, neighbours, n_clusters)
        right += (found[left_out] == labels[left_out]).sum()
    return right / len(known)
