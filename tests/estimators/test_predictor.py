"""Rows in, results out: units, precisions and blocks, against the module called by hand."""

from copy import deepcopy

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skvade.estimators.predictor import Predictor, in_precision
from skvade.nn.gmvae import GMVAE
from skvade.nn.m2 import M2
from skvade.training.units import Units
from tests.conftest import random_category_model, random_model

RNG = np.random.default_rng(0)
UNITS = Units(np.array([10.0, -3.0, 0.0, 1e3]), 7.0)
X = UNITS.to_data(RNG.normal(size=(40, 4)))
CPU = torch.device("cpu")


@pytest.fixture
def model():
    """As it is after a fit: in float32, for predictions only."""
    return random_model().float().eval()


@pytest.fixture
def predictor(model):
    return Predictor(model, UNITS, np.float64)


def by_hand(model, function, X=X):
    """The function of a float64 copy of the module, on standardised rows."""
    with torch.no_grad():
        return function(deepcopy(model).double(), torch.from_numpy((X - UNITS.shift) / 7)).numpy()


def test_float64_rows_meet_the_whole_model_in_float64(model, predictor):
    np.testing.assert_array_equal(predictor.proba(X), by_hand(model, lambda m, x: m.assign(x)))
    found = predictor.of_rows(X, lambda m, x: m.decode(m.code(x)), n_draws=1)
    np.testing.assert_array_equal(found, by_hand(model, lambda m, x: m.decode(m.code(x))))
    labels = predictor.labels(X)
    np.testing.assert_array_equal(labels, predictor.proba(X).argmax(1))
    assert labels.dtype == np.int64
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("dtype", "working"),
    [
        *((dtype, np.float32) for dtype in (np.float32, np.float16, np.uint8, np.bool_)),
        *((dtype, np.float64) for dtype in (np.float64, np.int32, np.int64)),
    ],
)
def test_rows_are_computed_in_float32_where_that_holds_them(model, dtype, working):
    predictor = Predictor(model, Units(), np.float64)
    rows = RNG.integers(0, 2, (40, 4)).astype(dtype)
    expected = Predictor(model, Units(), np.float64).proba(rows.astype(np.float64))
    found = predictor.proba(rows)
    assert found.dtype == working
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_units_are_those_of_the_data(model, predictor):
    plain = Predictor(model, Units(), np.float64)
    standardised = (X - UNITS.shift) / 7
    np.testing.assert_allclose(predictor.proba(X), plain.proba(standardised))
    centers = plain.centers()
    np.testing.assert_allclose(predictor.centers(), 7 * centers + UNITS.shift)
    codes = RNG.normal(size=(9, 2))
    decode = lambda m, z: m.expect(z)  # noqa: E731
    np.testing.assert_allclose(
        predictor.of_codes(codes, decode, 4), 7 * plain.of_codes(codes, decode, 4) + UNITS.shift
    )
    labels = np.arange(30) % 3
    np.testing.assert_allclose(
        predictor.sample(labels, 5), 7 * plain.sample(labels, 5) + UNITS.shift
    )


def test_large_offsets_are_taken_off_before_rounding(model):
    rows = RNG.normal(size=(40, 4))
    far = Predictor(model, Units(np.full(4, 1e9), 1.0), np.float64)
    near = Predictor(model, Units(), np.float64)
    np.testing.assert_allclose(far.proba(1e9 + rows), near.proba(rows), atol=1e-5)


def test_sparse_rows_are_the_same_rows(predictor):
    rows = X * (RNG.random(X.shape) < 0.3)
    np.testing.assert_array_equal(predictor.proba(sp.csr_array(rows)), predictor.proba(rows))


def test_results_do_not_depend_on_blocks_and_draws_make_them_smaller(predictor, monkeypatch):
    seen = []

    def codes(module, x):
        seen.append(len(x))
        return module.code(x)

    whole = predictor.of_rows(X, codes)
    room = 8 * 4 + predictor.module.row_bytes(4)
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 10 * room)
    np.testing.assert_allclose(predictor.of_rows(X, codes), whole, rtol=1e-12)
    np.testing.assert_allclose(predictor.of_rows(X, codes, n_draws=5), whole, rtol=1e-12)
    assert seen == [40] + 4 * [10] + 20 * [2]


