"""The M step of EM, which brings a prior up to its codes after the last gradient step.

Where the last phase is gentle, the components follow the codes too slowly, and end behind them.
With the posteriors fixed, the bound's maximum in p(c) p(z|c) has a closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder, Encoding
from skvade.objectives.base import Batch, Terms
from skvade.training.batches import Rows
from skvade.training.conditions import partition_stays
from skvade.training.events import Running
from skvade.training.run import Phase, Run
from skvade.training.runtime import in_full_precision

MIN_DRAWS = 4_000  # of which the bound is a mean; few rows are drawn for more than once


class PriorBound(Protocol):
    """What an M step needs to know of a bound."""

    def __call__(self, model: Any, batch: Batch, generator: torch.Generator) -> Terms:
        """Its terms, each a mean over the batch."""

    def responsibilities(self, model: Any, batch: Batch, encoding: Encoding) -> Tensor:
        """Its q(c|x), of shape (n_samples, n_clusters)."""

    def bound(self, means: Mapping[str, Any]) -> float:
        """The evidence lower bound, given the means of all terms."""


@dataclass(frozen=True)
class MStep(Phase):
    """Set the prior in closed form, and take the bound of all rows anew.

    The model offers `prior_moments`, sums over a block of rows, and `maximise_prior_`, which takes
    their sums over all. Where a partition was learned, the prior is left as it is if it would lose
    more rows of that: no Gaussian need have its clusters. Leaves `bound`.

    Attributes
    ----------
    objective : callable
        Takes the run to the bound, which says what q(c|x) is, known labels included.
    was_learned : callable
        Takes the run and says whether its partition was learned.
    """

    objective: Callable[[Running], PriorBound]
    was_learned: Callable[[Run], bool] = partition_stays
    name: str = "M step"

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        model: Any = run.model.eval()
        objective = self.objective(run)
        with in_full_precision(model):
            peers = run.runtime.peers
            moments = [peers.total(part) for part in _moments(model, objective, run.rows)]
            if all(bool(part.isfinite().all()) for part in moments):
                self._maximise(run, moments)
            generator = run.runtime.generator(seed)
            bound = _bound(model, objective, run.rows, generator)
            run.handover.bound = peers.mean(bound, len(run.rows))

    def _maximise(self, run: Run, moments: list[Tensor]) -> None:
        model: Any = run.model
        if not self.was_learned(run):
            model.maximise_prior_(*moments)
            return
        state, kept = run.model_state(), _n_kept(run)
        model.maximise_prior_(*moments)
        if _n_kept(run) < kept:
            run.restore_model(state)


def _moments(model: Any, objective: PriorBound, rows: Rows) -> list[Tensor]:
    """Sums over the rows."""
    sums: list[Tensor] = []
    for batch in _blocks(model, rows):
        encoding = model.encode(batch.x)
        weights = objective.responsibilities(model, batch, encoding)
        parts = model.prior_moments(encoding, weights)
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else list(parts)
    return sums


def _n_kept(run: Run) -> int:
    """How many rows the model has where the first partition has them."""
    model: Any = run.model
    row_bytes = model.row_bytes(run.rows.n_features)
    labels = run.rows.map(lambda x: model.category_logits(model.encode(x)).argmax(-1), row_bytes)
    first = run.handover.need_partition().cpu()
    return int(run.runtime.peers.total(int((labels == first).sum())))


def _bound(model: Any, objective: PriorBound, rows: Rows, generator: torch.Generator) -> float:
    sums: dict[str, float] = {}
    n_passes = -(-MIN_DRAWS // len(rows))
    for batch in _blocks(model, rows, n_passes):
        for name, mean in objective(model, batch, generator).items():
            sums[name] = sums.get(name, 0.0) + len(batch.x) * float(mean)
    return objective.bound({name: total / (n_passes * len(rows)) for name, total in sums.items()})


def _blocks(model: Autoencoder, rows: Rows, n_passes: int = 1) -> Iterator[Batch]:
    return rows.numbered_blocks(model.row_bytes(rows.n_features), n_passes)
