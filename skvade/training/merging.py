"""Groups that are merged along the graph of neighbours."""

from __future__ import annotations

import numpy as np


def merge(flow: np.ndarray, n_clusters: int) -> np.ndarray:
    """The cluster of every group, after the closest pairs have been merged, one after the other.

    The closest pair has the greatest share of the smaller one's weight between them,
    W_ab / min(W_a, W_b).

    Parameters
    ----------
    flow : ndarray of shape (n_groups, n_groups)
        Weights between groups, symmetric.
    n_clusters : int
        At most n_groups.

    Returns
    -------
    ndarray of shape (n_groups,)
        Numbers from 0 to n_clusters - 1.
    """
    flow, cluster = flow.copy(), np.arange(len(flow))
    alive = np.ones(len(flow), bool)
    while alive.sum() > n_clusters:
        volume = np.maximum(flow.sum(1), np.finfo(float).tiny)
        closeness = flow / np.minimum.outer(volume, volume)
        closeness[~np.logical_and.outer(alive, alive)] = -1
        np.fill_diagonal(closeness, -1)
        into, gone = np.unravel_index(closeness.argmax(), closeness.shape)
        flow[into] += flow[gone]
        flow[:, into] += flow[:, gone]
        flow[gone] = flow[:, gone] = 0
        alive[gone] = False
        cluster[cluster == gone] = into
    return np.unique(cluster, return_inverse=True)[1]
