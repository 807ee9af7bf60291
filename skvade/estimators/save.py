"""Saving an estimator, or a pipeline that ends in one."""

from __future__ import annotations

import os
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skvade.estimators.base import BaseDeepModel
from skvade.persistence.pipeline_file import write_pipeline


def save(estimator: Any, path: str | bytes | os.PathLike[Any]) -> None:
    """Write a fitted estimator of skvade, or a pipeline that ends in one, to a file without code.

    :func:`skvade.load` reads it. Steps before the model may be scikit-learn's transformers of
    numbers and categories: StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, Normalizer,
    PowerTransformer, QuantileTransformer, Binarizer, KBinsDiscretizer, PolynomialFeatures,
    OneHotEncoder, OrdinalEncoder, SimpleImputer, KNNImputer, MissingIndicator, PCA, TruncatedSVD,
    VarianceThreshold, TfidfTransformer, FunctionTransformer without a function, and
    ColumnTransformer, FeatureUnion and Pipeline of such.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A search's `best_estimator_` is saved by itself.
    path : str, bytes or path-like
        Such as "model.safetensors". An older file is replaced when the new one is complete.

    Raises
    ------
    NotFittedError
        If there is nothing to save.
    TypeError
        If a step is none of these, or holds what only code could make again, such as a function;
        the message names it.
    ValueError, OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skvade import VaDEClustering, load, save
    >>> X, _ = load_wine(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), VaDEClustering(3, random_state=0)).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "wine.safetensors")
    ...     save(model, path)
    ...     again = load(path)
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    """
    if isinstance(estimator, BaseDeepModel):
        estimator.save(path)
        return
    if not isinstance(estimator, Pipeline) or not isinstance(estimator[-1], BaseDeepModel):
        raise TypeError(
            "estimator must be one of skvade's, or a Pipeline that ends in one, got "
            f"{type(estimator).__name__}; of a search pass best_estimator_."
        )
    check_is_fitted(estimator[-1])
    write_pipeline(estimator, path)
