"""What joins clusters along the graph, and the choice between a mixture and merged groups."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, mutual_info_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.shapes import rings
from skvade.training.initialisation import make_initialiser
from skvade.training.initialiser import Initialiser, Partition
from skvade.training.merging import merge
from skvade.training.mixture_start import GaussianMixtureStart
from skvade.training.neighbourhood import Neighbourhood, Parting
from skvade.training.neighbours import cumulative_weights
from skvade.training.parted_start import MAX_CUT, PartedStart
from tests.training.conftest import equal_weights, nearest


def weighted(X, n_neighbors=15):
    distances, neighbours = NearestNeighbors(n_neighbors=n_neighbors).fit(X).kneighbors()
    return Neighbourhood(neighbours, cumulative_weights(distances))


def mixtures(n_clusters):
    return GaussianMixtureStart(n_clusters, "full")


def uneven(sizes, seed):
    """Normal clusters, each 12 standard deviations from the next."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    return 12 * y[:, None] * np.eye(10)[0] + rng.normal(size=(len(y), 10)), y


def test_the_flow_is_that_of_the_adjacency_matrix(monkeypatch):
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 1 << 12)
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(300, 3)), rng.integers(0, 4, 300)
    neighbourhood = weighted(codes)
    adjacency = np.zeros((300, 300))
    weights = np.diff(neighbourhood.cumulative, axis=1, prepend=0)
    np.put_along_axis(adjacency, neighbourhood.rows, weights, axis=1)
    member = np.eye(4)[labels]
    joint = member.T @ (adjacency + adjacency.T) @ member / 600
    np.testing.assert_allclose(neighbourhood.flow(labels, 4), joint, atol=1e-6)
    assert neighbourhood.flow(labels, 5)[4].sum() == 0


def test_the_share_of_nearest_neighbours_alike(monkeypatch):
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 1 << 12)
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(300, 3)), rng.integers(0, 4, 300)
    _, near = NearestNeighbors(n_neighbors=5).fit(codes).kneighbors()
    alike = np.mean([labels[j] == labels[i] for i in range(300) for j in near[i]])
    assert weighted(codes).share_alike(labels, 5) == pytest.approx(alike)
    assert weighted(codes, 5).share_alike(labels, 50) == pytest.approx(alike)


def test_information_is_that_of_the_clusters_of_neighbours():
    rng = np.random.default_rng(1)
    near, labels = rng.integers(0, 200, (200, 5)), rng.integers(0, 3, 200)
    parting = Parting.of(equal_weights(near).flow(labels, 3))
    own, others = np.repeat(labels, 5), labels[near].ravel()
    both = mutual_info_score(np.r_[own, others], np.r_[others, own])
    assert parting.information == pytest.approx(both)
    leaving = [(np.r_[others, own][np.r_[own, others] == c] != c).mean() for c in range(3)]
    assert parting.worst_cut == pytest.approx(max(leaving))
    assert parting.used_clusters == 3


def test_merging_equal_volumes_is_average_linkage():
    """Of two groups each, where all have the same volume, the closest pairs are merged first."""
    flow = np.array([[0, 5, 1, 0], [5, 0, 0, 1], [1, 0, 0, 5], [0, 1, 5, 0]], float)
    assert merge(flow, 2).tolist() == [0, 0, 1, 1]
    assert merge(flow, 4).tolist() == [0, 1, 2, 3]
    assert merge(flow, 1).tolist() == [0, 0, 0, 0]
    assert merge(flow, 5).tolist() == [0, 1, 2, 3]  # as mixtures of equal rows have fewer groups
    points = np.array([0.0, 1.0, 10.0, 11.5])
    near = np.exp(-np.abs(points[:, None] - points))
    tree = fcluster(linkage(points[:, None], "average"), 2, "maxclust")
    assert adjusted_rand_score(tree, merge(near, 2)) == 1


def test_parts_that_nothing_joins_are_merged_last():
    flow = np.kron(np.eye(3), np.ones((4, 4)))
    assert adjusted_rand_score(np.repeat([0, 1, 2], 4), merge(flow, 3)) == 1
    assert len(set(merge(flow, 2))) == 2


