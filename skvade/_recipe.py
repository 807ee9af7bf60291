"""The phases that every method here has, from an autoencoder to clusters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from skvade.objectives.base import EncodedObjective, Objective
from skvade.objectives.labels import LabeledRows
from skvade.objectives.neighbours import PUSH, WithNeighbours
from skvade.objectives.reconstruction import Reconstruction
from skvade.training.budgets import auto_steps, fine_tuning, n_steps
from skvade.training.neighbours import NeighbourGraph
from skvade.training.phases import (
    FindNeighbours,
    Initialise,
    Optimise,
    Phase,
    autoencoder_parameters,
)
from skvade.training.schedules import SCHEDULES, WarmUp, constant
from skvade.training.trainer import Run

PRETRAIN_STEPS, PRETRAIN_GROWTH = 2_500, 0.25
NEIGHBOUR_STEPS = 1_400
TRAIN_STEPS = 2_500


@dataclass(frozen=True)
class Objectives:
    """What tells one method from another: what it minimises.

    Attributes
    ----------
    train : callable
        Takes the run to the objective of the last phase.
    hold : callable or None
        Takes the run to that of a phase before, in which clusters are held where they were started;
        None, where a method has no such phase.
    pretrain : callable
        Takes the run to the objective of the autoencoder.
    rate : callable
        Takes the number of rows to the share of the learning rate that `hold` and `train` have.
    """

    train: Callable[[Run], EncodedObjective]
    hold: Callable[[Run], EncodedObjective] | None = None
    pretrain: Callable[[Run], EncodedObjective] = lambda run: Reconstruction()
    rate: Callable[[int], float] = fine_tuning


class Recipe(ABC):
    """An autoencoder; neighbours drawn together; clusters among the codes; the method's own."""

    @abstractmethod
    def _make_objectives(self, plan: Any) -> Objectives:
        """What the method minimises."""

    def _make_phases(self, plan: Any) -> list[Phase]:
        """The phases of a fit from scratch; the last is what `max_iter` and `tol` speak of."""
        objectives = self._make_objectives(plan)
        schedule = SCHEDULES[self.learning_rate_schedule]
        n_rows, size = plan.n_rows, plan.batch_size
        pairs = self._rows_a_step(plan)
        budget = self.pretrain_iter
        pretrain = n_steps(budget, n_rows, size, PRETRAIN_STEPS, PRETRAIN_GROWTH)
        embedding = auto_steps(n_rows, NEIGHBOUR_STEPS) if budget == "auto" else pretrain // 2
        train = self._train_steps(plan)
        steps = partial(
            Optimise,
            batch_size=pairs,
            learning_rate=self.learning_rate,
            schedule=WarmUp(schedule),
        )
        rate = self.learning_rate * objectives.rate(n_rows)
        embed = [
            FindNeighbours(self.n_neighbors),
            steps(
                "neighbours",
                self._near(objectives.pretrain),
                embedding,
                parameters=autoencoder_parameters,
            ),
        ]
        hold = [
            steps(
                "hold",
                self._near(objectives.hold),
                train // 5,
                schedule=WarmUp(constant),
                learning_rate=rate,
            )
        ]
        return [
            steps(
                "pretrain",
                objectives.pretrain,
                pretrain,
                batch_size=size,
                parameters=autoencoder_parameters,
            ),
            *(embed if self.neighbor_weight else []),
            Initialise(plan.initialiser),
            *(hold if objectives.hold else []),
            steps(
                "train",
                self._near(objectives.train),
                train,
                learning_rate=rate,
                listeners=[plan.monitor],
            ),
        ]

    def _make_warm_phases(self, plan: Any) -> list[Phase]:
        """The phases of a fit that goes on from the previous one."""
        graph = [FindNeighbours(self.n_neighbors, rescale=False)] if self.neighbor_weight else []
        return [*graph, self._make_phases(plan)[-1]]

    def _known(self, run: Run, plan: Any) -> LabeledRows | None:
        """The rows whose cluster is known, or None if there are none."""
        return None if plan.labels is None else LabeledRows(run.rows, plan.labels)

    def _beside_labels(
        self, objective: EncodedObjective, known: LabeledRows | None
    ) -> EncodedObjective:
        """The objective beside a loss of known labels, in methods that have one."""
        return objective

    def _rows_a_step(self, plan: Any) -> int:
        # Of a batch with neighbours half are rows; the neighbours that they bring are encoded only.
        return max(1, plan.batch_size // 2) if self.neighbor_weight else plan.batch_size

    def _train_steps(self, plan: Any) -> int:
        return n_steps(self.max_iter, plan.n_rows, self._rows_a_step(plan), TRAIN_STEPS)

    def _near(self, objective: Callable[[Run], EncodedObjective]) -> Callable[[Run], Objective]:
        """The objective beside the neighbour embedding, unless that is off."""
        if not self.neighbor_weight:
            return objective

        def near(run: Run) -> Objective:
            graph, scale = NeighbourGraph(run.rows, **run.memory["graph"]), run.memory["scale"]
            push = PUSH * graph.signal
            return WithNeighbours(objective(run), graph, self.neighbor_weight, scale, push=push)

        return near
