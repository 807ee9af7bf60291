import itertools

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvade.metrics import (
    clustering_accuracy,
    most_confident_labels,
    mutual_information,
    stability_score,
)

RNG = np.random.default_rng(0)


def test_accuracy_equals_brute_force_over_all_namings():
    for _ in range(20):
        y, c = RNG.integers(0, 4, 50), RNG.integers(0, 4, 50)
        best = max(np.mean(np.array(p)[c] == y) for p in itertools.permutations(range(4)))
        assert clustering_accuracy(y, c) == pytest.approx(best)


def test_accuracy_ignores_names_and_counts_extra_clusters_as_wrong():
    y = np.repeat(["a", "b"], 10)
    assert clustering_accuracy(y, y[::-1]) == 1.0
    assert clustering_accuracy(y, np.arange(20)) == pytest.approx(2 / 20)


@pytest.mark.parametrize(
    "a, b, message",
    [([0, 1], [0], "inconsistent numbers of samples"), ([], [], "pass at least one label each")],
)
def test_accuracy_refuses_what_has_no_answer(a, b, message):
    with pytest.raises(ValueError, match=message):
        clustering_accuracy(a, b)


@pytest.mark.parametrize("block", [30, 200, 1 << 17])
def test_mutual_information_equals_the_divergence_form(block, monkeypatch):
    """I = mean KL(q_i || mean q), whatever rows are summed at a time."""
    monkeypatch.setattr("skvade.metrics._assignment.BLOCK_ROWS", block)
    proba = RNG.dirichlet(np.ones(5), 200)
    divergence = np.mean([entropy(row, proba.mean(0)) for row in proba])
    assert mutual_information(proba) == pytest.approx(divergence)


def test_mutual_information_bounds():
    assert mutual_information(np.eye(4)) == pytest.approx(np.log(4))
    assert mutual_information(np.full((10, 4), 0.25)) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="shape"):
        mutual_information(np.ones(3))


@pytest.mark.parametrize("proba", [[[2.0, -1.0]], [[5.0, 1.0], [2.0, 3.0]], [[0.2, 0.2]]])
def test_mutual_information_is_of_probabilities(proba):
    with pytest.raises(ValueError, match="lines sum to one, got values from .*predict_proba"):
        mutual_information(proba)


def test_confident_examples_name_clusters():
    """With proba that favour the true cluster, one example each names all clusters rightly."""
    classes = RNG.permutation(["x", "y", "z"])
    clusters = RNG.integers(0, 3, 60)
    proba = np.eye(3)[clusters] * 0.5 + RNG.dirichlet(np.ones(3), 60) * 0.5
    names = most_confident_labels(classes[clusters], proba)
    np.testing.assert_array_equal(names, classes)


@pytest.mark.parametrize(
    "proba, message",
    [
        (np.ones(3), r"must have shape \(n_samples, n_clusters\), got \(3,\)"),
        (np.ones((2, 2)), "inconsistent numbers of samples"),
        (np.ones((0, 2)), r"must have shape .* got \(0, 2\)"),
    ],
)
def test_naming_refuses_shapes_that_do_not_fit(proba, message):
    with pytest.raises(ValueError, match=message):
        most_confident_labels([0, 1, 1], proba)


BLOBS, _ = make_blobs(400, centers=4, cluster_std=0.3, center_box=(-8, 8), random_state=1)


class ByChance(ClusterMixin, BaseEstimator):
    """Clusters that tell nothing of the rows."""

    def fit(self, X, y=None):
        self.seed_ = int(abs(X[0, 0]) * 1e6)
        return self

    def predict(self, X):
        return np.random.default_rng(self.seed_).integers(0, 4, len(X))


def test_stability_is_one_where_clusters_are_sure_and_zero_by_chance():
    scores = cross_val_score(KMeans(4, random_state=0), BLOBS, scoring=stability_score, cv=2)
    np.testing.assert_allclose(scores, 1)
    scores = cross_val_score(ByChance(), BLOBS, scoring=stability_score, cv=2)
    assert np.abs(scores).max() < 0.05


@pytest.mark.parametrize(
    "model",
    [
        KMeans(6, n_init=1, random_state=0),
        make_pipeline(StandardScaler(), GaussianMixture(6, random_state=0)),
    ],
)
def test_stability_is_the_index_of_two_fits(model):
    first, second = BLOBS[::2], BLOBS[1::2]
    fitted = clone(model).fit(first)
    expected = adjusted_rand_score(clone(model).fit(second).predict(second), fitted.predict(second))
    before = fitted.predict(BLOBS)
    assert stability_score(fitted, second, np.zeros(len(second))) == pytest.approx(expected)
    np.testing.assert_array_equal(fitted.predict(BLOBS), before)


def test_stability_falls_where_clusters_are_split():
    there, *more = (
        cross_val_score(KMeans(k, random_state=0), BLOBS, scoring=stability_score, cv=2).mean()
        for k in (4, 5, 6, 7)
    )
    assert there == pytest.approx(1)
    assert max(more) < 0.95


def test_stability_needs_a_fitted_clusterer():
    with pytest.raises(NotFittedError):
        stability_score(KMeans(3), BLOBS)
    classifier = GaussianNB().fit(BLOBS, np.arange(400) % 2)
    with pytest.raises(TypeError, match="GaussianNB is a classifier"):
        stability_score(classifier, BLOBS)
