"""Writing an estimator, or a pipeline of affine steps that ends in one, as an ONNX file."""

from __future__ import annotations

import os
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skvade.estimators.base import BaseDeepModel
from skvade.estimators.exported import Affine, write_onnx

SCALERS = (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler)
PROJECTIONS = (PCA, TruncatedSVD)


def to_onnx(estimator: Any, path: str | bytes | os.PathLike[Any]) -> None:
    """Write a fitted estimator of skvade, or a pipeline that ends in one, as an ONNX file.

    Wherever there is an ONNX runtime, without Python or torch, the file takes "X", float32 rows
    (n_samples, n_features) of any number, and gives "cluster" (n_samples,), int64, as `predict`
    does, -1 for noise where `noise_quantile` was set, and for classifiers the place in `classes_`;
    "probabilities" (n_samples, n_clusters), "code" (n_samples, latent_dim), and of models with a
    density "log_likelihood" (n_samples,), in nats, as `score_samples` does; a runtime computes only
    what it is asked for. Steps before the model are folded in if they are affine: StandardScaler,
    MinMaxScaler and MaxAbsScaler without `clip`, RobustScaler, PCA, TruncatedSVD. The classes are
    in the file's metadata. NaN is a missing value where the model was fitted to rows with such.
    Rows are not checked: what comes of others with missing values, or of rows outside a
    likelihood's support, means nothing.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A search's `best_estimator_` is written by itself.
    path : str, bytes or path-like
        Such as "model.onnx". An older file is replaced when the new one is complete.

    Raises
    ------
    ImportError
        If onnx or onnxscript are not installed: ``pip install 'skvade[onnx]'``.
    NotFittedError
        If there is nothing to write.
    TypeError
        If the estimator is none of skvade's, or a step is none of these.
    ValueError
        If the model was fitted to a table with categories, or the path is no regular file's.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skvade import VaDEClustering, to_onnx
    >>> X, _ = load_wine(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), VaDEClustering(3, random_state=0)).fit(X)
    >>> to_onnx(model, "wine.onnx")  # doctest: +SKIP
    """
    steps: list[tuple[str, Any]] = []
    model = estimator
    if isinstance(estimator, Pipeline):
        *steps, (_, model) = estimator.steps
    if not isinstance(model, BaseDeepModel):
        raise TypeError(
            "estimator must be one of skvade's, or a Pipeline that ends in one, got "
            f"{type(estimator).__name__}; of a search pass best_estimator_."
        )
    check_is_fitted(model)
    folded = [_affine(name, step) for name, step in steps if step not in (None, "passthrough")]
    n_in = len(folded[0].factor) if folded else model.n_features_in_
    write_onnx(model, path, folded, n_in)


def _affine(name: str, step: Any) -> Affine:
    """A transformer's own numbers."""
    if type(step) not in (*SCALERS, *PROJECTIONS) or getattr(step, "clip", False):
        raise TypeError(
            f"Step {name!r}, a {type(step).__name__}, cannot be folded in; affine steps only are "
            "(StandardScaler, MinMaxScaler and MaxAbsScaler without clip, RobustScaler, PCA, "
            "TruncatedSVD); write the model alone, model[-1].to_onnx(path), and transform rows "
            "before."
        )
    check_is_fitted(step)
    step = deepcopy(step).set_output(transform="default")
    vars(step).pop("feature_names_in_", None)  # it is asked with arrays
    n_features = step.n_features_in_
    shift = step.transform(np.zeros((1, n_features)))[0]
    if type(step) in SCALERS:
        one = step.inverse_transform(np.array([np.zeros(n_features), np.ones(n_features)]))
        return Affine(1 / (one[1] - one[0]), shift)
    factor = step.transform(np.eye(n_features)) - shift
    return Affine(factor, shift)
