"""Names for clusters from a few labelled examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d


def most_confident_labels(labels_true: Any, proba: Any) -> np.ndarray:
    """Name each cluster after the class of its most confident labelled example.

    `name_c = y_i, i = argmax_i q(c|x_i)`: one label per cluster is all that it reads, so a
    clustering becomes a classifier for as many labels as there are clusters. Several clusters may
    get the same name.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Classes of some examples, apart from those that are judged afterwards.
    proba : array-like of shape (n_samples, n_clusters)
        Their q(c|x), from `predict_proba`.

    Returns
    -------
    ndarray of shape (n_clusters,)
        The class of each cluster; ``names[model.predict(X)]`` then predicts classes.

    Raises
    ------
    ValueError
        If the shapes do not fit together.

    Examples
    --------
    >>> from skvade.metrics import most_confident_labels
    >>> names = most_confident_labels(["a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> names[[1, 0]].tolist()
    ['b', 'a']
    """
    labels_true = column_or_1d(labels_true)
    proba = np.asarray(proba, dtype=float)
    if proba.ndim != 2 or len(proba) == 0:
        raise ValueError(
            f"proba must have shape (n_samples, n_clusters), got {proba.shape}; pass the result of "
            "predict_proba."
        )
    check_consistent_length(labels_true, proba)
    return labels_true[proba.argmax(0)]
