"""A fit that can be taken up again: its state in a file, and a note of whose it is."""

from __future__ import annotations

import os
import time
import warnings
from numbers import Real
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from skvade import _storage as storage
from skvade._version import __version__
from skvade.training.keeper import Keeper

KIND = "checkpoint"
DIGEST = "#"
INDIFFERENT = ("verbose", "device")  # parameters that may differ from one call to the next


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
        if path.exists():
            content = storage.read(path, KIND)
            self._refuse_others(content["identity"])
            self._runs, self._random_state = content["runs"], content["random_state"]

    def begin(self, rng: np.random.RandomState) -> None:
        """Give the generator the state that it had in the first call, or note that it has now."""
        if self._random_state is None:
            self._random_state = rng.get_state(legacy=False)
            try:
                self._write([])
            except OSError as error:
                raise type(error)(
                    f"checkpoint={str(self.path)!r} cannot be written ({error}); name a file in a "
                    "folder that exists and can be written."
                ) from error
        rng.set_state(self._random_state)

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
        except OSError as error:
            warnings.warn(
                f"The checkpoint {str(self.path)!r} could not be written ({error}). The fit goes "
                "on; the file is as it was.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _write(self, runs: list[dict[str, Any]]) -> None:
        random_state = self._random_state
        content = {"identity": self.identity, "random_state": random_state, "runs": runs}
        storage.write(self.path, KIND, content)
        self._written = time.monotonic()

    def _refuse_others(self, kept: dict[str, str]) -> None:
        changes = [
            f"{name} {_change(kept.get(name, ''), now)}"
            for name, now in self.identity.items()
            if kept.get(name) != now
        ]
        if changes:
            raise ValueError(
                f"checkpoint={str(self.path)!r} is that of another fit: {'; '.join(changes)}. Name "
                "another file, or remove this one to start anew."
            )


def open_checkpoint(
    estimator: Any, X: Any, y: Any, warm: Any, path: Any, interval: Any
) -> Checkpoint | None:
    """The checkpoint of a fit, checked; None if there is no path."""
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"checkpoint must be a path or None, got {path!r}.")
    if not isinstance(interval, Real) or isinstance(interval, bool) or not interval >= 0:
        raise ValueError(
            f"checkpoint_interval must be a number of seconds of at least 0, got {interval!r}."
        )
    given = estimator.get_params(deep=False)
    given = {name: value for name, value in given.items() if name not in INDIFFERENT}
    given |= {"X": X, "y": y, "skvade": __version__, "class": type(estimator).__name__}
    given["the model that it goes on from"] = warm
    identity = {name: _text(value) for name, value in given.items()}
    return Checkpoint(Path(path), float(interval), identity)


def _text(value: Any) -> str:
    """The same text for the same value, in every process: itself, or a digest."""
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    if isinstance(value, torch.nn.Module):
        tensors = {name: t.detach().cpu().numpy() for name, t in value.state_dict().items()}
        value = [repr(value), tensors]
    return DIGEST + joblib.hash(value, coerce_mmap=True)


def _change(before: str, now: str) -> str:
    if before.startswith(DIGEST) or now.startswith(DIGEST):
        return "differs"
    return f"was {before} and is {now}"
