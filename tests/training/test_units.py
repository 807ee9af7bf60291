"""Units are those of most values, whatever few others are, and fit into floating point."""

import numpy as np
import pytest
import scipy.sparse as sp

from skvade.training.units import FAR, Units, measure_units, total_variance

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 4)) * [1, 2, 3, 4] + [0, 5, -5, 100]


def test_ordinary_data_have_the_moments_of_numpy_and_no_limits():
    units = measure_units(X).units
    np.testing.assert_allclose(units.shift, X.mean(0))
    assert units.scale == pytest.approx(np.sqrt(X.var(0).mean()))
    assert units.low is None
    assert units.high is None


@pytest.mark.parametrize("factor", [1e160, 1e-170, 1e300, 1e-300, 2.0**-1_000])
def test_squares_neither_overflow_nor_vanish(factor):
    """A power of two changes nothing but the exponent."""
    plain, units = measure_units(X).units, measure_units(X * factor).units
    assert units.scale == pytest.approx(plain.scale * factor, rel=1e-6)
    moved = units.to_model(X * factor)
    np.testing.assert_allclose(moved, plain.to_model(X), atol=1e-6)
    np.testing.assert_allclose(units.to_data(moved), X * factor, rtol=1e-6)


def contaminated(kind):
    Z = X.copy()
    if kind == "one row":
        return np.vstack([Z, np.full((1, 4), -9999.0)]), [0, 1, 2, 3]
    if kind == "one cell":
        Z[3, 2] = 9.97e36
        return Z, [2]
    if kind == "a tenth of a column":
        Z[RNG.permutation(400)[:40], 1] = 10_000
        return Z, [1]
    if kind == "both sides":
        Z[:5, 0], Z[5:10, 0] = -999, 999
        return Z, [0]
    raise ValueError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        *("one row", "one cell", "a tenth of a column", "both sides"),
    ],
)
def test_sentinels_do_not_make_the_scale(kind):
    Z, columns = contaminated(kind)
    measured = measure_units(Z)
    assert np.flatnonzero(measured.beyond).tolist() == columns
    assert measured.units.scale == pytest.approx(measure_units(X).units.scale, rel=0.25)
    moved = measured.units.to_model(Z)
    assert np.abs(moved).max() < 12
    ordinary = np.abs(Z - np.median(Z, 0)) < 50
    low, high = measured.units.low, measured.units.high
    assert ((Z >= low) & (Z <= high))[ordinary].all()
    sparse = measure_units(sp.csr_array(Z))
    np.testing.assert_allclose(sparse.units.low, low)


@pytest.mark.parametrize(
    "kind",
    [
        *("lognormal", "exponential", "cauchy-like", "clusters", "rare", "one-hot", "rare counts"),
        *("a hundredth", "zeros and noise", "a quarter of noise", "two values"),
    ],
)
def test_long_tails_and_far_clusters_are_left_alone(kind):
    Z = {
        "lognormal": np.exp(1.5 * RNG.normal(size=(2_000, 3))),
        "exponential": RNG.exponential(size=(2_000, 3)) ** 2,
        "cauchy-like": RNG.standard_t(2, size=(2_000, 3)),
        "clusters": RNG.normal(size=(1_000, 3)) + 12 * (np.arange(1_000) < 10)[:, None],
        "rare": (RNG.random((2_000, 3)) < 0.005).astype(float),
        "one-hot": np.eye(100)[RNG.integers(0, 100, 1_000)],
        "rare counts": np.log1p(RNG.poisson(0.01, (1_000, 50))),
        "a hundredth": np.where(np.arange(1_000)[:, None] < 10, 10.0, np.zeros((1_000, 3))),
        "zeros and noise": RNG.normal(size=(1_000, 50)) * (RNG.random((1_000, 50)) < 0.05),
        "a quarter of noise": RNG.normal(size=(1_000, 50)) * (RNG.random((1_000, 50)) < 0.26),
        "two values": np.where(RNG.random((1_000, 5)) < 0.3, 1e6, 1.0),
    }[kind]
    measured = measure_units(Z)
    assert measured.units.low is None
    assert not measured.beyond.any()


def test_no_value_is_farther_than_the_model_can_hold():
    units = measure_units(X).units
    with np.errstate(over="raise"):
        moved = units.to_model(np.array([[1e300, -1e300, 0, 1e12]]))
    assert moved.min() == -FAR
    assert moved.max() == FAR
    assert np.isfinite(units.to_model(np.float32([[3e38] * 4]))).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, -98.6, 1e9 / 3, 1e120 / 3])
def test_a_constant_has_no_scale(value):
    """Its mean is rounded, so that values differ from it."""
    rows = np.column_stack([RNG.normal(size=(200, 2)), np.full(200, value)])
    each = measure_units(rows, scale_each=True)
    assert each.units.scale[2] == 1
    assert each.shares[2] == 0
    assert measure_units(rows[:, 2:]).units.scale == 1


def test_data_that_need_no_units_are_left_as_they_are():
    assert Units().to_model(X) is X
    assert Units().to_data(X) is X


def test_shares_are_those_of_the_variance():
    Z = X * [1, 1, 1, 100]
    np.testing.assert_allclose(measure_units(Z).shares, Z.var(0) / Z.var(0).sum())
    assert not measure_units(np.ones((5, 2))).shares.any()


def test_rows_beyond_are_as_far_as_they_are():
    Z, _ = contaminated("one row")
    units = measure_units(Z).units
    moved = (Z - units.shift) / units.scale
    expected = np.square(moved - units.to_model(Z)).sum(1)
    np.testing.assert_allclose(units.beyond(Z, 1.0), expected)
    assert units.beyond(Z, 1.0)[-1] > 1e6
    assert not units.beyond(Z, 1.0)[:-1].any()
    assert np.isfinite(units.beyond(np.full((1, 4), 1e300), 1.0)).all()
    variances = np.array([1.0, 2.0, 4.0, 0.5])
    each = np.square(moved - units.to_model(Z)) / variances
    np.testing.assert_allclose(units.beyond(Z, variances), each.sum(1))


def test_quantiles_of_wide_data_are_taken_in_blocks(monkeypatch):
    Z = RNG.normal(size=(120, 50))
    Z[5, 7] = -1e5
    whole = measure_units(Z)
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 8 * 120 * 3)
    np.testing.assert_array_equal(measure_units(Z).units.low, whole.units.low)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_total_variance_is_that_of_the_columns_wherever_they_lie(dtype, monkeypatch):
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 1_000)  # several blocks
    values = (RNG.normal(size=(400, 3)) + np.array([40, -40, 0])).astype(dtype)
    assert total_variance(values) == pytest.approx(values.astype(np.float64).var(0).sum(), rel=1e-6)
