"""How long to train, in what batches and at what rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

REFERENCE_ROWS = 70_000
FEW_ROWS = 4_000
SMALL_ROWS, SMALL_ENTRIES = 1_000, 50_000


def is_small(n_rows: int, n_features: int) -> bool:
    """Whether there is too little data to move far from what linear methods know of it."""
    return n_rows < SMALL_ROWS or n_rows * n_features < SMALL_ENTRIES


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


def auto_steps(n_rows: int, reference: int, growth: float = 0.5) -> int:
    """Gradient steps that grow with a power of the number of rows.

    `reference` is the number at 70,000 rows, and `growth` the power; with the square root four
    times the data get twice the steps. Below 4,000 rows it is at least the square root: a smaller
    power would ask for ever more passes over few rows.
    """
    steps = reference * (max(n_rows, FEW_ROWS) / REFERENCE_ROWS) ** growth
    return round(steps * min(1.0, n_rows / FEW_ROWS) ** max(growth, 0.5))


def auto_batch_size(n_rows: int, small: bool = False) -> int:
    """128 rows, 256 and 512 where there are enough of them, and 512 where networks are small."""
    return 512 if small else 128 if n_rows < 5_000 else 256 if n_rows < 20_000 else 512


def gentle(n_rows: int, small: bool) -> float:
    """Factor of the learning rate below 4,000 rows, and for small tables half of that.

    Few rows have been seen many times after few steps, and seeds agree where these stay small.
    """
    return min(1.0, n_rows / FEW_ROWS) ** 0.5 * (0.5 if small else 1.0)


def fine_tuning(n_rows: int, most: float = 0.25) -> float:
    """Factor of the learning rate for training the bound: `most` between 5,000 and 70,000 rows.

    The bound's gradients are steep where the noise is small. With few rows and a full rate, codes
    leave their clusters within a few steps, and clusters die. With very many rows they do so within
    many steps, of which `auto_steps` gives ever more: so that these wander no farther, their number
    times the square of the rate stays what it is at 70,000 rows.
    """
    few = min(1.0, max(0.1, n_rows / 5_000))
    many = min(1.0, REFERENCE_ROWS / n_rows) ** 0.25
    return most * few * many


def n_steps(
    budget: int | str, n_rows: int, batch_size: int, reference: int, growth: float = 0.5
) -> int:
    """Gradient steps of a budget: "auto", or a number of passes over the data."""
    if budget == "auto":
        return auto_steps(n_rows, reference, growth)
    return int(budget) * max(1, n_rows // min(batch_size, n_rows))
