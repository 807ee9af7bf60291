"""The phases that every method here has, from an autoencoder to clusters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from skvade.estimators.facts import Facts
from skvade.objectives.base import EncodedObjective, Objective
from skvade.objectives.labels import LabeledRows, WithLabels
from skvade.objectives.neighbours import PUSH, WithNeighbours
from skvade.objectives.reconstruction import Reconstruction
from skvade.training.calibration import Calibrate
from skvade.training.conditions import partition_is_free, partition_stays
from skvade.training.counting import Counter
from skvade.training.dealing import labelled_by_all
from skvade.training.events import Running
from skvade.training.guests import with_guests
from skvade.training.learned import Learned
from skvade.training.m_step import MStep, PriorBound
from skvade.training.neighbours import DrawnNeighbours
from skvade.training.phases import CountClusters, FindNeighbours, Initialise, KeepClusters
from skvade.training.plateau import Plateau
from skvade.training.run import Phase
from skvade.training.schedules import (
    SCHEDULES,
    WarmUp,
    auto_steps,
    constant,
    fine_tuning,
    gentle,
    n_steps,
)
from skvade.training.trainer import Optimise, autoencoder_parameters

MakeEncoded = Callable[[Running], EncodedObjective]

PRETRAIN_STEPS, PRETRAIN_GROWTH, PRETRAIN_RATE = 1_125, 0.25, 0.5
PRETRAIN_STEPS_WITHOUT_PATH = 2_500
NEIGHBOUR_STEPS = 2_100
LABEL_STEPS, CLASS_STEPS, CLASS_WEIGHT = 1_500, 300, 100.0
TRAIN_STEPS = 2_500


@dataclass(frozen=True)
class Objectives:
    """What tells one method from another: what it minimises.

    Attributes
    ----------
    train : callable
        Takes the run to the objective of the last gradient phase.
    bound : callable or None
        Takes the run to the bound alone, in which an M step then maximises the prior; None, where
        a method has neither.
    hold : callable or None
        Takes the run to that of a phase before, in which clusters are held where they were started;
        None, where a method has no such phase.
    pretrain : callable
        Takes the run to the objective of the autoencoder.
    rate : callable
        Takes the number of rows to the share of the learning rate that `hold` and `train` have.
    n_steps : int
        Of the last gradient phase, at 70,000 rows.
    """

    train: MakeEncoded
    bound: Callable[[Running], PriorBound] | None = None
    hold: MakeEncoded | None = None
    pretrain: MakeEncoded = lambda run: Reconstruction()
    rate: Callable[[int], float] = fine_tuning
    n_steps: int = TRAIN_STEPS


class Recipe(ABC):
    """An autoencoder; neighbours drawn together; clusters among the codes; the method's own."""

    @abstractmethod
    def _make_objectives(self, facts: Facts) -> Objectives:
        """What the method minimises."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        """The phases of a fit from scratch."""
        objectives = self._make_objectives(facts)
        schedule = SCHEDULES[self.learning_rate_schedule]
        n_rows, size = facts.n_rows, facts.batch_size
        pairs = self._rows_a_step(facts)
        budget = self.pretrain_iter
        start = PRETRAIN_STEPS if facts.shape.linear_path else PRETRAIN_STEPS_WITHOUT_PATH
        pretrain = n_steps(budget, n_rows, size, start, PRETRAIN_GROWTH)
        if budget == "auto" and facts.shape.linear_path and facts.small and self.neighbor_weight:
            pretrain = 0  # neighbours are found among the components as well
        embedding = auto_steps(n_rows, NEIGHBOUR_STEPS) if budget == "auto" else pretrain // 2
        plateau = [Plateau()] if budget == "auto" else []
        steps = partial(
            Optimise,
            batch_size=pairs,
            learning_rate=self.learning_rate * gentle(n_rows, facts.small),
            schedule=WarmUp(schedule),
        )
        embed = [
            FindNeighbours(self.n_neighbors, facts.components),
            steps(
                "neighbours",
                self._near(objectives.pretrain),
                embedding,
                parameters=autoencoder_parameters,
                listeners=plateau,
            ),
        ]
        return [
            steps(
                "pretrain",
                objectives.pretrain,
                pretrain,
                batch_size=size,
                learning_rate=PRETRAIN_RATE * self.learning_rate * gentle(n_rows, facts.small),
                parameters=autoencoder_parameters,
                listeners=plateau,
            ),
            *(embed if self.neighbor_weight else []),
            Initialise(facts.initialiser, facts.components if facts.small else None),
            *self._make_holding_phases(facts, objectives),
            *self._make_last_phases(facts),
        ]

    def _make_holding_phases(self, facts: Facts, objectives: Objectives) -> list[Phase]:
        """Those in which codes keep to the first partition, or learn it where it stays."""
        steps = partial(Optimise, batch_size=self._rows_a_step(facts))
        n_learning = CLASS_STEPS if facts.labels is None else LABEL_STEPS
        if self.max_iter != "auto":
            n_learning = min(n_learning, self._train_steps(facts))
        learn = steps(
            "labels",
            self._near(self._learning(objectives, facts)),
            n_learning,
            learning_rate=self.learning_rate,
            schedule=WarmUp(SCHEDULES[self.learning_rate_schedule]),
            when=partition_stays,
            listeners=[Plateau(), Learned()],
        )
        if objectives.hold is None:
            return [learn]
        hold = steps(
            "hold",
            self._near(objectives.hold),
            max(1, self._train_steps(facts) // 5),
            learning_rate=self.learning_rate * objectives.rate(facts.n_rows),
            schedule=WarmUp(constant),
        )
        if facts.is_told:
            return [hold, learn]
        return [replace(hold, when=partition_is_free, instead=learn)]

    def _make_counting_phases(self, facts: Facts, max_clusters: int) -> list[Phase]:
        """Those of a fit up to its codes, of which then the clusters are counted."""
        phases = self._make_phases(facts)
        (start,) = (i for i, phase in enumerate(phases) if isinstance(phase, Initialise))
        find = FindNeighbours(self.n_neighbors, facts.components)
        graph = [] if self.neighbor_weight else [find]
        return [*phases[:start], *graph, CountClusters(Counter(max_clusters))]

    def _make_warm_phases(self, facts: Facts) -> list[Phase]:
        """The phases of a fit that goes on from the previous one."""
        find = FindNeighbours(self.n_neighbors, facts.components, rescale=False)
        graph = [find] if self.neighbor_weight else []
        stays = getattr(self, "_stays", False)  # pickles of older versions do not say
        keep = [KeepClusters(facts.labels)] if stays else []
        return [*graph, *keep, *self._make_last_phases(facts)]

    def _make_update_phases(self, facts: Facts) -> list[Phase]:
        """The same for a few more rows, without what asks all rows, whom they would outvote."""
        asks_all = MStep | Calibrate
        phases = self._make_warm_phases(facts)
        return [phase for phase in phases if not isinstance(phase, asks_all)]

    def _make_last_phases(self, facts: Facts) -> list[Phase]:
        """The phase that `max_iter` and `tol` speak of, and what every fit ends with after it."""
        objectives = self._make_objectives(facts)
        train = Optimise(
            "train",
            self._near(self._make_last_objective(facts)),
            self._train_steps(facts),
            batch_size=self._rows_a_step(facts),
            learning_rate=self.learning_rate * objectives.rate(facts.n_rows),
            schedule=WarmUp(SCHEDULES[self.learning_rate_schedule]),
            listeners=[facts.monitor],
        )
        prior = [] if objectives.bound is None else [MStep(objectives.bound)]
        return [train, *prior, Calibrate()]

    def _make_last_objective(self, facts: Facts) -> MakeEncoded:
        """That of the last gradient phase, without the neighbours."""
        objectives = self._make_objectives(facts)
        return self._beside_noise(self._beside_partition(objectives.train, facts))

    def _learning(self, objectives: Objectives, facts: Facts) -> MakeEncoded:
        """What is minimised where the first partition stays, and codes do not know it yet."""
        if facts.labels is not None:
            return objectives.train
        return self._beside_partition(objectives.hold or objectives.pretrain, facts)

    def _beside_partition(self, objective: MakeEncoded, facts: Facts) -> MakeEncoded:
        """The objective beside the clusters of a first partition that stays.

        No mixture would find them again, so that they count to the end. Where labels are known, the
        objective has them already, as `_known` says.
        """

        def beside(run: Running) -> EncodedObjective:
            if facts.labels is not None or not run.handover.stays:
                return objective(run)
            return WithLabels(objective(run), self._partition(run), CLASS_WEIGHT)

        return beside

    def _partition(self, run: Running) -> LabeledRows:
        """All rows, with the clusters that the last phase to have found some has left."""
        partition = run.handover.need_partition().cpu().numpy()
        return LabeledRows(run.rows, partition, partial(labelled_by_all, peers=run.runtime.peers))

    def _known(self, run: Running, facts: Facts) -> LabeledRows | None:
        """The rows whose cluster is known, or None if there are none.

        These are all, where labels have told so much of the first partition that it stays.
        """
        if facts.labels is None:
            return None
        if run.handover.stays:
            return self._partition(run)
        of_all = partial(labelled_by_all, peers=run.runtime.peers)
        return LabeledRows(run.rows, facts.labels, of_all)

    def _beside_labels(
        self, objective: EncodedObjective, known: LabeledRows | None
    ) -> EncodedObjective:
        """The objective beside a loss of known labels, in methods that have one."""
        return objective

    def _beside_noise(self, objective: MakeEncoded) -> MakeEncoded:
        """What the last phase minimises beside what a noisy pass does, in methods that have one."""
        return objective

    def _rows_a_step(self, facts: Facts) -> int:
        # Of a batch with neighbours half are rows; the neighbours that they bring are encoded only.
        return max(1, facts.batch_size // 2) if self.neighbor_weight else facts.batch_size

    def _train_steps(self, facts: Facts) -> int:
        reference = self._make_objectives(facts).n_steps
        return n_steps(self.max_iter, facts.n_rows, self._rows_a_step(facts), reference)

    def _near(
        self, objective: Callable[[Running], EncodedObjective]
    ) -> Callable[[Running], Objective]:
        """The objective beside the neighbour embedding, unless that is off."""
        if not self.neighbor_weight:
            return objective

        def near(run: Running) -> Objective:
            graph = run.handover.need_graph()
            peers, push = run.runtime.peers, PUSH * graph.signal
            drawn = DrawnNeighbours(with_guests(run.rows, graph, peers), graph)
            scale, everyone = run.handover.scale, peers.everyone
            given = (drawn, self.neighbor_weight, scale)
            return WithNeighbours(objective(run), *given, push=push, everyone=everyone)

        return near
