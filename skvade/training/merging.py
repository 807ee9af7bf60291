"""Groups that are merged along the graph of neighbours, the closest pair first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

TINY = np.finfo(float).tiny


class Groups:
    """Groups of which two at a time become one.

    How close two are is what share of the smaller one's weight is between them.

    Parameters
    ----------
    flow : ndarray of shape (n_groups, n_groups)
        Weights between groups, symmetric.
    """

    def __init__(self, flow: np.ndarray):
        self.flow = flow

    def closeness(self) -> np.ndarray:
        """W_ab / min(W_a, W_b), (n_groups, n_groups)."""
        volume = np.maximum(self.flow.sum(1), TINY)
        return self.flow / np.minimum.outer(volume, volume)

    def merge(self, into: int, gone: int) -> None:
        """Make one of two groups; the numbers after the second fall by one."""
        flow = self.flow.copy()  # who was given it may keep it
        flow[into] += flow[gone]
        flow[:, into] += flow[:, gone]
        self.flow = _without(flow, gone)


class InformedGroups(Groups):
    """Groups of which two are the closer, the less of the information I(c; c') of neighbours is
    lost by making them one.

    With f(x) = x log x a merger of a and b changes it by f(W_ac + W_bc) - f(W_ac) - f(W_bc), summed
    over c, twice, but for the groups themselves, less the same of volumes, twice. The sums are
    kept: a merger changes one column and one row of what is summed.
    """

    def __init__(self, flow: np.ndarray):
        super().__init__(flow)
        self.sums = np.zeros(flow.shape)
        for group in range(len(flow)):
            self._add(group)

    def closeness(self) -> np.ndarray:
        """What a merger adds to the information; not positive."""
        flow, diagonal = self.flow, np.diag(self.flow)
        entries, own = _x_log_x(flow), _x_log_x(diagonal)
        at_a = _x_log_x(diagonal[:, np.newaxis] + flow) - own[:, np.newaxis] - entries
        gained = 2 * (self.sums - at_a - at_a.T)
        gained += _x_log_x(np.add.outer(diagonal, diagonal) + 2 * flow) - np.add.outer(own, own)
        gained -= 2 * entries
        volume = flow.sum(1)
        total = _x_log_x(volume)
        return gained - 2 * (_x_log_x(np.add.outer(volume, volume)) - np.add.outer(total, total))

    def merge(self, into: int, gone: int) -> None:
        """Make one of two groups; the numbers after the second fall by one."""
        for group in (into, gone):
            self._add(group, -1)
        super().merge(into, gone)
        self.sums = _without(self.sums, gone)
        into -= into > gone
        self._add(into)
        mine = self.flow[into]
        joined = _x_log_x(mine + self.flow) - _x_log_x(mine) - _x_log_x(self.flow)
        self.sums[into] = self.sums[:, into] = joined.sum(1)

    def _add(self, group: int, sign: int = 1) -> None:
        """To the sums, what the weights of pairs with one group are in them: 0 without weight."""
        near = np.flatnonzero(self.flow[:, group])
        weights = self.flow[near, group]
        own = _x_log_x(weights)
        pairs = _x_log_x(np.add.outer(weights, weights)) - np.add.outer(own, own)
        self.sums[np.ix_(near, near)] += sign * pairs


def merges(flow: np.ndarray, kind: type[Groups]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Merge the closest pair until one group is left.

    Parameters
    ----------
    flow : ndarray of shape (n_groups, n_groups)
        Weights between groups, symmetric.
    kind : type
        Says how close groups are.

    Yields
    ------
    into, gone : int
        The numbers, among all groups, of those that were merged; the first names them both now.
    flow : ndarray
        Between the groups that are left.
    """
    groups, names = kind(flow), np.arange(len(flow))
    while len(groups.flow) > 1:
        near = groups.closeness()
        near[np.tril_indices(len(near))] = -np.inf
        into, gone = map(int, np.unravel_index(near.argmax(), near.shape))
        groups.merge(into, gone)
        pair = int(names[into]), int(names[gone])
        names = np.delete(names, gone)
        yield *pair, groups.flow


def merge(flow: np.ndarray, n_clusters: int, kind: type[Groups] = Groups) -> np.ndarray:
    """The cluster of every group, from 0 to n_clusters - 1, after mergers of the closest.

    Parameters
    ----------
    flow : ndarray of shape (n_groups, n_groups)
        Weights between groups, symmetric.
    n_clusters : int
        Fewer groups than that stay as they are.
    kind : type
        Says how close groups are.
    """
    cluster = np.arange(len(flow))
    for into, gone, _ in islice(merges(flow, kind), max(len(flow) - n_clusters, 0)):
        cluster[cluster == gone] = into
    return np.unique(cluster, return_inverse=True)[1]


def merge_tree(flow: np.ndarray) -> np.ndarray:
    """All mergers of those that share most, as SciPy's hierarchies have them.

    Parameters
    ----------
    flow : ndarray of shape (n_groups, n_groups)

    Returns
    -------
    ndarray of shape (n_groups - 1, 4)
        The two groups or earlier mergers that are merged; -log of the share that the pair had, and
        no less than that of the merger before; and the number of groups in it.
    """
    node, size, left = np.arange(len(flow)), np.ones(len(flow)), flow
    tree = np.empty((len(flow) - 1, 4))
    height = 0.0
    for number, (into, gone, after) in enumerate(merges(flow, Groups)):
        near = Groups(left).closeness()
        np.fill_diagonal(near, 0)
        height = max(height, -float(np.log(max(near.max(), 1e-12))))
        size[into] += size[gone]
        tree[number] = *sorted((node[into], node[gone])), height, size[into]
        node[into], left = len(flow) + number, after
    return tree


def _without(flow: np.ndarray, gone: int) -> np.ndarray:
    return np.delete(np.delete(flow, gone, 0), gone, 1)


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.maximum(x, TINY))
