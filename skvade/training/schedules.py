"""How the learning rate moves through a phase."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(progress: float) -> float:
    """From 1 to 0 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def step(progress: float) -> float:
    """0.1 ** k, with a step after each third."""
    return 0.1 ** int(3 * progress)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": cosine,
    "step": step,
    "constant": constant,
}


@dataclass(frozen=True)
class WarmUp:
    """A schedule behind a linear rise over its first steps.

    Adam's first steps have the full learning rate in every coordinate, whatever the gradient.
    """

    schedule: Callable[[float], float]
    share: float = 0.05

    def __call__(self, progress: float) -> float:
        """Factor of the learning rate at a progress between 0 and 1."""
        rise = min(1.0, (progress + 1e-3) / self.share) if self.share else 1.0
        return rise * self.schedule(progress)
