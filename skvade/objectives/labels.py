"""Known labels beside another objective, however few they are.

    weight * mean_i -log q(c_i | x_i)    over labelled rows

In a batch of all rows a few labels would hardly ever be seen; so every step draws labelled rows of
its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from skvade.objectives.base import Batch, EncodedObjective, ModelT, Terms
from skvade.objectives.together import Beside

MAX_LABELED, MANY = 128, 100


class TakenRows(Protocol):
    """The training rows, as far as this objective asks for them."""

    @property
    def device(self) -> torch.device:
        """Where tensors are put."""

    @property
    def index_device(self) -> torch.device:
        """Where row numbers are best kept for `take`."""

    def take(self, index: Tensor) -> Tensor:
        """The rows at `index`."""

    def subset(self, index: Any) -> TakenRows:
        """Only the rows at `index`."""


class LabeledRows:
    """The labelled rows of the training data.

    Parameters
    ----------
    rows : Rows
        All training rows.
    labels : ndarray of shape (n_samples,)
        Known clusters, -1 where none is known.
    of_all : callable
        Takes this process's labelled rows, or fewer, and their labels to those of all processes.

    Attributes
    ----------
    labels : Tensor of shape (n_samples,)
        The same, on the rows' device.
    """

    def __init__(
        self,
        rows: TakenRows,
        labels: Any,
        of_all: Callable[[Any, Any], tuple[Any, Any]] = lambda rows, labels: (rows, labels),
    ):
        (known,) = (labels >= 0).nonzero()
        self.labels = torch.from_numpy(labels).to(rows.device)
        mine = rows if len(known) == len(labels) else rows.subset(known)
        self.rows, drawn = of_all(mine, labels[known])
        self._known = torch.from_numpy(drawn).to(rows.device)

    def draw(self, n_rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """At most n_rows rows and their labels, without repetition where there are few to draw of.

        A single row comes twice: batch normalisation has no variance of one.
        """
        n_known, device = len(self._known), self._known.device
        if n_known > MANY * n_rows:  # an order of all would cost more than the step
            index = torch.randint(n_known, (n_rows,), generator=generator, device=device)
        else:
            order = torch.randperm(n_known, generator=generator, device=device)
            index = order[:n_rows] if n_known > 1 else order.repeat(2)
        return self.rows.take(index.to(self.rows.index_device)), self._known[index]


class WithLabels(Beside[ModelT]):
    """Another objective's terms plus the one above.

    Parameters
    ----------
    objective : EncodedObjective
    labeled : LabeledRows
    weight : float
        In nats.
    term : str
        Its name among the terms.
    """

    def __init__(
        self,
        objective: EncodedObjective[ModelT],
        labeled: LabeledRows,
        weight: float,
        term: str = "labels",
    ):
        super().__init__(objective, weight)
        self.labeled = labeled
        self.term = term

    def further(self, model: ModelT, batch: Batch, generator: torch.Generator) -> Terms:
        x, labels = self.labeled.draw(MAX_LABELED, generator)
        log_q = model.category_logits(model.encode(x)).log_softmax(-1)
        return {self.term: torch.nn.functional.nll_loss(log_q, labels)}
