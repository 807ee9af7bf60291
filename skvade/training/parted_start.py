"""The default partition: a mixture's, unless other clusters part the graph far better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import log

import numpy as np

from skvade.training.initialiser import Initialiser, Partition
from skvade.training.merging import Groups, InformedGroups, merge
from skvade.training.mixture_start import GaussianMixtureStart, used_components
from skvade.training.neighbourhood import SMALLEST_CUT, Neighbourhood, Parting
from skvade.training.peers import ALONE, Peers
from skvade.training.runtime import on_one_blas_thread

PRICE = 0.15  # share of the information that a worst cut smaller by a factor e is worth
MAX_CUT, MARGIN = 0.02, 0.15
WAYS = (Groups, InformedGroups)  # which parts are merged first
FEWEST_PARTS = 30  # few parts run across the gap between rings
MOST_INFORMED = 300  # parts; of more the information takes long
ABOUT_AS_GOOD, FOUND_BY_ALL = 0.05, 0.9


def value(parting: Parting, n_clusters: int, price: float = PRICE) -> float:
    """I(c; c') / log K - price log(worst cut): the higher, the better parted."""
    return parting.information / log(n_clusters) - price * log(parting.worst_cut + SMALLEST_CUT)


def lies_apart(parting: Parting) -> bool:
    """Whether each of several clusters has nearly all its neighbours in itself."""
    return parting.used_clusters > 1 and parting.worst_cut < MAX_CUT


def parts_far_better(one: Parting, other: Parting, n_clusters: int) -> bool:
    """Whether one cuts next to nothing, and its value is greater by the margin.

    One that uses fewer clusters is not better: two that are made one cut nothing.
    """
    gain = value(one, max(2, n_clusters)) - value(other, max(2, n_clusters))
    fewer = one.used_clusters < other.used_clusters
    return not fewer and one.worst_cut < MAX_CUT and gain >= MARGIN


def agreement(a: np.ndarray, b: np.ndarray, peers: Peers = ALONE) -> float:
    """The adjusted Rand index of two partitions of the rows of all processes.

    Parameters
    ----------
    a, b : ndarray of shape (n_samples,)
        Labels from 0, of this process's rows.
    peers : Peers
    """
    n_a, n_b = max(peers.collect(int(a.max()) + 1)), max(peers.collect(int(b.max()) + 1))
    both = peers.total(np.bincount(a * n_b + b, minlength=n_a * n_b)).reshape(n_a, n_b)
    # Ordered pairs of rows, and those that are together in both, in a alone, in b alone.
    pairs, same = int(both.sum()) ** 2 - int(both.sum()), int((both**2).sum() - both.sum())
    in_a, in_b = (int((both.sum(axis) ** 2).sum() - (both**2).sum()) for axis in (1, 0))
    if not in_a and not in_b:
        return 1.0
    apart = pairs - same - in_a - in_b
    return (
        2
        * (same * apart - in_a * in_b)
        / ((same + in_a) * (in_a + apart) + (same + in_b) * (in_b + apart))
    )


@dataclass(frozen=True)
class PartedStart(Initialiser):
    """Mixtures, and mixtures of more components that are merged along the graph of neighbours.

    A mixture wants round clusters of even sizes, and is right on most data. Where clusters are
    long, bent or very uneven, and parted from each other, a merged partition cuts nearly no
    neighbours apart while the mixture's cuts many. It is taken if its worst cut (the greatest
    conductance of a cluster) is below `max_cut`, or half of that unless all mixtures that are
    merged so find it (adjusted Rand indices above .9), and if it has at least `margin` more of

        I(c; c') / log K - price log(worst cut),

    with the mutual information of the clusters of neighbours. Bound and margin were chosen on some
    seventy sets so that no set loses (docs/measurements.md). Among several that have about as much
    the one is taken that the others find again, by their mean adjusted Rand index. Codes learn what
    is taken before anything else, since training would lead away from what no mixture finds. Where
    rows along their principal components are known, mixtures of these are merged as well: codes may
    have mixed what lies apart there. Each is merged in two ways: those first that share most of
    their weight, which parts what is small or long, and those first of which least information is
    lost, which finds rings of few rows. Without neighbours there are mixtures only.

    Attributes
    ----------
    mixtures : GaussianMixtureStart
    n_merged : int
        Mixtures that are merged, of codes and of components each.
    split : int
        Components of these for each cluster; at least thirty in all.
    max_cut : float
    price : float
    margin : float
    """

    mixtures: GaussianMixtureStart
    n_merged: int = 3
    split: int = 3
    max_cut: float = MAX_CUT
    price: float = PRICE
    margin: float = MARGIN

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        return self.among(ALONE, codes, seed, neighbours)

    def among(
        self, peers: Peers, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        found = self.mixtures.among(peers, codes, seed, neighbours)
        n_most = peers.total(len(codes)) // 5
        n_groups = min(max(self.split * self.mixtures.n_clusters, FEWEST_PARTS), n_most)
        if neighbours is None or not 1 < self.mixtures.n_clusters < n_groups:
            return found
        bar = self._judge(found.labels, neighbours)
        ways = self._merged(codes, seed, neighbours, n_groups)
        rivals = [labels for way in ways for labels in way]
        partings = [self._judge(labels, neighbours) for labels in rivals]
        values = [self._value(parting) for parting in partings]
        better = peers.tell(  # processors may round differently
            [
                rival
                for rival, parting in enumerate(partings)
                if parting.used_clusters >= bar.used_clusters
                and parting.worst_cut < self.max_cut
                and values[rival] >= self._value(bar) + self.margin
            ]
        )
        if not better:
            return found
        alike = np.eye(len(rivals))
        for a, b in combinations(range(len(rivals)), 2):  # of many rows the indices take a while
            alike[a, b] = alike[b, a] = agreement(rivals[a], rivals[b], peers)
        origins = [(way, number) for way, some in enumerate(ways) for number in range(len(some))]
        best, again = peers.tell(self._best(better, partings, values, alike, np.array(origins)))
        return found if best is None else Partition(rivals[best], again, stays=True)

    def _best(
        self,
        better: list[int],
        partings: list[Parting],
        values: list[float],
        alike: np.ndarray,
        origins: np.ndarray,
    ) -> tuple[int | None, float]:
        """The rival that is taken, if one is, and its agreement with the next.

        Of each the way in which it was merged is given, and the number of its mixture.
        """
        same_way, same_mixture = (column[:, np.newaxis] == column for column in origins.T)
        of_others = np.where(same_mixture, 0.0, alike)
        again = of_others.sum(1) / np.maximum((~same_mixture).sum(1), 1)
        least = np.where(same_way, alike, 1.0).min(1)
        better = [
            rival
            for rival in better
            if partings[rival].worst_cut < self.max_cut / 2 or least[rival] > FOUND_BY_ALL
        ]
        if not better:
            return None, np.nan
        most = max(values[rival] for rival in better)
        good = [rival for rival in better if values[rival] > most - ABOUT_AS_GOOD]
        best = max(good, key=lambda rival: (round(again[rival], 9), round(values[rival], 9)))
        others = sorted(np.flatnonzero(~same_mixture[best]), key=lambda i: -values[i])
        return best, float(alike[best, others[0]]) if others else np.nan

    def _judge(self, labels: np.ndarray, neighbours: Neighbourhood) -> Parting:
        return Parting.of(neighbours.flow(labels, self.mixtures.n_clusters))

    def _value(self, parting: Parting) -> float:
        return value(parting, self.mixtures.n_clusters, self.price)

    def _merged(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood, n_groups: int
    ) -> list[list[np.ndarray]]:
        """For each way, partitions that merge the components of mixtures of n_groups."""
        rng, peers = np.random.RandomState(seed), neighbours.peers
        split = replace(self.mixtures, n_clusters=n_groups, covariance_type="full")
        kinds = WAYS if n_groups <= MOST_INFORMED else WAYS[:1]
        ways: list[list[np.ndarray]] = [[] for _ in kinds]
        for places in (codes,) if neighbours.places is None else (codes, neighbours.places):
            mixtures = split.fit(places, rng, self.n_merged, peers)
            with on_one_blas_thread():
                found = [mixture.predict(places) for mixture in mixtures]
            for each in found:
                groups, n_used = used_components(each, n_groups, peers)
                flow = neighbours.flow(groups, n_used)
                for way, kind in zip(ways, kinds, strict=True):
                    merged = peers.tell(merge(flow, self.mixtures.n_clusters, kind))
                    way.append(merged[groups])
        return ways
