"""What a gradient phase is made of, beside its objective: steps, sums, draws, the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor

from skvade.objectives.stateful import Stateful
from skvade.training.adam import Adam
from skvade.training.weights import Weights

MAX_RESCUES = 3
CHECK_STEPS = 50


class Rule(Protocol):
    """How a gradient phase steps."""

    @property
    def name(self) -> str:
        """As it appears in messages."""

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of Adam."""

    @property
    def schedule(self) -> Callable[[float], float]:
        """Takes the progress, from 0 to 1, to a factor of the learning rate."""

    @property
    def max_grad_norm(self) -> float:
        """To which gradients are shortened."""


class TrainingDivergedError(FloatingPointError):
    """A loss stayed non-finite although training was taken back and slowed several times."""


class Descent(Stateful):
    """All of it that changes, beside the weights."""

    def __init__(self, *parts: Stateful):
        self._parts = parts

    def parts(self) -> Sequence[Stateful]:
        return self._parts


class Draws(Stateful):
    """The phase's random generator."""

    changing = ("position",)

    def __init__(self, generator: torch.Generator):
        self.generator = generator

    @property
    def position(self) -> Tensor:
        return self.generator.get_state()

    @position.setter
    def position(self, state: Tensor) -> None:
        self.generator.set_state(state.cpu())


class Tally(Stateful):
    """Steps and epochs that are done, and the sums of the terms since the last epoch."""

    changing = ("step", "n_epochs", "n_summed", "totals")

    def __init__(self) -> None:
        self.step = self.n_epochs = self.n_summed = 0
        self.totals: dict[str, Tensor] = {}

    @property
    def loss(self) -> Tensor:
        """The sum of all terms."""
        return reduce(torch.add, self.totals.values())

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count a step."""
        self.totals = {name: self.totals.get(name, 0.0) + terms[name].detach() for name in terms}
        self.n_summed += 1
        self.step += 1

    def means(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The mean loss of a step, and that of every term."""
        means = {name: float(over_processes(t)) / self.n_summed for name, t in self.totals.items()}
        return {"loss": sum(means.values()), **means}

    def clear(self) -> None:
        """Forget the sums."""
        self.totals = {}
        self.n_summed = 0


class Guard(Stateful):
    """The optimiser, and a way back: the last good state and half the rate after a bad loss."""

    changing = ("rate", "n_rescues", "good_step", "good_state", "moments")

    def __init__(self, weights: Weights, phase: Rule):
        self.weights = weights
        self.phase = phase
        self.rate = phase.learning_rate
        self.n_rescues = 0
        self.good_step = 0
        self.good_state = weights.state()
        self.optimizer = Adam(weights.own)

    @property
    def moments(self) -> dict[str, Tensor]:
        """What Adam knows."""
        return self.optimizer.state

    @moments.setter
    def moments(self, moments: dict[str, Tensor]) -> None:
        self.optimizer.state.update(moments)

    def rate_at(self, progress: float) -> float:
        """The learning rate, where the phase is between 0 and 1."""
        return self.rate * self.phase.schedule(progress)

    def descend(self, loss: Tensor, rate: float | Tensor) -> None:
        """One step against the gradient of the loss."""
        self.weights.clear_gradients()
        loss.backward()
        self.weights.collect_gradients(self.phase.max_grad_norm)
        self.optimizer.step(rate)
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
        self.optimizer = Adam(self.weights.own)

    def _give_up(self) -> None:
        raise TrainingDivergedError(
            f"The loss of phase {self.phase.name!r} became non-finite {self.n_rescues} times, at "
            f"last with learning rate {self.rate:.1e}, {self.phase.learning_rate:.1e} at first. "
            "Standardise the data, or lower learning_rate."
        )

    def _finite(self) -> bool:
        return bool(self.weights.master.sum().isfinite())  # one pass, no temporaries
