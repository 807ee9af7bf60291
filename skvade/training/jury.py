"""What is known of a mixture of the codes without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skvade.metrics import mutual_information
from skvade.training.em import FittedMixture
from skvade.training.peers import ALONE, Peers

MAX_CODES = 100_000


class Verdict(NamedTuple):
    """How a mixture assigns rows.

    Attributes
    ----------
    used_clusters : int
    mutual_information : float
        In nats.
    neighbours_kept : float
        Probability that a row and a neighbour of it are in one cluster; 0 without neighbours.
    """

    used_clusters: int
    mutual_information: float
    neighbours_kept: float


@dataclass(frozen=True)
class Jury:
    """Rows, the same for all mixtures, and their neighbours.

    Attributes
    ----------
    rows : ndarray of shape (n_judged,)
        Numbers of the rows among all.
    codes : ndarray of shape (n_codes, latent_dim)
        Of these rows and of all their neighbours, each once.
    own : ndarray of shape (n_judged,)
        Where in `codes` each row is.
    neighbours : ndarray of shape (n_judged, n_neighbors)
        Where its neighbours are; no columns, where none are known.
    """

    rows: np.ndarray
    codes: np.ndarray
    own: np.ndarray
    neighbours: np.ndarray

    @classmethod
    def draw(
        cls,
        codes: np.ndarray,
        neighbours: np.ndarray | None,
        max_rows: int,
        rng: np.random.RandomState,
        peers: Peers = ALONE,
    ) -> Jury:
        """At most max_rows of the codes, with the neighbours (n_samples, n_neighbors) if known.

        With some of these only, where all together were many more codes than can be judged quickly.
        Codes and neighbours are of this process's rows, whose numbers are among those of all; the
        jury is the same in all processes.
        """
        rows = subsample(peers.total(len(codes)), max_rows, rng)
        near = np.empty((len(rows), 0), rows.dtype)
        if neighbours is not None:
            near = peers.pick(neighbours, rows)
        stride = -(-len(np.unique(near)) // MAX_CODES)
        near = near[:, stride // 2 :: stride] if stride > 1 else near
        everyone, where = np.unique(np.column_stack([rows, near]), return_inverse=True)
        where = where.reshape(len(rows), -1)
        return cls(rows, peers.pick(codes, everyone), where[:, 0], where[:, 1:])

    def __call__(self, mixture: FittedMixture) -> Verdict:
        """Judge a fitted mixture."""
        everyone = mixture.predict_proba(self.codes)
        proba = everyone[self.own]
        near = [np.vdot(proba, everyone[column]) for column in self.neighbours.T]
        kept = float(np.mean(near)) / len(proba) if near else 0.0
        return Verdict(len(np.unique(proba.argmax(1))), mutual_information(proba), kept)


def subsample(n_rows: int, max_rows: int, rng: np.random.RandomState) -> np.ndarray:
    """Numbers of all rows, or of max_rows drawn without replacement."""
    if n_rows <= max_rows:
        return np.arange(n_rows)
    return rng.choice(n_rows, max_rows, replace=False).copy()  # no view of a permutation of all
