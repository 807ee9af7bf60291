"""Where a run puts its state from time to time, so that another can go on from there."""

from __future__ import annotations

from typing import Any


class Keeper:
    """Keeps nothing; a subclass may."""

    def begin(self, rng: Any) -> None:
        """Before a fit draws: give the generator the state that it had in the first call."""

    def claim(self) -> None:
        """Before a fit trains, when it is known to be possible."""

    def left(self) -> dict[str, Any] | None:
        """The state that an earlier run left behind, or None at the beginning of a run."""
        return None

    def due(self) -> bool:
        """Whether it is time to keep a state."""
        return False

    def keep(self, state: dict[str, Any], last: bool = False) -> None:
        """Keep a state: nested dicts and lists of tensors and plain values; `last` ends a run."""
