"""Neighbours stay neighbours: a neighbour embedding of the codes beside another objective.

    weight * [ mean_i -log q(z_i, z_j(i))  +  repulsion * mean_{i != l} -log(1 - q(z_i, z_j(l))) ]
    q(a, b) = 1 / (1 + A |a - b|^(2 B))

j(i) is a neighbour of row i, drawn anew each step; the neighbours of the other rows of a batch
serve as strangers. It is UMAP's loss (McInnes, Healy, Melville 2018) on a network's own codes, with
UMAP's curve for a least distance of 0.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skvade.nn.models import MixtureVAE
from skvade.objectives.base import Batch, EncodedObjective, Objective, Terms

A, B = 1.577, 0.895
MAX_SIMILARITY = 1 - 1e-4


class WithNeighbours(Objective):
    """Another objective's terms plus attraction to neighbours and repulsion of strangers.

    Every row of a batch brings one neighbour with it, and the other objective counts both, so that
    a batch of B costs as much as 2 B rows without this. Rows outside the training data, which have
    no neighbours, get the other terms alone.

    Parameters
    ----------
    objective : EncodedObjective
    neighbours : callable
        Takes row numbers (n_rows,) and a generator to a batch of one neighbour of each.
    weight : float
        In nats: what a pair counts beside the likelihood of a row.
    scale : float
        Takes codes to the units of the embedding, in which neighbours are about 1 apart.
    repulsion : float
        Weight of the repulsion relative to the attraction.
    """

    def __init__(
        self,
        objective: EncodedObjective,
        neighbours: Callable[[Tensor, torch.Generator], Batch],
        weight: float,
        scale: float = 1.0,
        repulsion: float = 5.0,
    ):
        self.objective = objective
        self.neighbours = neighbours
        self.weight = weight
        self.scale = scale
        self.repulsion = repulsion

    def __call__(self, model: MixtureVAE, batch: Batch, generator: torch.Generator) -> Terms:
        if batch.index is None:
            return self.objective(model, batch, generator)
        near = self.neighbours(batch.index, generator)
        both = Batch(torch.cat([batch.x, near.x]), torch.cat([batch.index, near.index]))  # (2 B, D)
        mean, log_variance = model.encode(both.x)
        terms = self.objective.terms(model, both, mean, log_variance, generator)
        attraction, repulsion = embedding_losses(*(mean * self.scale).chunk(2))
        return {
            **terms,
            "attraction": self.weight * attraction,
            "repulsion": self.weight * self.repulsion * repulsion,
        }


def embedding_losses(z: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
    """mean_i -log q(z_i, z_j(i)) and mean_{i != l} -log(1 - q(z_i, z_j(l))).

    Parameters
    ----------
    z, neighbours : Tensor of shape (n_rows, latent_dim)
    """
    squares = z.square().sum(-1, keepdim=True) + neighbours.square().sum(-1)
    distances = (squares - 2 * z @ neighbours.T).clamp(min=0) + 1e-6  # (B, B); |.|^2B is steep at 0
    odds = A * distances.pow(B)  # (1 - q) / q
    attraction = odds.diagonal().log1p().mean()
    far = (odds / (1 + odds)).clamp(min=1 - MAX_SIMILARITY).log()
    n_rows = len(z)
    strangers = max(1, n_rows * (n_rows - 1))
    return attraction, -(far.sum() - far.diagonal().sum()) / strangers
