"""How decided and how even a soft clustering is, without true labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import entr


def mutual_information(proba: Any) -> float:
    """Mutual information between a random row and its cluster, in nats.

    `I = H(mean_i q_i) - mean_i H(q_i)`: high when rows are assigned with confidence and clusters
    have even sizes. Among restarts of a mixture on the same codes it ranks by quality far better
    than the likelihood does.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_clusters)
        Probabilities of the clusters for each row.

    Returns
    -------
    float
        Between 0 and log(n_clusters).

    References
    ----------
    Bridle, Heading, MacKay, "Unsupervised classifiers, mutual information and 'phantom targets'",
    NIPS 1991.

    Examples
    --------
    >>> from skvade.metrics import mutual_information
    >>> round(mutual_information([[1.0, 0.0], [0.0, 1.0]]), 3)
    0.693
    >>> mutual_information([[0.5, 0.5], [0.5, 0.5]])
    0.0
    """
    proba = np.asarray(proba, dtype=float)
    if proba.ndim != 2 or len(proba) == 0:
        raise ValueError(f"proba must have shape (n_samples, n_clusters), got {proba.shape}.")
    return max(0.0, float(entr(proba.mean(0)).sum() - entr(proba).sum(1).mean()))


def neighbour_information(proba: Any, neighbour_proba: Any) -> float:
    """Mutual information between the cluster of a row and that of its neighbour, in nats.

    `I = sum_cd P_cd log(P_cd / (P_c P_d))` with `P = mean_(i,j) (q_i q_j' + q_j q_i') / 2` over
    pairs of neighbours (i, j): high when neighbours share a cluster and clusters have even sizes,
    low when a boundary runs where rows are dense.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_clusters)
        Probabilities of the clusters for each row.
    neighbour_proba : array-like of shape (n_samples, n_neighbors, n_clusters)
        The same for the neighbours of each row.

    Returns
    -------
    float
        Between 0 and log(n_clusters).

    References
    ----------
    Ji, Henriques, Vedaldi, "Invariant information clustering for unsupervised image classification
    and segmentation", ICCV 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skvade.metrics import neighbour_information
    >>> q = np.eye(2)
    >>> round(neighbour_information(q, q[:, None]), 3)  # neighbours share clusters
    0.693
    >>> neighbour_information(q, np.full((2, 1, 2), 0.5))  # or have nothing to do with each other
    0.0
    """
    proba, near = np.asarray(proba, dtype=float), np.asarray(neighbour_proba, dtype=float)
    if proba.ndim != 2 or near.ndim != 3 or proba.shape != near[:, 0].shape:
        raise ValueError(
            "proba and neighbour_proba must have shapes (n_samples, n_clusters) and (n_samples, "
            f"n_neighbors, n_clusters), got {proba.shape} and {near.shape}."
        )
    joint = proba.T @ near.mean(1) / len(proba)
    joint = (joint + joint.T) / 2
    return max(0.0, float(2 * entr(joint.sum(0)).sum() - entr(joint).sum()))
