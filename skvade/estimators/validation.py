"""From what users pass to what the library works on, with messages that name the cure.

The only file that uses scikit-learn's private validation helpers.
"""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import assert_all_finite, validate_data

from skvade.nn.covariances import COVARIANCES
from skvade.nn.likelihoods import LIKELIHOODS, Likelihood
from skvade.nn.networks import ACTIVATIONS
from skvade.nn.summary import DataSummary
from skvade.training.peers import ALONE, Peers
from skvade.training.schedules import SCHEDULES
from skvade.training.units import Measured, look_at

_POSITIVE = Interval(Integral, 1, None, closed="left")
_ABOVE_ZERO = Interval(Real, 0.0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0.0, None, closed="left")
_AUTO = StrOptions({"auto"})

LITTLE, DOUBTFUL = 0.02, 2.5  # of a Bernoulli's variance, and by what factor that is sure
MOST, MOST_OF_FEW, NOT_MANY = 0.95, 0.99, 30  # of the variance, by one or a few of some columns

CONSTRAINTS: dict[str, list[Any]] = {
    "n_clusters": [_POSITIVE, _AUTO],
    "compare": ["boolean"],
    "max_clusters": [Interval(Integral, 2, None, closed="left")],
    "noise_quantile": [Interval(Real, 0.0, 1.0, closed="neither"), None],
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
    "skip": ["boolean"],
    "denoising_weight": [_NOT_NEGATIVE],
    "adversarial_iter": [Interval(Integral, 0, None, closed="left")],
    "dropout": [Interval(Real, 0.0, 1.0, closed="left")],
    "latent_dim": [_POSITIVE, _AUTO],
    "hidden_layer_sizes": ["array-like", _AUTO],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "linear_path": ["boolean"],
    "likelihood": [StrOptions({"auto", *LIKELIHOODS}), dict],
    "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
    "covariance_type": [StrOptions(set(COVARIANCES))],
    "reg_covar": [Interval(Real, 0.0, 1.0, closed="right")],
    "encoder": [HasMethods(["forward", "parameters", "state_dict"]), None],
    "decoder": [HasMethods(["forward", "parameters", "state_dict"]), None],
    "n_neighbors": [_POSITIVE],
    "neighbor_weight": [_NOT_NEGATIVE],
    "init": [
        StrOptions({"auto", "gmm", "k-means", "random"}),
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
    sizes = estimator.hidden_layer_sizes
    if isinstance(sizes, Integral):
        raise ValueError(
            "The 'hidden_layer_sizes' parameter must be a sequence of integers, one for each "
            f"hidden layer. Got {sizes!r} instead; for one layer write ({sizes},)."
        )
    validate_parameter_constraints(
        CONSTRAINTS,
        estimator.get_params(deep=False),
        caller_name=type(estimator).__name__,
    )
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, bool) and any(
            isinstance(c, Interval) for c in CONSTRAINTS.get(name, ())
        ):
            raise ValueError(f"The {name!r} parameter must be a number. Got {value!r} instead.")
    for name in ("encoder", "decoder", "init"):
        value = getattr(estimator, name)
        if isinstance(value, type):
            raise TypeError(
                f"The {name!r} parameter must be an instance, got the class {value.__name__}; "
                f"call it: {name}={value.__name__}(...)."
            )
    if isinstance(sizes, str):
        return
    if not all(isinstance(s, Integral) and not isinstance(s, bool) and s >= 1 for s in sizes):
        raise ValueError(
            "The 'hidden_layer_sizes' parameter must be 'auto' or a sequence of integers of at "
            f"least 1, such as (500, 500, 2000). Got {sizes!r} instead."
        )


def check_columns(estimator: BaseEstimator, X: Any, *, reset: bool) -> None:
    """Only the number of rows and columns, and their names; no categories are sparse."""
    refuse_containers(X)
    refuse_sparse(X)
    check_axes(X)
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    n_rows, needed = X.shape[0] if hasattr(X, "shape") else len(X), 2 if reset else 1
    if n_rows < needed:
        raise ValueError(
            f"Found array with {n_rows} sample(s) while a minimum of {needed} is required by "
            f"{type(estimator).__name__}."
        )


def check_axes(X: Any) -> None:
    """A table has rows and columns."""
    shape = X.shape if hasattr(X, "shape") else np.shape(np.asarray(X, dtype=object))
    if len(shape) != 2:
        raise ValueError(
            f"Expected 2D array or DataFrame, got a {type(X).__name__} of {len(shape)} "
            "dimension(s) instead; for one row pass X.iloc[[0]] of a DataFrame, or X[[0]] of an "
            "array."
        )


def refuse_sparse(X: Any) -> None:
    """A table of several kinds of columns must be dense."""
    if sp.issparse(X):
        raise TypeError(
            "categorical_features, and a likelihood for each column, need a dense table, got a "
            f"sparse {type(X).__name__}; pass X.toarray(), or leave both out of a fit."
        )


def as_numbers(X: Any, names: list[Any]) -> np.ndarray:
    """Columns of numbers, missing ones as NaN.

    Raises
    ------
    ValueError, TypeError
        If a column holds something else, or infinity; with its name.
    """
    _refuse_texts(X, names)
    if isinstance(X, np.ndarray) and X.dtype.kind in "US":
        X = X.astype(object)  # of texts numbers are made, as of lists of them
    values = check_array(X, dtype="numeric", ensure_all_finite=False)
    if values.dtype.kind not in "buif":
        raise TypeError(f"X must hold real numbers, got dtype {values.dtype}; convert it to float.")
    rows, columns = np.nonzero(np.isinf(values))
    if len(rows):
        raise ValueError(
            f"Input X contains infinity, first in row {rows[0]} of column {names[columns[0]]!r}; "
            "drop such rows, or set what is not known to NaN."
        )
    return values


def check_rows(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """X as a numeric array or CSR container in its own dtype; nothing is copied that need not be.

    Raises
    ------
    ValueError, TypeError
        If X is not a finite, real, two-dimensional table of numbers with the fitted columns.
    """
    refuse_containers(X)
    X = _with_nan(_with_none_as_object(X))
    _refuse_texts(X)
    try:
        X = validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype="numeric",
            ensure_min_samples=2 if reset else 1,
            ensure_all_finite="allow-nan",
        )
    except ValueError as error:
        kind = re.match("Input X contains (infinity[^.]*)", str(error))
        if kind is None:
            raise
        raise ValueError(
            f"{kind[0]}{_first_hole(X)}; drop such rows, or set what is not known to NaN."
        ) from None
    if X.dtype.kind == "O":  # columns of polars and pyarrow with holes, and those of decimals
        return as_numbers(X, list(getattr(estimator, "feature_names_in_", range(X.shape[1]))))
    if X.dtype.kind not in "buif":
        raise TypeError(f"X must hold real numbers, got dtype {X.dtype}; convert it to float.")
    if X.dtype.itemsize <= 8:
        return X
    with np.errstate(over="ignore"):
        narrow = X.astype(np.float64)
    assert_all_finite(
        narrow, input_name="X", allow_nan=True
    )  # a longdouble may be larger than any float64
    return narrow


def _with_none_as_object(X: Any) -> Any:
    """Lists with None as arrays, which scikit-learn makes numbers of only if they are arrays."""
    if not isinstance(X, list | tuple):
        return X
    try:
        array = np.asarray(X)
    except ValueError:  # ragged, which scikit-learn refuses in words of its own
        return X
    return array if array.dtype == object and array.ndim == 2 else X


def _with_nan(X: Any) -> Any:
    """Masked arrays with NaN where they are masked."""
    if not isinstance(X, np.ma.MaskedArray) or not np.ma.is_masked(X):
        return X
    if X.dtype.kind == "O":
        return np.where(X.mask, None, X.data)
    return (X if X.dtype.kind in "fc" else X.astype(np.float64)).filled(np.nan)


# What is of a type with such an attribute is no table yet, and how to make one of it.
CONTAINERS = {
    "obs_names": "pass its matrix, adata.X",
    "to_memory": "read it first: X.to_memory()",
    "collect": "collect it first: X.collect()",
    "compute": "compute it first: X.compute()",
    "toPandas": "collect it first: X.toPandas()",
}
CURES = {
    "texts": "make numbers of texts (pandas.to_numeric), encode them (OneHotEncoder), or name "
    "categories in categorical_features ('from_dtype' finds the columns of a DataFrame in which "
    "all values are texts)",
    "dates": "make numbers of dates and times, such as days: (X[name] - X[name].min()).dt.days",
    "others": "make numbers or texts of the values",
}
NO_NUMBERS = ("date", "time", "duration", "interval", "period")


def refuse_containers(X: Any) -> None:
    """Raise an error that says how to make rows of what numpy makes none of."""
    if isinstance(X, torch.Tensor):
        if X.requires_grad:
            raise TypeError(
                "X is a tensor that requires a gradient; pass X.detach().cpu().numpy()."
            )
        if X.device.type != "cpu":
            raise TypeError(f"X is a tensor on device {X.device}; pass X.cpu().numpy().")
    kind = type(X)
    if hasattr(kind, "__array__"):
        return
    for name, cure in CONTAINERS.items():
        if hasattr(kind, name):
            raise TypeError(
                f"X is a {kind.__module__}.{kind.__qualname__}, of which no rows can be taken; "
                f"{cure}."
            )


def _refuse_texts(X: Any, names: Sequence[Any] | None = None) -> None:
    """Raise an error that names the columns that hold strings, categories, dates or holes."""
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        columns = {name: (X[name], kind) for name, kind in zip(X.columns, X.dtypes, strict=False)}
        framed = True
    elif isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "USO":
        names = range(X.shape[1]) if names is None else names
        columns = {name: (X[:, number], X.dtype) for number, name in enumerate(names)}
        framed = False
    else:
        return
    found = {name: _other_of(values, kind, framed) for name, (values, kind) in columns.items()}
    others = {name: other for name, other in found.items() if other}
    if others:
        shown = ", ".join(f"column {name!r} ({other[0]})" for name, other in [*others.items()][:5])
        cures = dict.fromkeys(CURES[kind] for _, kind in others.values())
        raise ValueError(
            f"X holds no numbers in {shown}{', ...' if len(others) > 5 else ''}; "
            f"{'; '.join(cures)}; or leave the columns out."
        )


def _other_of(values: Any, kind: Any, framed: bool) -> tuple[str, str] | None:
    """What a column holds that is no number, and of which kind; holes have a check of their own."""
    text = str(kind).lower()
    if text.startswith(("float", "int", "uint", "bool", "complex")):
        return None
    if text.startswith(NO_NUMBERS):
        return str(kind), "dates"
    for value in np.asarray(values, dtype=object).tolist():
        try:
            number = is_absent(value) or isinstance(float(value), float)
        except ValueError:
            number = False
        except TypeError:
            if not framed and not isinstance(value, date | time | timedelta):
                return None  # a dict, say, which scikit-learn refuses in words of its own
            number = False
        if not number:
            dated = isinstance(value, date | time | timedelta)
            other = "texts" if isinstance(value, str) else "dates" if dated else "others"
            return f"{kind}, such as {value!r}", other
    return None


def _first_hole(X: Any) -> str:
    """Where the first infinite value is, in words; empty where that is not known."""
    try:
        framed = hasattr(X, "to_numpy")
        values = X.to_numpy(np.float64, na_value=np.nan) if framed else np.asarray(X, np.float64)
    except (TypeError, ValueError):
        return ""
    rows, columns = np.nonzero(np.isinf(values)) if values.ndim == 2 else ([], [])
    if not len(rows):
        return ""
    name = list(X.columns)[columns[0]] if hasattr(X, "columns") else int(columns[0])
    more = f" (and in {len(rows) - 1} more places)" if len(rows) > 1 else ""
    return f", first in row {rows[0]} of column {name!r}{more}"


def is_absent(value: Any) -> bool:
    """Whether a value stands for a missing one: None, NaN, NaT or pandas' NA."""
    is_nan = isinstance(value, float | np.floating) and bool(value != value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def check_observed(names: list[Any], n_observed: np.ndarray) -> None:
    """Something must be known of every column."""
    empty = np.flatnonzero(n_observed == 0)
    if len(empty):
        shown = ", ".join(repr(names[column]) for column in empty[:5].tolist())
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        raise ValueError(
            f"X has no value but NaN in column {shown}{more}; leave the column out, or fill it."
        )


def check_can_miss(estimator: BaseEstimator, misses: bool) -> None:
    """No holes for a model that was saved before there was something to fill them with."""
    if misses:
        raise ValueError(
            f"X has missing values, and this {type(estimator).__name__} was saved by a version of "
            "skvade that knew none; fit it again."
        )


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


@dataclass(frozen=True)
class LikelihoodChoice:
    """A likelihood, and why it was taken.

    Attributes
    ----------
    name : str
    reason : str
        Empty, where it was named by the user.
    doubts : tuple of str
        What speaks against it, each with its cure.
    """

    name: str
    reason: str = ""
    doubts: tuple[str, ...] = ()


def choose_likelihood(
    name: str, X: Any, summary: DataSummary, peers: Peers = ALONE
) -> LikelihoodChoice:
    """What "auto" stands for; and doubts of what the user has named."""
    low, high = f"{summary.minimum:.6g}", f"{summary.maximum:.6g}"
    if name != "auto":
        return LikelihoodChoice(name, doubts=_doubts_of_named(name, X, summary, peers))
    if summary.binary:
        return LikelihoodChoice("bernoulli", "all values are 0 or 1")
    if not (summary.minimum >= 0 and summary.maximum > 0):
        return LikelihoodChoice("gaussian", f"values from {low} to {high}")
    values = look_at(X, summary.maximum, peers)
    if summary.maximum <= 1:
        return _choose_within_one(values.spread, f"values from {low} to {high}")
    if not values.whole:
        return LikelihoodChoice("gaussian", f"values from {low} to {high}")
    reason = f"whole numbers from {low} to {high}"
    if values.like_counts and X.dtype.itemsize > 1:  # bytes are pixels
        doubt = (
            f"X holds whole numbers from 0 to {high}, as counts do, and likelihood='auto' takes "
            "'gaussian'. If they are counts, set likelihood='negative_binomial' or 'poisson'; if "
            "not, set 'gaussian'."
        )
        return LikelihoodChoice("gaussian", reason, (doubt,))
    return LikelihoodChoice("gaussian", reason)


def _doubts_of_named(name: str, X: Any, summary: DataSummary, peers: Peers) -> tuple[str, ...]:
    values = f"(values from {summary.minimum:.6g} to {summary.maximum:.6g})"
    if LIKELIHOODS[name].counts and not look_at(X, summary.maximum, peers).whole:
        return (
            f"likelihood={name!r} is for counts, but X holds fractions {values}; pass the counts "
            "themselves, or use likelihood='gaussian'.",
        )
    if name == "bernoulli" and 0 < look_at(X, summary.maximum, peers).spread < LITTLE / DOUBTFUL:
        return (
            f"likelihood={name!r} expects values that fill [0, 1], but those of X vary little "
            f"{values}; divide them by their maximum, or use likelihood='gaussian'.",
        )
    return ()


def _choose_within_one(spread: float, values: str) -> LikelihoodChoice:
    """Bernoulli's noise is that of zeros and ones: it hides clusters of values that vary little."""
    within = f"{values}, with {spread:.2g} of the variance that zeros and ones would have"
    name = "bernoulli" if spread >= LITTLE else "gaussian"
    doubt = (
        f"X holds {within}, and likelihood='auto' takes {name!r}. Set likelihood='bernoulli' if "
        "they are shares or grey values, and 'gaussian' if they are measurements."
    )
    doubtful = LITTLE / DOUBTFUL <= spread < LITTLE * DOUBTFUL
    return LikelihoodChoice(name, within, (doubt,) if doubtful else ())


def doubt(names: list[Any], measured: Measured, scaled: bool = False) -> tuple[str, ...]:
    """What the scales of columns make doubtful, each with its cure; of scaled ones less."""
    doubts = []
    shares = measured.shares
    far = np.flatnonzero(measured.beyond)
    if len(far) and measured.units.low is not None and measured.units.high is not None:
        first = int(far[0])
        low, high = measured.units.low[first], measured.units.high[first]
        doubts.append(
            f"{_listed(names, far)} values far from all others: {int(measured.beyond[first])} in "
            f"column {names[first]!r}, such as {measured.farthest[first]:.6g}, lie beyond "
            f"[{low:.6g}, {high:.6g}]. They count as these limits. If they stand for missing "
            "values, set them to NaN before any column is scaled; if they are real, transform "
            "the column, by its logarithm for instance."
        )
    top = _most_of_all(shares)
    if len(top) and not scaled:
        others = (shares > 0).sum() - len(top)
        doubts.append(
            f"{_listed(names, top)} {shares[top].sum():.1%} of the variance of all columns, which "
            f"hides the {others} others; standardise the columns (StandardScaler), or leave some "
            "out, unless this is meant."
        )
    return tuple(doubts)


def _most_of_all(shares: np.ndarray) -> np.ndarray:
    """A column with nearly all of the variance, or a few of not many; none, if it is spread."""
    n_varying = int((shares > 0).sum())
    order = np.argsort(-shares)
    n_top = int(np.searchsorted(np.cumsum(shares[order]), MOST_OF_FEW)) + 1
    if n_varying > 1 and shares.max() > MOST:
        return order[:1]
    few = n_varying <= NOT_MANY and n_top <= n_varying // 2
    return order[:n_top] if few else order[:0]


def _listed(names: list[Any], columns: np.ndarray) -> str:
    shown = ", ".join(repr(names[column]) for column in columns[:5].tolist())
    more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
    return f"Column {shown} has" if len(columns) == 1 else f"Columns {shown}{more} have"


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


def warn(message: str, category: type[Warning]) -> None:
    """A warning at the line of the user's own that called `fit`, by whatever way."""
    ours = ("skvade.", "sklearn.", "joblib.", "contextlib")
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(ours):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
