"""What lies between the input and the output of a perceptron, and noise on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

Noise = Callable[[Tensor], Tensor]


class Layers(NamedTuple):
    """A pass through a network.

    Attributes
    ----------
    hidden : list of Tensor
        The hidden layers of a perceptron, in the order in which they are found, of shape
        (n_samples, size of the layer) each; none of any other network.
    output : Tensor of shape (n_samples, n_out)
    """

    hidden: list[Tensor]
    output: Tensor


def unchanged(x: Tensor) -> Tensor:
    """No noise."""
    return x


class Layered(ABC):
    """A network that tells its layers."""

    @abstractmethod
    def layers(self, x: Tensor, noise: Noise = unchanged) -> Layers:
        """A pass, with noise on every hidden layer."""


class Perceptron(Layered, nn.Sequential):
    """Dense layers, each followed by an activation, but for the last of a decoder."""

    def layers(self, x: Tensor, noise: Noise = unchanged) -> Layers:
        """A pass, with noise on what every activation gives."""
        hidden = []
        for module in self:
            x = module(x)
            if not isinstance(module, nn.Linear):
                x = noise(x)
                hidden.append(x)
        return Layers(hidden, x)


def body_layers(body: nn.Module, x: Tensor, noise: Noise = unchanged) -> Layers:
    """The layers of a network that tells them; of a user's own, the output alone."""
    return body.layers(x, noise) if isinstance(body, Layered) else Layers([], body(x))


def dropout(rate: float, generator: torch.Generator) -> Noise:
    """Noise that sets a share of all values to zero and scales up the others."""
    if not rate:
        return unchanged

    def drop(x: Tensor) -> Tensor:
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= rate
        return x * kept / (1 - rate)

    return drop
