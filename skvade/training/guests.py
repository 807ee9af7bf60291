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
    numbers = graph.guests.cpu().numpy()
    parts = list(row_slices(len(numbers), rows.n_features))
    tables = []
    for i in range(max(peers.collect(len(parts)))):
        asked = numbers[parts[i]] if i < len(parts) else numbers[:0]
        tables += peers.fetch(asked, len(rows), rows.raw)
    tables = [table for table in tables if table.shape[0]] or [rows.raw(slice(0, 0))]
    return RowsWithGuests(rows, rows.of_raw(tables))


def told_apart(numbers: np.ndarray, peers: Peers) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours that are numbered as `RowsWithGuests` are, in place, and who the guests are.

    Parameters
    ----------
    numbers : ndarray of shape (n_samples, n_neighbors)
        Among the rows of all processes.
    peers : Peers
    """
    n_own = len(numbers)
    numbers -= peers.first(n_own)
    foreign = (numbers < 0) | (numbers >= n_own)
    theirs = numbers[foreign]
    guests = np.unique(theirs)
    numbers[foreign] = n_own + np.searchsorted(guests, theirs)
    return numbers, guests + peers.first(n_own)
