"""What `fit` has found out before it trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skvade.nn.summary import ModelShape
from skvade.training.dealing import Dealt
from skvade.training.events import Listener
from skvade.training.handover import Count
from skvade.training.initialiser import Initialiser
from skvade.training.latent_classes import Table
from skvade.training.neighbours import Components
from skvade.training.units import Units


@dataclass(frozen=True)
class Facts:
    """For the estimator that names model and phases.

    Attributes
    ----------
    shape : ModelShape
    units : Units
        Of the data, as the model sees them.
    n_rows : int
        Rows that are trained on, by all processes together.
    small : bool
        Whether these are too little data to move far from what linear methods know of them.
    batch_size : int
    components : Components or None
        The leading principal components of what the encoder sees.
    initialiser : Initialiser
    monitor : Listener
        Decides when the last phase ends.
    trained_on : ndarray of shape (n_rows,)
        Their numbers among the rows of the data.
    labels : ndarray of shape (n_rows,) or None
        Known clusters of the rows that this process trains on, -1 where none is known.
    dealt : Dealt
        These rows, and whose they are.
    table : Table or None
        The rows of all processes, in the order in which they are dealt, as latent classes see
        them, where clusters may start at such.
    count : Count or None
        How many clusters were found, where that was asked.
    reason : str
        Why the likelihood was taken, where the user did not name it.
    doubts : tuple of str
        What the data make doubtful, each with its cure.
    """

    shape: ModelShape
    units: Units
    n_rows: int
    small: bool
    batch_size: int
    components: Components | None
    initialiser: Initialiser
    monitor: Listener
    trained_on: np.ndarray
    dealt: Dealt
    labels: np.ndarray | None = None
    table: Table | None = None
    count: Count | None = None
    reason: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def is_told(self) -> bool:
        """Whether anything but the codes may say where clusters start: labels, or a table."""
        return self.labels is not None or self.table is not None
