"""Cells: every row is in one, none is large, and rows of one are near each other."""

import numpy as np
import pytest

from skvade.training import cells
from skvade.training.cells import cut_into_cells

RNG = np.random.default_rng(0)
TABLES = {
    "few": RNG.normal(size=(3, 2)),
    "normal": RNG.normal(size=(5_000, 10)),
    "heavy tails": RNG.standard_cauchy((5_000, 3)) ** 3,
    "copies": np.repeat(RNG.normal(size=(4, 3)), 1_000, axis=0),
    "all equal": np.zeros((5_000, 2)),
    "one other": np.eye(5_000, 1),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_in_one_small_cell(name):
    found = cut_into_cells(TABLES[name], 30, np.random.RandomState(0))
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(len(TABLES[name])))
    assert 1 <= min(map(len, found)) <= max(map(len, found)) <= 60


def test_rows_of_a_cell_are_near_each_other():
    places = TABLES["normal"]
    found = cut_into_cells(places, 50, np.random.RandomState(0))
    within = np.mean([places[rows].var(0).sum() for rows in found])
    assert within < 0.7 * places.var(0).sum()


def test_no_cut_leaves_nearly_all_in_one_part(monkeypatch):
    """So the number of cuts, one below the other, grows with the logarithm only."""
    depth = {}

    def noting(places, rows, n_parts, rng):
        parts = cut(places, rows, n_parts, rng)
        assert max(map(len, parts)) <= 0.9 * len(rows)
        for part in parts:
            depth[part[0], len(part)] = depth.get((rows[0], len(rows)), 0) + 1
        return parts

    cut = cells._parts
    monkeypatch.setattr(cells, "_parts", noting)
    for places in TABLES.values():
        depth.clear()
        cut_into_cells(places, 30, np.random.RandomState(0))
        assert max(depth.values(), default=0) < 12
