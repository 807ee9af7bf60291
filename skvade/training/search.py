"""Nearest neighbours among many rows, sought in the cells around each row's own."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from skvade.training.cells import cut_into_cells
from skvade.training.peers import ALONE, Peers

CELL_ROWS = 64
CELLS_ASKED = 128
SPARE = 4  # beyond what is wanted: the products that choose are rounded
GROUP = 16
MOVED_COLUMNS = 8


def neighbours_in_cells(
    places: np.ndarray, n_neighbors: int, seed: int, peers: Peers = ALONE
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of, and distances to, near others, both (n_samples, n_neighbors).

    Numbers are among the rows of all processes, in the order of ranks.

    The rows are cut into cells of some 64. The neighbours of a cell's rows are the nearest among
    the rows of the cells around it that together hold as many as 128 of mean size; which these
    are, is found in the same way among the cells' means. So the time grows no faster than
    n log n, and of a few thousand rows all are asked. Of several processes each cuts its own rows
    into cells, and gets those that others have around these.

    Parameters
    ----------
    places : ndarray of shape (n_samples, n_dimensions)
        Their rows are moved, and moved back at the end: a copy would be the largest of what the
        search takes.
    n_neighbors : int
    seed : int
    peers : Peers
        Who has the other rows.
    """
    return _search(places, n_neighbors, np.random.RandomState(seed), peers)


def _search(
    places: np.ndarray, n_neighbors: int, rng: np.random.RandomState, peers: Peers = ALONE
) -> tuple[np.ndarray, np.ndarray]:
    cells = cut_into_cells(places, CELL_ROWS, rng)
    order = np.concatenate(cells).astype(sp.get_index_dtype(maxval=peers.total(len(places))))
    sizes = np.array([len(cell) for cell in cells])
    parts = [slice(end - size, end) for end, size in zip(sizes.cumsum(), sizes, strict=True)]
    del cells
    _move_rows(places, order)
    found = _search_cells(torch.from_numpy(places), order, parts, n_neighbors, rng, peers)
    _move_rows(places, order.argsort())
    return found


def _move_rows(table: np.ndarray, order: np.ndarray) -> None:
    """Put the rows of a table in another order, a few columns at a time."""
    for start in range(0, table.shape[1], MOVED_COLUMNS):
        columns = table[:, start : start + MOVED_COLUMNS]
        columns[:] = columns[order]


def _search_cells(
    ordered: Tensor,
    order: np.ndarray,
    parts: list[slice],
    n_neighbors: int,
    rng: np.random.RandomState,
    peers: Peers,
) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours of all rows, which are ordered by cells; `parts` says where each cell is."""
    first, first_cell = peers.first(len(order)), peers.first(len(parts))
    rows = torch.from_numpy(order)
    numbers = rows + first
    means = torch.stack([ordered[part].mean(0) for part in parts])
    sizes = peers.concatenate(np.array([part.stop - part.start for part in parts]))
    n_asked = max(CELLS_ASKED * CELL_ROWS, 2 * n_neighbors)
    n_around = max(2 * n_asked // CELL_ROWS, n_neighbors)
    around = _around(peers.concatenate(means.numpy()), n_around, rng)[first_cell:][: len(parts)]

    def asked(near: np.ndarray) -> np.ndarray:
        return np.sort(near[: np.searchsorted(sizes[near].cumsum(), n_asked) + 1])

    def own_cell(c: int) -> tuple[Tensor, Tensor]:
        return ordered[parts[c]], numbers[parts[c]]

    def given(asked: np.ndarray) -> list[Any]:
        return [tuple(part.numpy() for part in own_cell(c)) for c in asked]

    foreign: dict[int, Any] = {}
    if peers.size > 1:
        wanted = np.unique(np.concatenate([asked(near) for near in around]))
        wanted = wanted[(wanted < first_cell) | (wanted >= first_cell + len(parts))]
        got = chain.from_iterable(peers.fetch(wanted, len(parts), given))
        foreign = {c: tuple(map(torch.from_numpy, g)) for c, g in zip(wanted, got, strict=True)}
    neighbours = torch.empty((len(order), n_neighbors), dtype=numbers.dtype)
    distances = torch.empty((len(order), n_neighbors), dtype=ordered.dtype)
    for part, mean, near in zip(parts, means, around, strict=True):
        tables = [foreign.get(c) or own_cell(c - first_cell) for c in asked(near)]
        others = torch.cat([table for table, _ in tables]).sub_(mean)
        other_numbers = torch.cat([theirs for _, theirs in tables])
        own = ordered[part] - mean  # near zero, where products lose little to rounding
        found = _nearest_others(own, numbers[part], others, other_numbers, n_neighbors)
        neighbours[rows[part].long()], distances[rows[part].long()] = found
    return neighbours.numpy(), distances.numpy()


def _around(means: np.ndarray, n_around: int, rng: np.random.RandomState) -> np.ndarray:
    """Numbers of the cells around each, itself the first: (n_cells, at most 1 + n_around)."""
    itself = np.arange(len(means), dtype=np.int32)[:, np.newaxis]
    if len(means) == 1:
        return itself
    others, _ = _search(means, min(n_around, len(means) - 1), rng)
    return np.concatenate([itself, others], axis=1)


def _nearest_others(
    own: Tensor, own_numbers: Tensor, others: Tensor, numbers: Tensor, n_neighbors: int
) -> tuple[Tensor, Tensor]:
    """Numbers of, and distances to, the nearest of the others that have not a row's own number."""
    # Without the square of each row itself, which orders nothing.
    apart = torch.addmm(others.square().sum(1), own, others.T, alpha=-2)
    chosen = _smallest(apart, n_neighbors + 1 + SPARE)
    squares = (others[chosen] - own[:, None]).square_().sum(2)
    found = numbers[chosen]
    squares.masked_fill_(found == own_numbers[:, None], torch.inf)
    nearest = squares.topk(n_neighbors, largest=False)
    return found.gather(1, nearest.indices), nearest.values.sqrt()


def _smallest(values: Tensor, n_wanted: int) -> Tensor:
    """Where each row's smallest values are, in no order, or all where there are fewer.

    They are in the groups of columns with the smallest minima, and minima are quickly found.
    """
    n_rows, n_columns = values.shape
    n_groups = n_columns // GROUP
    if n_groups < 2 * n_wanted:
        return values.topk(min(n_wanted, n_columns), largest=False, sorted=False).indices
    grouped = values[:, : n_groups * GROUP].view(n_rows, GROUP, n_groups)
    groups = grouped.amin(1).topk(n_wanted, largest=False, sorted=False).indices
    columns = groups[:, None] + torch.arange(GROUP)[:, None] * n_groups
    rest = torch.arange(n_groups * GROUP, n_columns).expand(n_rows, -1)
    columns = torch.cat([columns.flatten(1), rest], 1)
    chosen = values.gather(1, columns).topk(n_wanted, largest=False, sorted=False).indices
    return columns.gather(1, chosen)
