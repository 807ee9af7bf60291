"""THE loop: gradient steps on an objective, with named events beside it.

It knows a model, batches and an objective's terms; nothing of mixtures, clusters or estimators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from skvade.nn.autoencoder import Autoencoder
from skvade.objectives.base import Objective
from skvade.training.batches import Batches
from skvade.training.conditions import always
from skvade.training.descent import CHECK_STEPS, Descent, Draws, Guard, Tally
from skvade.training.events import Listener, Running
from skvade.training.resident import ResidentRows
from skvade.training.run import Phase, Run
from skvade.training.schedules import WarmUp, cosine
from skvade.training.steps import RecordedSteps, Steps


def all_parameters(model: Autoencoder) -> list[nn.Parameter]:
    """Everything the model can learn."""
    return list(model.parameters())


def autoencoder_parameters(model: Autoencoder) -> list[nn.Parameter]:
    """The two networks, without the log-variance head, which a plain autoencoder does not use."""
    return [*code_parameters(model), *model.decoder.parameters()]


def code_parameters(model: Autoencoder) -> list[nn.Parameter]:
    """What the codes m(x) depend on."""
    unused = set(model.encoder.log_variance_head.parameters())
    return [parameter for parameter in model.encoder.parameters() if parameter not in unused]


def all_but_codes(model: Autoencoder) -> list[nn.Parameter]:
    """Everything else."""
    codes = set(code_parameters(model))
    return [parameter for parameter in model.parameters() if parameter not in codes]


def code_modules(model: Autoencoder) -> list[nn.Module]:
    """What rows pass on their way to the codes m(x)."""
    beside = set(model.encoder.log_variance_head.parameters())
    return [part for part in model.encoder.modules() if not beside & set(part.parameters())]


def no_modules(model: Autoencoder) -> list[nn.Module]:
    """None."""
    return []


@dataclass(frozen=True)
class Optimise(Phase):
    """Gradient steps on an objective.

    Attributes
    ----------
    name : str
        As it appears in the history.
    objective : callable
        Takes the run and returns the objective, so that it may use what earlier phases left.
    n_steps, batch_size : int
    learning_rate : float
        The largest learning rate of Adam.
    schedule : callable
        Takes the progress, from 0 to 1, to a factor of the learning rate.
    parameters : callable
        Takes the model to the list of what this phase learns.
    evaluated : callable
        Takes it to the list of modules that are in evaluation mode meanwhile.
    listeners : sequence of Listener
        Hear this phase only.
    max_grad_norm : float
    when : callable
        Takes the run and says whether the phase is needed, by what earlier phases left.
    instead : Optimise or None
        What is done where it is not.
    """

    name: str
    objective: Callable[[Running], Objective]
    n_steps: int
    batch_size: int
    learning_rate: float
    schedule: Callable[[float], float] = field(default_factory=lambda: WarmUp(cosine))
    parameters: Callable[[Autoencoder], list[nn.Parameter]] = all_parameters
    evaluated: Callable[[Autoencoder], list[nn.Module]] = no_modules
    listeners: Sequence[Listener] = ()
    max_grad_norm: float = 100.0
    when: Callable[[Running], bool] = always
    instead: Optimise | None = None

    def run(self, run: Run, seed: int) -> None:
        if not self.when(run):
            if self.instead is not None:
                self.instead.run(run, seed)
        elif self.has_epochs:
            optimise(run, self, seed)

    @property
    def has_epochs(self) -> bool:
        return self.n_steps > 0

    @property
    def is_empty(self) -> bool:
        return self.n_steps == 0


def _can_be_recorded(run: Run) -> bool:
    """Whether a step asks nothing of the host: networks are ours, and all is on one GPU.

    Holes are filled by solving systems, which may ask whether they could be.
    """
    on_gpu = isinstance(run.rows, ResidentRows) and run.runtime.device.type == "cuda"
    ours_alone = run.draws is None and run.runtime.peers.size == 1
    return on_gpu and ours_alone and not run.model.likelihood.has_holes


@torch.enable_grad()
def optimise(run: Run, phase: Optimise, seed: int) -> None:
    """Minimise the phase's objective for its number of steps, or until a listener ends it."""
    objective = phase.objective(run)
    peers = run.runtime.peers
    batches = Batches(run.rows, phase.batch_size, seed, peers)
    generator = run.runtime.generator(seed)
    weights = run.weights = run.runtime.weights(run.model.train(), phase.parameters(run.model))
    for module in phase.evaluated(run.model):
        module.eval()
    guard = Guard(weights, phase)
    steps = RecordedSteps if _can_be_recorded(run) and objective.is_constant else Steps
    take = steps(objective, run.model, guard, generator, peers.weight(len(run.rows)))
    tally = Tally()
    listeners = [*phase.listeners, *run.listeners]
    for listener in listeners:
        listener.on_phase_begin(run, phase, n_epochs=-(-phase.n_steps // batches.per_epoch))
    parts = (objective, batches, Draws(generator), guard, tally, *phase.listeners)
    descent = Descent(*parts)  # those that hear of the run keep nothing that it needs
    if left := run.take_descent():
        descent.restore(left)
    try:
        begins = True
        for step, batch in zip(range(tally.step + 1, phase.n_steps + 1), batches, strict=False):
            if begins:
                for listener in listeners:
                    listener.on_epoch_begin(run, phase)
            begins = step % batches.per_epoch == 0
            tally.add(take(batch, (step - 1) / phase.n_steps))
            ends = step % batches.per_epoch == 0 or step == phase.n_steps
            if not (ends or step % CHECK_STEPS == 0):
                continue
            loss = run.runtime.reduce(tally.loss)
            with peers.alike():
                is_good = guard.good(step, loss)
            if not is_good:
                tally.clear()
            elif ends:
                tally.n_epochs = -(-step // batches.per_epoch)
                record = {"phase": phase.name, "epoch": tally.n_epochs, "steps": step}
                record |= tally.means(run.runtime.reduce)
                tally.clear()
                run.handover.bound = objective.bound(record)
                wants_end = [listener.on_epoch_end(run, phase, record) for listener in listeners]
                if peers.tell(any(wants_end)):
                    break
            run.offer(descent)
        with peers.alike():
            guard.finish(tally.n_epochs)
        run.n_rescues += guard.n_rescues
        for listener in listeners:
            listener.on_phase_end(run, phase)
    finally:
        for listener in listeners:
            listener.close()
        weights.close()
        run.weights = None
    peers.agree_(run.model)
