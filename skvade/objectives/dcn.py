"""DCN's loss (Yang, Fu, Sidiropoulos, Hong, ICML 2017): codes near the centroid of k-means.

    mean_i 1/2 |z_i - M_c(i)|^2,    c(i) the nearest centroid

beside the reconstruction. Centroids follow the codes, each with a rate that falls with the rows
that it has counted; no gradient moves them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skvade.nn.autoencoder import Encoding
from skvade.nn.headed import HeadedAutoencoder
from skvade.objectives.base import Batch, EncodedObjective, Terms


class CentroidDistance(EncodedObjective[HeadedAutoencoder]):
    """The loss above; in training, every batch is then counted into its centroids.

    Parameters
    ----------
    everyone : callable
        Takes rows of this process's batch to those of all processes.
    """

    def __init__(self, everyone: Callable[[Tensor], Tensor] = lambda rows: rows):
        self.everyone = everyone

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
            model.head.follow_(self.everyone(encoding.code.detach()), self.everyone(labels))
        return {"clustering": distance.mean()}
