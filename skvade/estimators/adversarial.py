"""Clusters that do not change near a row: a phase of virtual adversarial training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from skvade.estimators.facts import Facts
from skvade.estimators.parameters import parameters
from skvade.estimators.recipe import MakeEncoded, Recipe
from skvade.objectives.adversarial import VirtualAdversary
from skvade.objectives.base import EncodedObjective
from skvade.objectives.labels import WithLabels
from skvade.training.conditions import always, partition_is_free, partition_stays
from skvade.training.events import Running
from skvade.training.guests import with_guests
from skvade.training.m_step import MStep
from skvade.training.neighbours import DrawnNeighbours
from skvade.training.phases import FindNeighbours, KeepClusters, RestartClusters
from skvade.training.run import Phase
from skvade.training.schedules import SCHEDULES, WarmUp, gentle, n_steps
from skvade.training.trainer import Optimise, all_but_codes, code_modules, code_parameters

FEWEST_ROWS = 512  # of a batch: shares of clusters among fewer are noise, which moves borders
HELD = 0.25  # of the steps
MANY_STEPS, MANY_STEPS_RATE = 400, 2.0  # fewer steps would not mend what the rate tears
KEPT_WEIGHT = 100.0  # of the clusters that the phase has left, in nats


@parameters
class AdversarialTraining(Recipe):
    """Of methods whose clusters have heavy-tailed densities among the codes.

    Parameters
    ----------
    adversarial_iter : int, default=0
        Passes over the data of a phase before the last, in which the encoder learns to have a row
        and what is near it in one cluster: virtual adversarial training, with rows moved by a
        quarter of their distance to a neighbour. Codes stay as they are after it, also in warm
        starts and `partial_fit`, which do not repeat it, so that the bound is lower. 0 leaves it
        out. With 24 passes clusters of many rows are more accurate where they
        were right but for their borders, for about twice the time.
    """

    adversarial_iter: int = 0

    def _make_phases(self, facts: Facts) -> list[Phase]:
        phases = super()._make_phases(facts)
        if not self.adversarial_iter:
            return phases
        last = self._make_last_phases(facts)
        before = phases[: -len(last)]
        if not self.neighbor_weight:
            before.append(FindNeighbours(self.n_neighbors, facts.components, rescale=False))
        fixed, *after = self._with_codes_fixed(last, facts)
        return [
            *before,
            self._make_adversarial_phase(facts),
            RestartClusters(partition_is_free, facts.labels),
            replace(last[0], when=partition_stays, instead=fixed),
            *after,
        ]

    def _make_warm_phases(self, facts: Facts) -> list[Phase]:
        """Without the phase, but with codes and clusters as it has left them."""
        if not getattr(self, "_codes_fixed", False):  # pickles of older versions do not say
            return super()._make_warm_phases(facts)
        keep = KeepClusters(facts.labels, codes_fixed=True)
        return [keep, *self._with_codes_fixed(self._make_last_phases(facts), facts)]

    def _with_codes_fixed(self, last: list[Phase], facts: Facts) -> list[Phase]:
        """The last phases, in which clusters are taught and codes stay as they are."""
        train, *after = last
        return [
            replace(
                train,
                objective=self._keeping(facts),
                parameters=all_but_codes,
                evaluated=code_modules,  # statistics of a user's batch normalisation stay, too
            ),
            *(replace(it, was_learned=always) if isinstance(it, MStep) else it for it in after),
        ]

    def _keeping(self, facts: Facts) -> MakeEncoded:
        """The last objective beside the clusters that the phase has left.

        Tails and Gaussians of the same rows have other borders. Neighbours would move codes only.
        """
        objective = self._make_last_objective(facts)

        def keeping(run: Running) -> EncodedObjective:
            return WithLabels(objective(run), self._partition(run), KEPT_WEIGHT, "partition")

        return keeping

    def _make_adversarial_phase(self, facts: Facts) -> Optimise:
        size = max(facts.batch_size, FEWEST_ROWS)
        steps = n_steps(self.adversarial_iter, facts.n_rows, size, 0)
        rate = MANY_STEPS_RATE if steps >= MANY_STEPS else 1.0

        def adversary(run: Running) -> VirtualAdversary:
            graph, peers = run.handover.need_graph(), run.runtime.peers
            drawn = DrawnNeighbours(with_guests(run.rows, graph, peers), graph)
            partition = run.handover.need_partition()
            counts = peers.total(
                partition.cpu().bincount(minlength=facts.shape.n_clusters).double()
            )
            shares = (counts / counts.sum()).to(partition.device, run.model.centers().dtype)
            n_held = max(1, round(HELD * steps))
            known = self._known(run, facts)
            of_all = partial(peers.log_mean, weight=peers.weight(len(run.rows)))
            return VirtualAdversary(drawn, partition.long(), shares, n_held, known, of_all)

        return Optimise(
            "adversarial",
            adversary,
            steps,
            batch_size=size,
            learning_rate=rate * self.learning_rate * gentle(facts.n_rows, facts.small),
            schedule=WarmUp(SCHEDULES[self.learning_rate_schedule]),
            parameters=code_parameters,
            when=partition_is_free,
        )
