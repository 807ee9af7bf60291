"""Neighbours in cells, against the exact ones."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from skvade.training import neighbours, search
from skvade.training.neighbours import nearest_neighbours
from skvade.training.search import _smallest, neighbours_in_cells


@pytest.fixture(scope="module")
def places():
    """A bent surface in ten dimensions with a little noise, and far from evenly filled."""
    return surface(3_000)


def surface(n_rows):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, n_rows)) ** 3
    curve = np.stack([np.sin(a), np.cos(a), a, b, a * b, *rng.normal(0, 0.01, (5, n_rows))], 1)
    return curve.astype(np.float32)


def curved_clusters(n_rows):
    """Codes of ten and components of forty dimensions, as in fits."""
    rng = np.random.default_rng(0)
    codes = rng.normal(0, 2, (20, 8))[rng.integers(20, size=n_rows)]
    codes = codes + rng.normal(0, 0.6, codes.shape)
    shown = np.tanh(codes @ rng.normal(0, 0.4, (8, 50))) + rng.normal(0, 0.1, (n_rows, 50))
    return shown.astype(np.float32)


def exact(places, n_neighbors):
    apart = cdist(places, places)
    np.fill_diagonal(apart, np.inf)
    return apart.argsort(1)[:, :n_neighbors], apart


def recall(found, true):
    return np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)])


def test_all_of_the_nearest_are_found_among_few_rows(places):
    before = places.copy()
    found, distances = neighbours_in_cells(places, 10, seed=0)
    nearest, apart = exact(places, 10)
    assert recall(found, nearest) > 0.9999  # but for ties in float32
    np.testing.assert_allclose(distances, np.take_along_axis(apart, found, 1), rtol=1e-5)
    assert (np.diff(distances, axis=1) >= 0).all()
    np.testing.assert_array_equal(places, before)


@pytest.mark.parametrize(("make", "least"), [(surface, 0.99), (curved_clusters, 0.97)])
def test_nearly_all_of_the_nearest_are_found_among_many_rows(make, least, monkeypatch):
    monkeypatch.setattr(search, "CELLS_ASKED", 32)  # of 500
    places = make(30_000)
    found, distances = neighbours_in_cells(places, 15, seed=0)
    rows = np.arange(0, 30_000, 60)
    apart = cdist(places[rows], places)
    apart[np.arange(len(rows)), rows] = np.inf
    assert recall(found[rows], apart.argsort(1)[:, :15]) > least
    expected = np.take_along_axis(apart, found[rows], 1)
    np.testing.assert_allclose(distances[rows], expected, rtol=1e-4)


def test_what_is_asked_does_not_grow_with_the_rows(monkeypatch):
    asked = []
    nearest_others = search._nearest_others

    def noting(own, own_numbers, others, *rest):
        asked.append(len(others))
        return nearest_others(own, own_numbers, others, *rest)

    monkeypatch.setattr(search, "_nearest_others", noting)
    monkeypatch.setattr(search, "CELLS_ASKED", 8)
    most = {}
    for n_rows in (2_000, 20_000):
        neighbours_in_cells(surface(n_rows), 5, seed=0)
        most[n_rows] = max(asked)
        asked.clear()
    assert max(most.values()) <= (8 + 2) * search.CELL_ROWS


def test_the_seed_decides(places):
    first, again = (neighbours_in_cells(places, 5, seed=3) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_row_is_its_own_neighbour_or_anothers_twice(places):
    copies = np.concatenate([places[:300]] * 5)
    found, distances = neighbours_in_cells(copies, 6, seed=0)
    assert (found != np.arange(len(copies))[:, None]).all()
    assert all(len(set(row)) == 6 for row in found)
    assert not distances[:, :4].any()


@pytest.mark.parametrize("n_others", [0, 50])
def test_a_crowd_in_one_place_is_asked_in_part_only(n_others, monkeypatch):
    monkeypatch.setattr(search, "CELLS_ASKED", 8)
    crowd = np.zeros((10_000, 3))
    crowd[:n_others] = np.random.default_rng(0).normal(10, 1, (n_others, 3))
    found, distances = neighbours_in_cells(crowd, 5, seed=0)
    assert not distances[n_others:].any()
    assert (found != np.arange(10_000)[:, None]).all()
    assert (found[:n_others] < n_others).all()


@pytest.mark.parametrize("n_rows", [2, 16, 17, 200])
def test_every_other_row_may_be_wanted(places, n_rows):
    found, _ = neighbours_in_cells(places[:n_rows], n_rows - 1, seed=0)
    assert all(len(set(row)) == n_rows - 1 for row in found)
    assert (found != np.arange(n_rows)[:, None]).all()


def test_more_neighbours_than_the_cells_around_hold(places, monkeypatch):
    monkeypatch.setattr(search, "CELLS_ASKED", 1)
    found, _ = neighbours_in_cells(places, 500, seed=0)
    assert all(len(set(row)) == 500 for row in found)
    assert recall(found, exact(places, 500)[0]) > 0.8


def test_clusters_far_apart_keep_their_own_scale():
    """Products of places far from the origin would lose what is between near rows."""
    rng = np.random.default_rng(0)
    middles = rng.normal(0, 1_000, (20, 5))
    places = np.repeat(middles, 100, axis=0) + rng.normal(0, 0.1, (2_000, 5))
    places = places.astype(np.float32)
    found, _ = neighbours_in_cells(places, 10, seed=0)
    assert recall(found, exact(places.astype(float), 10)[0]) > 0.99


@pytest.mark.parametrize("n_columns", [1, 5, 33, 640, 1_003])
def test_the_smallest_are_those_of_a_full_sort(n_columns, generator):
    values = torch.rand((7, n_columns), generator=generator)
    found = values.gather(1, _smallest(values, 9)).sort(1).values
    torch.testing.assert_close(found, values.sort(1).values[:, :9], rtol=0, atol=0)


def test_the_cells_take_over_beyond_the_stated_size(places, monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_EXACT_ROWS", len(places))
    by_all = nearest_neighbours(places, 5, 0)
    monkeypatch.setattr(neighbours, "MAX_EXACT_ROWS", len(places) - 1)
    by_cells = nearest_neighbours(places, 5, 0)
    np.testing.assert_array_equal(by_cells[0], neighbours_in_cells(places, 5, 0)[0])
    assert by_all[0].dtype == by_cells[0].dtype == np.int32
    assert by_all[1].dtype != by_cells[1].dtype
