"""Merging trees and the number of clusters, against brute force and known numbers."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import cut_tree, is_valid_linkage
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skvade.training.counting import Counter
from skvade.training.merging import Groups, InformedGroups, merge, merge_tree, merges
from skvade.training.neighbourhood import Parting
from tests.training.test_parted_start import uneven, weighted


def random_flow(n_groups, seed=0):
    flow = np.random.default_rng(seed).random((n_groups, n_groups)) ** 4
    return (flow + flow.T) / (flow + flow.T).sum()


def joined(flow, a, b):
    flow = flow.copy()
    flow[a] += flow[b]
    flow[:, a] += flow[:, b]
    return np.delete(np.delete(flow, b, 0), b, 1)


@pytest.mark.parametrize("n_groups", [2, 3, 7])
def test_what_a_merger_does_to_the_information(n_groups):
    flow = random_flow(n_groups)
    flow[0, 1] = flow[1, 0] = 0
    before, kept = Parting.of(flow).information, InformedGroups(flow).closeness()
    for a in range(n_groups):
        for b in range(a + 1, n_groups):
            after = Parting.of(joined(flow, a, b)).information
            assert kept[a, b] == pytest.approx(after - before, abs=1e-12)


def test_sums_that_are_kept_are_those_of_the_groups_that_are_left():
    groups = InformedGroups(random_flow(9))
    for into, gone in [(2, 5), (0, 7), (1, 3), (4, 5), (3, 0)]:
        expected = joined(groups.flow, into, gone)
        groups.merge(into, gone)
        np.testing.assert_allclose(groups.flow, expected)
        anew = InformedGroups(expected).closeness()
        np.testing.assert_allclose(groups.closeness(), anew, atol=1e-12)


@pytest.mark.parametrize("kind", [Groups, InformedGroups])
def test_mergers_keep_the_weight_and_what_was_given(kind):
    flow = random_flow(6)
    given = flow.copy()
    left = [flow, *(after for _, _, after in merges(flow, kind))]
    np.testing.assert_array_equal(flow, given)
    assert [len(after) for after in left] == [6, 5, 4, 3, 2, 1]
    for after in left:
        assert after.sum() == pytest.approx(1)
        np.testing.assert_allclose(after, after.T)
    information = [Parting.of(after).information for after in left]
    assert np.all(np.diff(information) <= 1e-12)  # what is merged is not known apart


@pytest.mark.parametrize("seed", range(4))
def test_the_tree_is_scipys_and_its_cuts_are_the_mergers(seed):
    flow = random_flow(9, seed)
    tree = merge_tree(flow)
    assert is_valid_linkage(tree)
    assert np.all(np.diff(tree[:, 2]) >= 0)
    for n_clusters in range(1, 10):
        cut = cut_tree(tree, n_clusters=n_clusters).ravel()
        assert adjusted_rand_score(cut, merge(flow, n_clusters)) == 1


@pytest.mark.parametrize("n_clusters", [2, 3, 5, 9])
@pytest.mark.parametrize("seed", range(2))
def test_separate_blobs_are_counted(n_clusters, seed):
    centers = 12 * np.eye(n_clusters)
    X, y = make_blobs(120 * n_clusters, centers=centers, random_state=seed)
    count = Counter(12)(X, weighted(X), seed)
    assert (count.n_clusters, count.clear) == (n_clusters, True)
    cut = cut_tree(count.tree, n_clusters=n_clusters).ravel()
    assert adjusted_rand_score(y, cut[count.groups]) > 0.99
    assert count.evidence.shape == (13,)
    assert np.isnan(count.evidence[:2]).all()


def test_uneven_clusters_are_counted():
    X, _ = uneven((990, 10), 0)
    assert Counter(9)(X, weighted(X), 0).n_clusters == 2


@pytest.mark.parametrize("seed", range(3))
def test_rings_are_counted(seed):
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, 900), np.repeat([2.0, 4.0, 6.0], 300)
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    X += 0.15 * rng.normal(size=X.shape)
    count = Counter(30)(X, weighted(X), seed)
    assert (count.n_clusters, count.clear) == (3, True)


def test_evidence_is_what_the_worst_cut_jumps_by_beyond_the_fall_of_gains():
    X, _ = uneven((400, 100, 10), 0)
    counter, neighbours = Counter(6, n_mixtures=1), weighted(X)
    count = counter(X, neighbours, 0)
    sizes = np.bincount(count.groups)
    flow = neighbours.flow(count.groups, len(sizes))
    cuts = {}
    for n_clusters in range(2, 8):
        joined = np.eye(n_clusters)[merge(flow, n_clusters)]
        left = joined.T @ flow @ joined
        cuts[n_clusters] = (1 - np.diag(left) / left.sum(0)).max()
    falls = counter._falls(counter._gains(flow))
    for k in range(2, 7):
        jump = np.log((cuts[k + 1] + 5e-4) / (cuts[k] + 5e-4)) - np.log(1.5)
        assert count.evidence[k] == pytest.approx(falls[k] + 0.3 * max(0, jump), abs=1e-9)
    assert count.n_clusters == 3


def test_one_blob_has_no_clear_number():
    X = np.random.default_rng(0).normal(size=(600, 5))
    assert not Counter(8)(X, weighted(X), 0).clear


@pytest.mark.parametrize("n_rows", [3, 9, 12])
def test_few_rows_are_two_clusters(n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 2))
    count = Counter(30)(X, weighted(X, n_rows - 1), 0)
    assert count.n_clusters == 2
    assert not count.clear


def test_equal_rows_are_no_error():
    X = np.repeat([[0.0, 0.0], [1.0, 1.0]], 40, axis=0)
    assert Counter(5)(X, weighted(X), 0).n_clusters == 2
