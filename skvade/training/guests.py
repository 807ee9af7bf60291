"""Rows of other processes that are neighbours of this one's, and so come as guests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skvade.training.batches import Rows
from skvade.training.handover import Graph
from skvade.training.peers import Peers
from skvade.training.units import row_slices


@dataclass(frozen=True)
class RowsWithGuests:
    """The rows of this process, and after them the guests, who are taken, and never counted.

    Attributes
    ----------
    rows, guests : Rows
    """

    rows: Rows
    guests: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_features(self) -> int:
        """D."""
        return self.rows.n_features

    def take(self, index: Tensor | np.ndarray) -> Tensor:
        """The rows at `index`, beyond the number of the own guests, as a new tensor."""
        index, last = torch.as_tensor(index), len(self.rows) - 1
        x, guests = self.rows.take(index.clamp(max=last)), index > last
        if guests.any():
            x[guests.to(x.device)] = self.guests.take(index[guests] - len(self.rows))
        return x


def with_guests(rows: Rows, graph: Graph, peers: Peers) -> Rows | RowsWithGuests:
    """What the neighbours in a graph number; all processes ask at the same time."""
    if graph.guests is None:
        return rows
    return RowsWithGuests(rows, _fetched(rows, graph.guests.cpu().numpy(), peers))


def taken(rows: Rows, index: np.ndarray, graph: Graph, peers: Peers) -> Tensor:
    """The rows at `index` among those, of which no other guests are fetched."""
    if graph.guests is None:
        return rows.take(index)
    is_guest = index >= len(rows)
    wanted, where = np.unique(index[is_guest] - len(rows), return_inverse=True)
    index = index.copy()
    index[is_guest] = len(rows) + where
    guests = _fetched(rows, graph.guests.cpu().numpy()[wanted], peers)
    return RowsWithGuests(rows, guests).take(index)


def _fetched(rows: Rows, numbers: np.ndarray, peers: Peers) -> Rows:
    """The rows with these numbers, of those who have them, a block at a time."""
    parts = list(row_slices(len(numbers), rows.n_features))
    tables = []
    for i in range(max(peers.collect(len(parts)))):
        asked = numbers[parts[i]] if i < len(parts) else numbers[:0]
        tables += peers.fetch(asked, len(rows), rows.raw)
    tables = [table for table in tables if table.shape[0]] or [rows.raw(slice(0, 0))]
    return rows.of_raw(tables)


def told_apart(numbers: np.ndarray, peers: Peers) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours that are numbered as `RowsWithGuests` are, in place, and who the guests are.

    Parameters
    ----------
    numbers : ndarray of shape (n_samples, n_neighbors)
        Among the rows of all processes.
    peers : Peers
    """
    n_own = len(numbers)
    first = peers.first(n_own)
    numbers -= first
    foreign = (numbers < 0) | (numbers >= n_own)
    guests, where = np.unique(numbers[foreign], return_inverse=True)
    numbers[foreign] = n_own + where
    return numbers, guests + first
