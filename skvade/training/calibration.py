"""How much a model's probabilities promise too much, by what neighbours are in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skvade.training.neighbourhood import Neighbourhood
from skvade.training.run import Phase, Run
from skvade.training.runtime import in_full_precision

FEWEST_NEIGHBOURS = 3
REACH = 0.1  # of the rows that a cluster has in the mean; farther neighbours are beyond its border
MOST_DOUBT = 0.999  # with all, no cluster would be the most probable one


@dataclass(frozen=True)
class Calibrate(Phase):
    """Find the doubt by which probabilities are as sure as neighbours agree.

    With q' = (1 - e) q + e / K, the mean of max_c q'_c is the share of the nearest neighbours that
    are in their row's cluster, all rows together. The nearest are a tenth of the rows that a
    cluster has in the mean, at least three and at most those of the graph. Leaves `doubt`, which is
    e: 0 where the model is no surer than that. It is no less than it was before, in a warm start,
    whose neighbours are sought in codes that were drawn to agree; and it stays as it is where no
    graph was left.
    """

    name: str = "calibrate"

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        if run.handover.graph is None:
            return
        model, rows, peers = run.model.eval(), run.rows, run.runtime.peers
        with in_full_precision(model):
            found = rows.map(lambda x: _surest(model.assign(x)), model.row_bytes(rows.n_features))
        confidences, labels = found.numpy().T
        confidence = peers.mean(float(confidences.mean(dtype=float)), len(rows))
        n_rows, n_clusters = peers.total(len(rows)), len(model.centers())
        if run.handover.graph.guests is None:  # neighbours were sought among own rows
            n_rows /= peers.size
        n_nearest = max(FEWEST_NEIGHBOURS, int(REACH * n_rows / n_clusters))
        neighbours = Neighbourhood.of(run.handover.graph, peers=peers)
        alike = neighbours.share_alike(labels.astype(int), n_nearest)
        run.handover.doubt = max(run.handover.doubt, doubt_for(confidence, alike, n_clusters))


def _surest(q: Tensor) -> Tensor:
    """The greatest probability of each row, and of which cluster it is: (n_rows, 2)."""
    greatest, cluster = q.max(1)
    return torch.stack([greatest, cluster.to(greatest)], 1)


def doubt_for(confidence: float, alike: float, n_clusters: int) -> float:
    """The e with which (1 - e) confidence + e / n_clusters is the share alike, from 0 to .999."""
    if confidence <= max(alike, 1 / n_clusters):
        return 0.0
    return float(np.clip((confidence - alike) / (confidence - 1 / n_clusters), 0.0, MOST_DOUBT))
