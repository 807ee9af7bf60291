"""The Gaussian mixture prior p(c) p(z|c)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from skvade.nn.autoencoder import Autoencoder
from skvade.nn.covariances import COVARIANCES, Covariance

VARIANCE_SHARE = 0.1  # of the clusters' own, at which q(z|x) starts


class GaussianMixturePrior(nn.Module):
    """p(z) = sum_c pi_c N(z; mu_c, Sigma_c), with learnable weights, means and covariances.

    Parameters
    ----------
    covariance : Covariance
        Brings n_clusters and latent_dim with it.
    """

    def __init__(self, covariance: Covariance):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(covariance.n_clusters))
        self.means = nn.Parameter(torch.zeros(covariance.n_clusters, covariance.latent_dim))
        self.covariance = covariance

    @property
    def n_clusters(self) -> int:
        """K."""
        return self.covariance.n_clusters

    @property
    def latent_dim(self) -> int:
        """L."""
        return self.covariance.latent_dim

    def log_weights(self) -> Tensor:
        """log pi, of shape (n_clusters,)."""
        return log_softmax(self.logits, -1)

    def log_joint(self, z: Tensor) -> Tensor:
        """log pi_c + log N(z; mu_c, Sigma_c): (n, latent_dim) to (n, n_clusters)."""
        distances = self.covariance.mahalanobis(z.unsqueeze(1) - self.means)
        return self._log_normalizers() - 0.5 * distances

    def expected_log_joint(self, mean: Tensor, variance: Tensor) -> Tensor:
        """e_c(x) = E_q[log pi_c + log N(z; mu_c, Sigma_c)] for q = N(mean, diag variance), exactly.

        Both arguments are (n_samples, latent_dim), the result (n_samples, n_clusters).
        """
        return self.log_joint(mean) - 0.5 * self.covariance.traces(variance)

    def expected_log_components(self, mean: Tensor, variance: Tensor) -> Tensor:
        """E_q_c[log N(z; mu_c, Sigma_c)] for q_c = N(mean_c, diag variance_c), without weights.

        Both arguments are (n_samples, n_clusters, latent_dim), the result (n_samples, n_clusters).
        """
        distances = self.covariance.mahalanobis(mean - self.means)
        traces = (self.covariance.precision_diagonals() * variance).sum(-1)
        return self._log_normalizers() - self.log_weights() - 0.5 * (distances + traces)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z): (n_samples, latent_dim) to (n_samples,)."""
        return self.log_joint(z).logsumexp(-1)

    def sample(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of N(mu_c, Sigma_c) for each label c, of shape (n_samples, latent_dim)."""
        noise = torch.randn(
            (len(labels), self.latent_dim),
            generator=generator,
            dtype=self.means.dtype,
            device=self.means.device,
        )
        return self.means[labels] + self.covariance.color(noise, labels)

    @torch.no_grad()
    def assign_(self, weights: Tensor, means: Tensor, matrices: Tensor) -> None:
        """Take weights (K,), means (K, L) and full covariance matrices (K, L, L)."""
        self.logits.copy_(weights.log())
        self.means.copy_(means)
        self.covariance.assign_(matrices, weights)

    @torch.no_grad()
    def assign_partition_(self, codes: Tensor, labels: Tensor) -> None:
        """Take the shares, means and covariances of a hard partition.

        Each covariance is shrunk towards the pooled one as if by L further rows, so that a
        cluster of few or no rows has an ordinary shape; the covariance's floor is added to its
        diagonal.
        """
        codes, labels = codes.cpu().double(), labels.cpu()  # not every device has float64
        members = torch.nn.functional.one_hot(labels, self.n_clusters).to(codes)
        counts = members.sum(0)
        used = (counts > 0).unsqueeze(-1)
        means = torch.where(
            used, members.T @ codes / counts.clamp(min=1).unsqueeze(-1), codes.mean(0)
        )
        scatter = torch.stack(
            [_scatter(codes[labels == c] - means[c]) for c in range(self.n_clusters)]
        )
        pooled = scatter.sum(0) / len(codes)
        shape = (counts + self.latent_dim).view(-1, 1, 1)
        matrices = (scatter + self.latent_dim * pooled) / shape
        matrices += self.covariance.floor * torch.eye(
            self.latent_dim, dtype=codes.dtype, device=codes.device
        )
        weights = (counts + 1) / (counts + 1).sum()
        self.assign_(weights, means, matrices)

    def thin_log_variance(self, share: float) -> Tensor:
        """log of a share of the median over clusters of each dimension's conditional variance."""
        return (share * self.covariance.conditional_variances().median(0).values).log()

    def statistics(self) -> dict[str, Tensor]:
        """Weights, means and covariances, the latter in the shape of GaussianMixture."""
        return {
            "weights": self.log_weights().exp(),
            "means": self.means,
            "covariances": self.covariance.covariances(),
        }

    def permute_(self, order: Tensor) -> None:
        """Reorder the components: the new component i is the old component order[i]."""
        self.logits.data = self.logits.data[order]
        self.means.data = self.means.data[order]
        self.covariance.permute_(order)

    def _log_normalizers(self) -> Tensor:
        constant = 0.5 * self.latent_dim * math.log(2 * math.pi)
        return self.log_weights() + self.covariance.half_log_det() - constant


class MixtureOfCodes(Autoencoder):
    """A model with a Gaussian mixture p(z), which speaks of its clusters."""

    mixture: GaussianMixturePrior

    def centers(self) -> Tensor:
        """The components' means."""
        return self.mixture.means

    def statistics(self) -> dict[str, Tensor]:
        """The components' weights, means and covariances."""
        return self.mixture.statistics()

    def sample(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Draws of x for clusters: (n_samples,) to (n_samples, n_features)."""
        z = self.mixture.sample(labels, generator)
        return self.likelihood.sample(self.decode(z), generator)


def _scatter(centered: Tensor) -> Tensor:
    return centered.T @ centered


def make_mixture(
    covariance_type: str, n_clusters: int, latent_dim: int, floor: float
) -> GaussianMixturePrior:
    """A mixture with covariances of the given type and least conditional variance."""
    return GaussianMixturePrior(COVARIANCES[covariance_type](n_clusters, latent_dim, floor))
