"""The negative evidence lower bound of models with a q(c|x) of their own: GMVAE, M2 and ADGM.

    -ELBO = E_q(c|x)[ -E_q(z|x,c) log p(x|z, c) + KL(q(z|x, c) || p(z|c)) ] + KL(q(c|x) || p(c))

(Dilokthanakul et al. 2016 as simplified by Shu; Kingma, Mohamed, Rezende, Welling 2014, Eq. 7.)
Where the category of a row is known, q(c|x) is one-hot (Eq. 6). ADGM's auxiliary variable a is
drawn once for each row, and the latent term holds its own, log q(a|x) - log p(a|x, z, c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from skvade.nn.autoencoder import Encoding
from skvade.nn.category import CategoryModel
from skvade.objectives.base import Batch, EncodedObjective, Terms, joined
from skvade.objectives.marginalization import Exact, Known, Marginalization

IMPOSSIBLE = -1e4  # as log q: its exponential is 0, and no product with it is NaN


class CategoryNegativeELBO(EncodedObjective[CategoryModel]):
    """The bound above.

    Parameters
    ----------
    marginalization : Marginalization
        Of the reconstruction, in training; rows beside the data get the exact one.
    labels : Tensor of shape (n_samples,) or None
        Known categories of the training rows, -1 where none is known.
    category_weight, latent_weight : float
        Of the divergences of c and z; 1 and 1 make the bound.
    """

    def __init__(
        self,
        marginalization: Marginalization,
        labels: Tensor | None = None,
        category_weight: float = 1.0,
        latent_weight: float = 1.0,
    ):
        self.marginalization = marginalization
        self.labels = labels
        self.category_weight = category_weight
        self.latent_weight = latent_weight

    def parts(self) -> Sequence[Marginalization]:
        return [self.marginalization]

    def bound_terms(self) -> Mapping[str, float]:
        return {
            "reconstruction": 1.0,
            "category": self.category_weight,
            "latent": self.latent_weight,
        }

    def terms(
        self,
        model: CategoryModel,
        batch: Batch,
        encoding: Encoding,
        generator: torch.Generator,
    ) -> Terms:
        encoding = model.with_draws(encoding, generator)
        log_q = self._log_responsibilities(model, batch, encoding)
        reconstruct = Exact() if batch.index is None else self.marginalization
        q = log_q.exp()
        divergence = (q * (log_q - model.log_weights())).sum(-1)
        latent = (q * model.latent_divergences(encoding)).sum(-1)
        reconstruction = reconstruct(model, batch.x, encoding, log_q, generator)
        return {
            "reconstruction": -reconstruction.mean(),
            "category": self.category_weight * divergence.mean(),
            "latent": self.latent_weight * latent.mean(),
        }

    def responsibilities(self, model: CategoryModel, batch: Batch, encoding: Encoding) -> Tensor:
        """The q(c|x) of this bound, of shape (n_samples, n_clusters)."""
        return self._log_responsibilities(model, batch, encoding).exp()

    def _log_responsibilities(
        self, model: CategoryModel, batch: Batch, encoding: Encoding
    ) -> Tensor:
        log_q = model.category_logits(encoding).log_softmax(-1)
        if self.labels is None or batch.index is None:
            return log_q
        return clamped(log_q, self.labels[batch.index])


class HeldCategoryELBO(CategoryNegativeELBO):
    """The bound with every row's category known, and -log q(c|x), by which q(c|x) learns it.

    Parameters
    ----------
    partition : Tensor of shape (n_samples,)
    category_weight, latent_weight : float
    """

    def __init__(self, partition: Tensor, **weights: float):
        super().__init__(Known(), partition, **weights)
        self.partition = partition

    def terms(
        self,
        model: CategoryModel,
        batch: Batch,
        encoding: Encoding,
        generator: torch.Generator,
    ) -> Terms:
        loss = cross_entropy(model.category_logits(encoding), self.partition[batch.index])
        return joined(super().terms(model, batch, encoding, generator), {"partition": loss})


def clamped(log_q: Tensor, labels: Tensor) -> Tensor:
    """log q(c|x) with all weight on the label, in the rows whose label is not -1."""
    others = torch.arange(log_q.shape[-1], device=log_q.device) != labels.unsqueeze(-1)
    return torch.where(labels.unsqueeze(-1) >= 0, IMPOSSIBLE * others.to(log_q), log_q)
