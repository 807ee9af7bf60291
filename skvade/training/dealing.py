"""Rows dealt anew among processes, so that each has those that are near each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from skvade.training.batches import Rows
from skvade.training.neighbours import Components
from skvade.training.peers import Peers
from skvade.training.runtime import alone
from skvade.training.units import row_slices

CELLS_EACH = 16
MAX_SAMPLED = 20_000
MAX_LABELED = 10_000


@dataclass(frozen=True)
class Dealt:
    """The rows that a process trains on, and whose they are.

    Attributes
    ----------
    rows : Rows
    numbers : ndarray of shape (n_rows,)
        What number each has among the rows of all processes, before they were dealt.
    """

    rows: Rows
    numbers: np.ndarray

    def give_back(self, values: np.ndarray, n_own: int, peers: Peers) -> np.ndarray:
        """A value for each row that is trained on, brought to those whose row it was: (n_own,)."""
        ends = np.cumsum(peers.collect(n_own))
        owner = np.searchsorted(ends, self.numbers, side="right")
        parts = [(self.numbers[owner == r], values[owner == r]) for r in range(peers.size)]
        got = peers.exchange(parts)
        mine = np.zeros((n_own, *values.shape[1:]), values.dtype)
        for numbers, theirs in got:
            mine[numbers - (ends[peers.rank] - n_own)] = theirs
        return mine


def deal(rows: Rows, components: Components | None, seed: int, peers: Peers) -> Dealt:
    """Deal rows by cells of k-means among their components, as many to each process.

    Neighbours are then mostly with one process. The cells, sixteen for each, are cut apart along
    the leading component of their centres, again and again, where half of the rows are on each
    side. Rows go as they are, a block at a time.

    Parameters
    ----------
    rows : Rows
        This process's own.
    components : Components or None
        None leaves the rows where they are.
    seed : int
    peers : Peers
    """
    first = peers.first(len(rows))
    numbers = np.arange(first, first + len(rows))
    if components is None or peers.size == 1:
        return Dealt(rows, numbers)
    n_sampled = min(len(rows), peers.share(MAX_SAMPLED, len(rows)))
    sampled = np.linspace(0, len(rows) - 1, n_sampled).astype(int)
    places = peers.concatenate(components(rows.take(sampled)).cpu().numpy())
    centres = None
    if peers.is_main:
        n_cells = min(CELLS_EACH * peers.size, len(np.unique(places, axis=0)))
        with alone():
            fitted = KMeans(n_cells, n_init=1, random_state=seed).fit(places.astype(np.float64))
        centres = fitted.cluster_centers_.astype(places.dtype)
    centres = peers.tell(centres)

    def nearest(x: Tensor) -> Tensor:
        return torch.from_numpy(_nearest(components(x).cpu().numpy(), centres))

    cell = rows.map(nearest).numpy()
    counts = peers.total(np.bincount(cell, minlength=len(centres)))
    owner = _owners(centres, counts, peers.size)[cell]
    return _exchanged(rows, numbers, owner, peers)


def labelled_by_all(rows: Rows, labels: np.ndarray, peers: Peers) -> tuple[Rows, np.ndarray]:
    """The labelled rows of all processes, at most 10,000 of them, and their labels."""
    if peers.size == 1:
        return rows, labels
    n_given = min(len(rows), peers.share(MAX_LABELED, len(rows)))
    spaced = np.linspace(0, len(rows) - 1, n_given).astype(int)
    table = rows.take(spaced).cpu().numpy()
    everyone = Rows(peers.concatenate(table), rows.device, rows.dtype)
    return everyone, peers.concatenate(labels[spaced])


def _nearest(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return (np.square(centres).sum(1) - 2 * places @ centres.T).argmin(1)


def _owners(centres: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Which of `size` processes has each cell: (n_cells,)."""
    owners = np.zeros(len(centres), int)
    parts = [(np.arange(len(centres)), 0, size)]
    while parts:
        cells, lowest, n_processes = parts.pop()
        if n_processes == 1 or not len(cells):
            owners[cells] = lowest
            continue
        centred = centres[cells] - centres[cells].mean(0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        order = np.argsort(along, kind="stable")
        n_left = n_processes // 2
        reached = counts[cells[order]].cumsum() / max(1, counts[cells].sum())
        cut = 1 + np.abs(reached - n_left / n_processes).argmin()
        cut = min(max(cut, 1), max(1, len(cells) - 1))
        parts.append((cells[order[:cut]], lowest, n_left))
        parts.append((cells[order[cut:]], lowest + n_left, n_processes - n_left))
    return owners


def _exchanged(rows: Rows, numbers: np.ndarray, owner: np.ndarray, peers: Peers) -> Dealt:
    """Every row at its owner's, in the order of the ranks that they come from."""
    slices = list(row_slices(len(rows), rows.n_features))
    got: list[list[Any]] = [[] for _ in range(peers.size)]
    for number in range(max(peers.collect(len(slices)))):
        part = slices[number] if number < len(slices) else slice(0, 0)
        index = np.arange(len(rows))[part]
        parts = []
        for rank in range(peers.size):
            chosen = index[owner[index] == rank]
            parts.append((rows.raw(chosen), numbers[chosen]))
        for rank, theirs in enumerate(peers.exchange(parts)):
            if theirs[0].shape[0]:
                got[rank].append(theirs)
    blocks = [block for of_rank in got for block in of_rank]
    tables = [table for table, _ in blocks] or [rows.raw(slice(0, 0))]
    new = np.concatenate([n for _, n in blocks] or [numbers[:0]])
    return Dealt(rows.of_raw(tables), new)
