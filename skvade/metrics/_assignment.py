"""How decided and how even a soft clustering is, without true labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import entr

BLOCK_ROWS = 1 << 17


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

    Raises
    ------
    ValueError
        If `proba` has no two dimensions, or lines that are no probabilities.

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
    proba = np.asarray(proba)
    if proba.ndim != 2 or len(proba) == 0:
        raise ValueError(f"proba must have shape (n_samples, n_clusters), got {proba.shape}.")
    total, entropy = np.zeros(proba.shape[1]), 0.0
    for start in range(0, len(proba), BLOCK_ROWS):
        block = proba[start : start + BLOCK_ROWS].astype(float)
        check_probabilities(block)
        total += block.sum(0)
        entropy += entr(block).sum(1).sum()
    return max(0.0, float(entr(total / len(proba)).sum() - entropy / len(proba)))


def check_probabilities(proba: np.ndarray) -> None:
    """Raise a ValueError where lines of (n_samples, n_clusters) are no probabilities."""
    low, total = proba.min(), proba.sum(1)
    if low < 0 or np.abs(total - 1).max() > 1e-3:
        raise ValueError(
            f"proba must hold probabilities whose lines sum to one, got values from {low:.3g} "
            f"and sums from {total.min():.3g} to {total.max():.3g}; pass what predict_proba "
            "gives."
        )
