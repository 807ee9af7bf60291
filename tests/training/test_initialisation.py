"""Initial partitions, on codes whose truth is known."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from skvade.metrics import mutual_information
from skvade.training.initialisation import GaussianMixtureStart, make_initialiser

CODES, TRUTH = make_blobs(300, n_features=4, centers=3, random_state=0)
MEANS = np.stack([CODES[TRUTH == c].mean(0) for c in range(3)])


@pytest.mark.parametrize(
    "init",
    [
        "gmm",
        "k-means",
        TRUTH,
        TRUTH.tolist(),
        MEANS,
        KMeans(3, n_init=2),
        GaussianMixture(3),
        AgglomerativeClustering(3),
        make_pipeline(PCA(2), GaussianMixture(3)),
    ],
    ids=lambda init: str(init)[:20],
)
def test_every_kind_finds_separated_blobs_and_repeats_itself(init):
    initialiser = make_initialiser(init, 3, 4, 300, "full")
    partition = initialiser(CODES, seed=0)
    assert partition.labels.dtype == np.int64
    assert adjusted_rand_score(TRUTH, partition.labels) > 0.95
    np.testing.assert_array_equal(partition.labels, initialiser(CODES, seed=0).labels)


def test_random_starts_differ_by_seed_and_use_every_cluster():
    initialiser = make_initialiser("random", 3, 4, 300, "full")
    first, second = (initialiser(CODES, seed).labels for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert set(first) == {0, 1, 2}


def test_restarts_are_chosen_by_mutual_information_not_likelihood():
    """Crowded blobs, where restarts differ and the likeliest is not the one that decides most."""
    codes, _ = make_blobs(400, n_features=2, centers=9, cluster_std=1.7, random_state=8)
    start = GaussianMixtureStart(6, "full", n_restarts=8)
    rng = np.random.RandomState(3)
    fits = [start._fit(codes, number, rng)[1] for number in range(8)]
    decided = max(fits, key=lambda fit: mutual_information(fit.predict_proba(codes)))
    likeliest = max(fits, key=lambda fit: fit.score(codes))
    assert decided is not likeliest
    partition = start(codes, seed=3)
    np.testing.assert_array_equal(partition.labels, decided.predict(codes))
    assert partition.agreement < 1.0


def test_a_restart_that_uses_every_cluster_wins(monkeypatch):
    class Fake:
        def __init__(self, labels):
            self.labels = labels

        def predict(self, codes):
            return self.labels

    few, all_used = Fake(np.zeros(300, int)), Fake(TRUTH)
    results = [((1, 9.0), few), ((3, 0.1), all_used)]
    monkeypatch.setattr(GaussianMixtureStart, "_fit", lambda self, s, number, rng: results[number])
    start = GaussianMixtureStart(3, "full", n_restarts=2)
    assert start(CODES, seed=0).labels is all_used.labels


def test_mixtures_are_fitted_to_a_subsample_and_label_everything(monkeypatch):
    sizes = []
    fit = GaussianMixture.fit
    monkeypatch.setattr(
        GaussianMixture, "fit", lambda self, X: sizes.append(len(X)) or fit(self, X)
    )
    start = GaussianMixtureStart(3, "full", n_restarts=2, max_samples=100)
    assert len(start(CODES, seed=0).labels) == 300
    assert sizes == [100, 100]


def test_noise_goes_to_the_nearest_cluster():
    codes = np.vstack([CODES, MEANS.mean(0) + 30])
    clusterer = DBSCAN(eps=1.5)
    found = clusterer.fit_predict(codes)
    assert -1 in found
    labels = make_initialiser(clusterer, len(set(found)), 4, 301, "full")(codes, 0).labels
    assert labels.min() == 0
    assert adjusted_rand_score(found[found != -1], labels[found != -1]) == 1.0


def test_the_users_clusterer_is_not_changed():
    clusterer = KMeans(3)
    make_initialiser(clusterer, 3, 4, 300, "full")(CODES, seed=0)
    assert clusterer.random_state is None
    assert not hasattr(clusterer, "labels_")


def test_labels_can_be_restricted_to_rows():
    initialiser = make_initialiser(TRUTH, 3, 4, 300, "full")
    rows = np.array([5, 7, 200])
    np.testing.assert_array_equal(initialiser.restricted(rows)(CODES[rows], 0).labels, TRUTH[rows])


@pytest.mark.parametrize(
    "init, message",
    [
        (TRUTH[:10], "init has 10 labels; expected one for each of the 300 rows"),
        (TRUTH + 1, "from 0 to n_clusters - 1 = 2"),
        (TRUTH - 1, "from 0 to n_clusters - 1 = 2"),
        (TRUTH + 0.5, "integer labels"),
        (MEANS[:, :2], r"init has shape \(3, 2\).*\(3, 4\)"),
        (np.full((3, 4), np.nan), "NaN"),
    ],
)
def test_bad_arrays_are_named(init, message):
    with pytest.raises(ValueError, match=message):
        make_initialiser(init, 3, 4, 300, "full")


def test_a_clusterer_with_too_many_clusters_is_named():
    initialiser = make_initialiser(KMeans(5), 3, 4, 300, "full")
    with pytest.raises(ValueError, match=r"found 5 clusters, but n_clusters=3"):
        initialiser(CODES, 0)
