"""The autoencoder's loss."""

from __future__ import annotations

import torch
from torch import Tensor

from skvade.nn.models import MixtureVAE
from skvade.objectives.base import Batch, EncodedObjective, Terms


class Reconstruction(EncodedObjective):
    """-log p(x | f(m(x))): the likelihood of each row given its mean code, without sampling."""

    def terms(
        self,
        model: MixtureVAE,
        batch: Batch,
        mean: Tensor,
        log_variance: Tensor,
        generator: torch.Generator,
    ) -> Terms:
        outputs = model.decode(mean)
        return {"reconstruction": -model.likelihood.log_prob(batch.x, outputs).mean()}
