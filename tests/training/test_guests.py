"""Neighbours that other processes have: the same as one process finds, and their rows."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skvade.training import neighbours as neighbours_module
from skvade.training.batches import Rows
from skvade.training.guests import told_apart, with_guests
from skvade.training.handover import Graph
from skvade.training.neighbourhood import Neighbourhood
from skvade.training.neighbours import DrawnNeighbours, cumulative_weights, nearest_neighbours
from skvade.training.resident import make_resident
from tests.training.in_threads import dealt, together
from tests.training.test_search import recall, surface


def graph_of(peers, places, n_neighbors=6):
    """As the phase makes it."""
    numbers, distances = nearest_neighbours(places.copy(), n_neighbors, 0, peers)
    neighbours, guests = told_apart(numbers, peers)
    cumulative = torch.from_numpy(cumulative_weights(distances.copy()))
    return Graph(torch.from_numpy(neighbours), cumulative, guests=torch.from_numpy(guests))


@pytest.mark.parametrize("shares", [(200, 100), (7, 150, 143)])
def test_few_rows_have_the_neighbours_that_they_have_in_one_process(shares):
    places = surface(300)
    places[40:60] = places[39]  # more copies than neighbours
    expected, apart = nearest_neighbours(places, 5, 0)
    search = partial(lambda peers, part: nearest_neighbours(part, 5, 0, peers))
    found = together(search, dealt(places, shares))
    numbers = np.concatenate([numbers for numbers, _ in found])
    np.testing.assert_allclose(np.concatenate([d for _, d in found]), apart, atol=1e-6)
    assert (numbers != np.arange(300)[:, np.newaxis]).all()
    distinct = np.r_[:39, 60:300]
    np.testing.assert_array_equal(numbers[distinct], expected[distinct])


@pytest.mark.parametrize("shares", [(3_000, 3_000), (500, 4_000, 1_500)])
def test_many_rows_have_nearly_all_of_them(shares, monkeypatch):
    places = surface(6_000)
    places = places[places[:, 3].argsort()]  # each has those that are near each other
    expected, _ = nearest_neighbours(places, 8, 0)
    monkeypatch.setattr(neighbours_module, "MAX_EXACT_ROWS", 1_000)
    monkeypatch.setattr("skvade.training.search.CELLS_ASKED", 32)  # of some 100
    alone = recall(neighbours_module.nearest_neighbours(places.copy(), 8, 0)[0], expected)
    parts = dealt(places.copy(), shares)
    found = together(lambda peers, part: nearest_neighbours(part, 8, 0, peers), parts)
    numbers = np.concatenate([numbers for numbers, _ in found])
    assert recall(numbers, expected) > alone - 0.01
    apart = np.linalg.norm(places[:, np.newaxis] - places[numbers], axis=2)
    np.testing.assert_allclose(np.concatenate([d for _, d in found]), apart, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(np.concatenate(parts), places)  # moved back


@pytest.mark.parametrize("kind", ["dense", "sparse", "chosen", "resident"])
def test_guests_are_the_rows_that_others_have(kind, monkeypatch):
    table = np.round(surface(300), 3)
    monkeypatch.setattr("skvade.training.guests.row_slices", lambda n, _: _in_parts(n, 20))

    def look(peers, numbers):
        X = table[numbers]
        rows = {
            "dense": lambda: Rows(X),
            "sparse": lambda: Rows(sp.csr_array(X)),
            "chosen": lambda: Rows(X[::-1], index=np.arange(len(X))[::-1]),
            "resident": lambda: make_resident(Rows(X)),
        }[kind]()
        graph = graph_of(peers, X)
        reach = with_guests(rows, graph, peers)
        assert len(reach) == len(rows)
        whose = np.concatenate([numbers, graph.guests])
        taken = [reach.take(graph.neighbours[:, k]).numpy() for k in range(6)]
        drawn = DrawnNeighbours(reach, graph)(torch.arange(len(X)), torch.Generator())
        np.testing.assert_array_equal(drawn.x, table[whose[drawn.index]])
        return np.stack(taken, 1), whose[graph.neighbours]

    for taken, numbers in together(look, dealt(np.arange(300), (120, 180))):
        np.testing.assert_array_equal(taken, table[numbers])


def _in_parts(n_rows, size):
    return [slice(a, min(a + size, n_rows)) for a in range(0, n_rows, size)]


def test_the_main_process_has_the_graph_of_all_rows():
    places = surface(300)

    def of_all(peers, part):
        return Neighbourhood.of(graph_of(peers, part), peers=peers).in_main()

    found = together(of_all, dealt(places, (50, 120, 130)))[0]
    numbers, distances = nearest_neighbours(places, 6, 0)
    np.testing.assert_array_equal(found.rows, numbers)
    np.testing.assert_allclose(found.cumulative, cumulative_weights(distances), atol=1e-6)
