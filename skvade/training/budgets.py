"""How long to train, and in what batches, when the user does not say."""

from __future__ import annotations

REFERENCE_ROWS = 70_000
FEW_ROWS = 4_000


def auto_steps(n_rows: int, reference: int, growth: float = 0.5) -> int:
    """Gradient steps that grow with a power of the number of rows.

    `reference` is the number at 70,000 rows, and `growth` the power; with the square root four
    times the data get twice the steps. Below 4,000 rows it is at least the square root: a smaller
    power would ask for ever more passes over few rows.
    """
    steps = reference * (max(n_rows, FEW_ROWS) / REFERENCE_ROWS) ** growth
    return round(steps * min(1.0, n_rows / FEW_ROWS) ** max(growth, 0.5))


def auto_batch_size(n_rows: int) -> int:
    """128 rows, and 256 or 512 where there are enough of them."""
    return 128 if n_rows < 5_000 else 256 if n_rows < 20_000 else 512


def fine_tuning(n_rows: int) -> float:
    """Factor of the learning rate for training the bound: a half from 5,000 rows on.

    The bound's gradients are steep where the noise is small. With few rows and a full rate, codes
    leave their clusters within a few steps, and clusters die.
    """
    return 0.5 * min(1.0, max(0.1, n_rows / 5_000))


def n_steps(
    budget: int | str, n_rows: int, batch_size: int, reference: int, growth: float = 0.5
) -> int:
    """Gradient steps of a budget: "auto", or a number of passes over the data."""
    if budget == "auto":
        return auto_steps(n_rows, reference, growth)
    return int(budget) * max(1, n_rows // min(batch_size, n_rows))
