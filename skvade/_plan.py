"""What `fit` has found out before it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skvade.nn.summary import DataSummary
from skvade.training.batches import Units
from skvade.training.initialiser import Initialiser


@dataclass(frozen=True)
class Plan:
    """For the estimator that names model and phases.

    Attributes
    ----------
    summary : DataSummary
    likelihood : str
    units : Units
        Of the data, as the model sees them.
    n_rows : int
        Rows that are trained on.
    batch_size : int
    initialiser : Initialiser
    monitor : Settled or HeldOut
        Decides when the last phase ends.
    n_clusters : int
    labels : ndarray of shape (n_rows,) or None
        Known clusters, -1 where none is known.
    """

    summary: DataSummary
    likelihood: str
    units: Units
    n_rows: int
    batch_size: int
    initialiser: Initialiser
    monitor: Any
    n_clusters: int
    labels: np.ndarray | None = None
