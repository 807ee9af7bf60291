"""What one phase leaves for a later one, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Graph:
    """Weighted nearest neighbours of every row.

    Attributes
    ----------
    neighbours : Tensor of shape (n_samples, n_neighbors)
        Row numbers, the nearest first; int32 where that holds them. Those beyond this process's own
        rows are guests.
    cumulative : Tensor of shape (n_samples, n_neighbors)
        Running sums of the weights, the last of each row 1.
    signal : float
        Share of the distances between neighbours that is not taken for noise, in [0, 1].
    guests : Tensor of shape (n_guests,) or None
        Numbers, among the rows of all processes, of the neighbours that others have, in increasing
        order; None where neighbours were sought among this process's own rows.
    """

    neighbours: Tensor
    cumulative: Tensor
    signal: float = 1.0
    guests: Tensor | None = None


@dataclass(frozen=True)
class Count:
    """How many clusters there are, and what speaks for it; arrays, which stay on the CPU.

    Attributes
    ----------
    n_clusters : int
    clear : bool
        Whether the evidence for it is .3 or more.
    evidence : ndarray of shape (max_clusters + 1,)
        What speaks for each number of clusters; NaN where unknown.
    tree : ndarray of shape (n_groups - 1, 4)
        The mergers of groups of rows, as SciPy's hierarchies have them.
    groups : ndarray of shape (n_samples,)
        The group of every row.
    sizes : ndarray of shape (n_groups,)
        How many rows each has, of all processes.
    """

    n_clusters: int
    clear: bool
    evidence: np.ndarray
    tree: np.ndarray
    groups: np.ndarray
    sizes: np.ndarray


class Fate(Enum):
    """How long a field of the handover is of use; until then a checkpoint keeps it."""

    UNTIL_THE_END = "to the phases of the run"
    OUTCOME = "when the run has ended, too"


UNTIL_THE_END = {"fate": Fate.UNTIL_THE_END}
OUTCOME = {"fate": Fate.OUTCOME}


@dataclass
class Handover:
    """What phases leave, and what it is where none has left it; every field declares its fate.

    Attributes
    ----------
    graph : Graph or None
        The neighbours of every row.
    partition : Tensor of shape (n_samples,) or None
        The cluster of every row at the start.
    scale : float
        The units of the codes in those of the neighbour embedding.
    agreement : float
        Adjusted Rand index between the two best starts; NaN where there was one only.
    converged : bool
        Whether the phase's own criterion ended it.
    bound : float
        Evidence lower bound per row, in the last pass or after it, in nats, in the model's units;
        NaN where what was minimised is no bound.
    count : Count or None
        How many clusters were found, where that was asked.
    elsewhere : float
        Share of the nearest neighbours that are with other processes.
    stays : bool
        Whether codes are to learn the partition, and to keep it to the end.
    codes_fixed : bool
        Whether codes are to stay as a phase has left them.
    doubt : float
        What share of every row's probability is to be spread evenly over the clusters.
    """

    graph: Graph | None = field(default=None, metadata=UNTIL_THE_END)
    partition: Tensor | None = field(default=None, metadata=UNTIL_THE_END)
    scale: float = field(default=1.0, metadata=OUTCOME)
    agreement: float = field(default=float("nan"), metadata=OUTCOME)
    converged: bool = field(default=False, metadata=OUTCOME)
    bound: float = field(default=float("nan"), metadata=OUTCOME)
    count: Count | None = field(default=None, metadata=OUTCOME)
    elsewhere: float = field(default=0.0, metadata=OUTCOME)
    stays: bool = field(default=False, metadata=OUTCOME)
    codes_fixed: bool = field(default=False, metadata=OUTCOME)
    doubt: float = field(default=0.0, metadata=OUTCOME)

    def state(self, *, at_end: bool = False) -> dict[str, Any]:
        """All fields as plain data; at the end of a run its outcome only."""
        fates = {f.name: f.metadata["fate"] for f in fields(self)}
        values = {
            name: getattr(self, name)
            for name, fate in fates.items()
            if fate is Fate.OUTCOME or not at_end
        }
        return {
            name: vars(value) if isinstance(value, Graph | Count) else value
            for name, value in values.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        for name, value in state.items():
            made_of = {"graph": Graph, "count": Count}.get(name)
            setattr(self, name, made_of(**value) if made_of and value is not None else value)

    def need_graph(self) -> Graph:
        """The graph, in phases that come after the one that leaves it."""
        if self.graph is None:
            raise RuntimeError("No phase has left a graph; let FindNeighbours come before.")
        return self.graph

    def need_partition(self) -> Tensor:
        """The partition, in phases that come after the one that leaves it."""
        if self.partition is None:
            raise RuntimeError("No phase has left a partition; let Initialise come before.")
        return self.partition
