"""Units are those of most values, whatever few others are, and fit into floating point."""

import numpy as np
import pytest
import scipy.sparse as sp

from skvade.training.units import FAR, Units, measure_units

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
    if kind == "a column that is mostly one value":
        Z[:, 0] = np.where(np.arange(400) % 12 == 0, RNG.normal(size=400), 0)
        Z[7, 0] = 1e5
        return Z, [0]
    raise ValueError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        *("one row", "one cell", "a tenth of a column", "both sides"),
        "a column that is mostly one value",
    ],
)
def test_sentinels_do_not_make_the_scale(kind):
    Z, columns = contaminated(kind)
    measured = measure_units(Z)
    assert np.flatnonzero(measured.beyond).tolist() == columns
    assert measured.units.scale == pytest.approx(measure_units(X).units.scale, rel=0.25)
    moved = measured.units.to_model(Z)
    assert np.abs(moved).max() < 10
    ordinary = np.abs(Z - np.median(Z, 0)) < 50
    low, high = measured.units.low, measured.units.high
    assert ((Z >= low) & (Z <= high))[ordinary].all()
    sparse = measure_units(sp.csr_array(Z))
    np.testing.assert_allclose(sparse.units.low, low)


@pytest.mark.parametrize("kind", ["lognormal", "exponential", "cauchy-like", "clusters", "rare"])
def test_long_tails_and_far_clusters_are_left_alone(kind):
    Z = {
        "lognormal": np.exp(1.5 * RNG.normal(size=(2_000, 3))),
        "exponential": RNG.exponential(size=(2_000, 3)) ** 2,
        "cauchy-like": RNG.standard_t(2, size=(2_000, 3)),
        "clusters": RNG.normal(size=(1_000, 3)) + 12 * (np.arange(1_000) < 10)[:, None],
        "rare": (RNG.random((2_000, 3)) < 0.005).astype(float),
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


def test_data_that_need_no_units_are_left_as_they_are():
    assert Units().to_model(X) is X
    assert Units().to_data(X) is X


def test_shares_are_those_of_the_variance():
    Z = X * [1, 1, 1, 100]
    np.testing.assert_allclose(measure_units(Z).shares, Z.var(0) / Z.var(0).sum())
    assert not measure_units(np.ones((5, 2))).shares.any()
