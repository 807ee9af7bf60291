"""Mixtures fitted at once are those that scikit-learn fits one by one."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.mixture import GaussianMixture

from skvade.nn.covariances import COVARIANCES
from skvade.training.em import SHAPES, fit_mixtures

ROWS, _ = make_blobs(300, n_features=3, centers=6, cluster_std=2.0, random_state=0)
SEEDS = range(5)


def test_every_covariance_of_the_models_has_a_start():
    assert set(SHAPES) == set(COVARIANCES)


def test_one_row_one_feature_and_narrow_floats():
    row = np.array([[3.0]], np.float32)
    (one,) = fit_mixtures(row, np.zeros((1, 1), int), 1, "full", 1e-3, 5)
    np.testing.assert_array_equal(one.predict_proba(row), [[1.0]])
    narrow = ROWS.astype(np.float32)
    labels = partitions(ROWS, 3)[:1]
    found, wide = (
        fit_mixtures(rows, labels, 3, "full", 1e-2, 20)[0].predict_proba(rows)
        for rows in (narrow, narrow.astype(np.float64))
    )
    np.testing.assert_allclose(found, wide, atol=1e-9)


def partitions(rows, n_clusters):
    fits = [KMeans(n_clusters, n_init=1, random_state=seed).fit(rows) for seed in SEEDS]
    return np.stack([fit.labels_ for fit in fits])


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("max_iter", [1, 7, 200])
@pytest.mark.parametrize("far", [0.0, 1e4])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_each_is_the_mixture_of_scikit_learn(shape, max_iter, far):
    rows = ROWS * [1.0, 3.0, 0.2] + far
    found = fit_mixtures(rows, partitions(rows, 4), 4, shape, 1e-2, max_iter)
    for seed, mixture in zip(SEEDS, found, strict=True):
        theirs = GaussianMixture(
            4, covariance_type=shape, reg_covar=1e-2, max_iter=max_iter, random_state=seed
        ).fit(rows)
        proba = theirs.predict_proba(rows)
        np.testing.assert_allclose(mixture.predict_proba(rows), proba, atol=1e-6)
        np.testing.assert_array_equal(mixture.predict(rows), theirs.predict(rows))


def test_weights_give_the_log_density():
    """log pi_c + log N(x; mu_c, Sigma_c), of one step from a partition."""
    (labels,) = partitions(ROWS, 3)[:1]
    (mixture,) = fit_mixtures(ROWS, labels[None], 3, "full", 1e-2, max_iter=0)
    x = ROWS[:5] - mixture.origin
    features = np.column_stack([np.ones(5), x, mixture.shape.products(x)])
    for c in range(3):
        own = ROWS[labels == c]
        covariance = np.cov(own.T, bias=True) + 1e-2 * np.eye(3)
        log_density = multivariate_normal(own.mean(0), covariance).logpdf(ROWS[:5])
        expected = np.log(len(own) / len(ROWS)) + log_density
        np.testing.assert_allclose(features @ mixture.weights[c], expected, rtol=1e-9)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_mixture_does_not_depend_on_the_others_nor_on_blocks(shape, monkeypatch):
    labels = partitions(ROWS, 4)
    together = fit_mixtures(ROWS, labels, 4, shape, 1e-2, 50)
    proba = [mixture.predict_proba(ROWS) for mixture in together]
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 1 << 10)  # three mixtures, then two
    for some, expected in zip(fit_mixtures(ROWS, labels, 4, shape, 1e-2, 50), proba, strict=True):
        np.testing.assert_allclose(some.predict_proba(ROWS), expected, atol=1e-8)
    for own, expected in zip(labels, proba, strict=True):
        (alone,) = fit_mixtures(ROWS, own[None], 4, shape, 1e-2, 50)
        np.testing.assert_allclose(alone.predict_proba(ROWS), expected, atol=1e-8)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_components_without_rows_and_equal_rows_stay_finite(shape):
    rows = np.repeat([[1.0, 2.0], [3.0, 4.0]], 10, axis=0)
    labels = np.repeat([0, 2], 10)
    (mixture,) = fit_mixtures(rows, labels[None], 3, shape, 1e-9, 20)
    proba = mixture.predict_proba(rows)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert proba[:, 1].max() < 1e-9
