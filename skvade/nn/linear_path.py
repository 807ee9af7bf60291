"""A linear path beside the perceptrons, which starts at principal components.

    m(x) = W [h(x), V' (x - a)],  W = [0, I] at first        f(z) = g(z) + U z + b,  g = 0 at first

h and g are the perceptrons, V the leading principal axes of what the encoder sees, and a its mean.
So before the first step codes are the principal components, and what is decoded from them is the
likelihood's own version of their reconstruction. All of it is trained.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from skvade.nn.dense import Dense
from skvade.nn.layers import Layered, Layers, Noise, Perceptron, body_layers, unchanged


class LinearPath(Dense):
    """An affine map in full precision, whatever the perceptron beside it is multiplied in."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__(n_in, n_out, dtype=torch.float32)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n_samples, n_in) to (n_samples, n_out)."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


class _Beside(Layered, nn.Module):
    """A perceptron, None in a linear model, and a linear path beside it."""

    def __init__(self, perceptron: Perceptron | None, path: LinearPath):
        super().__init__()
        self.perceptron = perceptron
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        """Both of the same rows, as `beside` puts them together."""
        return self.beside(x, None if self.perceptron is None else self.perceptron(x))

    @abstractmethod
    def beside(self, x: Tensor, found: Tensor | None) -> Tensor:
        """The linear path of x with what the perceptron has found."""

    def layers(self, x: Tensor, noise: Noise = unchanged) -> Layers:
        """The output with the perceptron's layers."""
        if self.perceptron is None:
            return Layers([], self.beside(x, None))
        hidden, found = body_layers(self.perceptron, x, noise)
        return Layers(hidden, self.beside(x, found))


class BesideComponents(_Beside):
    """A body of an encoder: [h(x), V' (x - a)], of n_hidden + latent_dim columns."""

    def beside(self, x: Tensor, found: Tensor | None) -> Tensor:
        """(n_samples, n_features) to (n_samples, n_hidden + latent_dim)."""
        components = self.path(x)
        return components if found is None else torch.cat([found.to(components), components], -1)


class BesideLinear(_Beside):
    """A body of a decoder: g(z) + U z + b."""

    def beside(self, x: Tensor, found: Tensor | None) -> Tensor:
        """(n_samples, latent_dim) to (n_samples, n_features)."""
        outputs = self.path(x)
        return outputs if found is None else outputs + found
