"""Clusters among deterministic codes: each head says how likely a code is to belong to each."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

CENTROID_COUNT = 100.0  # rows that a centroid counts for at the start, as in DCN's own code


class Head(nn.Module, ABC):
    """K clusters among codes of L dimensions, each with a centre."""

    centers: Tensor

    @abstractmethod
    def forward(self, code: Tensor) -> Tensor:
        """log q(c|code) up to a constant: (n_samples, latent_dim) to (n_samples, n_clusters)."""

    def tailed(self, code: Tensor) -> Tensor:
        """The same by Student's t around the centres, of L degrees of freedom and unit scale.

        -L log(1 + |z - mu_c|^2 / L), for codes whose clusters have a variance of one.
        """
        n_dims = code.shape[-1]
        return -n_dims * (squared_distances(code, self.centers) / n_dims).log1p()

    @torch.no_grad()
    def assign_partition_(self, codes: Tensor, labels: Tensor) -> None:
        """Put the centres at the means of a partition's clusters, or of all, where one is empty."""
        members = torch.nn.functional.one_hot(labels, len(self.centers)).to(codes)
        counts = members.sum(0).unsqueeze(-1)
        means = members.T @ codes / counts.clamp(min=1)
        self.centers.copy_(torch.where(counts > 0, means, codes.mean(0)))

    def follow_(self, codes: Tensor, labels: Tensor) -> None:
        """Count codes into their clusters, in heads whose centres follow the codes."""

    @torch.no_grad()
    def permute_(self, order: Tensor) -> None:
        """Reorder the clusters: the new cluster i is the old cluster order[i]."""
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.ndim:  # a scalar belongs to all
                tensor.data = tensor.data[order]


class StudentT(Head):
    """q(c|z) ~ (1 + |z - mu_c|^2 / alpha) ^ -(alpha + 1) / 2, the soft assignment of DEC.

    Parameters
    ----------
    n_clusters, latent_dim : int
    alpha : float
        Degrees of freedom.
    """

    def __init__(self, n_clusters: int, latent_dim: int, alpha: float = 1.0):
        super().__init__()
        self.alpha = alpha
        self.centers = nn.Parameter(torch.zeros(n_clusters, latent_dim))

    def forward(self, code: Tensor) -> Tensor:
        distances = squared_distances(code, self.centers)
        return -0.5 * (self.alpha + 1) * (distances / self.alpha).log1p()


class Centroids(Head):
    """Centres of k-means, which follow the codes: no gradient moves them.

    q(c|z) ~ exp(-1/2 |z - M_c|^2), spherical Gaussians with the unit variance that the clusters
    have when training begins; the most probable cluster is the nearest centroid.

    Parameters
    ----------
    n_clusters, latent_dim : int
    """

    counts: Tensor

    def __init__(self, n_clusters: int, latent_dim: int):
        super().__init__()
        self.register_buffer("centers", torch.zeros(n_clusters, latent_dim))
        self.register_buffer("counts", torch.full((n_clusters,), CENTROID_COUNT))

    def forward(self, code: Tensor) -> Tensor:
        return -0.5 * squared_distances(code, self.centers)

    @torch.no_grad()
    def follow_(self, codes: Tensor, labels: Tensor) -> None:
        """Count the codes into their centroids, one after the other.

        `n_c += 1; M_c += (z - M_c) / n_c` for every code z of cluster c (Yang et al. 2017, Eq. 8),
        which in the end is the mean over all that have been counted.
        """
        members = torch.nn.functional.one_hot(labels, len(self.centers)).to(self.centers)
        counts = self.counts + members.sum(0)
        sums = self.counts.unsqueeze(-1) * self.centers + members.T @ codes
        self.centers.copy_(sums / counts.unsqueeze(-1))
        self.counts.copy_(counts)


class Linear(Head):
    """log q(c|z) = -tau / 2 |z - mu_c|^2 + b_c up to a constant, which is linear in z.

    Parameters
    ----------
    n_clusters, latent_dim : int
    """

    first_gap = 3.0

    def __init__(self, n_clusters: int, latent_dim: int):
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(n_clusters, latent_dim))
        self.bias = nn.Parameter(torch.zeros(n_clusters))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, code: Tensor) -> Tensor:
        logits = code @ self.centers.T - 0.5 * self.centers.square().sum(-1)
        return self.log_scale.exp() * logits + self.bias

    @torch.no_grad()
    def assign_partition_(self, codes: Tensor, labels: Tensor) -> None:
        """Put the centres at the means of a partition's clusters, and decide with moderation.

        The median row's best cluster is e^3 times as probable as the next: losses that saturate
        have no gradient where the head is sure and wrong.
        """
        super().assign_partition_(codes, labels)
        self.log_scale.zero_()
        self.bias.zero_()
        if len(self.centers) > 1:
            best, next_best = self(codes).topk(2).values.unbind(-1)
            gap = (best - next_best).median().clamp(min=1e-6)
            self.log_scale.copy_((self.first_gap / gap).log())


def squared_distances(codes: Tensor, centers: Tensor) -> Tensor:
    """|z_i - mu_c|^2: (n_samples, latent_dim), (n_clusters, latent_dim) to all pairs."""
    return (codes.unsqueeze(1) - centers).square().sum(-1)
