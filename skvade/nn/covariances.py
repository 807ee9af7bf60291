"""Covariances of a Gaussian mixture, each parametrised by a Cholesky factor of its precision.

With Sigma_c^-1 = U_c U_c' and U_c lower triangular, a Mahalanobis distance is |U_c' (z - mu_c)|^2,
a trace is a matrix product with the squares of U_c, and log|Sigma_c| is a sum over its diagonal.
The diagonal is stored as logarithms, so every parameter value is a valid covariance.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

RIDGE = 1e-10  # of a matrix's mean variance, by which rounding cannot make it singular


class Covariance(nn.Module, ABC):
    """The covariances of K components in L dimensions.

    Parameters
    ----------
    n_clusters, latent_dim : int
    floor : float, default=0.0
        Least variance of each dimension given those after it, added to the free part; it keeps a
        component from shrinking onto a single code, and lets it widen again.
    """

    def __init__(self, n_clusters: int, latent_dim: int, floor: float = 0.0):
        super().__init__()
        self.n_clusters = n_clusters
        self.latent_dim = latent_dim
        self.floor = floor
        self.log_diagonal = nn.Parameter(torch.zeros(self.diagonal_shape))

    @property
    @abstractmethod
    def diagonal_shape(self) -> tuple[int, ...]:
        """Shape of the free log diagonals."""

    @abstractmethod
    def whiten(self, difference: Tensor) -> Tensor:
        """U_c' d for differences d of shape (n_samples, n_clusters, latent_dim), same shape."""

    @abstractmethod
    def color(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Draws of N(0, Sigma_labels) from standard normal noise, both (n_samples, latent_dim)."""

    @abstractmethod
    def precision_diagonals(self) -> Tensor:
        """Diagonals of the precision matrices, broadcastable to (n_clusters, latent_dim)."""

    @abstractmethod
    def covariances(self) -> Tensor:
        """The covariances in the shape that scikit-learn's GaussianMixture gives this type."""

    @abstractmethod
    def assign_(self, matrices: Tensor, weights: Tensor) -> None:
        """Take the closest parameters to full matrices (n_clusters, latent_dim, latent_dim).

        Types that share parameters between components average the matrices by `weights`.
        """

    def matrices(self) -> Tensor:
        """Full covariances, float64 on the CPU: (n_clusters, latent_dim, latent_dim)."""
        n, size = self.n_clusters, self.latent_dim
        unit = torch.eye(size, dtype=self.log_diagonal.dtype, device=self.log_diagonal.device)
        labels = torch.arange(n, device=unit.device).repeat_interleave(size)
        roots = self.color(unit.repeat(n, 1), labels).view(n, size, size).cpu().double()
        return roots.mT @ roots

    @torch.no_grad()
    def maximise_(self, scatter: Tensor, counts: Tensor) -> None:
        """Take the likeliest covariances of weighted points, scatter_c / counts_c.

        A component of no more points than dimensions keeps its own: its scatter has no full rank.

        Parameters
        ----------
        scatter : Tensor of shape (n_clusters, latent_dim, latent_dim)
            Weighted sums of (z - mu_c)(z - mu_c)', float64.
        counts : Tensor of shape (n_clusters,)
            Sums of the weights, float64.
        """
        enough = (counts > self.latent_dim).view(-1, 1, 1)
        found = scatter / counts.clamp(min=1).view(-1, 1, 1)
        size = found.diagonal(dim1=-2, dim2=-1).mean(-1).view(-1, 1, 1)
        found = found + RIDGE * size * torch.eye(self.latent_dim).to(found)
        self.assign_(torch.where(enough, found, self.matrices()), counts / counts.sum())

    def permute_(self, order: Tensor) -> None:
        """Reorder the components."""
        for parameter in self.parameters():
            parameter.data = parameter.data[order]

    def log_scales(self) -> Tensor:
        """Log diagonal of U, broadcastable to (n_clusters, latent_dim).

        `1 / U_ll^2 = floor + exp(-2 log_diagonal_l)` is the variance of z_l given those after it.
        """
        if self.floor == 0:
            return self.log_diagonal
        log_floor = torch.full_like(self.log_diagonal, math.log(self.floor))
        return -0.5 * torch.logaddexp(-2 * self.log_diagonal, log_floor)

    def _set_log_scales_(self, log_scales: Tensor) -> Tensor:
        """Inverse of `log_scales`, as far as the floor allows; returns what they are then."""
        excess = ((-2 * log_scales).exp() - self.floor).clamp(min=1e-3 * self.floor)
        self.log_diagonal.copy_(-0.5 * excess.log())
        return -0.5 * (excess + self.floor).log()

    def half_log_det(self) -> Tensor:
        """1/2 log|Sigma_c^-1|, of shape (n_clusters,)."""
        return self.log_scales().expand(self.n_clusters, self.latent_dim).sum(-1)

    def mahalanobis(self, difference: Tensor) -> Tensor:
        """d' Sigma_c^-1 d: (n_samples, n_clusters, latent_dim) to (n_samples, n_clusters)."""
        return self.whiten(difference).square().sum(-1)

    def traces(self, variance: Tensor) -> Tensor:
        """tr(Sigma_c^-1 diag s2): (n_samples, latent_dim) to (n_samples, n_clusters)."""
        precision = self.precision_diagonals().expand(self.n_clusters, self.latent_dim)
        return variance @ precision.T

    def conditional_variances(self) -> Tensor:
        """Variance of each dimension given all others, 1 / (Sigma_c^-1)_ll: (K, L)."""
        return 1 / self.precision_diagonals().expand(self.n_clusters, self.latent_dim)


class _Triangular(Covariance):
    """U with a free strict lower triangle."""

    def __init__(self, n_clusters: int, latent_dim: int, floor: float = 0.0):
        super().__init__(n_clusters, latent_dim, floor)
        n_below = latent_dim * (latent_dim - 1) // 2
        self.below = nn.Parameter(torch.zeros(*self.diagonal_shape[:-1], n_below))

    def factor(self) -> Tensor:
        """U, of shape (..., latent_dim, latent_dim)."""
        factor = torch.diag_embed(self.log_scales().exp())
        rows, columns = self._below_diagonal(factor)
        factor[..., rows, columns] = self.below
        return factor

    def whiten(self, difference: Tensor) -> Tensor:
        return torch.einsum("nkl,klj->nkj", difference, self._factors())

    def color(self, noise: Tensor, labels: Tensor) -> Tensor:
        # z = U'^-1 e has covariance U'^-1 U^-1 = Sigma.
        factors = self._factors()[labels].mT
        return torch.linalg.solve_triangular(factors, noise.unsqueeze(-1), upper=True).squeeze(-1)

    def precision_diagonals(self) -> Tensor:
        return self.factor().square().sum(-1)

    def covariances(self) -> Tensor:
        return torch.cholesky_inverse(self.factor())

    @torch.no_grad()
    def _assign_factor_(self, matrices: Tensor) -> None:
        factor = torch.linalg.cholesky(torch.linalg.inv(matrices))
        rows, columns = self._below_diagonal(factor)
        log_scales = factor.diagonal(dim1=-2, dim2=-1).log()
        # Where the floor lowers U_ll, its column goes with it: conditional means stay.
        factor = factor * (self._set_log_scales_(log_scales) - log_scales).exp().unsqueeze(-2)
        self.below.copy_(factor[..., rows, columns])

    def _factors(self) -> Tensor:
        return self.factor().expand(self.n_clusters, self.latent_dim, self.latent_dim)

    def _below_diagonal(self, factor: Tensor) -> Tensor:
        return torch.tril_indices(self.latent_dim, self.latent_dim, -1, device=factor.device)


class Full(_Triangular):
    """Each component has its own covariance matrix."""

    @property
    def diagonal_shape(self) -> tuple[int, ...]:
        return self.n_clusters, self.latent_dim

    def assign_(self, matrices: Tensor, weights: Tensor) -> None:
        self._assign_factor_(matrices)


class Tied(_Triangular):
    """All components share one covariance matrix."""

    @property
    def diagonal_shape(self) -> tuple[int, ...]:
        return (self.latent_dim,)

    def assign_(self, matrices: Tensor, weights: Tensor) -> None:
        self._assign_factor_(torch.einsum("k,kij->ij", weights, matrices))

    @torch.no_grad()
    def maximise_(self, scatter: Tensor, counts: Tensor) -> None:
        pooled, n_points = scatter.sum(0), counts.sum()
        super().maximise_(pooled.expand_as(scatter), n_points.expand_as(counts))

    def permute_(self, order: Tensor) -> None:
        """Nothing to reorder: the components share their parameters."""


class _Axes(Covariance):
    """U diagonal."""

    def whiten(self, difference: Tensor) -> Tensor:
        return difference * self.log_scales().exp()

    def color(self, noise: Tensor, labels: Tensor) -> Tensor:
        return noise * (-self.log_scales()).exp()[labels]

    def precision_diagonals(self) -> Tensor:
        return (2 * self.log_scales()).exp()

    @torch.no_grad()
    def _assign_variances_(self, variances: Tensor) -> None:
        self._set_log_scales_(-0.5 * variances.log())


class Diag(_Axes):
    """Each component has its own variance in each dimension."""

    @property
    def diagonal_shape(self) -> tuple[int, ...]:
        return self.n_clusters, self.latent_dim

    def covariances(self) -> Tensor:
        return (-2 * self.log_scales()).exp()

    def assign_(self, matrices: Tensor, weights: Tensor) -> None:
        self._assign_variances_(matrices.diagonal(dim1=-2, dim2=-1))


class Spherical(_Axes):
    """Each component has a single variance."""

    @property
    def diagonal_shape(self) -> tuple[int, ...]:
        return self.n_clusters, 1

    def covariances(self) -> Tensor:
        return (-2 * self.log_scales()).exp().squeeze(-1)

    def assign_(self, matrices: Tensor, weights: Tensor) -> None:
        self._assign_variances_(matrices.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True))


COVARIANCES: dict[str, type[Covariance]] = {
    "full": Full,
    "tied": Tied,
    "diag": Diag,
    "spherical": Spherical,
}
