"""The autoencoder's loss."""

from __future__ import annotations

import torch

from skvade.nn.autoencoder import Autoencoder, Encoding
from skvade.objectives.base import Batch, EncodedObjective, Terms


class Reconstruction(EncodedObjective[Autoencoder]):
    """-log p(x | f(m(x))): the likelihood of each row given its mean code, without sampling."""

    def terms(
        self, model: Autoencoder, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        outputs = model.reconstruct(encoding.code)
        return {"reconstruction": -model.likelihood.log_prob(batch.x, outputs).mean()}
