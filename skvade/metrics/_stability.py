"""Whether other rows lead to the same clusters."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone, is_classifier
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.validation import check_is_fitted


def stability_score(estimator: Any, X: Any, y: Any = None) -> float:
    """How well the clusters of the rows that were fitted foretell those of these rows.

    A clone of the estimator is fitted to X; the score is the adjusted Rand index of its clusters
    with those that the fitted estimator predicts for X. So it compares numbers of clusters, latent
    sizes, covariances and any other settings, of any clusterer with `predict` and of pipelines that
    end in one, and needs no label. As `scoring` of a search it sees rows that were held out; two
    folds give both fits as many rows as there can be. Let them be drawn at random, by
    ``KFold(2, shuffle=True)``: with ``cv=2`` folds are the first and the second half, which differ
    where rows are sorted. It costs a further fit of these rows. Fewer clusters than there are may
    be as stable, where some of them always fall together: of numbers that score alike take the
    largest. One cluster has the score 1 and tells nothing.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A fitted clusterer.
    X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
        Rows that it was not fitted to.
    y : Ignored
        Present for API consistency by convention.

    Returns
    -------
    float
        At most 1, where both find the same clusters; about 0 where they have nothing in common but
        chance.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is a classifier, which cannot be fitted without labels.

    References
    ----------
    Tibshirani and Walther, "Cluster validation by prediction strength", Journal of Computational
    and Graphical Statistics 14(3), 2005. Lange, Roth, Braun, Buhmann, "Stability-based validation
    of clustering solutions", Neural Computation 16(6), 2004.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.model_selection import GridSearchCV, KFold
    >>> from skvade.metrics import stability_score
    >>> X, _ = make_blobs(200, centers=3, cluster_std=0.5, random_state=3)
    >>> halves = KFold(2, shuffle=True, random_state=0)
    >>> numbers = {"n_clusters": [2, 3, 4, 5]}
    >>> search = GridSearchCV(KMeans(random_state=0), numbers, scoring=stability_score, cv=halves)
    >>> search.fit(X).cv_results_["mean_test_score"].round(1)  # three is the largest of the best
    array([1. , 1. , 0.9, 0.7])
    """
    check_is_fitted(estimator)
    if is_classifier(estimator):
        raise TypeError(
            f"stability_score compares clusterings; {type(estimator).__name__} is a classifier, "
            "which cannot be fitted anew without labels. Use accuracy on labelled rows."
        )
    anew = clone(estimator).fit(X)
    return float(adjusted_rand_score(anew.predict(X), estimator.predict(X)))
