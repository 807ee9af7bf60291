"""The graph of nearest neighbours as arrays, and how much of it joins one cluster to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from skvade.training.handover import Graph
from skvade.training.peers import ALONE, Peers
from skvade.training.units import row_slices

SMALLEST_CUT = 5e-4  # below it cuts are alike


@dataclass(frozen=True)
class Neighbourhood:
    """Nearest neighbours of every row of this process, with weights.

    Attributes
    ----------
    rows : ndarray of shape (n_samples, n_neighbors)
        Row numbers.
    cumulative : ndarray of shape (n_samples, n_neighbors)
        Running sums of the weights, the last of each row 1.
    places : ndarray of shape (n_samples, n_places) or None
        The rows along leading principal components; None where only codes are clustered.
    guests : ndarray of shape (n_guests,) or None
        What numbers those have among the rows of all processes that follow this one's.
    peers : Peers
        Who has the other rows.
    """

    rows: np.ndarray
    cumulative: np.ndarray
    places: np.ndarray | None = None
    guests: np.ndarray | None = None
    peers: Peers = ALONE

    @classmethod
    def of(
        cls, graph: Graph, places: np.ndarray | None = None, peers: Peers = ALONE
    ) -> Neighbourhood:
        """The neighbourhood of a graph, on the CPU."""
        guests = None if graph.guests is None else graph.guests.cpu().numpy()
        rows, cumulative = graph.neighbours.cpu().numpy(), graph.cumulative.cpu().numpy()
        return cls(rows, cumulative, places, guests, peers)

    def numbers(self) -> np.ndarray:
        """The numbers of the neighbours among the rows of all processes, shaped as `rows`."""
        if self.peers.size == 1:
            return self.rows
        numbers = self.peers.first(len(self.rows)) + np.arange(len(self.rows))
        if self.guests is not None:
            numbers = np.concatenate([numbers, self.guests])
        n_rows = self.peers.total(len(self.rows))
        return numbers.astype(sp.get_index_dtype(maxval=n_rows))[self.rows]

    def in_main(self) -> Neighbourhood:
        """That of the rows of all processes, in the main one."""
        if self.peers.size == 1:
            return self
        to_main = self.peers.to_main
        places = None if self.places is None else to_main(self.places)
        return Neighbourhood(to_main(self.numbers()), to_main(self.cumulative), places)

    def flow(self, labels: np.ndarray, n_clusters: int) -> np.ndarray:
        """How much weight joins cluster to cluster: symmetric, (n_clusters, n_clusters), sum 1.

        The probability that a random row is in the one and a neighbour of it, drawn by weight, in
        the other, averaged over both directions.

        Parameters
        ----------
        labels : ndarray of shape (n_samples,)
            From 0 to n_clusters - 1.
        n_clusters : int
        """
        labels = self._of_all(labels)
        flow = np.zeros(n_clusters * n_clusters)
        n_neighbors = self.rows.shape[1]
        for block in row_slices(len(self.rows), n_neighbors, 40 * n_neighbors):
            pairs = labels[block, np.newaxis] * n_clusters + labels[self.rows[block]]
            weights = np.diff(self.cumulative[block], axis=1, prepend=0)
            flow += np.bincount(pairs.ravel(), weights.ravel(), minlength=n_clusters**2)
        joint = self.peers.total(flow).reshape(n_clusters, n_clusters)
        return (joint + joint.T) / (2 * joint.sum())

    def share_alike(self, labels: np.ndarray, n_nearest: int) -> float:
        """The share of the nearest neighbours that have their row's label, each alike.

        Parameters
        ----------
        labels : ndarray of shape (n_samples,)
        n_nearest : int
            At most those that there are.
        """
        of_all, near = self._of_all(labels), self.rows[:, :n_nearest]
        n_alike = 0
        for block in row_slices(*near.shape):
            n_alike += int((of_all[near[block]] == labels[block, np.newaxis]).sum())
        return self.peers.total(n_alike) / self.peers.total(near.size)

    def _of_all(self, labels: np.ndarray) -> np.ndarray:
        """The labels of all whom neighbours number, guests after this process's own rows."""
        if self.guests is None:
            return labels
        of_guests = self.peers.fetch(self.guests, len(self.rows), labels.__getitem__)
        return np.concatenate([labels, *of_guests])


class Parting(NamedTuple):
    """How well a partition parts the graph.

    Attributes
    ----------
    used_clusters : int
    information : float
        Mutual information of the clusters of neighbours, in nats.
    worst_cut : float
        The greatest conductance of a cluster: the share of its weight that leaves it.
    """

    used_clusters: int
    information: float
    worst_cut: float

    @classmethod
    def of(cls, flow: np.ndarray) -> Parting:
        """That of a `Neighbourhood.flow`."""
        volume = flow.sum(1)
        used = volume > 0
        independent = np.outer(volume, volume)
        some = flow > 0
        information = float((flow[some] * np.log(flow[some] / independent[some])).sum())
        cuts = 1 - np.diag(flow)[used] / volume[used]
        return cls(int(used.sum()), information, float(cuts.max()))
