"""Neighbours in cells, against the exact ones."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from skvade.training import cells, neighbours
from skvade.training.cells import neighbours_in_cells
from skvade.training.neighbours import nearest_neighbours


@pytest.fixture(scope="module")
def places():
    """A bent surface in ten dimensions with a little noise, and far from evenly filled."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3_000)) ** 3
    curve = np.stack([np.sin(a), np.cos(a), a, b, a * b, *rng.normal(0, 0.01, (5, 3_000))], 1)
    return curve.astype(np.float32)


def exact(places, n_neighbors):
    apart = cdist(places, places)
    np.fill_diagonal(apart, np.inf)
    return apart.argsort(1)[:, :n_neighbors], apart


def test_nearly_all_of_the_nearest_are_found(places, monkeypatch):
    monkeypatch.setattr(cells, "CELLS_ASKED", 24)  # of 55
    found, distances = neighbours_in_cells(places, 10, seed=0)
    nearest, apart = exact(places, 10)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(nearest, found, strict=True)]
    assert np.mean(shared) > 9.8
    np.testing.assert_allclose(distances, np.take_along_axis(apart, found, 1), atol=1e-3)
    assert (np.diff(distances, axis=1) >= 0).all()


def test_no_row_is_its_own_neighbour_or_anothers_twice(places):
    copies = np.concatenate([places[:300]] * 5)
    found, distances = neighbours_in_cells(copies, 6, seed=0)
    assert (found != np.arange(len(copies))[:, None]).all()
    assert all(len(set(row)) == 6 for row in found)
    np.testing.assert_allclose(distances[:, :4], 0, atol=1e-3)


def test_a_crowd_in_one_place_is_asked_in_part_only(monkeypatch):
    asked = []
    search = cells._nearest_others

    def noting(places, own, others, n_neighbors):
        asked.append(len(others))
        return search(places, own, others, n_neighbors)

    monkeypatch.setattr(cells, "_nearest_others", noting)
    monkeypatch.setattr(cells, "CELLS_ASKED", 8)
    found, distances = neighbours_in_cells(np.zeros((10_000, 3)), 5, seed=0)
    assert asked == [3 * 8 * 100]
    assert not distances.any()
    assert (found != np.arange(10_000)[:, None]).all()


def test_more_neighbours_than_cells_around_hold(places):
    found, _ = neighbours_in_cells(places[:200], 199, seed=0)
    assert all(len(set(row)) == 199 for row in found)


def test_the_cells_take_over_beyond_the_stated_size(places, monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_EXACT_ROWS", len(places))
    np.testing.assert_array_equal(nearest_neighbours(places, 5, 0)[0], exact(places, 5)[0])
    monkeypatch.setattr(neighbours, "MAX_EXACT_ROWS", len(places) - 1)
    by_cells = neighbours_in_cells(places, 5, 0)
    np.testing.assert_array_equal(nearest_neighbours(places, 5, 0)[0], by_cells[0])
