"""What every initial partition of the codes is, and what makes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from skvade.training.neighbourhood import Neighbourhood
from skvade.training.peers import Peers


@dataclass(frozen=True)
class Partition:
    """A hard clustering of the codes.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
    agreement : float
        Adjusted Rand index between the two best restarts; NaN where there was only one.
    stays : bool
        Whether codes are to learn it, and to keep it, since it does not come from a mixture of
        them: what known labels or latent classes say of all rows, or clusters that lie apart
        whatever their shape.
    """

    labels: np.ndarray
    agreement: float = float("nan")
    stays: bool = False


class Initialiser(ABC):
    """Takes codes (n_samples, latent_dim) and a seed to a partition into 0 ... n_clusters - 1."""

    @abstractmethod
    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        """Cluster the codes, with the help of their neighbours where these are known.

        Codes are float32, since of many rows they and what is made of all of them are the most of
        what a fit takes; what counts or squares is done in float64, a block or a sample at a time.
        """

    def among(
        self, peers: Peers, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        """The same where each process has rows of its own: their part of a partition of all.

        The main process clusters the codes of all, unless a start knows better.
        """
        everyone = peers.to_main(codes)
        around = None if neighbours is None else neighbours.in_main()
        found: Partition | None = None
        with peers.together():
            if peers.is_main:
                found = self(everyone, seed, around)
        labels = peers.from_main(None if found is None else found.labels, len(codes))
        agreement, stays = peers.tell(found and (found.agreement, found.stays))
        return Partition(labels, agreement, bool(stays))

    def restricted(self, rows: np.ndarray) -> Initialiser:
        """The same for codes of the given rows only."""
        return self

    def of_all(self, peers: Peers) -> Initialiser:
        """The same for the codes of all processes, in the order of ranks."""
        return self
