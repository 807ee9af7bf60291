"""What clusterers have and classifiers have not: a number of clusters that can be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import cut_tree
from sklearn.base import ClusterMixin

from skvade.estimators.candidate import Candidate
from skvade.estimators.comparison import MAX_ROWS, compare
from skvade.estimators.facts import Facts
from skvade.estimators.predictor import of_one_fit
from skvade.estimators.updating import UpdatingMixin
from skvade.training.batches import Rows
from skvade.training.jury import subsample
from skvade.training.peers import Peers, current_peers

AUTO = "auto"
OF_COUNT = ("merge_tree_", "cluster_evidence_", "_groups", "_group_sizes", "_count_is_clear")
HELD_OUT = -1


class ClustererMixin(UpdatingMixin, ClusterMixin):
    """A clusterer, whose number of clusters is given or found.

    Attributes
    ----------
    n_clusters_ : int
        Number of clusters of the fitted model.
    cluster_evidence_ : ndarray of shape (max_clusters + 1,)
        What speaks for every number of clusters: how far the gain of information falls after it,
        about one where all clusters are well parted with that number and none with one more, and
        .3 times how far the worst cut of the graph jumps, in logarithms beyond a factor of 1.5. NaN
        below two and where it is not known. Only with ``n_clusters="auto"``.
    merge_tree_ : ndarray of shape (n_groups - 1, 4)
        How groups of rows were merged along the graph of neighbours, as
        :func:`scipy.cluster.hierarchy.dendrogram` takes it. Only with ``n_clusters="auto"``.
    """

    @property
    def _counts_clusters(self) -> bool:
        return self.n_clusters == AUTO and self._warm_model() is None

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.n_clusters == AUTO and not (
            isinstance(self.init, str) or hasattr(self.init, "fit_predict")
        ):
            raise ValueError(
                "init is an array, and n_clusters='auto' finds a number of clusters that may not "
                "be the array's; set n_clusters to the number that init has, or init='auto'."
            )

    def _read_labels(self, y: Any, n_samples: int) -> tuple[int, np.ndarray | None]:
        if self.n_clusters != AUTO:
            return super()._read_labels(y, n_samples)
        # Of a model that only encodes, until the clusters are counted.
        n_samples = current_peers().total(n_samples)
        return (min(2, n_samples) if self._warm_model() is None else self.n_clusters_), None

    def _count_clusters(
        self, facts: Facts, train: Callable[..., Candidate], seed: int, peers: Peers
    ) -> Facts:
        """Train a model up to its codes, count their clusters, and plan for as many."""
        phases = partial(self._make_counting_phases, max_clusters=self.max_clusters)
        scout = train(facts, warm=None, seed=seed, listeners=[], make_phases=phases)
        count, n_own = scout.run.handover.count, len(facts.trained_on)
        groups = facts.dealt.give_back(count.groups, n_own, peers)
        count = replace(count, groups=groups)
        shape = replace(facts.shape, n_clusters=count.n_clusters)
        size = (facts.n_rows, facts.small)
        start = self._make_initialiser(shape, *size, peers, facts.table)
        return replace(facts, shape=shape, initialiser=start, count=count)

    def _finish(self, X: Any, facts: Facts, *args: Any) -> None:
        self.n_clusters_ = int(facts.shape.n_clusters)
        if self._warm_model() is None:
            for name in OF_COUNT:
                vars(self).pop(name, None)
        if facts.count is not None:
            self._groups = np.full(X.shape[0], HELD_OUT)
            self._groups[facts.trained_on] = facts.count.groups
            self._group_sizes = facts.count.sizes
            self.merge_tree_ = facts.count.tree
            self.cluster_evidence_ = facts.count.evidence
            self._count_is_clear = facts.count.clear
        self._comparison = {}  # until `_look_back`
        super()._finish(X, facts, *args)

    def _look_back(self, X: Any, facts: Facts, peers: Peers) -> None:
        super()._look_back(X, facts, peers)
        if facts.components is None or not self.compare:
            return
        rng = np.random.RandomState(0)  # the same rows and starts for every fit of these data
        n_rows = len(facts.trained_on)
        sample = np.sort(subsample(n_rows, peers.share(MAX_ROWS, n_rows), rng))
        sample = facts.trained_on[sample]
        sample = sample[self.labels_[sample] >= 0]  # without noise
        rows = Rows(X, facts.dealt.rows.device, units=self._units)
        places = facts.components(rows.take(sample)).cpu().double().numpy()
        places, labels = peers.concatenate(places), peers.concatenate(self.labels_[sample])
        if peers.is_main:
            given = (places, labels, self.n_clusters_)
            self._comparison = compare(*given, seed=0, start=facts.table is None)
        self._comparison = peers.tell(self._comparison)

    def _find_faults(self, best: Candidate) -> tuple[str, ...]:
        faults = super()._find_faults(best)
        if getattr(self, "_count_is_clear", True):
            return faults
        others = " or ".join(str(k) for k in self._other_counts())
        return (
            f"{type(self).__name__} took {self.n_clusters_} clusters, and no number is clear: "
            f"{others or 'another number'} would fit about as well. Set n_clusters if you know it, "
            "or look at cluster_evidence_ and labels_at.",
            *faults,
        )

    def _other_counts(self, most: int = 2) -> list[int]:
        """The numbers of clusters with the greatest evidence beside the one that was taken."""
        evidence = np.nan_to_num(self.cluster_evidence_, nan=-np.inf)
        order = np.argsort(-evidence, kind="stable")
        known = [int(k) for k in order if np.isfinite(evidence[k]) and k != self.n_clusters_]
        return sorted(known[:most])

    @of_one_fit
    def labels_at(self, n_clusters: int) -> np.ndarray:
        """Labels of the rows of the fit with another number of clusters, without another fit.

        `merge_tree_` is cut where so many groups are left. The groups are of the codes in which
        clusters were counted, so that with `n_clusters_` these labels are close to `labels_`, not
        the same.

        Parameters
        ----------
        n_clusters : int
            From 1 to the number of groups, ``len(merge_tree_) + 1``.

        Returns
        -------
        ndarray of shape (n_samples,)
            From 0 for the largest cluster; -1 for rows that `early_stopping` held out. The rows are
            those of the fit that counted, also after `partial_fit`.

        Raises
        ------
        AttributeError
            If the number of clusters was given, so that there is no tree.
        ValueError, TypeError
            If there are fewer groups, or the number is none.
        """
        if not hasattr(self, "merge_tree_"):
            raise AttributeError(
                f"{type(self).__name__} has no merge_tree_ to cut, because n_clusters was given; "
                "fit it with n_clusters='auto'."
            )
        n_groups = len(self.merge_tree_) + 1
        if isinstance(n_clusters, bool) or not isinstance(n_clusters, Integral):
            raise TypeError(f"n_clusters must be an integer, got {n_clusters!r}.")
        if not 1 <= n_clusters <= n_groups:
            raise ValueError(
                f"n_clusters must be from 1 to the number of groups, {n_groups}, got {n_clusters}."
            )
        cluster = np.zeros(1, int)
        if n_groups > 1:
            cluster = cut_tree(self.merge_tree_, n_clusters=n_clusters).ravel()
        trained = self._groups != HELD_OUT
        labels = np.full(len(self._groups), HELD_OUT)
        labels[trained] = cluster[self._groups[trained]]
        order = np.argsort(-np.bincount(cluster, self._group_sizes), kind="stable")
        labels[trained] = np.argsort(order)[labels[trained]]
        return labels
