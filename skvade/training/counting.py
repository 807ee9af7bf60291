"""How many clusters there are, from larger mixtures whose components are merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skvade.training.handover import Count
from skvade.training.merging import Groups, InformedGroups, merge_tree, merges
from skvade.training.mixture_start import GaussianMixtureStart, used_components
from skvade.training.neighbourhood import SMALLEST_CUT, Neighbourhood, Parting
from skvade.training.peers import ALONE, Peers
from skvade.training.runtime import on_one_blas_thread

CLEAR = 0.3
JUMP, JUMP_WEIGHT = 1.5, 0.3
FEW = 4


@dataclass(frozen=True)
class Counter:
    """Counts the clusters of codes and of their graph of neighbours.

    Mixtures of twice as many components as there may be clusters are merged along the graph, in
    two orders. In the one, each merger loses least of I_K, the mutual information of the clusters
    of neighbours. Its gains

        g_K = (I_K - I_{K-1}) / log(K / (K - 1))

    are one where a cluster is well parted from the rest and all are of the same size, and fall
    where clusters are cut in two. In the other order, those that share most of their weight are
    merged, and what counts is c_K, the worst cut (the greatest conductance of a cluster), which
    jumps where the next cluster has to cut one of any size or shape. The evidence for K is

        (g_{K-1} + g_K) / 2 - (g_{K+1} + g_{K+2}) / 2
            + .3 max(0, log (c_{K+1} + s) / (1.5 (c_K + s))),  s = .0005,

    how far the gains fall, and how far the cut jumps beyond half as much again. The greatest
    decides, and is clear if it is .3 or more. Gains and cuts are the medians of three mixtures.

    Attributes
    ----------
    max_clusters : int
    n_mixtures : int
    """

    max_clusters: int
    n_mixtures: int = 3

    def __call__(
        self, codes: np.ndarray, neighbours: Neighbourhood, seed: int, peers: Peers = ALONE
    ) -> Count:
        """Count the clusters of codes (n_samples, latent_dim); there are two at least.

        All processes call it, with codes of their own, and get the same but for groups.
        """
        n_rows = peers.total(len(codes))
        if n_rows < FEW:
            return self._of_few(len(codes), n_rows)
        rng = np.random.RandomState(seed)
        n_groups = max(2, min(2 * self.max_clusters, n_rows // 5))
        start = GaussianMixtureStart(n_groups, "full")
        curves = []
        for mixture in start.fit(codes, rng, self.n_mixtures, peers):
            with on_one_blas_thread():
                chosen = mixture.predict(codes)
            groups, n_used = used_components(chosen, n_groups, peers)
            flow = neighbours.flow(groups, n_used)
            curves.append((self._gains(flow), self._worst_cuts(flow)))
        gains, cuts = (np.median(np.stack(curve), axis=0) for curve in zip(*curves, strict=True))
        evidence = self._falls(gains) + JUMP_WEIGHT * self._jumps(cuts)
        n_clusters, clear = self._decide(evidence)
        tree = merge_tree(flow) if len(flow) > 1 else np.empty((0, 4))
        # Processors may round differently.
        n_clusters, clear, evidence, tree = peers.tell((n_clusters, clear, evidence, tree))
        sizes = peers.total(np.bincount(groups, minlength=n_used))
        return Count(n_clusters, clear, evidence, tree, groups, sizes)

    def _of_few(self, n_own: int, n_rows: int) -> Count:
        """Nothing is known of so few rows."""
        unknown, tree = np.full(self.max_clusters + 1, np.nan), np.empty((0, 4))
        groups, sizes = np.zeros(n_own, int), np.array([n_rows])
        return Count(min(2, n_rows), False, unknown, tree, groups, sizes)

    def _gains(self, flow: np.ndarray) -> np.ndarray:
        """g_K at K, of shape (max_clusters + 3,); NaN where there are fewer groups."""
        information = self._along(flow, InformedGroups, lambda parting: parting.information)
        information[1] = 0
        ideal = np.log(np.arange(2, len(information)) / np.arange(1, len(information) - 1))
        return np.r_[np.nan, np.nan, np.diff(information[1:]) / ideal]

    def _worst_cuts(self, flow: np.ndarray) -> np.ndarray:
        """The worst cut of K clusters at K."""
        return self._along(flow, Groups, lambda parting: parting.worst_cut)

    def _along(
        self, flow: np.ndarray, kind: type[Groups], measure: Callable[[Parting], float]
    ) -> np.ndarray:
        measured = np.full(self.max_clusters + 3, np.nan)
        left = [flow, *(after for _, _, after in merges(flow, kind))]
        for clusters in left:
            if 2 <= len(clusters) < len(measured):
                measured[len(clusters)] = measure(Parting.of(clusters))
        return measured

    def _falls(self, gains: np.ndarray) -> np.ndarray:
        """How far the gains fall after K: (max_clusters + 1,), NaN where it is not known."""
        falls = np.full(self.max_clusters + 1, np.nan)
        for k in range(2, self.max_clusters + 1):
            after = gains[k + 1 : k + 3]
            if not np.isnan(after[:1]).any():
                falls[k] = np.nanmean(gains[max(2, k - 1) : k + 1]) - np.nanmean(after)
        return falls

    def _jumps(self, cuts: np.ndarray) -> np.ndarray:
        """How far the worst cut jumps after K beyond a factor, in logarithms, or 0: likewise."""
        known = cuts[: self.max_clusters + 2] + SMALLEST_CUT
        return np.maximum(np.log(known[1:] / (JUMP * known[:-1])), 0)

    def _decide(self, evidence: np.ndarray) -> tuple[int, bool]:
        if np.isnan(evidence).all():
            return 2, False
        best = int(np.nanargmax(evidence))
        return best, bool(evidence[best] >= CLEAR)
