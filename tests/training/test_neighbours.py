"""The graph of neighbours, against brute force and the defining equations of its weights."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.spatial.distance import cdist
from scipy.stats import chisquare

from skvade.training import neighbours
from skvade.training.batches import Rows
from skvade.training.handover import Graph
from skvade.training.neighbours import (
    DrawnNeighbours,
    _of_equal_variance,
    beside,
    cumulative_weights,
    membership_weights,
    nearest_neighbours,
    principal_components,
    signal_share,
)
from skvade.training.peers import ALONE

CODES = np.random.default_rng(0).normal(size=(200, 4))


def test_exact_neighbours_equal_brute_force():
    found, distances = nearest_neighbours(CODES, 5, seed=0)
    apart = cdist(CODES, CODES) + np.diag(np.full(len(CODES), np.inf))
    np.testing.assert_array_equal(found, apart.argsort(1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(apart, 1)[:, :5])


def test_all_components_keep_the_distances_of_what_is_viewed():
    X = np.random.default_rng(1).normal(size=(200, 3)) * [2.0, 1.0, 0.1]
    rows = Rows(X)
    places = beside(CODES, rows, principal_components(rows, torch.sinh, 40, seed=0))
    np.testing.assert_array_equal(places[:, :4], CODES)
    components = places[:, 4:]
    assert components.var(0).sum() == pytest.approx(CODES.var(0).sum(), rel=1e-5)
    viewed = np.sinh(X)
    scale = np.sqrt(CODES.var(0).sum() / viewed.var(0).sum())
    np.testing.assert_allclose(
        cdist(components, components), scale * cdist(viewed, viewed), atol=1e-5
    )


def test_leading_components_are_found_on_a_subsample(monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_PCA_ROWS", 100)
    X = np.random.default_rng(1).normal(size=(200, 3)) * [0.1, 5.0, 0.1]
    seen = []

    def view(x):
        seen.append(len(x))
        return x

    rows = Rows(X)
    places = beside(CODES, rows, principal_components(rows, view, 1, seed=0))
    assert seen == [100, 200]
    assert abs(np.corrcoef(places[:, 4], X[:, 1])[0, 1]) > 0.999


@pytest.mark.parametrize(
    ("X", "n_components"),
    [(np.random.default_rng(1).normal(size=(200, 3)), 0), (np.full((200, 600), 0.3), 2)],
    ids=["no components", "equal rows"],
)
def test_no_components_where_none_are_wanted_or_found(X, n_components):
    assert principal_components(Rows(X), torch.log1p, n_components, seed=0) is None


def test_signal_is_what_neighbours_differ_in_along_the_components():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(5_000, 20)) * np.r_[[100.0] * 2, [1.0] * 18]
    rows, table = Rows(X), rng.integers(5_000, size=(5_000, 3))
    share = lambda n, table: signal_share(  # noqa: E731
        rows, graph_of(table), principal_components(rows, torch.positive, n, seed=0), seed=0
    )
    apart = X - X[table[:, 0]]
    expected = np.linalg.norm(apart[:, :2]) / np.linalg.norm(apart)
    assert share(2, table) == pytest.approx(expected, rel=1e-3)
    assert share(20, table) == pytest.approx(1, rel=1e-5)
    X[:, :2] = np.repeat(X[:2_500, :2], 2, axis=0)  # twins differ beside the components only
    rows, twins = Rows(X), np.arange(5_000).reshape(-1, 2)[:, ::-1].reshape(-1, 1)
    assert share(2, twins) < 0.01


def graph_of(neighbours):
    """In which all of a row's neighbours weigh alike."""
    share = torch.full(neighbours.shape, 1 / neighbours.shape[1])
    return Graph(torch.from_numpy(neighbours.copy()), share.cumsum(1))


def test_signal_of_equal_neighbours_is_whole():
    X = np.repeat(np.random.default_rng(1).normal(size=(50, 6)), 2, axis=0)
    rows, twins = Rows(X), np.arange(100).reshape(-1, 2)[:, ::-1].reshape(-1, 1)
    components = principal_components(rows, torch.positive, 2, seed=0)
    assert signal_share(rows, graph_of(twins), components, seed=0) == 1


def test_wide_sparse_rows_are_never_dense_as_a_whole():
    X = sp.random(4_000, 10_000, 0.002, "csr", dtype=np.float32, random_state=0)
    codes = np.random.default_rng(0).normal(size=(4_000, 2)).astype(np.float32)
    tracemalloc.start()
    rows = Rows(X)
    beside(codes, rows, principal_components(rows, lambda x: x, 5, seed=0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.shape[0] * X.shape[1] * 4


@pytest.mark.parametrize("k", [2, 5, 15])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_weights_sum_to_log2_of_their_number(k, unit):
    _, distances = nearest_neighbours(unit * CODES, k, seed=0)
    weights = membership_weights(distances)
    np.testing.assert_allclose(weights.sum(1), np.log2(k), rtol=1e-3)
    np.testing.assert_allclose(weights[:, 0], 1)
    assert (np.diff(weights, axis=1) <= 0).all()


@pytest.mark.parametrize("k", [1, 3])
def test_weights_of_equal_rows_are_finite_and_equal(k):
    np.testing.assert_allclose(membership_weights(np.zeros((4, k))), 1)


def test_neighbours_are_drawn_by_weight(generator):
    weights = np.array([0.5, 0.3, 0.2])
    table = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    cumulative = torch.from_numpy(np.tile(weights.cumsum(), (4, 1)).astype(np.float32))
    X = np.arange(4.0)[:, None]
    graph = DrawnNeighbours(Rows(X), Graph(torch.from_numpy(table), cumulative))
    drawn = graph(torch.zeros(30_000, dtype=torch.int64), generator)
    torch.testing.assert_close(drawn.x[:, 0], drawn.index.float())
    counts = np.bincount(drawn.index.numpy(), minlength=4)
    assert counts[0] == 0
    assert chisquare(counts[1:], weights * len(drawn.index)).pvalue > 1e-3


def test_cumulative_weights_do_not_depend_on_blocks(monkeypatch):
    distances = np.sort(np.random.default_rng(0).random((1_000, 15)), axis=1)
    whole = membership_weights(distances).cumsum(1)
    whole = (whole / whole[:, -1:]).astype(np.float32)
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 8 * 15 * 64)
    np.testing.assert_array_equal(cumulative_weights(distances), whole)
    assert (cumulative_weights(distances)[:, -1] == 1).all()


def test_codes_that_are_all_equal_leave_the_components_as_they_are():
    both = np.c_[np.ones((50, 2)), np.random.default_rng(0).normal(size=(50, 3))]
    np.testing.assert_array_equal(_of_equal_variance(both.copy(), 2, ALONE), both)
    both[:, :2] = np.random.default_rng(1).normal(size=(50, 2)) + 9
    places = _of_equal_variance(both.copy(), 2, ALONE)[:, 2:]
    assert places.var(0).sum() == pytest.approx(both[:, :2].var(0).sum())
