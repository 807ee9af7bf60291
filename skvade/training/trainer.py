"""THE loop: gradient steps on an objective, with named events beside it.

It knows a model, batches and an objective's terms; nothing of mixtures, clusters or estimators.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from skvade._stateful import Stateful
from skvade.training.batches import Batches, Rows
from skvade.training.descent import CHECK_STEPS, Descent, Draws, Guard, Tally
from skvade.training.events import Listener
from skvade.training.keeper import Keeper
from skvade.training.runtime import Runtime
from skvade.training.weights import Weights

if TYPE_CHECKING:
    from skvade.training.phases import Optimise, Phase


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
        What one phase leaves for later ones, as plain data: a partition, a graph.
    n_rescues : int
        How often a phase had to be taken back to its last good state.
    weights : Weights
        Of the gradient phase that is running.
    keeper : Keeper
        Takes the run's state from time to time, and has what an earlier run left.
    n_done : int
        Phases that are done.
    draws_from_torch : bool
        Whether the networks draw from torch's own generator, as dropout does.
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
    keeper: Keeper = field(default_factory=Keeper)
    n_done: int = 0
    draws_from_torch: bool = False
    _descent: dict[str, Any] | None = None

    def go(self, phases: Sequence[Phase]) -> Run:
        """Run the phases in order; the model is left in evaluation mode."""
        self.n_done = 0
        self.model = self.runtime.prepare(self.model.float())
        self.model.compute_dtype = self.runtime.compute_dtype
        self._take_up(self.keeper.left())
        for listener in self.listeners:
            listener.on_run_begin(self, phases[self.n_done :])
        for number in range(self.n_done, len(phases)):
            phases[number].run(self, seed=self.seed + number)
            self.n_done = number + 1
            if self.n_done < len(phases):
                self.offer()
            else:
                self.keeper.keep(self.state() | {"memory": self._outcome()}, last=True)
        self.model.compute_dtype = None
        self.model.eval()
        for listener in self.listeners:
            listener.on_run_end(self)
        return self

    def fitted_model(self) -> Any:
        """A copy of the model, as it would be if the training ended here."""
        # What a user's module keeps of its last batch cannot be copied with its graph.
        kept = (value for part in self.model.modules() for value in vars(part).values())
        memo = {id(v): v.detach() for v in kept if isinstance(v, torch.Tensor) and not v.is_leaf}
        model = copy.deepcopy(self.model, memo).float()
        if self.weights is not None:
            model.load_state_dict(self.weights.state())
        model.compute_dtype = None
        return model.eval()

    def offer(self, descent: Stateful | None = None) -> None:
        """Let the keeper have the state, if it is time; `descent` is the gradient phase's own."""
        if self.keeper.due():
            self.keeper.keep(self.state() | {"descent": descent and descent.state()})

    def state(self) -> dict[str, Any]:
        """What another run of the same phases needs to go on, beside what a phase itself knows."""
        return {
            "model": dict(
                self.model.state_dict() if self.weights is None else self.weights.state()
            ),
            "history": self.history,
            "memory": self.memory,
            "n_rescues": self.n_rescues,
            "n_done": self.n_done,
            "random_state": torch.get_rng_state() if self.draws_from_torch else None,
            "descent": None,
        }

    def _outcome(self) -> dict[str, Any]:
        """What is of use after the last phase: no graph, no partition."""
        return {name: v for name, v in self.memory.items() if isinstance(v, int | float)}

    def take_descent(self) -> dict[str, Any] | None:
        """The state in which an earlier run left the gradient phase that begins; only once."""
        state, self._descent = self._descent, None
        return state

    def _take_up(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        state = _moved(state, self.runtime.device)
        self.model.load_state_dict(state["model"])
        self.history.extend(state["history"])
        self.memory.update(state["memory"])
        self.n_rescues, self.n_done = state["n_rescues"], state["n_done"]
        self._descent = state["descent"]
        if self.draws_from_torch:
            torch.set_rng_state(state["random_state"].cpu())


def _moved(value: Any, device: torch.device) -> Any:
    """The same nested values, with all tensors on a device."""
    if isinstance(value, dict):
        return {name: _moved(item, device) for name, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value.to(device) if isinstance(value, torch.Tensor) else value


@torch.enable_grad()
def optimise(run: Run, phase: Optimise, seed: int) -> None:
    """Minimise the phase's objective for its number of steps, or until a listener ends it."""
    objective = phase.objective(run)
    batches = Batches(run.rows, phase.batch_size, seed, run.runtime.shard)
    generator = run.runtime.generator(seed)
    weights = run.weights = run.runtime.weights(run.model.train(), phase.parameters(run.model))
    guard = Guard(weights, phase)
    tally = Tally()
    listeners = [*phase.listeners, *run.listeners]
    for listener in listeners:
        listener.on_phase_begin(run, phase, n_epochs=-(-phase.n_steps // batches.per_epoch))
    descent = Descent(objective, batches, Draws(generator), guard, tally, *listeners)
    if left := run.take_descent():
        descent.restore(left)
    try:
        begins = True
        for step, batch in zip(range(tally.step + 1, phase.n_steps + 1), batches, strict=False):
            if begins:
                for listener in listeners:
                    listener.on_epoch_begin(run, phase)
            begins = step % batches.per_epoch == 0
            terms = objective(run.model, batch, generator)
            guard.step(torch.stack(list(terms.values())).sum(), (step - 1) / phase.n_steps)
            tally.add(terms)
            ends = step % batches.per_epoch == 0 or step == phase.n_steps
            if not (ends or step % CHECK_STEPS == 0):
                continue
            if not guard.good(step, tally.loss):
                tally.clear()
            elif ends:
                tally.n_epochs = -(-step // batches.per_epoch)
                record = {"phase": phase.name, "epoch": tally.n_epochs, "steps": step}
                record |= tally.means(run.runtime.reduce)
                tally.clear()
                wants_end = [listener.on_epoch_end(run, phase, record) for listener in listeners]
                if any(wants_end):
                    break
            run.offer(descent)
        guard.finish(tally.n_epochs)
        run.n_rescues += guard.n_rescues
        for listener in listeners:
            listener.on_phase_end(run, phase)
    finally:
        for listener in listeners:
            listener.close()
        weights.close()
        run.weights = None
