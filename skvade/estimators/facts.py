"""What `fit` has found out before it trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skvade.nn.summary import ModelShape
from skvade.training.batches import Units
from skvade.training.events import Listener
from skvade.training.initialiser import Initialiser


@dataclass(frozen=True)
class Facts:
    """For the estimator that names model and phases.

    Attributes
    ----------
    shape : ModelShape
    units : Units
        Of the data, as the model sees them.
    n_rows : int
        Rows that are trained on.
    batch_size : int
    initialiser : Initialiser
    monitor : Listener
        Decides when the last phase ends.
    labels : ndarray of shape (n_rows,) or None
        Known clusters, -1 where none is known.
    """

    shape: ModelShape
    units: Units
    n_rows: int
    batch_size: int
    initialiser: Initialiser
    monitor: Listener
    labels: np.ndarray | None = None
