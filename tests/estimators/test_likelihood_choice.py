"""Which likelihood "auto" takes, why, and what is doubtful of it; one rule of support for all."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits, load_iris, load_wine, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import minmax_scale

from skvade import VaDEClustering
from skvade.estimators.validation import choose_likelihood
from skvade.training.units import summarize
from tests.conftest import FAMILY, small

RNG = np.random.default_rng(0)
BLOBS, LABELS = make_blobs(300, centers=3, n_features=5, random_state=0)
UNIT = minmax_scale(BLOBS)
DIGITS = load_digits().data


def choose(X, name="auto"):
    return choose_likelihood(name, X, summarize(X))


TAKEN = {
    "zeros and ones": ((RNG.random((50, 4)) < 0.5).astype(np.uint8), "bernoulli", 0),
    "grey values": (DIGITS / 16, "bernoulli", 0),
    "scaled flowers": (minmax_scale(load_iris().data), "bernoulli", 0),
    "scaled wine": (minmax_scale(load_wine().data), "bernoulli", 0),
    "sparse shares": (sp.random(80, 200, 0.05, random_state=0, format="csr"), "bernoulli", 0),
    "measurements below a thousandth": (1e-3 * UNIT, "gaussian", 0),
    "measurements about a quarter": (0.2 + 0.1 * UNIT, "gaussian", 0),
    "between the two": (0.3 * UNIT, "bernoulli", 1),
    "just below": (0.1 * UNIT, "gaussian", 1),
    "of both signs": (BLOBS, "gaussian", 0),
    "grey values from 0 to 16": (DIGITS, "gaussian", 0),
    "bytes": (np.round(255 * DIGITS / 16).astype(np.uint8), "gaussian", 0),
    "counts": (RNG.poisson(5, (300, 20)).astype(np.uint16), "gaussian", 1),
    "sparse counts": (sp.csr_array(RNG.negative_binomial(1, 0.3, (300, 20))), "gaussian", 1),
    "whole numbers of many kinds": (
        np.c_[RNG.integers(18, 90, 400), RNG.integers(1, 99, 400), RNG.poisson(2, 400)],
        "gaussian",
        0,
    ),
    "letters' moments": (RNG.binomial(15, 0.5, (400, 16)), "gaussian", 0),
    "dark bytes": (RNG.poisson(3, (300, 20)).astype(np.uint8), "gaussian", 0),
    "years": (RNG.integers(1950, 2020, (300, 3)), "gaussian", 0),
    "all zero": (np.zeros((20, 3)), "bernoulli", 0),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_auto_takes(name):
    X, likelihood, n_doubts = TAKEN[name]
    choice = choose(X)
    assert choice.name == likelihood
    assert choice.reason
    assert len(choice.doubts) == n_doubts
    for doubt in choice.doubts:
        assert "likelihood='auto' takes" in doubt
        assert "et 'gaussian'" in doubt or "'gaussian' if" in doubt


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_fractions_under_counts_are_doubtful(name):
    (doubt,) = choose(10 * UNIT, name).doubts
    assert f"likelihood='{name}' is for counts, but X holds fractions" in doubt
    assert choose(np.round(10 * UNIT), name).doubts == ()
    assert choose(BLOBS, "gaussian").doubts == ()


def test_a_named_bernoulli_is_doubtful_where_values_vary_little():
    (doubt,) = choose(1e-3 * UNIT, "bernoulli").doubts
    assert "values from 0 to 0.001" in doubt
    assert "divide them by their maximum" in doubt
    assert choose(UNIT, "bernoulli").doubts == ()


def test_the_spread_of_zeros_and_ones_is_one():
    """var = mean (1 - mean), which is how Bernoulli's noise is measured."""
    from skvade.training.units import look_at

    X = (RNG.random((500, 6)) < 0.3).astype(float)
    assert look_at(X, 1.0).spread == pytest.approx(1)
    assert look_at(0.1 * X, 0.1).spread < 0.2


def test_small_measurements_are_clustered_and_the_report_says_why():
    X = 1e-3 * UNIT
    model = small(VaDEClustering, hidden_layer_sizes=(32,), pretrain_iter=60, max_iter=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.set_params(precision="float32").fit(X)
    assert adjusted_rand_score(LABELS, model.labels_) > 0.95
    assert model.report().lines["likelihood"].startswith("gaussian (auto: values from ")
    model.set_params(likelihood="gaussian", max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.fit(X).report().lines["likelihood"] == "gaussian"


def test_doubts_are_warned_of_at_the_callers_line():
    with pytest.warns(UserWarning, match="If they are counts, set likelihood=") as caught:
        small(VaDEClustering).fit(TAKEN["counts"][0])
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("cls", FAMILY)
def test_every_method_refuses_rows_beyond_the_support(cls):
    X = DIGITS[:60, 20:30] / 16
    model = small(cls, likelihood="bernoulli").fit(X, np.repeat([0, 1, 2], 20))
    beyond = X.copy()
    beyond[7, 3] = 1.02
    for name in ("predict", "predict_proba", "transform", "score_samples"):
        if hasattr(model, name):
            with pytest.raises(
                ValueError, match=r"needs X in \[0, 1\], got values up to 1.02.*clip"
            ):
                getattr(model, name)(beyond)
