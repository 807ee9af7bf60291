"""The negative evidence lower bound of models with a q(c|x) of their own: GMVAE and M2.

    -ELBO = E_q(c|x)[ -E_q(z|x,c) log p(x|z, c) + KL(q(z|x, c) || p(z|c)) ] + KL(q(c|x) || p(c))

(Dilokthanakul et al. 2016 as simplified by Shu; Kingma, Mohamed, Rezende, Welling 2014, Eq. 7.)
Where the category of a row is known, q(c|x) is one-hot (Eq. 6), and -log q(c|x) is a further term
of the same weight as the rest, or another (Eq. 9).
"""

from __future__ import annotations

import torch
from torch import Tensor

from skvade.nn.autoencoder import Encoding
from skvade.nn.category import CategoryModel
from skvade.objectives.base import Batch, EncodedObjective, Terms
from skvade.objectives.marginalization import Exact, Known, Marginalization

IMPOSSIBLE = -1e4  # as log q: its exponential is 0, and no product with it is NaN


class CategoryNegativeELBO(EncodedObjective):
    """The bound above.

    Parameters
    ----------
    marginalization : Marginalization
        Of the reconstruction, in training; rows beside the data get the exact one.
    labels : Tensor of shape (n_samples,) or None
        Known categories of the training rows, -1 where none is known.
    label_weight : float
        Of -log q(c|x), averaged over the rows with a known category.
    category_weight, latent_weight : float
        Of the divergences of c and z; 1 and 1 make the bound.
    """

    def __init__(
        self,
        marginalization: Marginalization,
        labels: Tensor | None = None,
        label_weight: float = 0.0,
        category_weight: float = 1.0,
        latent_weight: float = 1.0,
    ):
        self.marginalization = marginalization
        self.labels = labels
        self.label_weight = label_weight
        self.category_weight = category_weight
        self.latent_weight = latent_weight

    def terms(
        self,
        model: CategoryModel,
        batch: Batch,
        encoding: Encoding,
        generator: torch.Generator,
    ) -> Terms:
        log_q = model.category_logits(encoding).log_softmax(-1)
        reconstruct = Exact() if batch.index is None else self.marginalization
        terms = {}
        if self.labels is not None and batch.index is not None:
            labels = self.labels[batch.index]
            terms["labels"] = self.label_weight * label_loss(log_q, labels)
            log_q = clamped(log_q, labels)
        q = log_q.exp()
        divergence = (q * (log_q - model.log_weights())).sum(-1)
        latent = (q * model.latent_divergences(encoding)).sum(-1)
        reconstruction = reconstruct(model, batch.x, encoding, log_q, generator)
        return {
            "reconstruction": -reconstruction.mean(),
            "category": self.category_weight * divergence.mean(),
            "latent": self.latent_weight * latent.mean(),
            **terms,
        }


class HeldCategoryELBO(CategoryNegativeELBO):
    """The bound with every row's category known, while q(c|x) learns it.

    Parameters
    ----------
    partition : Tensor of shape (n_samples,)
    """

    def __init__(self, partition: Tensor, **weights: float):
        super().__init__(Known(), partition, label_weight=1.0, **weights)


def label_loss(log_q: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log q(c|x) over the rows whose label c is not -1; 0 if there are none."""
    known = labels >= 0
    loss = -log_q.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return (loss * known).sum() / known.sum().clamp(min=1)


def clamped(log_q: Tensor, labels: Tensor) -> Tensor:
    """log q(c|x) with all weight on the label, in the rows whose label is not -1."""
    others = torch.arange(log_q.shape[-1], device=log_q.device) != labels.unsqueeze(-1)
    return torch.where(labels.unsqueeze(-1) >= 0, IMPOSSIBLE * others, log_q)
