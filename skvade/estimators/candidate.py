"""Finished trainings, compared without labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from skvade.metrics import mutual_information
from skvade.training.batches import Rows
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

    @property
    def rank(self) -> tuple[int, float]:
        """Used clusters first, mutual information of the assignment second."""
        return len(np.unique(self.labels)), mutual_information(self.proba)
