"""One training of one model, phase after phase, and where it puts its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder
from skvade.nn.draws import Draws
from skvade.nn.networks import copied
from skvade.objectives.stateful import Stateful
from skvade.training.batches import Rows
from skvade.training.events import Listener, Record
from skvade.training.handover import Handover
from skvade.training.runtime import Runtime
from skvade.training.weights import Weights


class Keeper:
    """Takes the state of a run from time to time, so that another can go on from there.

    This one keeps nothing; a subclass may.
    """

    def begin(self, rng: Any) -> None:
        """Before a fit draws: give the generator the state that it had in the first call."""

    def claim(self) -> None:
        """Before a fit trains, when it is known to be possible."""

    def left(self) -> dict[str, Any] | None:
        """The state that an earlier run left behind, or None at the beginning of a run."""
        return None

    def due(self) -> bool:
        """Whether it is time to keep a state."""
        return False

    def keep(self, state: dict[str, Any], last: bool = False) -> None:
        """Keep a state: nested dicts and lists of tensors and plain values; `last` ends a run."""


@dataclass
class Run:
    """One training of one model.

    Attributes
    ----------
    model : Autoencoder
    rows : Rows
    runtime : Runtime
    seed : int
        Every draw of the run follows from it.
    listeners : sequence of Listener
        Hear of every phase.
    history : list of dict
        A record per epoch: phase, epoch, steps, loss and every term.
    handover : Handover
        What one phase leaves for later ones.
    n_rescues : int
        How often a phase had to be taken back to its last good state.
    weights : Weights or None
        Of the gradient phase that is running.
    keeper : Keeper
        Takes the run's state from time to time, and has what an earlier run left.
    n_done : int
        Phases that are done.
    draws : Draws or None
        From which the user's own networks draw.
    """

    model: Autoencoder
    rows: Rows
    runtime: Runtime
    seed: int
    listeners: Sequence[Listener] = ()
    history: list[Record] = field(default_factory=list)
    handover: Handover = field(default_factory=Handover)
    n_rescues: int = 0
    weights: Weights | None = None
    keeper: Keeper = field(default_factory=Keeper)
    n_done: int = 0
    draws: Draws | None = None
    _descent: dict[str, Any] | None = None

    def go(self, phases: Sequence[Phase]) -> Run:
        """Run the phases in order; the model is left in evaluation mode."""
        self.n_done = 0
        self.model = self.runtime.prepare(self.model.float())
        self.model.compute_dtype, self.model.draws = self.runtime.compute_dtype, self.draws
        self._take_up(self.keeper.left())
        for listener in self.listeners:
            listener.on_run_begin(self, phases[self.n_done :])
        for number in range(self.n_done, len(phases)):
            phase = phases[number]
            heard = [] if phase.has_epochs or phase.is_empty else self.listeners
            for listener in heard:
                listener.on_work_begin(self, phase)
            phase.run(self, seed=self.seed + number)
            for listener in heard:
                listener.on_work_end(self, phase)
            self.n_done = number + 1
            if self.n_done < len(phases):
                self.offer()
            else:
                self.keeper.keep(self._state(at_end=True), last=True)
        self.model.compute_dtype = self.model.draws = None
        self.model.eval()
        for listener in self.listeners:
            listener.on_run_end(self)
        return self

    def fitted_model(self) -> Autoencoder:
        """A copy of the model, as it would be if the training ended here."""
        model = copied(self.model).float()
        model.load_state_dict(self.model_state())
        model.compute_dtype = model.draws = None
        return model.eval()

    def model_state(self) -> dict[str, Tensor]:
        """A copy of the model's tensors, in full precision."""
        if self.weights is not None:
            return self.weights.state()
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def restore_model(self, state: dict[str, Tensor]) -> None:
        """Take back what `model_state` returned."""
        if self.weights is None:
            self.model.load_state_dict(state)
        else:
            self.weights.restore(state)

    def offer(self, descent: Stateful | None = None) -> None:
        """Let the keeper have the state, if it is time; `descent` is the gradient phase's own."""
        if self.keeper.due():
            self.keeper.keep(self._state() | {"descent": descent and descent.state()})

    def take_descent(self) -> dict[str, Any] | None:
        """The state in which an earlier run left the gradient phase that begins; only once."""
        state, self._descent = self._descent, None
        return state

    def _state(self, at_end: bool = False) -> dict[str, Any]:
        """What another run of the same phases needs to go on, beside what a phase itself knows."""
        return {
            "model": self.model_state(),
            "history": self.history,
            "handover": self.handover.state(at_end=at_end),
            "n_rescues": self.n_rescues,
            "n_done": self.n_done,
            "draws": None if self.draws is None else self.draws.state(),
            "descent": None,
        }

    def _take_up(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        state = _moved(state, self.runtime.device)
        self.model.load_state_dict(state["model"])
        self.history.extend(state["history"])
        self.handover.restore(state["handover"])
        self.n_rescues, self.n_done = state["n_rescues"], state["n_done"]
        self._descent = state["descent"]
        if self.draws is not None:
            self.draws.restore(state["draws"])


class Phase(ABC):
    """One step of a method.

    Attributes
    ----------
    name : str
        As users see it.
    """

    name: str

    @abstractmethod
    def run(self, run: Run, seed: int) -> None:
        """Change the model, and leave in `run.handover` what later phases need."""

    @property
    def has_epochs(self) -> bool:
        """Whether it takes gradient steps, of which listeners hear."""
        return False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return False


def _moved(value: Any, device: torch.device) -> Any:
    """The same nested values, with all tensors on a device."""
    if isinstance(value, dict):
        return {name: _moved(item, device) for name, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value.to(device) if isinstance(value, torch.Tensor) else value
