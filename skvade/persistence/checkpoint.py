"""A fit that can be taken up again: its state in a file, and a note of whose it is."""

from __future__ import annotations

import time
import warnings
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from skvade.persistence import container
from skvade.persistence.files import regular
from skvade.persistence.fingerprint import changes
from skvade.training.run import Keeper

KIND = "checkpoint"


class Checkpoint(Keeper):
    """The file of one fit, with the restarts that are done and the state of the one that is not.

    Parameters
    ----------
    path : Path
    interval : float
        Seconds between two states.
    identity : dict of str to str
        What the fit depends on.

    Raises
    ------
    ValueError
        If there is a file already that is no checkpoint, or is that of another fit.
    """

    def __init__(self, path: Path, interval: float, identity: dict[str, str]):
        self.path = path
        self.interval = interval
        self.identity = identity
        self._runs: list[dict[str, Any]] = []
        self._random_state: dict[str, Any] | None = None
        self._number = -1
        self._written = -np.inf
        if self._exists():
            content = self._read()
            self._refuse_others(content["identity"])
            self._runs, self._random_state = content["runs"], content["random_state"]

    def begin(self, rng: np.random.RandomState) -> None:
        if self._random_state is None:
            self._random_state = rng.get_state(legacy=False)
        rng.set_state(self._random_state)

    def claim(self) -> None:
        if self._exists():
            return
        try:
            self._write([])
        except OSError as error:
            raise type(error)(
                f"checkpoint={str(self.path)!r} cannot be written ({error}); name a file in a "
                "folder that exists and can be written."
            ) from error

    def left(self) -> dict[str, Any] | None:
        self._number += 1
        return self._runs[self._number] if self._number < len(self._runs) else None

    def due(self) -> bool:
        return time.monotonic() - self._written >= self.interval

    def keep(self, state: dict[str, Any], last: bool = False) -> None:
        runs = [*self._runs[: self._number], state]
        if last:
            self._runs = runs
        try:
            self._write(runs)
        except (OSError, ValueError) as error:
            warnings.warn(
                f"The checkpoint {str(self.path)!r} could not be written ({error}). The fit goes "
                "on; the file is as it was.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _exists(self) -> bool:
        return self.path.exists()

    def _load(self) -> dict[str, Any]:
        return container.read(self.path, KIND)

    def _store(self, content: dict[str, Any]) -> None:
        container.write(self.path, KIND, content)

    def _write(self, runs: list[dict[str, Any]]) -> None:
        random_state = self._random_state
        content = {"identity": self.identity, "random_state": random_state, "runs": runs}
        try:
            self._store(content)
        finally:  # what failed is not tried again before the next interval
            self._written = time.monotonic()

    def _read(self) -> dict[str, Any]:
        try:
            return self._load()
        except ValueError as error:
            raise ValueError(
                f"checkpoint={str(self.path)!r} cannot be taken up: {error} Name another file, or "
                "remove this one to start anew."
            ) from error

    def _refuse_others(self, kept: dict[str, str]) -> None:
        differing = changes(kept, self.identity)
        if differing:
            raise ValueError(
                f"checkpoint={str(self.path)!r} is that of another fit: {'; '.join(differing)}. "
                "Name another file, or remove this one to start anew."
            )


def checked(path: Any, interval: Any) -> tuple[Path, float]:
    """Where a checkpoint is to be, and the seconds between two states.

    Raises
    ------
    ValueError, TypeError
        If they are none.
    """
    path = regular(path, "checkpoint")
    if not isinstance(interval, Real) or isinstance(interval, bool) or not interval >= 0:
        raise ValueError(
            f"checkpoint_interval must be a number of seconds of at least 0, got {interval!r}."
        )
    return Path(path).absolute(), float(interval)
