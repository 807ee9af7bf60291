"""The checkpoint of a fit that processes share: a part for each, and which of them count."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skvade.persistence import container
from skvade.persistence.checkpoint import KIND, Checkpoint, checked
from skvade.training.peers import Peers

MANIFEST = "manifest of a checkpoint"


class SharedCheckpoint(Checkpoint):
    """One process's part of a checkpoint, in a file beside the one that was named.

    The named file says which parts belong together; the main process writes it, atomically, when
    all parts of a state are written, and the parts of the state before are removed after that. So
    whatever ends, and when, there is a whole state.

    Parameters
    ----------
    path : Path
        Of the manifest.
    interval : float
        Seconds between two states, by the main process's clock.
    identity : dict of str to str
        What the fit depends on, this process's own rows included.
    peers : Peers
    """

    def __init__(self, path: Path, interval: float, identity: dict[str, str], peers: Peers):
        self.peers = peers
        manifest = None
        with peers.together():
            if peers.is_main and path.exists():
                manifest = container.read(path, MANIFEST)
        self._manifest = peers.tell(manifest)
        self._generation = 0 if self._manifest is None else self._manifest["generation"]
        with peers.together():
            if self._manifest is not None and self._manifest["size"] != peers.size:
                raise ValueError(
                    f"checkpoint={str(path)!r} is that of {self._manifest['size']} processes, and "
                    f"there are {peers.size}; start as many as before, or name another file."
                )
            super().__init__(path, interval, identity)

    def claim(self) -> None:
        with self.peers.alike():
            super().claim()

    def due(self) -> bool:
        return self.peers.tell(super().due())

    def _exists(self) -> bool:
        return self._manifest is not None

    def _part(self, generation: int) -> Path:
        rank = f"{self.peers.rank}-of-{self.peers.size}"
        return self.path.with_name(f"{self.path.name}.{generation}.{rank}")

    def _load(self) -> dict[str, Any]:
        return container.read(self._part(self._generation), KIND)

    def _store(self, content: dict[str, Any]) -> None:
        new, error = self._part(self._generation + 1), None
        try:
            container.write(new, KIND, content)
        except (OSError, ValueError) as raised:
            error = str(raised)
        error = next((e for e in self.peers.collect(error) if e is not None), None)
        if error is None and self.peers.is_main:
            manifest = {"generation": self._generation + 1, "size": self.peers.size}
            try:
                container.write(self.path, MANIFEST, manifest)
            except OSError as raised:
                error = str(raised)
        error = self.peers.tell(error)
        if error is not None:
            new.unlink(missing_ok=True)
            with self.peers.alike():
                raise OSError(error)
        self._generation += 1
        self._part(self._generation - 1).unlink(missing_ok=True)
        self._manifest = {"generation": self._generation, "size": self.peers.size}
        self._written = time.monotonic()


def open_checkpoint(
    identity: Callable[[], dict[str, str]], path: Any, interval: Any, peers: Peers
) -> Checkpoint:
    """The checkpoint of a fit, checked; of one that processes share, this one's part."""
    with peers.together():
        path, interval = checked(path, interval)
        facts = identity()
    if peers.size == 1:
        return Checkpoint(path, interval, facts)
    return SharedCheckpoint(path, interval, facts, peers)
