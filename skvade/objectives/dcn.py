"""DCN's loss (Yang, Fu, Sidiropoulos, Hong, ICML 2017): codes near the centroid of k-means.

    mean_i 1/2 |z_i - M_c(i)|^2,    c(i) the nearest centroid

beside the reconstruction. Centroids follow the codes, each with a rate that falls with the rows
that it has counted; no gradient moves them.
"""

from __future__ import annotations

import torch

from skvade.nn.autoencoder import Encoding
from skvade.nn.headed import HeadedAutoencoder
from skvade.objectives.base import Batch, EncodedObjective, Terms


class CentroidDistance(EncodedObjective[HeadedAutoencoder]):
    """The loss above; in training, every batch is then counted into its centroids."""

    def terms(
        self,
        model: HeadedAutoencoder,
        batch: Batch,
        encoding: Encoding,
        generator: torch.Generator,
    ) -> Terms:
        labels = model.category_logits(encoding).argmax(-1)
        nearest = model.centers()[labels]
        distance = 0.5 * (encoding.code - nearest).square().sum(-1)
        if model.training and batch.index is not None:
            model.head.follow_(encoding.code.detach(), labels)
        return {"clustering": distance.mean()}
