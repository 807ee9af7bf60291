"""What processes of one machine show each other in every step, in memory that they share.

A process that waits for a message sleeps, and a core that sleeps takes about a millisecond to wake:
a tenth of a step, several times in each. So those that share memory look whether the others have
come, and give way to whoever has something to do meanwhile.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skvade.training.peers import Peers

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SHARED = Path("/dev/shm")  # in memory, and no file on a disk
IN_ORDER = ("x86_64", "AMD64")  # others may see that a process has come before what it wrote
LOOKING, NAP, ROLL_CALL = 0.02, 0.002, 0.2  # seconds
LINE = 8  # int64 of a cache line


class Board:
    """A place for a tensor of each process.

    All call its methods, in the same order. Whoever ends is noticed by the lock that it no longer
    holds.

    Parameters
    ----------
    peers : Peers
        All on this machine; they talk by other means while room is made.
    folder : Path
        Known to all, in memory that they share; nothing is left of it.
    timeout : float
        Seconds for which a process waits for another.
    """

    def __init__(self, peers: Peers, folder: Path, timeout: float):
        self._peers, self._folder, self._timeout = peers, folder, timeout
        self._n_shown, self._n_places = 0, 0
        self._lock = (folder / f"lock-{peers.rank}").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if peers.is_main:
            np.zeros(LINE * peers.size, np.int64).tofile(folder / "come")
        peers.collect(None)  # all have made theirs
        self._come = np.memmap(folder / "come", np.int64, "r+")[::LINE]
        self._locks = [(folder / f"lock-{rank}").open() for rank in range(peers.size)]
        peers.collect(None)  # all have opened them, and nobody needs their names any more

    def has_room(self, n_entries: int) -> bool:
        """Whether tensors of so many entries can be shown; room is made, if there is memory."""
        if n_entries <= self._n_places:
            return True
        n_all, path, made = 2 * self._peers.size * n_entries, self._folder / "sides", False
        if self._peers.is_main:
            try:
                self._folder.mkdir(mode=0o700)
                with path.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, 4 * n_all)
                made = True
            except OSError:  # containers often share little
                pass
        try:
            made = self._peers.tell(made)
            if made:
                flat = torch.from_file(str(path), shared=True, size=n_all, dtype=torch.float32)
                self._sides, self._n_places = flat.view(2, self._peers.size, n_entries), n_entries
                self._peers.collect(None)
        finally:
            if self._peers.is_main:
                shutil.rmtree(self._folder, ignore_errors=True)
        return made

    def show(self, tensor: Tensor, n_places: int | None = None) -> Tensor:
        """The tensors of all processes, stacked in the order of ranks, until the next are shown.

        Parameters
        ----------
        tensor : Tensor
            Of float32, on the CPU, of the same shape in all processes; there is room for it.
        n_places : int or None
            The length of the longest of vectors whose lengths differ; entries beyond a vector's own
            mean nothing.
        """
        self._n_shown += 1
        n_own = tensor.numel()
        # Two sides in turn: when all have come to the next, all have read these.
        side = self._sides[self._n_shown % 2, :, : n_own if n_places is None else n_places]
        side[self._peers.rank, :n_own].copy_(tensor.reshape(-1))
        self._come[self._peers.rank] = self._n_shown
        self._wait()
        return side.view(-1, *tensor.shape) if n_places is None else side

    def close(self) -> None:
        """Let the others know, by the lock, that this process shows nothing more."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # children may have it, too
        for lock in (self._lock, *self._locks):
            lock.close()

    def _wait(self) -> None:
        begun = called = time.monotonic()
        while self._come.min() < self._n_shown:
            now = time.monotonic()
            if now - begun > self._timeout:
                raise RuntimeError(f"a process of this machine did not come in {self._timeout:g} s")
            if now - called > ROLL_CALL:
                called = now
                if not self._all_here():
                    raise RuntimeError("a process of this machine has ended")
            if now - begun < LOOKING:
                os.sched_yield()
            else:
                time.sleep(NAP)

    def _all_here(self) -> bool:
        return all(self._held(rank) for rank in range(self._peers.size) if rank != self._peers.rank)

    def _held(self, rank: int) -> bool:
        try:
            fcntl.flock(self._locks[rank], fcntl.LOCK_SH | fcntl.LOCK_NB)  # others look, too
        except OSError:
            return True
        return False


def board_between(peers: Peers, timeout: float) -> Board | None:
    """A board of all processes, or None where they cannot share memory."""
    folder, token = "", os.urandom(16)
    try:
        if peers.is_main and fcntl and SHARED.is_dir() and platform.machine() in IN_ORDER:
            with suppress(OSError):
                folder = tempfile.mkdtemp(prefix="skvade-", dir=SHARED)
                (Path(folder) / "token").write_bytes(token)
        theirs, token = peers.tell((folder, token))
        found = bool(theirs) and _reads(Path(theirs) / "token", token)
        return Board(peers, Path(theirs), timeout) if all(peers.collect(found)) else None
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _reads(path: Path, token: bytes) -> bool:
    try:
        return path.read_bytes() == token
    except OSError:
        return False
