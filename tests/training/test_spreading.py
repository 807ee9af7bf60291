"""Labels spread along a graph, against the closed form of the same diffusion."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs, make_circles
from sklearn.neighbors import NearestNeighbors

from skvade.training.initialisation import KMeansStart, LabelledStart, LabelsStart
from skvade.training.neighbourhood import Parting
from skvade.training.parted_start import lies_apart, parts_far_better
from skvade.training.spreading import spread_accuracy, spread_labels
from tests.training.conftest import equal_weights


def circles():
    X, y = make_circles(400, factor=0.4, noise=0.04, random_state=0)
    neighbours = NearestNeighbors(n_neighbors=10).fit(X).kneighbors(return_distance=False)
    labels = np.full(len(y), -1)
    for c in (0, 1):
        labels[np.flatnonzero(y == c)[:3]] = c
    return X, y, neighbours, labels


def test_labels_follow_the_circles():
    _, y, neighbours, labels = circles()
    np.testing.assert_array_equal(spread_labels(labels, neighbours, 2), y)
    assert spread_accuracy(labels, neighbours, 2) == 1


@pytest.mark.parametrize("alpha", [0.9, 0.97])
def test_it_is_the_closed_form_of_the_diffusion(alpha):
    """(I - alpha S)^-1 Y, Zhou et al. 2003, with a dense inverse."""
    _, _, neighbours, labels = circles()
    labels[200], labels[300] = 0, 1
    n = len(labels)
    W = np.zeros((n, n))
    W[np.arange(n).repeat(10), neighbours.ravel()] = 1
    W = np.maximum(W, W.T)
    S = W / np.sqrt(W.sum(1)[:, None] * W.sum(1))
    Y = np.stack([labels == c for c in (0, 1)], 1) / [(labels == c).sum() for c in (0, 1)]
    F = np.linalg.solve(np.eye(n) - alpha * S, Y)
    clear = abs(F[:, 0] - F[:, 1]) > 1e-3 * F.sum(1)
    found = spread_labels(labels, neighbours, 2, alpha)
    assert clear.mean() > 0.9
    assert np.mean(found[clear] == F.argmax(1)[clear]) > 0.99


def test_rows_that_no_path_joins_to_a_label_get_none():
    neighbours = np.array([[1], [0], [3], [2]])
    assert spread_labels(np.array([0, -1, -1, -1]), neighbours, 2).tolist() == [0, 0, -1, -1]


def test_accuracy_of_one_label_a_class_is_not_known():
    neighbours = np.array([[1], [0], [3], [2]])
    assert np.isnan(spread_accuracy(np.array([0, -1, 1, -1]), neighbours, 2))


def test_a_start_spreads_labels_only_where_its_clusters_contradict_them():
    X, y, neighbours, labels = circles()
    near = equal_weights(neighbours)
    halves = LabelsStart((X[:, 0] > 0).astype(int))
    found = LabelledStart(halves, labels, 2)(X, 0, near)
    np.testing.assert_array_equal(found.labels, y)
    assert found.stays
    odd = np.where(np.arange(len(y)) % 7 == 0, 1 - y, y)
    odd[labels >= 0] = y[labels >= 0]
    found = LabelledStart(LabelsStart(1 - odd), labels, 2)(X, 0, near)
    np.testing.assert_array_equal(found.labels, odd)
    assert not found.stays  # one row in seven lies among others
    without = LabelledStart(halves, labels, 2)(X, 0).labels
    np.testing.assert_array_equal(without[labels >= 0], labels[labels >= 0])


def test_nothing_is_spread_where_it_could_not_help(monkeypatch):
    X, y, neighbours, labels = circles()
    near = equal_weights(neighbours)
    monkeypatch.setattr(
        "skvade.training.initialisation.spread_accuracy", lambda *args: pytest.fail("spread")
    )
    halves = LabelsStart((X[:, 0] > 0).astype(int))
    np.testing.assert_array_equal(LabelledStart(halves, y, 2)(X, 0, near).labels, y)
    found = LabelledStart(LabelsStart(1 - y), labels, 2)(X, 0, near)
    np.testing.assert_array_equal(found.labels, y)
    assert found.stays


def test_one_label_a_class_is_enough_where_the_graph_falls_apart():
    """Which labels it is that spread cannot be judged then; what they part can."""
    X, y, neighbours, labels = circles()
    single = np.full(len(y), -1)
    for c in (0, 1):
        single[np.flatnonzero(labels == c)[0]] = c
    start = LabelledStart(KMeansStart(2), single, 2)(X, 0, equal_weights(neighbours))
    np.testing.assert_array_equal(start.labels, y)
    assert start.stays


def test_a_class_without_labels_is_not_made_one_with_another():
    """One cluster cuts nothing, which is no gain where there were two."""
    X, y = make_blobs([150, 150], centers=[[0, 0], [3.6, 0]], random_state=0)
    neighbours = NearestNeighbors(n_neighbors=10).fit(X).kneighbors(return_distance=False)
    near = equal_weights(neighbours)
    labels = np.where((np.arange(300) % 30 == 0) & (y == 0), 0, -1)
    found = LabelledStart(KMeansStart(2), labels, 2)(X, 0, near)
    assert set(found.labels) == {0, 1}
    one = Parting.of(near.flow(np.zeros(300, int), 2))
    assert one.worst_cut == pytest.approx(0)
    assert not lies_apart(one)
    assert not parts_far_better(one, Parting.of(near.flow(y, 2)), 2)
