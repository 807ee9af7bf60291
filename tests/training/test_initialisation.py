"""Initial partitions, on codes whose truth is known."""

import itertools

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, pairwise_distances_argmin
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from skvade.metrics import mutual_information, neighbour_information
from skvade.training.initialisation import (
    GaussianMixtureStart,
    _Sample,
    make_initialiser,
    merge_groups,
)

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
    alone = _Sample(codes, codes[:0], np.empty((400, 0), dtype=np.int64))
    fits = [start._fit(alone, number, rng)[1] for number in range(8)]
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


def nearest(codes, n_neighbors=10):
    return NearestNeighbors(n_neighbors=n_neighbors).fit(codes).kneighbors()[1]


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_merged_groups_find_every_island(covariance_type):
    """Nine islands on a grid: one start of k-means misses some, merged groups miss none."""
    centers = np.array(list(itertools.product(range(3), range(3)))) * 6.0
    codes, truth = make_blobs(900, centers=centers, random_state=0)
    sample = _Sample(codes, codes, nearest(codes))
    start = GaussianMixtureStart(9, covariance_type)
    missed = 0
    for seed in range(5):
        means = start._merged_start(sample, seed, 1e-4)["means_init"]
        labels = pairwise_distances_argmin(codes, means)
        assert adjusted_rand_score(truth, labels) > 0.95
        once = KMeans(9, init="random", n_init=1, random_state=seed).fit_predict(codes)
        missed += adjusted_rand_score(truth, once) < 0.95
    assert missed > 0
    begun = start._merged_start(sample, 0, 1e-4)
    mixture = GaussianMixture(9, covariance_type=covariance_type, **begun).fit(codes)
    assert adjusted_rand_score(truth, mixture.predict(codes)) > 0.95


def test_each_merger_gains_most_modularity():
    """Against all pairs of mergers of a small table, one step at a time."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(1, 20, (6, 6)).astype(float)
    pairs += pairs.T

    def modularity(labels):
        members = np.equal.outer(np.unique(labels), labels).astype(float)
        p = members @ pairs @ members.T / pairs.sum()
        return np.trace(p) - np.square(p.sum(1)).sum()

    labels = np.arange(6)
    for n_left in range(5, 1, -1):
        mergers = [
            np.where(labels == b, a, labels)
            for a, b in itertools.combinations(np.unique(labels), 2)
        ]
        labels = max(mergers, key=modularity)
        assert adjusted_rand_score(labels, merge_groups(pairs, n_left)) == 1.0


def test_neighbours_have_a_say_in_the_choice():
    """Equally decided and even partitions: the one that keeps neighbours together wins."""
    codes, truth = make_blobs(600, n_features=2, centers=[[-9, 0], [0, 0], [9, 0]], random_state=0)
    near = nearest(codes)
    partition = GaussianMixtureStart(3, "full")(codes, 0, near)
    assert adjusted_rand_score(truth, partition.labels) == 1.0
    q, p = np.eye(3)[truth], np.eye(3)[np.arange(600) % 3]
    assert mutual_information(q) == pytest.approx(mutual_information(p))
    assert neighbour_information(q, q[near]) > neighbour_information(p, p[near]) + 1


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
