"""Rows of any container as tensors, a batch or a block at a time, never the whole of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from skvade.objectives.base import Batch
from skvade.objectives.stateful import Stateful
from skvade.training.peers import ALONE, Peers
from skvade.training.units import Units, row_slices


@dataclass(frozen=True)
class Rows:
    """Row access to X: dense arrays of any numeric dtype, memory maps, CSR matrices and arrays.

    Nothing is copied but the rows that are asked for; sparse rows become dense one block at a
    time.

    Attributes
    ----------
    X : array-like of shape (n_samples, n_features)
    device : torch.device
        Where the tensors are put.
    dtype : numpy dtype
        The float type of the tensors.
    units : Units
        Applied before any rounding to `dtype`.
    index : ndarray or None
        The rows of X that count, in their order; None for all.
    """

    X: Any
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: Any = np.float32
    units: Units = field(default_factory=Units)
    index: np.ndarray | None = None

    def __len__(self) -> int:
        return self.X.shape[0] if self.index is None else len(self.index)

    @property
    def n_features(self) -> int:
        """D."""
        return self.X.shape[1]

    @property
    def index_device(self) -> torch.device:
        """Where row numbers are best kept for `take`."""
        return torch.device("cpu")

    def take(self, index: Tensor | np.ndarray | slice) -> Tensor:
        """The rows at `index` as a new tensor of shape (n_rows, n_features)."""
        if isinstance(index, Tensor):
            index = index.cpu().numpy()
        block = self.raw(index)
        block = block.toarray() if sp.issparse(block) else np.asarray(block)
        if not self.units.identical:
            block = self.units.to_model(block)  # in float64, before any rounding
        block = block.astype(self.dtype, copy=isinstance(index, slice))
        return torch.from_numpy(block).to(self.device)

    def raw(self, index: np.ndarray | slice) -> Any:
        """The rows at `index` as X has them."""
        return self.X[index if self.index is None else self.index[index]]

    def of_raw(self, tables: list[Any]) -> Rows:
        """Rows of the same kind, of tables that `raw` of the same kind has given."""
        X = sp.vstack(tables, "csr") if sp.issparse(self.X) else np.concatenate(tables)
        return replace(self, X=X, index=None)

    def subset(self, index: np.ndarray) -> Rows:
        """The rows at `index`; nothing is copied before it is asked for."""
        return replace(self, index=index if self.index is None else self.index[index])

    def blocks(self, row_bytes: int = 0) -> Iterator[Tensor]:
        """All rows in order, in blocks sized by memory.

        `row_bytes` is what the caller needs for each row beyond the row itself.
        """
        for batch in self.numbered_blocks(row_bytes):
            yield batch.x

    def numbered_blocks(self, row_bytes: int = 0, n_passes: int = 1) -> Iterator[Batch]:
        """The same blocks as batches, with the numbers of their rows.

        Of several passes over few rows as many share a block as there is memory for.
        """
        for part in row_slices(len(self) * n_passes, self.n_features, row_bytes):
            index = torch.arange(part.start, part.stop, device=self.device) % len(self)
            yield Batch(self.take(part if n_passes == 1 else index), index)

    def map(self, function: Callable[[Tensor], Tensor], row_bytes: int = 0) -> Tensor:
        """A function of all rows, in blocks as above: a tensor with a row for each, on the CPU."""
        return filled(len(self), map(function, self.blocks(row_bytes)))


def filled(n_rows: int, parts: Iterable[Tensor]) -> Tensor:
    """One tensor of so many rows, on the CPU, filled by the parts as they come.

    It is allocated whole: small results between the freed memory of blocks would keep that from
    being used again, and a process would grow by gigabytes for a few hundred thousand rows.
    """
    whole, start = torch.empty(0), 0
    for part in parts:
        if start == 0:
            whole = torch.empty((n_rows, *part.shape[1:]), dtype=part.dtype)
        whole[start : start + len(part)] = part
        start += len(part)
    return whole


class Batches(Stateful):
    """Endless shuffled batches, a new order each epoch; an incomplete last batch is left out.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        Of all processes together; at most the number of rows is used.
    seed : int
        Of the orders.
    peers : Peers
        Who has the other rows. Each process gives as many to a batch; one that has fewer than its
        share begins its order again before the epoch ends.

    Attributes
    ----------
    before : dict
        State of the random generator before the order of this epoch was drawn.
    position : int
        Batches of this epoch that have been given.
    per_epoch : int
        Batches in one pass over the data.
    """

    changing = ("before", "position")

    def __init__(self, rows: Rows, batch_size: int, seed: int, peers: Peers = ALONE):
        self.rows = rows
        n_rows = peers.total(len(rows))
        self.batch_size = max(1, min(peers.even_share(batch_size), n_rows // peers.size))
        self.per_epoch = max(1, n_rows // (self.batch_size * peers.size))
        self._rng = np.random.default_rng(seed + 7919 * peers.rank)
        self.before = self._rng.bit_generator.state
        self.position = 0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            self._rng.bit_generator.state = self.before
            order = self._rng.permutation(len(self.rows))
            n_needed = self.per_epoch * self.batch_size
            order = np.resize(order, n_needed) if n_needed > len(order) else order
            numbers = torch.from_numpy(order).to(self.rows.index_device)
            while self.position < self.per_epoch:
                index = numbers[self.position * self.batch_size :][: self.batch_size]
                self.position += 1
                yield Batch(self.rows.take(index), index.to(self.rows.device))
            self.before, self.position = self._rng.bit_generator.state, 0
