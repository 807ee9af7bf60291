"""Whatever is passed: finite results, or a ValueError or TypeError that says something.

A few examples of each in CI; `make fuzz` runs thousands.
"""

import copy
import os
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from sklearn.base import is_classifier

from skvade.nn.likelihoods import LIKELIHOODS
from tests.conftest import FAMILY

FUZZ = os.environ.get("SKVADE_FUZZ")
BUDGET = settings(
    max_examples=int(FUZZ or 40),
    deadline=None,
    derandomize=not FUZZ,
    database=None,
    suppress_health_check=list(HealthCheck),
    **({"phases": [Phase.generate]} if FUZZ else {}),  # no hours of shrinking
)

BEFORE = np.random.default_rng(0).normal(size=(12, 3))
LABELS = np.arange(12) % 2
QUICK = {"hidden_layer_sizes": (4,), "latent_dim": 2, "pretrain_iter": 1, "max_iter": 1}
DTYPES = (np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_, object)
CONTAINERS = {
    "array": np.asarray,
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "list": lambda X: X.tolist(),
    "frame": lambda X: pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])]),
    "csr": lambda X: sp.csr_array(X),
    "coo": lambda X: sp.coo_matrix(X),
}


@st.composite
def data(draw, finite=True):
    """A table: of noise, constants, repeated rows, heavy tails, tiny, huge, or with holes."""
    n_rows, n_features = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n_rows, n_features))
    for change in draw(st.lists(st.sampled_from(CHANGES), max_size=3)):
        X = change(X, rng)
    X = X * 10.0 ** draw(st.sampled_from([0, 0, 0, -30, -6, 3, 6, 30]))
    X = X + draw(st.sampled_from([0, 0, 0, 1, -1e6, 1e9]))
    if not finite:
        X[rng.integers(n_rows), rng.integers(n_features)] = draw(st.sampled_from([np.inf, -np.inf]))
    dtype = draw(st.sampled_from(DTYPES))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = X.astype(dtype)
    container = draw(st.sampled_from(sorted(CONTAINERS)))
    if container in ("csr", "coo") and dtype in (np.float16, object):
        container = "array"
    return CONTAINERS[container](X)


CHANGES = [
    lambda X, rng: np.abs(X),
    lambda X, rng: np.round(X),
    lambda X, rng: np.where(rng.random(X.shape) < 0.3, np.nan, X),
    lambda X, rng: (X > 0).astype(float),
    lambda X, rng: np.full_like(X, X[0, 0]),
    lambda X, rng: X[rng.integers(len(X), size=len(X))],
    lambda X, rng: X[np.zeros(len(X), int)],
    lambda X, rng: X * (rng.random(X.shape) < 0.2),
    lambda X, rng: X * (rng.random((len(X), 1)) < 0.5),
    lambda X, rng: X * (rng.random((1, X.shape[1])) < 0.5),
    lambda X, rng: X / np.abs(rng.normal(size=X.shape)).clip(1e-8) ** 3,
    lambda X, rng: X * 10.0 ** rng.integers(-8, 8, size=X.shape[1]),
]

