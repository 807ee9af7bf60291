"""THE loop: gradient steps on an objective, with named events beside it.

It knows a model, batches and an objective's terms; nothing of mixtures, clusters or estimators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from skvade.training.batches import Batches, Rows
from skvade.training.events import Listener
from skvade.training.runtime import Runtime
from skvade.training.weights import Weights

if TYPE_CHECKING:
    from skvade.training.phases import Optimise, Phase

MAX_RESCUES = 3
CHECK_STEPS = 50


class TrainingDivergedError(FloatingPointError):
    """A loss stayed non-finite although training was taken back and slowed several times."""


@dataclass
class Run:
    """One training of one model, phase after phase.

    Attributes
    ----------
    model : Module
    rows : Rows
    runtime : Runtime
    seed : int
        Every draw of the run follows from it.
    listeners : sequence of Listener
        Hear the events of every gradient phase.
    history : list of dict
        A record per epoch: phase, epoch, steps, loss and every term.
    memory : dict
        What one phase leaves for later ones: a partition, a graph.
    n_rescues : int
        How often a phase had to be taken back to its last good state.
    weights : Weights
        Of the gradient phase that is running.
    """

    model: Any
    rows: Rows
    runtime: Runtime
    seed: int
    listeners: Sequence[Listener] = ()
    history: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    n_rescues: int = 0
    weights: Weights | None = None

    def go(self, phases: Sequence[Phase]) -> Run:
        """Run the phases in order; the model is left in evaluation mode."""
        self.model = self.runtime.prepare(self.model.float())
        self.model.compute_dtype = self.runtime.compute_dtype
        for number, phase in enumerate(phases):
            phase.run(self, seed=self.seed + number)
        self.model.compute_dtype = None
        self.model.eval()
        return self


@torch.enable_grad()
def optimise(run: Run, phase: Optimise, seed: int) -> None:
    """Minimise the phase's objective for its number of steps, or until a listener ends it."""
    objective = phase.objective(run)
    batches = Batches(run.rows, phase.batch_size, seed, run.runtime.shard)
    generator = run.runtime.generator(seed)
    weights = run.weights = run.runtime.weights(run.model.train(), phase.parameters(run.model))
    guard = _Guard(weights, phase)
    listeners = [*phase.listeners, *run.listeners]
    for listener in listeners:
        listener.on_phase_begin(run, phase, n_epochs=-(-phase.n_steps // batches.per_epoch))
    totals: dict[str, Tensor] = {}
    n_summed, n_epochs_done = 0, 0
    try:
        for step, batch in zip(range(1, phase.n_steps + 1), batches, strict=False):
            terms = objective(run.model, batch, generator)
            guard.step(torch.stack(list(terms.values())).sum(), (step - 1) / phase.n_steps)
            totals = {name: totals.get(name, 0.0) + terms[name].detach() for name in terms}
            n_summed += 1
            ends = step % batches.per_epoch == 0 or step == phase.n_steps
            if (ends or step % CHECK_STEPS == 0) and not guard.good(step, sum(totals.values())):
                totals, n_summed = {}, 0
            if not (ends and n_summed):
                continue
            means = {name: float(run.runtime.reduce(t)) / n_summed for name, t in totals.items()}
            totals, n_summed = {}, 0
            n_epochs_done = -(-step // batches.per_epoch)
            record = {"phase": phase.name, "epoch": n_epochs_done, "steps": step}
            record |= {"loss": sum(means.values()), **means}
            wants_end = [listener.on_epoch_end(run, phase, record) for listener in listeners]
            if any(wants_end):
                break
        guard.finish(n_epochs_done)
    finally:
        for listener in listeners:
            listener.on_phase_end(run, phase)
        weights.close()
        run.weights = None
        run.n_rescues += guard.n_rescues


class _Guard:
    """The optimiser, and a way back: the last good state and half the rate after a bad loss."""

    def __init__(self, weights: Weights, phase: Optimise):
        self.weights = weights
        self.phase = phase
        self.rate = phase.learning_rate
        self.n_rescues = 0
        self.good_step = 0
        self.good_state = weights.state()
        self.optimizer = self._adam()

    def step(self, loss: Tensor, progress: float) -> None:
        """One step against the gradient of the loss."""
        self.optimizer.param_groups[0]["lr"] = self.rate * self.phase.schedule(progress)
        self.weights.clear_gradients()
        loss.backward()
        self.weights.collect_gradients(self.phase.max_grad_norm)
        self.optimizer.step()
        self.weights.publish()

    def good(self, step: int, loss: Tensor) -> bool:
        """Whether training may go on from here; if not, it has been taken back.

        The state is kept, once it is known to be finite, every CHECK_STEPS steps at most.
        """
        due = step - self.good_step >= CHECK_STEPS
        if not loss.isfinite() or (due and not self._finite()):
            self._rescue()
            return False
        if due:
            self.good_state, self.good_step = self.weights.state(), step
        return True

    def finish(self, n_epochs_done: int) -> None:
        """Never leave a phase with parameters that are not finite, or with nothing done."""
        if not self._finite():
            self._rescue()
        if not n_epochs_done:
            self._give_up()

    def _rescue(self) -> None:
        self.n_rescues += 1
        if self.n_rescues > MAX_RESCUES:
            self._give_up()
        self.rate /= 2
        self.weights.restore(self.good_state)
        self.optimizer = self._adam()

    def _give_up(self) -> None:
        raise TrainingDivergedError(
            f"The loss of phase {self.phase.name!r} became non-finite {self.n_rescues} times, at "
            f"last with learning rate {self.rate:.1e}, {self.phase.learning_rate:.1e} at first. "
            "Standardise the data, or lower learning_rate."
        )

    def _adam(self) -> torch.optim.Adam:
        fused = self.weights.master.device.type in ("cpu", "cuda")
        return torch.optim.Adam([self.weights.master], self.rate, fused=fused)

    def _finite(self) -> bool:
        return bool(self.weights.master.sum().isfinite())  # one pass, no temporaries
