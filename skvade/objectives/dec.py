"""DEC's loss (Xie, Girshick, Farhadi, ICML 2016): assignments drawn towards sharper ones.

    KL(P || Q) = mean_i sum_c p_ic log(p_ic / q_ic)
    p_ic = (q_ic^2 / f_c) / sum_d (q_id^2 / f_d),    f_c = sum_i q_ic

q is the model's q(c|x). The target p is fixed for some steps, then found anew from all rows. That
of DEPICT (Dizaji et al., ICCV 2017, Eq. 4) is more even and no sharper, q itself where clusters
are even:

    p_ic = (q_ic / f_c^(1/2)) / sum_d (q_id / f_d^(1/2)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from skvade.nn.autoencoder import Autoencoder, Encoding
from skvade.objectives.base import Batch, EncodedObjective, Terms


class AllRows(Protocol):
    """The training rows, as far as this objective asks for them."""

    @property
    def n_features(self) -> int:
        """D."""

    @property
    def device(self) -> torch.device:
        """Where tensors are put."""

    def map(self, function: Callable[[Tensor], Tensor], row_bytes: int = 0) -> Tensor:
        """A function of all rows, a block at a time."""


def sharpened(q: Tensor, frequencies: Tensor) -> Tensor:
    """DEC's p: (n_samples, n_clusters), (n_clusters,) to (n_samples, n_clusters).

    A cluster without any probability keeps none.
    """
    weights = q.square() / frequencies.clamp(min=1e-12)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)


def balanced(q: Tensor, frequencies: Tensor) -> Tensor:
    """DEPICT's p, of the same shapes."""
    weights = q / frequencies.clamp(min=1e-12).sqrt()
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)


class TargetAssignment(EncodedObjective[Autoencoder]):
    """The loss above.

    Parameters
    ----------
    rows : Rows
        All training rows, in the order of the batches' row numbers.
    interval : int
        Steps from one target to the next.
    total : callable
        Takes the sums over these rows to those over the rows of all processes.
    make_target : callable
        Takes q and f to p: `sharpened` or `balanced`.
    """

    changing = ("n_steps", "frequencies", "targets")

    def __init__(
        self,
        rows: AllRows,
        interval: int,
        total: Callable[[Tensor], Tensor] = lambda frequencies: frequencies,
        make_target: Callable[[Tensor, Tensor], Tensor] = sharpened,
    ):
        self.rows = rows
        self.total = total
        self.interval = interval
        self.make_target = make_target
        self.n_steps = 0
        self.frequencies = self.targets = torch.empty(0)

    def terms(
        self, model: Autoencoder, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        log_q = model.category_logits(encoding).log_softmax(-1)
        if not len(self.frequencies) or (model.training and self.n_steps % self.interval == 0):
            self._refresh(model)
        if batch.index is None:  # rows that are not in the data
            target = self.make_target(log_q.detach().exp(), self.frequencies)
        else:
            self.n_steps += model.training
            target = self.targets[batch.index]
        return {"clustering": kl_div(log_q, target, reduction="batchmean")}

    @torch.no_grad()
    def _refresh(self, model: Autoencoder) -> None:
        was_training = model.training
        model.eval()
        room = model.row_bytes(self.rows.n_features)
        q = self.rows.map(model.assign, room).to(self.rows.device)
        model.train(was_training)
        frequencies = self.total(q.sum(0))
        if len(self.frequencies) and not frequencies.isfinite().all():
            return  # the trainer will take the model back; the old target holds until then
        self.frequencies = frequencies
        self.targets = self.make_target(q, self.frequencies)
