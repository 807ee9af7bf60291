"""Groups that are merged along the graph of neighbours, the closest pair first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

Closeness = Callable[[np.ndarray], np.ndarray]
TINY = np.finfo(float).tiny


def shared(flow: np.ndarray) -> np.ndarray:
    """What share of the smaller one's weight is between two groups: W_ab / min(W_a, W_b)."""
    volume = np.maximum(flow.sum(1), TINY)
    return flow / np.minimum.outer(volume, volume)


def information_kept(flow: np.ndarray) -> np.ndarray:
    """What a merger of two groups adds to the information I(c; c') of neighbours; not positive."""
    volume = flow.sum(1)
    entries, diagonal = _x_log_x(flow), np.diag(flow)
    joined = _x_log_x(flow[:, np.newaxis] + flow)  # of a and b with every c, (a, b, c)
    others = joined - entries[:, np.newaxis] - entries
    own = diagonal[:, np.newaxis] + diagonal
    index = np.arange(len(flow))
    at_a, at_b = others[index, :, index], others[:, index, index]
    gained = 2 * (others.sum(2) - at_a - at_b)
    gained += _x_log_x(own + 2 * flow) - _x_log_x(diagonal)[:, np.newaxis] - _x_log_x(diagonal)
    gained -= 2 * entries
    total = _x_log_x(volume)
    return gained - 2 * (_x_log_x(np.add.outer(volume, volume)) - np.add.outer(total, total))


def merges(flow: np.ndarray, closeness: Closeness) -> Iterator[tuple[int, int, np.ndarray]]:
    """Merge the closest pair until one group is left.

    Parameters
    ----------
    flow : ndarray of shape (n_groups, n_groups)
        Weights between groups, symmetric.
    closeness : callable
        Takes the flow between the groups that are left to how close each pair is.

    Yields
    ------
    into, gone : int
        The numbers, among all groups, of those that were merged; the first names them both now.
    flow : ndarray
        Between the groups that are left.
    """
    left, names = flow, np.arange(len(flow))
    while len(left) > 1:
        left = left.copy()  # who was given it may keep it
        near = closeness(left)
        near[np.tril_indices(len(left))] = -np.inf
        into, gone = np.unravel_index(near.argmax(), near.shape)
        left[into] += left[gone]
        left[:, into] += left[:, gone]
        pair = int(names[into]), int(names[gone])
        left = np.delete(np.delete(left, gone, 0), gone, 1)
        names = np.delete(names, gone)
        yield *pair, left


def merge(flow: np.ndarray, n_clusters: int) -> np.ndarray:
    """The cluster of every group, from 0 to n_clusters - 1, after mergers of those that share most.

    Parameters
    ----------
    flow : ndarray of shape (n_groups, n_groups)
        Weights between groups, symmetric.
    n_clusters : int
        Fewer groups than that stay as they are.
    """
    cluster = np.arange(len(flow))
    for into, gone, _ in islice(merges(flow, shared), max(len(flow) - n_clusters, 0)):
        cluster[cluster == gone] = into
    return np.unique(cluster, return_inverse=True)[1]


def merge_tree(flow: np.ndarray) -> np.ndarray:
    """All mergers of those that share most, as SciPy's hierarchies have them.

    Parameters
    ----------
    flow : ndarray of shape (n_groups, n_groups)

    Returns
    -------
    ndarray of shape (n_groups - 1, 4)
        The two groups or earlier mergers that are merged; -log of the share that the pair had, and
        no less than that of the merger before; and the number of groups in it.
    """
    node, size, left = np.arange(len(flow)), np.ones(len(flow)), flow
    tree = np.empty((len(flow) - 1, 4))
    height = 0.0
    for number, (into, gone, after) in enumerate(merges(flow, shared)):
        near = shared(left)
        np.fill_diagonal(near, 0)
        height = max(height, -float(np.log(max(near.max(), 1e-12))))
        size[into] += size[gone]
        tree[number] = *sorted((node[into], node[gone])), height, size[into]
        node[into], left = len(flow) + number, after
    return tree


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.maximum(x, TINY))