@pytest.mark.parametrize("sizes", [(990, 10), (980, 20), (2000, 40, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_few_rows_far_from_many_are_a_cluster(sizes, seed):
    X, y = uneven(sizes, seed)
    found = make_initialiser("auto", len(sizes), 10, len(X), "full")(X, seed, weighted(X))
    np.testing.assert_array_equal(found.labels == found.labels[0], y == 0)
    assert adjusted_rand_score(y, found.labels) == 1
    assert 0 < found.agreement <= 1


def test_what_all_mixtures_find_may_cut_more():
    """Six of the fifteen neighbours of ten rows are elsewhere; nothing else cuts so much."""
    X, y = uneven((990, 10), 7)
    neighbours = weighted(X)
    assert 0.01 < Parting.of(neighbours.flow(y, 2)).worst_cut < MAX_CUT
    found = PartedStart(GaussianMixtureStart(2, "full"))(X, 0, neighbours)
    assert adjusted_rand_score(y, found.labels) == 1


def test_parts_of_rings_of_few_rows_are_merged_by_what_they_tell():
    """Those that share most lie across the gap, where points are few."""
    X, y = rings((1, 2), 0.1, 200, 9)
    neighbours, start = weighted(X), PartedStart(mixtures(2))
    shared, informed = (
        max(adjusted_rand_score(y, labels) for labels in way)
        for way in start._merged(X, 9, neighbours, 30)
    )
    assert shared < 0.5 < 0.7 < informed
    assert adjusted_rand_score(y, start(X, 9, neighbours).labels) > 0.7


def test_long_clusters_beside_each_other():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 300])
    X = np.column_stack([rng.uniform(0, 40, 600), 4 * y + rng.uniform(-0.5, 0.5, 600)])
    neighbours = weighted(X)
    spherical = GaussianMixtureStart(2, "spherical")
    assert adjusted_rand_score(y, spherical(X, 0, neighbours).labels) < 0.1
    found = PartedStart(spherical)(X, 0, neighbours)
    assert adjusted_rand_score(y, found.labels) == 1
    assert found.stays


def test_what_codes_have_mixed_is_found_among_the_components():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 300])
    X = np.column_stack([rng.uniform(0, 40, 600), 4 * y + rng.uniform(-0.5, 0.5, 600)])
    codes, neighbours = X[:, :1] + rng.normal(size=(600, 1)), weighted(X)
    assert adjusted_rand_score(y, PartedStart(mixtures(2))(codes, 0, neighbours).labels) < 0.1
    found = PartedStart(mixtures(2))(codes, 0, replace(neighbours, places=X))
    assert adjusted_rand_score(y, found.labels) == 1
    assert found.stays


class Drawn(Initialiser):
    """Two clusters at random."""

    n_clusters = 2

    def __call__(self, codes, seed, neighbours=None):
        return Partition(np.random.default_rng(seed).integers(2, size=len(codes)))


@pytest.mark.parametrize("again", [0, 1])
def test_of_partitions_that_are_about_as_good_the_one_is_taken_that_is_found_again(again):
    """Three clusters, of which two are to be one."""
    X, y = make_blobs([100, 100, 110], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    rivals = [np.minimum(y, 1), np.maximum(y, 1) - 1]

    class Given(PartedStart):
        def _merged(self, codes, seed, neighbours, n_groups):
            return [[*rivals, rivals[again]]]

    found = Given(Drawn())(X, 0, weighted(X))
    np.testing.assert_array_equal(found.labels, rivals[again])
    assert found.stays


def test_a_mixture_does_not_agree_with_itself():
    """Merged in the other way it is the same parts, and mostly the same clusters."""
    X, y = make_blobs([100, 100, 110], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    one, other = np.minimum(y, 1), np.maximum(y, 1) - 1

    class Given(PartedStart):
        def _merged(self, codes, seed, neighbours, n_groups):
            return [[one, other], [one, other]]

    found = Given(Drawn())(X, 0, weighted(X))
    assert found.stays
    assert found.agreement == pytest.approx(adjusted_rand_score(one, other))


@pytest.mark.parametrize("found_by_all", [True, False])
def test_what_cuts_more_than_half_of_the_bound_is_taken_only_if_all_find_it(found_by_all):
    X, y = uneven((990, 10), 7)  # its worst cut is 1.7 %

    class Given(PartedStart):
        def _merged(self, codes, seed, neighbours, n_groups):
            other = np.arange(len(y)) % 2
            return [[y, y, y if found_by_all else other], [other, other]]

    found = Given(Drawn())(X, 0, weighted(X))
    assert found.stays == found_by_all


def test_overlapping_clusters_stay_the_mixtures():
    X, _ = make_blobs(900, n_features=3, centers=4, cluster_std=2.5, random_state=0)
    neighbours = weighted(X)
    expected = mixtures(4)(X, 3, neighbours)
    found = PartedStart(mixtures(4))(X, 3, neighbours)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.agreement == expected.agreement
    assert not found.stays


@pytest.mark.parametrize("n_clusters", [1, 3])
def test_without_neighbours_or_rivals_there_are_mixtures_only(n_clusters):
    X, _ = uneven((90, 10), 0)
    neighbours = None if n_clusters == 3 else equal_weights(nearest(X))
    found = PartedStart(mixtures(n_clusters))(X, 0, neighbours)
    np.testing.assert_array_equal(found.labels, mixtures(n_clusters)(X, 0, neighbours).labels)


def test_few_rows_leave_nothing_to_merge():
    X, _ = uneven((20, 8), 0)
    start = PartedStart(mixtures(6))
    found = start(X, 0, weighted(X, 5))
    np.testing.assert_array_equal(found.labels, mixtures(6)(X, 0, weighted(X, 5)).labels)
