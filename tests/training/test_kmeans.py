"""Runs of k-means at once are those that scikit-learn makes one by one."""

import numpy as np
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.datasets import load_digits, make_blobs

from skvade.training import units
from skvade.training.kmeans import fit_kmeans, lloyd, plus_plus

BLOBS, _ = make_blobs(400, n_features=3, centers=8, cluster_std=2.0, random_state=0)
SETS = {
    "overlapping": (BLOBS, 8),
    "far from zero": (BLOBS + 1e4, 5),
    "equal rows": (np.repeat(BLOBS[:80], 3, axis=0), 4),
    "one cluster": (BLOBS, 1),
    "one feature": (BLOBS[:, :1], 4),
    "wide": (load_digits().data[:500], 10),
}
SEEDS = list(range(12))


@pytest.mark.parametrize("name", SETS)
def test_each_is_the_k_means_of_scikit_learn(name):
    rows, n_clusters = SETS[name]
    found = fit_kmeans(rows, n_clusters, SEEDS)
    for seed, labels in zip(SEEDS, found, strict=True):
        theirs = KMeans(n_clusters, n_init=1, random_state=seed).fit(rows)
        np.testing.assert_array_equal(labels, theirs.labels_)


@pytest.mark.parametrize("name", SETS)
def test_each_begins_where_scikit_learn_begins(name):
    rows, n_clusters = SETS[name]
    centred = rows - rows.mean(0)
    found = plus_plus(centred, n_clusters, SEEDS)
    for seed, begun in zip(SEEDS, found, strict=True):
        _, theirs = kmeans_plusplus(centred, n_clusters, random_state=seed)
        np.testing.assert_array_equal(rows[begun], rows[theirs])  # of equal rows any


def test_of_rows_that_are_equally_good_to_begin_at_the_first_drawn_is_taken():
    """Each of two rows beside each other takes the same from the sum, whichever is chosen."""
    rows = np.array([[0.0], [100.0], [100.1]])
    begun = plus_plus(rows - rows.mean(), 2, range(50))
    for seed, (first, second) in enumerate(begun):
        rng = np.random.RandomState(seed)
        assert first == rng.choice(3, p=np.full(3, 1 / 3))
        squared = (rows[:, 0] - rows[first, 0]) ** 2
        drawn = np.searchsorted(squared.cumsum(), rng.uniform(size=2) * squared.sum())
        assert second == (drawn[0] if first == 0 else 0)


def test_many_small_clusters_from_the_same_centers():
    """Of two rows that are as good to begin at scikit-learn takes the one that rounding prefers."""
    centred = BLOBS[:60] - BLOBS[:60].mean(0)
    for seed in SEEDS:
        centers, _ = kmeans_plusplus(centred, 30, random_state=seed)
        theirs = KMeans(30, init=centers, n_init=1).fit(centred)
        np.testing.assert_array_equal(lloyd(centred, centers[None])[0], theirs.labels_)


def test_clusters_that_lose_their_rows_get_others():
    """From centres of which three are far from all rows."""
    centred = BLOBS - BLOBS.mean(0)
    centers = np.concatenate([centred[:3], 100 + centred[:3]])
    theirs = KMeans(6, init=centers + BLOBS.mean(0), n_init=1).fit(BLOBS)
    (labels,) = lloyd(centred, centers[None])
    np.testing.assert_array_equal(labels, theirs.labels_)
    assert len(np.unique(labels)) == 6


def test_rows_that_cannot_fill_all_clusters():
    """There are fewer different rows than clusters, so that in the end no row is off its centre."""
    equal = np.zeros((5, 2))
    np.testing.assert_array_equal(lloyd(equal, np.zeros((1, 3, 2))), [[0] * 5])
    rows = np.array([[-1.0], [-1.0], [2.0]])
    (labels,) = lloyd(rows, np.array([[[-1.0], [5.0], [50.0]]]))
    assert len(np.unique(labels)) == 2
    assert labels[0] == labels[1] != labels[2]


def test_a_run_depends_neither_on_the_others_nor_on_blocks(monkeypatch):
    together = fit_kmeans(BLOBS, 8, SEEDS)
    for seed, labels in zip(SEEDS, together, strict=True):
        np.testing.assert_array_equal(fit_kmeans(BLOBS, 8, [seed])[0], labels)
    monkeypatch.setattr(units, "BLOCK_BYTES", 10_000)
    np.testing.assert_array_equal(fit_kmeans(BLOBS, 8, SEEDS), together)


def test_narrow_floats_are_clustered_as_wide_ones():
    narrow = BLOBS.astype(np.float32)
    wide = fit_kmeans(narrow.astype(np.float64), 8, SEEDS)
    np.testing.assert_array_equal(fit_kmeans(narrow, 8, SEEDS), wide)


def test_one_row():
    np.testing.assert_array_equal(fit_kmeans(np.ones((1, 2)), 1, [0, 1]), [[0], [0]])
