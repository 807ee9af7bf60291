"""A start that processes share is that of one process which has all the rows."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skvade.training.counting import Counter
from skvade.training.mixture_start import GaussianMixtureStart, used_components
from skvade.training.neighbourhood import Neighbourhood
from skvade.training.neighbours import cumulative_weights, nearest_neighbours
from skvade.training.parted_start import PartedStart, agreement
from skvade.training.peers import ALONE
from tests.training.in_threads import dealt, together
from tests.training.test_guests import graph_of

SHARES = (200, 310, 90)


def rings(n_rows):
    """One in the other, and their labels; rows in no order."""
    rng = np.random.RandomState(0)
    labels, angle = rng.randint(2, size=n_rows), rng.uniform(0, 2 * np.pi, n_rows)
    radius = 1 + 3 * labels + rng.normal(0, 0.05, n_rows)
    return (radius * np.stack([np.cos(angle), np.sin(angle)])).T.astype(np.float32), labels


def blobs(n_rows):
    X, y = make_blobs(n_rows, n_features=4, centers=5, cluster_std=1.5, random_state=1)
    return X.astype(np.float32), y


def neighbourhood(peers, part):
    return Neighbourhood.of(graph_of(peers, part, 10), peers=peers)


@pytest.mark.parametrize("numbers", [np.array([5, 599, 5, 0]), np.array([[250, 1], [3, 250]])])
def test_rows_are_picked_wherever_they_are(numbers):
    table = np.arange(1200).reshape(600, 2)
    for found in together(lambda peers, part: peers.pick(part, numbers), dealt(table, SHARES)):
        np.testing.assert_array_equal(found, table[numbers])


@pytest.mark.parametrize("n_items", [0, 2, 7])
def test_work_that_is_shared_out_comes_back_in_order(n_items):
    def squares(peers, part):
        return peers.of_each([item**2 for item in peers.every(iter(range(n_items)))])

    for found in together(squares, dealt(np.arange(600), SHARES)):
        assert found == [item**2 for item in range(n_items)]


def test_the_flow_is_that_of_all_rows():
    codes, labels = blobs(600)

    def flow(peers, numbers):
        return neighbourhood(peers, codes[numbers]).flow(labels[numbers], 5)

    alone = flow(ALONE, np.arange(600))
    for found in together(flow, dealt(np.arange(600), SHARES)):
        np.testing.assert_allclose(found, alone, atol=1e-12)


def test_the_share_alike_is_that_of_all_rows():
    codes, labels = blobs(600)

    def share(peers, numbers):
        return neighbourhood(peers, codes[numbers]).share_alike(labels[numbers], 4)

    alone = share(ALONE, np.arange(600))
    assert 0.2 < alone < 0.99
    for found in together(share, dealt(np.arange(600), SHARES)):
        assert found == alone


def test_agreement_is_scikit_learns_index():
    rng = np.random.RandomState(0)
    for n_a, n_b in [(3, 4), (1, 1), (1, 3), (600, 5)]:
        a, b = rng.randint(n_a, size=600), rng.randint(n_b, size=600)
        b = np.where(rng.uniform(size=600) < 0.3, a % n_b, b)
        parts = dealt(np.column_stack([a, b]), SHARES)
        for found in together(lambda peers, part: agreement(*part.T, peers), parts):
            assert found == adjusted_rand_score(a, b)


def test_components_without_rows_are_left_out():
    labels = np.repeat([4, 0, 4, 2], 150)

    def groups(peers, part):
        return used_components(part, 6, peers)

    found = together(groups, dealt(labels, SHARES))
    assert [n_used for _, n_used in found] == [3, 3, 3]
    together_found = np.concatenate([own for own, _ in found])
    np.testing.assert_array_equal(together_found, np.repeat([2, 0, 2, 1], 150))


@pytest.mark.parametrize("max_samples", [6_000, 300])
@pytest.mark.parametrize("rows, stays", [(blobs, False), (rings, True)])
def test_the_partition_is_that_of_all_rows(rows, stays, max_samples):
    codes, labels = rows(600)
    mixtures = GaussianMixtureStart(labels.max() + 1, "full", n_restarts=5, max_samples=max_samples)

    def start(peers, part):
        near = neighbourhood(peers, part)
        return PartedStart(mixtures).among(peers, part, 0, near)

    alone = start(ALONE, codes)
    assert alone.stays == stays
    assert adjusted_rand_score(labels, alone.labels) > 0.9
    found = together(start, dealt(codes, SHARES))
    np.testing.assert_array_equal(np.concatenate([own.labels for own in found]), alone.labels)
    for own in found:
        assert own.stays == stays
        assert own.agreement == pytest.approx(alone.agreement)


def test_a_start_of_few_rows_few_restarts_and_neighbours_of_ones_own():
    codes, _ = blobs(120)
    mixtures = GaussianMixtureStart(5, "full", n_restarts=2)

    def start(peers, part):
        numbers, distances = nearest_neighbours(part, 1, 0)
        near = Neighbourhood(numbers, cumulative_weights(distances), peers=peers)
        return mixtures.among(peers, part, 0), PartedStart(mixtures).among(peers, part, 0, near)

    found = together(start, dealt(codes, (2, 3, 110, 5)))
    labels = np.concatenate([mixture.labels for mixture, _ in found])
    np.testing.assert_array_equal(labels, mixtures(codes, 0).labels)
    assert len({parted.agreement for _, parted in found}) == 1
    assert len({parted.stays for _, parted in found}) == 1


def test_the_count_is_that_of_all_rows():
    codes, _ = blobs(600)

    def count(peers, part):
        return Counter(8)(part, neighbourhood(peers, part), 0, peers)

    alone, found = count(ALONE, codes), together(count, dealt(codes, SHARES))
    for own in found:
        assert (own.n_clusters, own.clear) == (alone.n_clusters, alone.clear)
        np.testing.assert_allclose(own.evidence, alone.evidence, rtol=1e-6)
        np.testing.assert_array_equal(own.sizes, alone.sizes)
    np.testing.assert_array_equal(np.concatenate([own.groups for own in found]), alone.groups)
