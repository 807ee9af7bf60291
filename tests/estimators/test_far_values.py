"""Rows however far away have finite results, or are refused by row and column."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from tests.conftest import FAMILY, small

pytestmark = pytest.mark.usefixtures("quiet")
X, _ = make_blobs(60, centers=3, n_features=5, random_state=0)
METHODS = ("predict", "predict_proba", "transform", "score_samples")


@pytest.fixture(scope="module")
def models():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {cls: small(cls).fit(X, np.repeat([0, 1, 2], 20)) for cls in FAMILY}


@pytest.mark.parametrize("cls", FAMILY)
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *((np.float32, value) for value in (1e6, 1e25, 9.97e36, -3.4e38)),
        *((np.float64, value) for value in (1e25, 1e155, -1e200, 1.7e308)),
    ],
)
def test_far_rows_have_finite_results(models, cls, dtype, value):
    rows = X[:6].astype(dtype)
    rows[2] = value
    rows[3, 1] = value
    model = models[cls]
    for name in METHODS:
        if hasattr(model, name):
            found = getattr(model, name)(rows)
            assert np.isfinite(found).all(), name
            alone = getattr(model, name)(rows[:1])
            np.testing.assert_allclose(found[:1], alone, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(model.predict_proba(rows).sum(1), 1, rtol=1e-5)


def test_a_longdouble_beyond_float64_is_not_finite(models):
    rows = X[:3].astype(np.longdouble)
    rows[1, 2] = np.longdouble("1e400")
    for model in models.values():
        with pytest.raises(ValueError, match="infinity"):
            model.predict(rows)


@pytest.mark.parametrize("cls", FAMILY)
def test_codes_that_cannot_be_decoded_are_named(models, cls):
    codes = models[cls].transform(X[:4])
    codes[2, 1] = 1e30
    with pytest.raises(ValueError, match=r"the code 1e\+30 in row 2, column 1.*1e\+06"):
        models[cls].inverse_transform(codes)
    codes[2, 1] = -1e6
    assert np.isfinite(models[cls].inverse_transform(codes)).all()


@pytest.mark.parametrize("cls", FAMILY)
@pytest.mark.parametrize("factor", [1e160, 1e-170])
def test_units_of_any_size_are_those_of_the_results(models, cls, factor):
    model = small(cls).fit(X * factor, np.repeat([0, 1, 2], 20))
    np.testing.assert_array_equal(model.labels_, models[cls].labels_)
    centers = models[cls].cluster_centers_
    np.testing.assert_allclose(model.cluster_centers_, centers * factor, rtol=1e-3)
