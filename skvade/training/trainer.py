"""THE loop: gradient steps on an objective, with named events beside it.

It knows a model, batches and an objective's terms; nothing of mixtures, clusters or estimators.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from skvade.training.batches import Batches, Rows
from skvade.training.events import Listener
from skvade.training.runtime import Runtime

if TYPE_CHECKING:
    from skvade.training.phases import Optimise, Phase

MAX_RESCUES = 3
SNAPSHOT_STEPS = 50


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
    """

    model: Any
    rows: Rows
    runtime: Runtime
    seed: int
    listeners: Sequence[Listener] = ()
    history: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    n_rescues: int = 0

    def go(self, phases: Sequence[Phase]) -> Run:
        """Run the phases in order; the model is left in evaluation mode."""
        self.model = self.runtime.prepare(self.model)
        self.model.compute_dtype = self.runtime.compute_dtype
        for number, phase in enumerate(phases):
            phase.run(self, seed=self.seed + number)
        self.model.compute_dtype = None
        self.model.eval()
        return self


def optimise(run: Run, phase: Optimise, seed: int) -> None:
    """Minimise the phase's objective for its number of steps, or until a listener ends it."""
    model = run.model.train()
    objective = phase.objective(run)
    parameters = phase.parameters(model)
    batches = Batches(run.rows, phase.batch_size, seed, run.runtime.shard)
    generator = run.runtime.generator(seed)
    n_epochs = -(-phase.n_steps // batches.per_epoch)
    listeners = [*phase.listeners, *run.listeners]
    rate, n_rescues = phase.learning_rate, 0
    optimizer = _adam(parameters, rate)
    good_state, good_step = _state(model), 0

    for listener in listeners:
        listener.on_phase_begin(run, phase, n_epochs)
    totals: dict[str, Tensor] = {}
    for step, batch in zip(range(1, phase.n_steps + 1), batches, strict=False):
        optimizer.param_groups[0]["lr"] = rate * phase.schedule((step - 1) / phase.n_steps)
        terms = objective(model, batch, generator)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(parameters, phase.max_grad_norm)
        optimizer.step()
        for name, value in terms.items():
            totals[name] = totals.get(name, 0.0) + value.detach()

        in_epoch = (step - 1) % batches.per_epoch + 1
        if in_epoch < batches.per_epoch and step < phase.n_steps:
            continue
        means = {
            name: float(run.runtime.reduce(total)) / in_epoch for name, total in totals.items()
        }
        totals = {}
        due = step - good_step >= SNAPSHOT_STEPS or step == phase.n_steps
        if not (all(map(math.isfinite, means.values())) and (not due or _finite(parameters))):
            n_rescues += 1
            if n_rescues > MAX_RESCUES:
                raise TrainingDivergedError(
                    f"The loss of phase {phase.name!r} became non-finite {n_rescues} times, at "
                    f"last with learning rate {rate:.1e}. Standardise the data, or lower "
                    f"learning_rate (now {phase.learning_rate})."
                )
            rate /= 2
            model.load_state_dict(good_state)
            optimizer = _adam(parameters, rate)
            continue
        if due:
            good_state, good_step = _state(model), step
        record = {
            "phase": phase.name,
            "epoch": -(-step // batches.per_epoch),
            "steps": step,
            "loss": sum(means.values()),
            **means,
        }
        wants_end = [listener.on_epoch_end(run, phase, record) for listener in listeners]
        if any(wants_end):
            break
    for listener in listeners:
        listener.on_phase_end(run, phase)
    run.n_rescues += n_rescues


def _adam(parameters: list[nn.Parameter], rate: float) -> torch.optim.Adam:
    fused = parameters[0].device.type in ("cpu", "cuda")
    return torch.optim.Adam(parameters, rate, fused=fused)


def _state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


@torch.no_grad()
def _finite(parameters: list[nn.Parameter]) -> bool:
    return bool(torch.stack([parameter.isfinite().all() for parameter in parameters]).all())
