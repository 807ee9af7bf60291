"""Neighbours of rows with holes, by turns with what neighbours lead one to expect in the holes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder
from skvade.nn.filling import Filling
from skvade.training.batches import Rows, filled
from skvade.training.units import row_slices

N_ROUNDS = 3
AS_MANY = 2.0  # neighbours: what the expectation by the row's own values counts


@dataclass(frozen=True)
class FilledByNeighbours:
    """What the encoder sees of rows, with holes filled by the mean of neighbours.

    Those count that have a value there, and as much as two of them what the row's own values lead
    one to expect. Linear methods alone leave neighbours apart whose values are missing elsewhere.

    Attributes
    ----------
    rows : Rows
    view : callable
        Takes rows to what the encoder sees of them, holes left.
    filling : Filling
    neighbours : ndarray of shape (n_samples, n_neighbors)
    """

    rows: Rows
    view: Callable[[Tensor], Tensor]
    filling: Filling
    neighbours: np.ndarray

    def blocks(self) -> Iterator[Tensor]:
        """All rows in order, in blocks sized by memory."""
        n_neighbors, n_features = self.neighbours.shape[1], self.rows.n_features
        row_bytes = 16 * n_neighbors * n_features
        for part in row_slices(len(self.rows), n_features, row_bytes):
            x = self.view(self.rows.take(part))
            near = self.view(self.rows.take(self.neighbours[part].ravel().astype(np.int64)))
            near = near.view(len(x), n_neighbors, n_features)
            absent = near.isnan()
            total = near.masked_fill_(absent, 0.0).sum(1) + AS_MANY * self.filling(x)
            yield torch.where(x.isnan(), total / ((~absent).sum(1) + AS_MANY), x)

    def map(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """A function of all rows, in blocks: a tensor with a row for each, on the CPU."""
        return filled(len(self.rows), map(function, self.blocks()))


def filled_by(model: Autoencoder, rows: Rows, neighbours: np.ndarray) -> FilledByNeighbours:
    """Rows as the model's encoder sees them, filled by these neighbours: (n_samples, k)."""
    filling = model.encoder.filling
    if filling is None:
        raise RuntimeError("The encoder has nothing to fill holes with; it is of an earlier file.")
    return FilledByNeighbours(rows, model.likelihood.encoder_input, filling, neighbours)
