"""E_q(c|x)[log p(x|c)] when every category needs a decoder's pass: exactly, or by one relaxed draw.

`exact` is the sum over clusters. `gumbel` is one pass at a relaxed category (Jang, Gu, Poole; and
Maddison, Mnih, Teh; ICLR 2017),

    y = softmax((log q(c|x) + g) / temperature),    g_c = -log(-log(u_c)), u_c uniform,

a draw of q(c|x) in the limit of temperature 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from skvade.nn.autoencoder import Encoding, draw
from skvade.nn.category import CategoryModel
from skvade.objectives.stateful import Stateful


class Marginalization(Stateful, ABC):
    """Takes log q(c|x) to the expected log-likelihood of rows, one draw of z for each c."""

    @abstractmethod
    def __call__(
        self,
        model: CategoryModel,
        x: Tensor,
        encoding: Encoding,
        log_q: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """E_q(c|x) E_q(z|x,c)[log p(x|z, c)]; log_q is (n_samples, n_clusters), the rest (n,)."""


class Exact(Marginalization):
    """The sum over clusters."""

    def __call__(
        self,
        model: CategoryModel,
        x: Tensor,
        encoding: Encoding,
        log_q: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        every = model.every_category()
        z = draw(*model.posterior(encoding, every), generator)  # (B, K, L)
        # One category after the other: all outputs at once would be K times the rows.
        log_likelihoods = [
            model.likelihood.log_prob(x, model.explain(encoding, z[:, c], category))
            for c, category in enumerate(every[0])
        ]
        return (log_q.exp() * torch.stack(log_likelihoods, -1)).sum(-1)


class Gumbel(Marginalization):
    """One relaxed draw for each row, at a temperature that falls geometrically from step to step.

    Parameters
    ----------
    first, last : float
        Temperatures of the first and the last step.
    n_steps : int
    """

    changing = ("step",)

    def __init__(self, first: float, last: float, n_steps: int):
        self.first = first
        self.last = last
        self.n_steps = n_steps
        self.step = 0

    @property
    def temperature(self) -> float:
        """Of the step that is next."""
        return self.first * (self.last / self.first) ** min(1.0, self.step / max(1, self.n_steps))

    def __call__(
        self,
        model: CategoryModel,
        x: Tensor,
        encoding: Encoding,
        log_q: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        relaxed = relaxed_draw(log_q, self.temperature, generator)
        self.step += model.training
        return one_pass(model, x, encoding, relaxed, generator)


class Drawn(Marginalization):
    """One draw of c ~ q(c|x) for each row: without bias, but also without a gradient of q(c|x)."""

    def __call__(
        self,
        model: CategoryModel,
        x: Tensor,
        encoding: Encoding,
        log_q: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        category = relaxed_draw(log_q, 1.0, generator).argmax(-1)
        weights = one_hot(category, log_q.shape[-1]).to(log_q)
        return one_pass(model, x, encoding, weights, generator)


class Known(Marginalization):
    """Every row's category is known: q(c|x) is one-hot, and one pass is exact."""

    def __call__(
        self,
        model: CategoryModel,
        x: Tensor,
        encoding: Encoding,
        log_q: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        return one_pass(model, x, encoding, log_q.exp(), generator)


def one_pass(
    model: CategoryModel, x: Tensor, encoding: Encoding, weights: Tensor, generator: torch.Generator
) -> Tensor:
    """log p(x|z, c) at one z for each row, and its category, one-hot or relaxed: (n_samples,)."""
    z = draw(*model.posterior(encoding, weights), generator)
    return model.likelihood.log_prob(x, model.explain(encoding, z, weights))


def relaxed_draw(log_q: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """y of the module's formula, of the shape of log_q: (n_samples, n_clusters)."""
    uniform = torch.rand(log_q.shape, generator=generator, dtype=log_q.dtype, device=log_q.device)
    noise = -(-uniform.clamp(min=1e-20, max=1 - 1e-7).log()).log()
    return ((log_q + noise) / temperature).softmax(-1)
