"""Outlier scores, and noise if it is asked for."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import kstest
from sklearn.base import clone
from sklearn.datasets import make_blobs

from skvade import GMVAEClustering, M2Clustering, VaDEClassifier, VaDEClustering, load
from tests.conftest import small

GENERATIVE = [VaDEClustering, GMVAEClustering, M2Clustering]
pytestmark = pytest.mark.usefixtures("quiet")
ORDINARY, CLASSES = make_blobs(400, 5, centers=3, random_state=0)
CENTRES = np.array([ORDINARY[CLASSES == c].mean(0) for c in range(3)])
# Twenty directions, each row ten standard deviations beyond the centre of a cluster.
RNG = np.random.default_rng(0)
WAYS = RNG.normal(size=(20, 5))
FAR = CENTRES[RNG.integers(3, size=20)] + 10 * WAYS / np.linalg.norm(WAYS, axis=1, keepdims=True)
MIXED = np.concatenate([ORDINARY, FAR])
FRESH = make_blobs(1200, 5, centers=3, random_state=0)[0][600:]


@pytest.fixture(scope="module")
def vade():
    return VaDEClustering(3, latent_dim=2, random_state=0).fit(ORDINARY)


def test_scores_are_shares_of_more_probable_training_rows(vade):
    scores, densities = vade.outlier_scores(FRESH), vade.score_samples(FRESH)
    training = vade.score_samples(ORDINARY)
    shares = (training > densities[:, np.newaxis]).mean(1)
    np.testing.assert_allclose(scores, shares, atol=1e-12)
    assert scores.min() >= 0
    assert scores.max() <= 1
    # Rows that were trained on have one each of the ranks.
    np.testing.assert_allclose(np.sort(vade.outlier_scores(ORDINARY)), np.arange(400) / 400)


def test_scores_of_rows_like_the_training_rows_are_uniform(vade):
    X, _ = make_blobs(15_000, 5, centers=3, random_state=0)
    budget = {"pretrain_iter": 2, "max_iter": 2}
    many = VaDEClustering(3, latent_dim=2, random_state=0, compare=False, **budget)
    many.fit(X[:10_000])
    assert len(many._ordinary) == 2_000
    assert kstest(many.outlier_scores(X[10_000:]), "uniform").statistic < 0.04
    assert vade.outlier_scores(FAR).min() > 0.97


@pytest.mark.parametrize("cls", GENERATIVE)
def test_the_least_probable_rows_are_noise(cls):
    model = cls(3, latent_dim=2, random_state=0, noise_quantile=0.95).fit(MIXED)
    noise = model.labels_ == -1
    assert noise.sum() == 21
    assert noise[400:].mean() >= 0.8
    np.testing.assert_array_equal(model.labels_, model.predict(MIXED))
    np.testing.assert_array_equal(noise, model.outlier_scores(MIXED) >= 0.95)
    probable = model.predict_proba(MIXED).argmax(1)
    np.testing.assert_array_equal(probable[~noise], model.labels_[~noise])
    assert model.cluster_sizes_.sum() == len(MIXED)
    np.testing.assert_array_equal(clone(model).fit_predict(MIXED), model.labels_)


@pytest.mark.parametrize(
    ("ordinary", "quantile", "n_noise"),
    [([1, 2, 3, 4], 0.5, 2), ([1, 2, 2, 3], 0.5, 1), ([1, 2], 0.9, 0), ([2, 2, 2], 0.5, 0)],
    ids=["apart", "ties", "none", "all alike"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_decides_about_no_training_row(ordinary, quantile, n_noise, dtype, vade):
    model = copy.copy(vade)
    model._ordinary, model._noise_from = np.array(ordinary, dtype), quantile
    noise = np.arange(len(ordinary)) < n_noise
    for rounding in (-1e-4, 0, 1e-4):
        model._whole_densities = lambda X, by=rounding: model._ordinary + dtype(by)
        found = model._without_noise(None, np.zeros(len(ordinary), int))
        np.testing.assert_array_equal(found == -1, noise)


def test_noise_changes_nothing_else():
    plain, noisy = small(VaDEClustering), small(VaDEClustering).set_params(noise_quantile=0.9)
    plain.fit(ORDINARY)
    noisy.fit(ORDINARY)
    np.testing.assert_array_equal(plain.predict_proba(ORDINARY), noisy.predict_proba(ORDINARY))
    np.testing.assert_array_equal(plain.outlier_scores(FRESH), noisy.outlier_scores(FRESH))
    assert (plain.labels_ >= 0).all()
    kept = noisy.labels_ >= 0
    assert kept.sum() == 360
    np.testing.assert_array_equal(plain.labels_[kept], noisy.labels_[kept])


def test_all_scores_are_known_where_noise_is_asked_for():
    X = make_blobs(2_500, 3, random_state=0)[0]
    model = small(VaDEClustering).set_params(noise_quantile=0.99).fit(X)
    assert (model.labels_ == -1).sum() == 25


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_noise_of_any_container_survives_a_file(container, tmp_path):
    X = container(np.abs(ORDINARY.round()))
    model = small(VaDEClustering).set_params(noise_quantile=0.9, likelihood="poisson").fit(X)
    model.save(tmp_path / "model")
    for other in (load(tmp_path / "model"), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X), model.labels_)
        np.testing.assert_array_equal(other.outlier_scores(X), model.outlier_scores(X))


def test_equal_rows_are_no_noise():
    model = small(VaDEClustering).set_params(noise_quantile=0.5)
    model.fit(np.ones((30, 3)))
    assert (model.labels_ >= 0).all()


def test_classifiers_have_scores_too():
    model = VaDEClassifier(latent_dim=2, random_state=0)
    model.fit(ORDINARY, np.where(np.arange(400) % 10, -1, CLASSES))
    assert model.outlier_scores(FAR).min() > 0.95
