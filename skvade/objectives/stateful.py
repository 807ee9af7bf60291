"""What can be taken up again where it was left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Stateful:
    """An object that changes from step to step, and says what a later run must know to go on.

    Attributes
    ----------
    changing : tuple of str
        The attributes that change.
    """

    changing: tuple[str, ...] = ()

    def parts(self) -> Sequence[Stateful]:
        """Others that this one is made of, always in the same order."""
        return ()

    @property
    def is_constant(self) -> bool:
        """Whether nothing changes from step to step, here and in the parts."""
        return not self.changing and all(part.is_constant for part in self.parts())

    def state(self) -> dict[str, Any]:
        """What changes, here and in the parts."""
        own = {name: getattr(self, name) for name in self.changing}
        return {"own": own, "parts": [part.state() for part in self.parts()]}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        for name, value in state["own"].items():
            setattr(self, name, value)
        for part, of_part in zip(self.parts(), state["parts"], strict=True):
            part.restore(of_part)