def test_codes_keep_their_precision(model, predictor):
    codes = RNG.normal(size=(9, 2))
    decode = lambda m, z: m.expect(z)  # noqa: E731
    wide = predictor.of_codes(codes, decode, 4)
    narrow = predictor.of_codes(codes.astype(np.float32), decode, 4)
    assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(narrow, wide, rtol=1e-5)
    with torch.no_grad():
        double = deepcopy(model).double()
        expected = double.likelihood.mean(double.decode(torch.from_numpy(codes))).numpy()
    np.testing.assert_array_equal(wide, 7 * expected + UNITS.shift)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_have_the_moments_of_their_clusters(model, dtype):
    """Against Monte Carlo with torch's own distributions; more draws than one block has."""
    predictor = Predictor(model, UNITS, dtype)
    labels = np.repeat([0, 2, 1], [9_000, 9_000, 1])
    drawn = predictor.sample(labels, seed=3)
    assert drawn.dtype == dtype
    np.testing.assert_array_equal(drawn, predictor.sample(labels, seed=3))
    assert not np.array_equal(drawn, predictor.sample(labels, seed=4))
    double, matrices = deepcopy(model).double(), model.mixture.covariance.double().covariances()
    for c, rows in ((0, drawn[:9_000]), (2, drawn[9_000:18_000])):
        normal = torch.distributions.MultivariateNormal(double.mixture.means[c], matrices[c])
        with torch.random.fork_rng(), torch.no_grad():
            torch.default_generator.manual_seed(0)
            means = double.decode(normal.sample((50_000,)))
        expected = 7 * means.mean(0).numpy() + UNITS.shift
        variance = 49 * (means.var(0) + double.likelihood.variance).detach().numpy()
        error = np.sqrt(variance / 9_000)
        assert (np.abs(rows.mean(0) - expected) < 5 * error).all()
        np.testing.assert_allclose(rows.var(0), variance, rtol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [random_model, lambda: random_category_model(GMVAE)])
def test_statistics_are_copies_in_float64(make, dtype):
    model = make().to(dtype)
    found = Predictor(model, UNITS, np.float32).statistics()
    assert {values.dtype for values in found.values()} == {np.dtype(np.float64)}
    expected = model.mixture.means.detach().clone()
    np.testing.assert_allclose(found["means"], expected, rtol=1e-6)
    weights = model.mixture.logits.detach().double().softmax(-1)
    np.testing.assert_allclose(found["weights"], weights)
    found["means"][:] = 0
    np.testing.assert_array_equal(model.mixture.means.detach(), expected)


@pytest.mark.parametrize("make", [random_model, lambda: random_category_model(M2)])
def test_a_model_in_another_precision_is_a_copy_and_as_good_as_converted(make):
    model, x = make(), torch.from_numpy(RNG.normal(size=(20, 4)))
    model.register_buffer("number", torch.tensor(3))
    assert in_precision(model, torch.float64, CPU) is model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    copy = in_precision(model, torch.float32, CPU)
    expected = deepcopy(model).float()
    with torch.no_grad():
        assert torch.equal(copy.assign(x.float()), expected.assign(x.float()))
        for parameter in copy.parameters():
            parameter.zero_()
    assert copy.number.dtype == torch.int64
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


def test_parts_that_are_not_used_are_not_converted(model, monkeypatch):
    copy = in_precision(model, torch.float64, CPU, unused=(model.decoder,))
    assert copy.decoder is model.decoder
    assert {p.dtype for p in copy.encoder.parameters()} == {torch.float64}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    seen = []
    predictor = Predictor(model, Units(), np.float64)
    for n_draws in (0, 1):
        predictor.of_rows(X, lambda m, x: seen.append(m.decoder) or m.code(x), n_draws)
    assert seen[0] is model.decoder
    assert next(seen[1].parameters()).dtype == torch.float64
