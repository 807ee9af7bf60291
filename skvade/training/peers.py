"""What processes that train one model together tell each other; alone, there is nobody to tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Work = TypeVar("Work")


class Peers:
    """One process alone. Every method is called by all processes, in the same order.

    Attributes
    ----------
    rank : int
        Of this process, from 0.
    size : int
        Number of processes.
    """

    rank = 0
    size = 1

    @property
    def is_main(self) -> bool:
        """Whether this process decides."""
        return self.rank == 0

    def collect(self, value: Any) -> list[Any]:
        """The value that each process has, in the order of ranks."""
        return [value]

    def tell(self, value: Any) -> Any:
        """The main process's value."""
        return value

    def total(self, value: Any) -> Any:
        """The sum over processes of numbers, arrays or tensors of one shape."""
        return value

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum over processes of a small tensor, in the midst of a step."""
        return tensor

    def average_part(self, vector: Tensor) -> Tensor:
        """The mean over processes of this one's part of a vector."""
        return vector

    def join_parts_(self, vector: Tensor) -> None:
        """Take the others' parts of a vector as they have them."""

    def exchange(self, parts: Sequence[Any]) -> list[Any]:
        """Give every process its part, and get theirs for this one, in the order of ranks."""
        return list(parts)

    def beside(self, rows: Tensor) -> Tensor:
        """The rows of all processes, as many of each, through which gradients go back to them."""
        return rows

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise in all processes what any of them raises in the block."""
        yield

    @contextmanager
    def alike(self) -> Iterator[None]:
        """Note that what is raised in the block follows from what all know: all raise it."""
        yield

    def keep_apart(self) -> None:
        """Talk from now on in a way that does for processes of any kind."""

    def abandon(self, error: BaseException) -> None:
        """Let the others know that this process goes no further, if they do not know it."""

    # ------------------------------------------------------------- what follows from these

    def part(self, n_entries: int, rank: int | None = None) -> slice:
        """Which entries of a vector that all have a process works on, this one if none is named."""
        rank, each = self.rank if rank is None else rank, -(-n_entries // self.size)
        return slice(min(rank * each, n_entries), min((rank + 1) * each, n_entries))

    def everyone(self, rows: Tensor) -> tuple[Tensor, int]:
        """The rows of all processes, and where among them this one's begin."""
        return self.beside(rows), self.rank * len(rows)

    def log_mean(self, log_means: Tensor, weight: float) -> Tensor:
        """The logarithm of the mean over all processes' rows, given that over this one's rows.

        `weight` is what `Peers.weight` says of this process's rows. Gradients are those of the
        whole, if losses are multiplied by it and then averaged over processes, as in every step.
        """
        if self.size == 1:
            return log_means
        part = log_means + math.log(weight / self.size)
        return self.beside(part.unsqueeze(0)).logsumexp(0)

    def concatenate(self, rows: np.ndarray) -> np.ndarray:
        """The rows that all processes have, in the order of ranks."""
        return rows if self.size == 1 else np.concatenate(self.collect(rows))

    def to_main(self, rows: np.ndarray) -> np.ndarray:
        """The rows of all processes, in the order of ranks, in the main one; none in the others."""
        if self.size == 1:
            return rows
        got = self.exchange([rows, *([rows[:0]] * (self.size - 1))])
        return np.concatenate(got)

    def from_main(self, rows: np.ndarray | None, n_own: int) -> np.ndarray:
        """Those of the main process's rows that are this one's, in the order of ranks."""
        if self.size == 1 and rows is not None:
            return rows
        ends = np.cumsum(self.collect(n_own))[:-1]
        parts = [None] * self.size if rows is None else np.split(rows, ends)
        return np.array(self.exchange(parts)[0])  # no view of the rows of all

    def first(self, n_own: int) -> int:
        """The number, among those of all processes, of the first of this one's rows."""
        return int(sum(self.collect(n_own)[: self.rank]))

    def pick(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """In all processes, those with these numbers among the rows of all; few, for they copy."""
        if self.size == 1:
            return rows[numbers]
        first = self.first(len(rows))
        wanted, where = np.unique(numbers, return_inverse=True)
        mine = wanted[(wanted >= first) & (wanted < first + len(rows))] - first
        return self.concatenate(rows[mine])[where.reshape(numbers.shape)]

    def fetch(
        self, numbers: np.ndarray, n_own: int, give: Callable[[np.ndarray], Any]
    ) -> list[Any]:
        """What those have who have the rows with these numbers, in the order of ranks.

        `numbers` are among the rows of all processes, and in increasing order; `give` takes numbers
        among this process's own to what another gets of them.
        """
        ends = np.cumsum([0, *self.collect(n_own)])
        at = np.searchsorted(numbers, ends)
        wanted = [numbers[a:b] - end for a, b, end in zip(at, at[1:], ends, strict=False)]
        return self.exchange([give(asked) for asked in self.exchange(wanted)])

    def mean(self, value: float, weight: float) -> float:
        """The mean of a number over what it is a mean of in each process."""
        if self.size == 1:
            return value
        pairs = self.collect((value, weight))
        return sum(v * w for v, w in pairs) / max(sum(w for _, w in pairs), 1e-300)

    def even_share(self, n_wanted: int) -> int:
        """How many each gives where all must give as many."""
        return -(-n_wanted // self.size)

    def share(self, n_wanted: int, n_own: int) -> int:
        """How many of a sample this process gives: as many of its rows as others of theirs."""
        return -(-n_wanted * n_own // max(1, self.total(n_own)))

    def weight(self, n_own: int) -> float:
        """What the mean over this process's rows counts in the mean over processes."""
        return n_own * self.size / max(1, self.total(n_own))

    def every(self, work: Iterable[Work]) -> list[Work]:
        """What this process does of work that is to be done once; all of it is looked at."""
        return list(islice(work, self.rank, None, self.size))

    def of_each(self, done: list[Work]) -> list[Work]:
        """What came of `every`, of all processes, in the order of the work."""
        of_all = self.collect(done)
        return [of_all[i % self.size][i // self.size] for i in range(sum(map(len, of_all)))]

    def own(self, rng: np.random.RandomState) -> np.random.RandomState:
        """A generator for what concerns this process's rows; `rng` is the same for all."""
        if self.size == 1:
            return rng
        return np.random.RandomState((int(rng.randint(2**31)) + 7919 * self.rank) % 2**32)

    def agree_(self, model: torch.nn.Module) -> None:
        """Give the model the main process's tensors."""
        if self.size > 1:
            told = self.tell(model.state_dict() if self.is_main else None)
            model.load_state_dict(told)


ALONE = Peers()
_current: ContextVar[Peers] = ContextVar("peers", default=ALONE)


def current_peers() -> Peers:
    """Those that this process trains with at the moment."""
    return _current.get()


@contextmanager
def among(peers: Peers) -> Iterator[None]:
    """Let fits of this thread, in the block, train with these."""
    token = _current.set(peers)
    try:
        yield
    finally:
        _current.reset(token)
