"""The negative evidence lower bound of VaDE (Jiang et al., IJCAI 2017) at its optimal q(c|x).

    -ELBO = -E_q[log p(x|z)] - H[q(z|x)] - logsumexp_c e_c(x)
    e_c(x) = log pi_c + E_q[log N(z; mu_c, Sigma_c)]

The maximising q(c|x) is softmax_c e_c(x) in closed form, so that only the reconstruction needs a
draw of z. The paper's own choice, E_q[p(c|z)] by sampling, gives a looser bound.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from skvade.nn.autoencoder import Encoding, draw, entropy
from skvade.nn.vade import MixtureVAE
from skvade.objectives.base import Batch, EncodedObjective, Terms


class NegativeELBO(EncodedObjective[MixtureVAE]):
    """The bound above, one draw of z for each row."""

    def bound_terms(self) -> Mapping[str, float]:
        return {"reconstruction": 1.0, "kl": 1.0}

    def terms(
        self, model: MixtureVAE, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        mean, log_variance, _ = encoding
        outputs = model.decode(draw(mean, log_variance, generator))
        joint = model.category_logits(encoding)
        return {
            "reconstruction": -model.likelihood.log_prob(batch.x, outputs).mean(),
            "kl": -(self._expected_log_prior(joint, batch) + entropy(log_variance)).mean(),
        }

    def responsibilities(self, model: MixtureVAE, batch: Batch, encoding: Encoding) -> Tensor:
        """The q(c|x) of this bound, of shape (n_samples, n_clusters)."""
        return model.category_logits(encoding).softmax(-1)

    def _expected_log_prior(self, joint: Tensor, batch: Batch) -> Tensor:
        return joint.logsumexp(-1)


class HeldNegativeELBO(NegativeELBO):
    """The bound with q(c|x) held where the cluster is known, E_q[log p(z, c)] for logsumexp.

    Parameters
    ----------
    labels : Tensor of shape (n_samples,)
        The cluster of each row of the training data, -1 where q(c|x) is free.
    """

    def __init__(self, labels: Tensor):
        self.labels = labels

    def responsibilities(self, model: MixtureVAE, batch: Batch, encoding: Encoding) -> Tensor:
        free = super().responsibilities(model, batch, encoding)
        if batch.index is None:
            return free
        labels = self.labels[batch.index].unsqueeze(-1)
        held = one_hot(labels.squeeze(-1).clamp(min=0), free.shape[-1]).to(free)
        return torch.where(labels >= 0, held, free)

    def _expected_log_prior(self, joint: Tensor, batch: Batch) -> Tensor:
        free = super()._expected_log_prior(joint, batch)
        if batch.index is None:
            return free
        labels = self.labels[batch.index]
        held = joint.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return torch.where(labels >= 0, held, free)
