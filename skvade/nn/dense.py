"""Dense layers that draw from no global generator."""

from __future__ import annotations

import torch
from torch import nn


class Dense(nn.Linear):
    """A linear layer whose values are set by whoever makes it.

    torch's own way to leave them out, `skip_init`, imports a computer algebra system, which takes a
    process half a second.
    """

    def reset_parameters(self) -> None:
        """Nothing: torch would draw from its global generator."""


def dense(n_in: int, n_out: int, generator: torch.Generator) -> Dense:
    """A linear layer initialised from `generator` alone; torch's global generator is not touched.

    Weights are Kaiming-uniform, U(-sqrt(6 / n_in), sqrt(6 / n_in)); biases are zero.
    """
    layer = Dense(n_in, n_out, dtype=torch.float32)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
