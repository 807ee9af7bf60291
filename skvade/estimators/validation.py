"""From what users pass to what the library works on, with messages that name the cure.

The only file that uses scikit-learn's private validation helpers.
"""

from __future__ import annotations

import math
import sys
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import validate_data

from skvade.nn.covariances import COVARIANCES
from skvade.nn.likelihoods import LIKELIHOODS, Likelihood
from skvade.nn.networks import ACTIVATIONS
from skvade.nn.summary import DataSummary
from skvade.training.schedules import SCHEDULES

_POSITIVE = Interval(Integral, 1, None, closed="left")
_ABOVE_ZERO = Interval(Real, 0.0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0.0, None, closed="left")
_AUTO = StrOptions({"auto"})

CONSTRAINTS: dict[str, list[Any]] = {
    "n_clusters": [_POSITIVE],
    "n_classes": [_POSITIVE, None],
    "alpha": [_ABOVE_ZERO],
    "update_interval": [_POSITIVE],
    "clustering_weight": [_NOT_NEGATIVE],
    "marginalization": [StrOptions({"exact", "gumbel"})],
    "temperature": [_ABOVE_ZERO],
    "min_temperature": [_ABOVE_ZERO],
    "category_weight": [_NOT_NEGATIVE],
    "style_weight": [_NOT_NEGATIVE],
    "label_weight": [_NOT_NEGATIVE],
    "assignment_weight": [_NOT_NEGATIVE],
    "feature_weight": [_NOT_NEGATIVE],
    "labeled_share": [Interval(Real, 0.0, 1.0, closed="both")],
    "n_nearest": [_POSITIVE],
    "latent_dim": [_POSITIVE],
    "hidden_layer_sizes": ["array-like"],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "likelihood": [StrOptions({"auto", *LIKELIHOODS})],
    "covariance_type": [StrOptions(set(COVARIANCES))],
    "reg_covar": [Interval(Real, 0.0, 1.0, closed="right")],
    "encoder": [HasMethods(["forward", "parameters", "state_dict"]), None],
    "decoder": [HasMethods(["forward", "parameters", "state_dict"]), None],
    "n_neighbors": [_POSITIVE],
    "neighbor_weight": [_NOT_NEGATIVE],
    "init": [
        StrOptions({"gmm", "k-means", "random"}),
        HasMethods(["fit_predict", "get_params"]),
        "array-like",
    ],
    "n_init": [_POSITIVE],
    "pretrain_iter": [Interval(Integral, 0, None, closed="left"), _AUTO],
    "max_iter": [_POSITIVE, _AUTO],
    "batch_size": [_POSITIVE, _AUTO],
    "learning_rate": [Interval(Real, 0.0, 1.0, closed="right")],
    "learning_rate_schedule": [StrOptions(set(SCHEDULES))],
    "tol": [_NOT_NEGATIVE],
    "n_iter_no_change": [_POSITIVE],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0.0, 1.0, closed="neither")],
    "warm_start": ["boolean"],
    "device": [str],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def check_parameters(estimator: BaseEstimator) -> None:
    """Check every constructor parameter against its constraint.

    Raises
    ------
    ValueError, TypeError
        With the parameter's name, what it must be, and what it is.
    """
    validate_parameter_constraints(
        CONSTRAINTS,
        estimator.get_params(deep=False),
        caller_name=type(estimator).__name__,
    )
    for name in ("encoder", "decoder", "init"):
        value = getattr(estimator, name)
        if isinstance(value, type):
            raise TypeError(
                f"The {name!r} parameter must be an instance, got the class {value.__name__}; "
                f"call it: {name}={value.__name__}(...)."
            )
    sizes = estimator.hidden_layer_sizes
    if len(sizes) == 0 or not all(isinstance(s, Integral) and s >= 1 for s in sizes):
        raise ValueError(
            "The 'hidden_layer_sizes' parameter must be a non-empty sequence of integers of at "
            f"least 1, such as (500, 500, 2000). Got {sizes!r} instead."
        )


def check_rows(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """X as a numeric array or CSR container in its own dtype; nothing is copied that need not be.

    Raises
    ------
    ValueError, TypeError
        If X is not a finite, real, two-dimensional table of numbers with the fitted columns.
    """
    X = validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse="csr",
        dtype="numeric",
        ensure_min_samples=2 if reset else 1,
    )
    if X.dtype.kind not in "buif":
        raise TypeError(f"X must hold real numbers, got dtype {X.dtype}; convert it to float.")
    return X.astype(np.float64) if X.dtype.itemsize > 8 else X


def check_n_clusters(name: str, n_clusters: int, n_samples: int) -> None:
    """There must be a row for every cluster."""
    if n_samples < n_clusters:
        raise ValueError(
            f"n_samples={n_samples} should be >= {name}={n_clusters}; pass more rows or lower "
            f"{name}."
        )


def working_dtype(X: Any) -> type:
    """The float type for X outside training: float32 where that holds it exactly."""
    exact = X.dtype == np.float32 or X.dtype.itemsize < 4
    return np.float32 if exact else np.float64


def choose_likelihood(name: str, summary: DataSummary) -> str:
    """What "auto" stands for: "bernoulli" for data in [0, 1], "gaussian" otherwise."""
    if name != "auto":
        return name
    return "bernoulli" if 0 <= summary.minimum and summary.maximum <= 1 else "gaussian"


def check_support(name: str, likelihood: type[Likelihood], low: float, high: float) -> None:
    """The data, which reach from `low` to `high`, must lie where the likelihood is defined."""
    if low < likelihood.lower:
        raise ValueError(
            f"Negative values in data: likelihood={name!r} needs X {_support(likelihood)}, got "
            f"{low:.6g}; use likelihood='gaussian' or scale the data."
        )
    if high > likelihood.upper:
        raise ValueError(
            f"likelihood={name!r} needs X {_support(likelihood)}, got "
            f"values up to {high:.6g}; {likelihood.cure_of_large}, or use likelihood='gaussian'."
        )


def _support(likelihood: type[Likelihood]) -> str:
    """Where the likelihood is defined, in words."""
    if math.isinf(likelihood.upper):
        return f">= {likelihood.lower:.6g}"
    return f"in [{likelihood.lower:.6g}, {likelihood.upper:.6g}]"


def warn_convergence(message: str) -> None:
    """A ConvergenceWarning at the line of the user's own that called `fit`, by whatever way."""
    ours = ("skvade.", "sklearn.", "joblib.", "contextlib")
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(ours):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, ConvergenceWarning, stacklevel=level)
