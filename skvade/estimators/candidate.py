"""Finished trainings, compared without labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.special import entr

from skvade.metrics import mutual_information
from skvade.training.batches import Rows
from skvade.training.peers import Peers
from skvade.training.run import Run


@dataclass(frozen=True)
class Candidate:
    """One finished training, ready to be compared with others without labels."""

    run: Run
    rows: Rows

    @cached_property
    def proba(self) -> np.ndarray:
        """What its model says of the training rows, (n_rows, n_clusters)."""
        with torch.inference_mode():
            model = self.run.model
            proba = self.rows.map(model.assign, model.row_bytes(self.rows.n_features))
        return proba.double().numpy()

    @cached_property
    def labels(self) -> np.ndarray:
        """The cluster of each training row."""
        return self.proba.argmax(1)

    @cached_property
    def rank(self) -> tuple[int, float]:
        """Used clusters first, mutual information of the assignment second."""
        peers, n_clusters = self.run.runtime.peers, self.proba.shape[1]
        counts = peers.total(np.bincount(self.labels, minlength=n_clusters))
        return int((counts > 0).sum()), information(self.proba, peers)


def information(proba: np.ndarray, peers: Peers) -> float:
    """The mutual information of the assignment of all processes' rows.

    That within each, and that between the means of each.
    """
    within = mutual_information(proba)
    if peers.size == 1:
        return within
    means = np.stack(peers.collect(proba.mean(0, dtype=np.float64)))
    weights = np.array(peers.collect(len(proba)), float)
    weights /= weights.sum()
    between = entr(weights @ means).sum() - weights @ entr(means).sum(1)
    return float(peers.mean(within, len(proba)) + between)
