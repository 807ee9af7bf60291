"""The autoencoder's loss."""

from __future__ import annotations

import torch

from skvade.nn.models import MixtureVAE
from skvade.objectives.base import Batch, Objective, Terms


class Reconstruction(Objective):
    """-log p(x | f(m(x))): the likelihood of each row given its mean code, without sampling."""

    def __call__(self, model: MixtureVAE, batch: Batch, generator: torch.Generator) -> Terms:
        outputs = model.decode(model.code(batch.x))
        return {"reconstruction": -model.likelihood.log_prob(batch.x, outputs).mean()}