GOOD = {
    "n_clusters": st.integers(1, 6) | st.just("auto"),
    "max_clusters": st.integers(2, 9),
    "noise_quantile": st.sampled_from([None, 0.9]),
    "n_classes": st.none() | st.integers(4, 5),
    "latent_dim": st.integers(1, 9),
    "hidden_layer_sizes": st.lists(st.integers(1, 5), max_size=3),
    "activation": st.sampled_from(["relu", "tanh", "elu"]),
    "likelihood": st.sampled_from(["auto", *LIKELIHOODS]),
    "covariance_type": st.sampled_from(["full", "tied", "diag", "spherical"]),
    "reg_covar": st.sampled_from([1e-6, 0.01, 1.0]),
    "n_neighbors": st.integers(1, 50),
    "neighbor_weight": st.sampled_from([0, 200, 1e6]),
    "init": st.sampled_from(["auto", "gmm", "k-means", "random"]),
    "n_init": st.integers(1, 2),
    "pretrain_iter": st.integers(0, 2),
    "max_iter": st.integers(1, 2),
    "batch_size": st.just("auto") | st.integers(1, 64),
    "learning_rate": st.sampled_from([1e-12, 2e-3, 0.5, 1.0]),
    "tol": st.sampled_from([0.0, 1e-3, 1.0]),
    "early_stopping": st.booleans(),
    "validation_fraction": st.sampled_from([0.01, 0.5]),
    "precision": st.sampled_from(["float32", "bfloat16"]),
    "marginalization": st.sampled_from(["exact", "gumbel"]),
    "temperature": st.sampled_from([0.5, 1.0, 1e3]),
    "alpha": st.sampled_from([1e-3, 1.0, 100.0]),
    "update_interval": st.integers(1, 5),
    "clustering_weight": st.sampled_from([0.0, 1.0, 1e4]),
    "label_weight": st.sampled_from([0.0, 1.0, 1e6]),
    "n_nearest": st.integers(1, 5),
    "skip": st.booleans(),
    "denoising_weight": st.sampled_from([0.0, 1.0, 1e4]),
    "adversarial_iter": st.integers(0, 2),
    "dropout": st.sampled_from([0.0, 0.1, 0.99]),
    "random_state": st.integers(0, 3),
}
BAD = {
    "n_clusters": st.sampled_from([0, -1, 2.0, "2"]),
    "max_clusters": st.sampled_from([1, -1, 2.0, "auto"]),
    "noise_quantile": st.sampled_from([0, 1.0, -0.5, "none"]),
    "latent_dim": st.sampled_from([0, None]),
    "hidden_layer_sizes": st.sampled_from([(0,), 3, ("a",)]),
    "activation": st.just("no"),
    "likelihood": st.just("no"),
    "reg_covar": st.sampled_from([0.0, np.nan, 2.0]),
    "n_neighbors": st.just(0),
    "neighbor_weight": st.sampled_from([-1.0, np.nan]),
    "init": st.sampled_from(["no", np.zeros(3), object()]),
    "n_init": st.just(0),
    "pretrain_iter": st.just(-1),
    "max_iter": st.just(0),
    "batch_size": st.sampled_from([0, "all"]),
    "learning_rate": st.sampled_from([0.0, 1e3, np.inf, np.nan]),
    "tol": st.just(-1),
    "validation_fraction": st.sampled_from([1.0, 0.99]),
    "temperature": st.sampled_from([0, 1e-3]),
    "dropout": st.sampled_from([-0.1, 1.0]),
    "random_state": st.just("no"),
}


@st.composite
def estimators(draw):
    """Any estimator with up to four parameters of any good value, and now and then a bad one."""
    cls = draw(st.sampled_from(FAMILY))
    known = cls().get_params().keys()
    names = draw(st.lists(st.sampled_from(sorted(known & GOOD.keys())), max_size=4, unique=True))
    parameters = {name: draw(GOOD[name]) for name in names}
    if draw(st.integers(0, 5)) == 5:
        name = draw(st.sampled_from(sorted(known & BAD.keys())))
        parameters[name] = draw(BAD[name])
    estimator = cls(**QUICK, random_state=0)
    if draw(st.booleans()):  # a fit before, which a refused one must leave as it is
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(BEFORE, LABELS)
    return estimator.set_params(**parameters)


def n_rows_of(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)


def results(model, X):
    """Every number that the methods give."""
    found = [model.predict_proba(X), model.transform(X)]
    found += [model.inverse_transform(model.transform(X)), model.cluster_centers_, model.means_]
    found += [np.asarray(plain(model.impute(X))).astype(float)]
    if hasattr(model, "sample"):
        found += [model.score_samples(X), model.sample(5, random_state=0)[0]]
    return found


@BUDGET
@given(estimator=estimators(), X=data(), data_of_labels=st.data())
def test_fits_end_in_finite_results_or_a_clear_error(estimator, X, data_of_labels):
    n_rows = n_rows_of(X)
    y = data_of_labels.draw(st.lists(st.integers(-1, 3), min_size=n_rows, max_size=n_rows))
    note(f"{type(X)}, {getattr(X, 'dtype', '')}")
    before, parameters, error = copy.deepcopy(X), estimator.get_params(), None
    attributes = dict(vars(estimator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            estimator.fit(X, y if is_classifier(estimator) else None)
        except (ValueError, TypeError) as refused:
            error = refused
        found = results(estimator, X) if error is None else []
    if error is not None:
        assert len(str(error)) > 20
        assert vars(estimator).keys() == attributes.keys()
        assert all(vars(estimator)[name] is value for name, value in attributes.items())
    for numbers in found:
        assert np.isfinite(numbers).all()
    for name, value in estimator.get_params().items():
        assert value is parameters[name]
    np.testing.assert_equal(plain(X), plain(before))


@BUDGET
@given(estimator=estimators(), X=data(finite=False))
def test_what_is_infinite_is_refused(estimator, X):
    floating = np.asarray(plain(X)).astype(float)
    if not np.isinf(floating).any():  # integers and booleans are none
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, TypeError), match=".{20}"):
            estimator.fit(X, [0] * n_rows_of(X))


def plain(X):
    values = X.toarray() if sp.issparse(X) else np.asarray(X)
    return values.astype(float) if values.dtype == object else values  # copied NaN are not equal
