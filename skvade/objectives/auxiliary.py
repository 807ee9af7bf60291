"""Auxiliary tasks that make clusters of classes (Arias Figueroa and Rivera 2017).

With features f of length one, their labelled representations r_l, category probabilities p(c|x),
and for every row an assigned class c_i, its own label or that of the nearest labelled rows:

    L_R = mean squared error of the reconstruction
    L_C = 1 / (N log K) sum_i sum_c q_ic log(K q_ic),  q a relaxed draw of p
    L_A = 1 / (2 N) sum_i [ tanh(-log p(c_i|x_i)) + sum_{d != c_i} tanh(log p(d|x_i)) + 1 ]
    L_F = alpha mean_labelled D(f, r) + (1 - alpha) mean_unlabelled D(f, r)
    D(f, r) = 1 / (sqrt(2) |r|) sum_l |f - r_l|  over the representations of the assigned class

L_R + L_C + w_A L_A + w_F L_F is multiplied by 64, so that it counts beside neighbours, whose weight
is in nats. A factor that grew with the features would outweigh them, and rows would follow wrong
assignments.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from skvade.nn.autoencoder import Encoding
from skvade.nn.headed import HeadedAutoencoder
from skvade.objectives.base import Batch, EncodedObjective, Terms
from skvade.objectives.labels import LabeledRows
from skvade.objectives.marginalization import relaxed_draw

MAX_REPRESENTATIONS = 256
NATS = 64.0  # the factor


class AuxiliaryTasks(EncodedObjective[HeadedAutoencoder]):
    """The losses above.

    Parameters
    ----------
    labeled : LabeledRows
    n_nearest : int
        Labelled rows that assign a class to an unlabelled one.
    assignment_weight, feature_weight : float
        w_A and w_F.
    labeled_share : float
        alpha.
    temperature : float
        Of the relaxed draws.
    """

    def __init__(
        self,
        labeled: LabeledRows,
        n_nearest: int = 1,
        assignment_weight: float = 10.0,
        feature_weight: float = 1.0,
        labeled_share: float = 0.6,
        temperature: float = 1.0,
    ):
        self.labeled = labeled
        self.n_nearest = n_nearest
        self.assignment_weight = assignment_weight
        self.feature_weight = feature_weight
        self.labeled_share = labeled_share
        self.temperature = temperature

    def terms(
        self,
        model: HeadedAutoencoder,
        batch: Batch,
        encoding: Encoding,
        generator: torch.Generator,
    ) -> Terms:
        x, classes = self.labeled.draw(MAX_REPRESENTATIONS, generator)
        known = model.encode(x)
        n_rows = len(batch.x)
        own = torch.full((n_rows,), -1, device=batch.x.device)
        own = own if batch.index is None else self.labeled.labels[batch.index]

        features, representations = normalize(encoding.code), normalize(known.code)
        distances = torch.cdist(features, representations)  # (B, n_labelled)
        log_p = model.category_logits(encoding).log_softmax(-1)
        n_clusters = log_p.shape[-1]
        assigned = torch.where(
            own >= 0, own, nearest_class(distances.detach(), classes, n_clusters, self.n_nearest)
        )

        outputs = model.reconstruct(encoding.code)
        error = model.likelihood.residual(batch.x, outputs).square().mean()
        q = relaxed_draw(log_p, self.temperature, generator)
        certainty = torch.special.xlogy(q, n_clusters * q.clamp(min=1e-12)).sum(-1).mean()
        # Labelled rows count as rows too, so that few of them are seen in every step.
        known_log_p = model.category_logits(known).log_softmax(-1)
        assignment = assignment_loss(
            torch.cat([log_p, known_log_p]), torch.cat([assigned, classes])
        )
        unknown = (own < 0).to(distances)
        unlabeled = mean_distance(distances, classes, assigned) * unknown
        labeled = mean_distance(torch.cdist(representations, representations), classes, classes)
        share = self.labeled_share
        feature = share * labeled.mean() + (1 - share) * unlabeled.sum() / unknown.sum().clamp(
            min=1
        )
        return {
            "reconstruction": NATS * error,
            "clustering": NATS * certainty / math.log(max(n_clusters, 2)),
            "assignment": NATS * self.assignment_weight * assignment,
            "feature": NATS * self.feature_weight * feature,
        }


def nearest_class(distances: Tensor, classes: Tensor, n_clusters: int, n_nearest: int) -> Tensor:
    """The most frequent class of the nearest labelled rows; the nearest decides between equals.

    Parameters
    ----------
    distances : Tensor of shape (n_samples, n_labelled)
    classes : Tensor of shape (n_labelled,)
    n_clusters, n_nearest : int

    Returns
    -------
    Tensor of shape (n_samples,)
    """
    nearest = distances.topk(min(n_nearest, len(classes)), largest=False).indices
    candidates = classes[nearest]  # (B, kappa), the nearest first
    votes = one_hot(candidates, n_clusters).sum(1)
    tied = votes.gather(1, candidates) == votes.amax(1, keepdim=True)
    return candidates.gather(1, tied.byte().argmax(1, keepdim=True)).squeeze(1)


def mean_distance(distances: Tensor, classes: Tensor, assigned: Tensor) -> Tensor:
    """D(f, r) of the module's formula, given distances (n, n_labelled): (n,).

    0 where no representation of the assigned class was drawn.
    """
    members = (assigned.unsqueeze(-1) == classes).to(distances)
    return (distances * members).sum(-1) / (math.sqrt(2) * members.sum(-1).clamp(min=1))


def assignment_loss(log_p: Tensor, assigned: Tensor) -> Tensor:
    """L_A of the module's formula: (n_samples, K), (n_samples,) to a scalar."""
    own = one_hot(assigned, log_p.shape[-1]).to(log_p)
    each = (own * (-log_p).tanh() + (1 - own) * log_p.tanh()).sum(-1) + 1
    return 0.5 * each.mean()
