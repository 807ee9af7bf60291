"""Agreement of clusters with true classes."""

from __future__ import annotations

from typing import Any

from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils.validation import check_consistent_length, column_or_1d


def clustering_accuracy(labels_true: Any, labels_pred: Any) -> float:
    """Share of rows in the right cluster, under the best one-to-one naming of the clusters.

    `ACC = max_m 1/n sum_i [y_i = m(c_i)]` over one-to-one maps m from clusters to classes, found
    by the Hungarian method. It reads true labels, so it judges a clustering and never chooses one.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
    labels_pred : array-like of shape (n_samples,)
        Clusters; their number may differ from that of the classes, and rows in clusters that get
        no class count as wrong.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the two differ in length or are empty.

    References
    ----------
    Yang, Xu, Nie, Yan, Zhuang, "Image clustering using local discriminant models and global
    integration", IEEE Transactions on Image Processing 19(10), 2010.

    Examples
    --------
    >>> from skvade.metrics import clustering_accuracy
    >>> clustering_accuracy([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    >>> clustering_accuracy(["a", "a", "b", "b"], [0, 0, 0, 1])
    0.75
    """
    labels_true, labels_pred = column_or_1d(labels_true), column_or_1d(labels_pred)
    check_consistent_length(labels_true, labels_pred)
    if len(labels_true) == 0:
        raise ValueError("labels_true and labels_pred are empty; pass at least one label each.")
    table = contingency_matrix(labels_true, labels_pred)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / len(labels_true))
