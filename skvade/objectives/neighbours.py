"""Neighbours stay neighbours: a neighbour embedding of the codes beside another objective.

    weight * [ mean_i -log q(z_i, z'_j(i))  +  repulsion * mean_{i != l} -log(1 - q(z_i, z'_j(l))) ]
    q(a, b) = 1 / (1 + A |a - b|^(2 B))

j(i) is a neighbour of row i, drawn anew each step; the neighbours of the other rows of a batch
serve as strangers. It is UMAP's loss (McInnes, Healy, Melville 2018) on a network's own codes, with
UMAP's curve for a least distance of 0.1.

z'_j is the code of the neighbour after it was moved, among what the encoder sees, in the direction
in which its code leaves z_i fastest:

    x'_j = x_j + push |x_i - x_j| g / |g|,    g = grad_{x_j} |m(x_i) - m(x_j)|^2

A map that keeps even these together is smooth around its rows. It is virtual adversarial training
(Miyato, Maeda, Koyama, Ishii 2018), which made IMSAT (Hu, Miyato, Tokui, Matsumoto, Sugiyama 2017),
applied to pairs of neighbours, whose first derivative is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from skvade.objectives.base import Batch, EncodedObjective, ModelT, Objective, Terms, joined

A, B = 1.577, 0.895
MAX_SIMILARITY = 1 - 1e-4
PUSH = 0.3


class WithNeighbours(Objective[ModelT]):
    """Another objective's terms plus attraction to neighbours and repulsion of strangers.

    Every row of a batch brings one neighbour with it, which is encoded only; the other objective
    counts the rows. Rows outside the training data, which have no neighbours, get the other terms
    alone.

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
    push : float
        How far a neighbour is moved, as a share of its distance to the row; 0 leaves it in place.
    everyone : callable
        Takes the neighbours' codes to those of all processes and where among them these begin:
        strangers come from everywhere.
    """

    def __init__(
        self,
        objective: EncodedObjective[ModelT],
        neighbours: Callable[[Tensor, torch.Generator], Batch],
        weight: float,
        scale: float = 1.0,
        repulsion: float = 5.0,
        push: float = PUSH,
        everyone: Callable[[Tensor], tuple[Tensor, int]] = lambda near: (near, 0),
    ):
        self.objective = objective
        self.neighbours = neighbours
        self.weight = weight
        self.scale = scale
        self.repulsion = repulsion
        self.push = push
        self.everyone = everyone

    def parts(self) -> Sequence[Objective]:
        return [self.objective]

    def bound_terms(self) -> Mapping[str, float]:
        return self.objective.bound_terms()

    def __call__(self, model: ModelT, batch: Batch, generator: torch.Generator) -> Terms:
        if batch.index is None:
            return self.objective(model, batch, generator)
        near = model.view(self.neighbours(batch.index, generator).x)
        encoding = model.encode(batch.x)
        mean = encoding.code
        if self.push:
            near = pushed_away(model.code_of, near, model.view(batch.x), mean.detach(), self.push)
        z, z_near = mean * self.scale, model.code_of(near) * self.scale
        attraction, repulsion = embedding_losses(z, *self.everyone(z_near))
        return joined(
            self.objective.terms(model, batch, encoding, generator),
            {
                "attraction": self.weight * attraction,
                "repulsion": self.weight * self.repulsion * repulsion,
            },
        )


def pushed_away(
    encode: Callable[[Tensor], Tensor], near: Tensor, rows: Tensor, codes: Tensor, push: float
) -> Tensor:
    """x'_j of the module's formula: each neighbour moved to where its code leaves z_i fastest.

    Parameters
    ----------
    encode : callable
        Takes rows (n_rows, n_features) to codes (n_rows, latent_dim).
    near, rows : Tensor of shape (n_rows, n_features)
    codes : Tensor of shape (n_rows, latent_dim)
        Of the rows.
    push : float

    Returns
    -------
    Tensor of shape (n_rows, n_features)
        Without a gradient. A neighbour stays where it is if its code does not depend on it, as
        behind an encoder that is frozen or has no derivative.
    """
    leaf = near.detach().requires_grad_()
    distances = (codes - encode(leaf.clone())).square().sum()  # an encoder may work in place
    if not distances.requires_grad:
        return near
    (gradient,) = torch.autograd.grad(distances, leaf, allow_unused=True)
    if gradient is None:
        return near
    direction = torch.nn.functional.normalize(gradient, eps=1e-30)
    reach = torch.linalg.vector_norm(rows - near, dim=1, keepdim=True)
    return near + push * reach * direction


def embedding_losses(z: Tensor, neighbours: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
    """mean_i -log q(z_i, z_j(i)) and mean_{i != l} -log(1 - q(z_i, z_j(l))).

    Parameters
    ----------
    z : Tensor of shape (n_rows, latent_dim)
    neighbours : Tensor of shape (n_neighbours, latent_dim)
        Of these rows and of others.
    first : int
        Where among them the neighbours of these rows begin.
    """
    middle = neighbours.detach().mean(0)  # far from zero, products would lose distances to rounding
    z, neighbours = z - middle, neighbours - middle
    near = (z - neighbours[first : first + len(z)]).square().sum(-1)
    attraction = softplus(_log_odds(near)).mean()
    squares = z.square().sum(-1, keepdim=True) + neighbours.square().sum(-1)
    log_odds = _log_odds((squares - 2 * z @ neighbours.T).clamp(min=0))  # (n_rows, n_neighbours)
    far = logsigmoid(log_odds).clamp(min=math.log(1 - MAX_SIMILARITY))
    strangers = max(1, len(z) * (len(neighbours) - 1))
    return attraction, -(far.sum() - far.diagonal(first).sum()) / strangers


def _log_odds(squares: Tensor) -> Tensor:
    """log((1 - q) / q), given squared distances; |.|^2B is steep at 0."""
    return math.log(A) + B * (squares + 1e-6).log()
