"""What happens beside the loop: listeners to its named events."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from skvade.nn.autoencoder import Autoencoder
from skvade.objectives.base import Batch, Objective
from skvade.objectives.stateful import Stateful
from skvade.training.batches import Rows
from skvade.training.handover import Handover
from skvade.training.runtime import Runtime

Record = dict[str, Any]  # of an epoch: phase, epoch, steps, loss and every term


class Running(Protocol):
    """What listeners and objectives see of a run."""

    model: Autoencoder
    rows: Rows
    runtime: Runtime
    history: list[Record]
    handover: Handover

    def model_state(self) -> dict[str, torch.Tensor]:
        """A copy of the model's tensors, in full precision."""

    def restore_model(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `model_state` returned."""


class Step(Protocol):
    """What listeners see of a phase."""

    @property
    def name(self) -> str:
        """As it appears in the history."""

    @property
    def has_epochs(self) -> bool:
        """Whether it takes gradient steps."""


class GradientStep(Step, Protocol):
    """What listeners see of a phase with epochs."""

    @property
    def objective(self) -> Callable[[Running], Objective]:
        """Takes the run to what is minimised."""


class Listener(Stateful):
    """Reacts to the loop's events; every method does nothing by default."""

    def on_run_begin(self, run: Running, phases: Sequence[Step]) -> None:
        """Before a run begins, with the phases that are left of it."""

    def on_work_begin(self, run: Running, phase: Step) -> None:
        """Before a phase without gradient steps."""

    def on_work_end(self, run: Running, phase: Step) -> None:
        """After a phase without gradient steps."""

    def on_phase_begin(self, run: Running, phase: GradientStep, n_epochs: int) -> None:
        """Before the first step of a gradient phase."""

    def on_epoch_begin(self, run: Running, phase: GradientStep) -> None:
        """Before the first step of each pass over the data."""

    def on_epoch_end(self, run: Running, phase: GradientStep, record: Record) -> bool:
        """After each pass over the data; return True to end the phase."""
        return False

    def on_phase_end(self, run: Running, phase: GradientStep) -> None:
        """After the last step of a phase."""

    def on_run_end(self, run: Running) -> None:
        """After the last phase."""

    def close(self) -> None:
        """When a phase is left, even by an error: let go of what it has opened."""


class History(Listener):
    """Keeps the mean of every term of every epoch in `run.history`."""

    def on_epoch_end(self, run: Running, phase: GradientStep, record: Record) -> bool:
        run.history.append(record)
        return False


class Progress(Listener):
    """One tqdm bar per phase, in epochs, with the loss and the rate; a line for other phases.

    Where bars cannot move, as in a log, a line of text is written at the beginning and the end of a
    phase, and every half minute.
    """

    def on_work_begin(self, run: Running, phase: Step) -> None:
        self.start = time.monotonic()
        sys.stderr.write(f"{phase.name}: begun\n")
        sys.stderr.flush()

    def on_work_end(self, run: Running, phase: Step) -> None:
        sys.stderr.write(f"{phase.name}: done in {time.monotonic() - self.start:.1f} s\n")
        sys.stderr.flush()

    def on_phase_begin(self, run: Running, phase: GradientStep, n_epochs: int) -> None:
        from tqdm import auto

        in_notebook = auto.notebook_tqdm is not auto.std_tqdm
        moves = in_notebook or getattr(sys.stderr, "isatty", bool)()
        style = {"mininterval": 0.5} if moves else {**Lines.STYLE, "file": Lines()}
        self.bar = auto.tqdm(total=n_epochs, desc=phase.name, unit="epoch", **style)

    def on_epoch_end(self, run: Running, phase: GradientStep, record: Record) -> bool:
        self.bar.set_postfix(loss=f"{record['loss']:.4g}", refresh=False)
        self.bar.update()
        return False

    def on_phase_end(self, run: Running, phase: GradientStep) -> None:
        if self.bar.n < self.bar.total:
            settled = ", settled" if run.handover.converged else ""
            self.bar.write(
                f"{phase.name}: ended after {self.bar.n} of {self.bar.total} epochs{settled}",
                file=sys.stderr,
            )

    def close(self) -> None:
        self.bar.close()


class Lines:
    """Standard error, for a bar whose every state is to be a line of its own."""

    STYLE: ClassVar = {
        "bar_format": "{desc}: {n_fmt} of {total_fmt} epochs, {elapsed} gone, {remaining} left, "
        "{rate_fmt}{postfix}",
        "mininterval": 30.0,
        "maxinterval": 30.0,
    }

    def write(self, text: str) -> None:
        """Write a state without what would move the cursor back."""
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        """Write what was held back."""
        sys.stderr.flush()


class Settled(Listener):
    """Ends a phase when assignments stop changing.

    Parameters
    ----------
    tol : float
        Share of changed labels that counts as no change.
    patience : int
        Checks without change, one after another, that end the phase.
    max_rows : int
        Labels are watched on at most this many rows, evenly spaced.

    Attributes
    ----------
    converged : bool
        Whether `patience` checks in a row found no change beyond `tol`.
    """

    n_checks = 25
    changing = ("labels", "unchanged", "converged")

    def __init__(self, tol: float, patience: int, max_rows: int = 4_000):
        self.tol = tol
        self.patience = patience
        self.max_rows = max_rows
        self.converged = False

    def on_phase_begin(self, run: Running, phase: GradientStep, n_epochs: int) -> None:
        self.rows = run.rows.subset(watched(run, self.max_rows))
        self.every = max(1, n_epochs // self.n_checks)
        self.unchanged = 0
        self.converged = False
        self.labels = memberships(run, self.rows).argmax(-1)

    def on_epoch_end(self, run: Running, phase: GradientStep, record: Record) -> bool:
        if record["epoch"] % self.every:
            return False
        previous, self.labels = self.labels, memberships(run, self.rows).argmax(-1)
        changed, peers = (previous != self.labels).float().mean(), run.runtime.peers
        record["changed"] = peers.mean(float(changed), len(run.rows))
        self.unchanged = self.unchanged + 1 if record["changed"] <= self.tol else 0
        self.converged = self.unchanged >= self.patience
        return self.converged

    def on_phase_end(self, run: Running, phase: GradientStep) -> None:
        run.handover.converged = self.converged


def watched(run: Running, max_rows: int) -> np.ndarray:
    """The numbers of this process's rows, evenly spaced; all processes have so many at most."""
    n_watched = run.runtime.peers.share(max_rows, len(run.rows))
    return np.arange(0, len(run.rows), -(-len(run.rows) // n_watched))


@torch.no_grad()
def memberships(run: Running, rows: Rows) -> torch.Tensor:
    """q(c|x) of rows in the middle of training, holes filled once, (n_rows, n_clusters)."""
    model = run.model
    with evaluated(model):
        found = rows.map(
            lambda x: model.memberships_of(model.view(x)), model.row_bytes(rows.n_features)
        )
    return found.to(rows.device)  # where a checkpoint's are put, too


@contextmanager
def evaluated(model: torch.nn.Module) -> Iterator[None]:
    """A model in evaluation mode, and then every part in the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    yield
    for module, mode in modes:
        module.training = mode


class HeldOut(Listener):
    """Ends a phase when the loss on held-out rows stops falling, and takes the best state back.

    Parameters
    ----------
    rows : Rows
        Rows kept out of training.
    tol : float
        Relative improvement that counts as one.
    patience : int
        Epochs without improvement that end the phase.
    seed : int
        Of the draws in the loss, the same every time.
    """

    changing = ("best", "best_state", "waited", "converged")

    def __init__(self, rows: Rows, tol: float, patience: int, seed: int):
        self.rows = rows
        self.tol = tol
        self.patience = patience
        self.seed = seed
        self.converged = False

    def parts(self) -> Sequence[Stateful]:
        return [self.objective]

    def on_phase_begin(self, run: Running, phase: GradientStep, n_epochs: int) -> None:
        self.objective = phase.objective(run)
        self.best = float("inf")
        self.best_state: dict[str, torch.Tensor] = {}
        self.waited = 0
        self.converged = False

    def on_epoch_end(self, run: Running, phase: GradientStep, record: Record) -> bool:
        record["validation_loss"] = loss = self._loss(run)
        if loss < self.best - self.tol * abs(loss):
            self.best, self.waited = loss, 0
            self.best_state = run.model_state()
        else:
            self.waited += 1
        self.converged = self.waited >= self.patience
        return self.converged

    def on_phase_end(self, run: Running, phase: GradientStep) -> None:
        run.handover.converged = self.converged
        if self.best_state:
            run.restore_model(self.best_state)

    @torch.no_grad()
    def _loss(self, run: Running) -> float:
        generator = run.runtime.generator(self.seed)
        total = 0.0
        with evaluated(run.model):
            for x in self.rows.blocks(run.model.row_bytes(self.rows.n_features)):
                terms = self.objective(run.model, Batch(x, index=None), generator)
                total += float(sum(terms.values())) * len(x)
        return run.runtime.peers.mean(total / len(self.rows), len(self.rows))
