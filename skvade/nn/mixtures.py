"""The Gaussian mixture prior p(c) p(z|c)."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from skvade.nn.autoencoder import Autoencoder, Encoding
from skvade.nn.covariances import COVARIANCES, Covariance

BLOCK_ROWS = 1 << 16  # of which it is said at a time in which cluster they are
VARIANCE_SHARE = 0.1  # of the clusters' own, at which q(z|x) starts
LEAST_COUNT = 1e-3  # rows that a cluster's weight stands for at least, so that its log is finite


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

    def log_tailed_joint(self, z: Tensor) -> Tensor:
        """log pi_c + log t(z; mu_c, Sigma_c), up to a constant: shapes as in `log_joint`.

        The t distribution has as many degrees of freedom as there are latent dimensions L, so that
        its density is proportional to |Sigma_c|^-1/2 (1 + d^2 / L)^-L at a Mahalanobis distance d.
        """
        distances = self.covariance.mahalanobis(z.unsqueeze(1) - self.means)
        return self._log_normalizers() - self.latent_dim * (distances / self.latent_dim).log1p()

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
        counts, sums = codes.new_zeros(self.n_clusters), torch.zeros_like(self.means.cpu().double())
        for some, own in zip(codes.split(BLOCK_ROWS), labels.split(BLOCK_ROWS), strict=True):
            members = torch.nn.functional.one_hot(own, self.n_clusters).to(codes)
            counts += members.sum(0)
            sums += members.T @ some
        used = (counts > 0).unsqueeze(-1)
        means = torch.where(used, sums / counts.clamp(min=1).unsqueeze(-1), codes.mean(0))
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

    def moments(self, weights: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
        """Sums over rows that `maximise_` needs, in float64; those of blocks of rows are added.

        Parameters
        ----------
        weights : Tensor of shape (n_samples, n_clusters)
            q(c|x).
        mean, variance : Tensor of shape (n_samples, n_clusters or 1, latent_dim)
            Of q(z|x, c).

        Returns
        -------
        tuple of Tensor, (n_clusters,), (n_clusters, latent_dim), (..., latent_dim, latent_dim)
            Of q(c|x), q(c|x) E_q[d] and q(c|x) E_q[d d'], where d = z - mu_c.
        """
        weights, mean, variance = (part.cpu().double() for part in (weights, mean, variance))
        difference = mean - self.means.detach().cpu().double()  # (n, K, L)
        weighted = weights.unsqueeze(-1) * difference
        spread = (weights.unsqueeze(-1) * variance).sum(0)
        second = torch.einsum("nki,nkj->kij", weighted, difference) + torch.diag_embed(spread)
        return weights.sum(0), weighted.sum(0), second

    @torch.no_grad()
    def maximise_(self, counts: Tensor, first: Tensor, second: Tensor) -> None:
        """The M step of EM: maximise sum_x sum_c q(c|x) E_q[log pi_c + log N(z; mu_c, Sigma_c)].

            pi_c = N_c / N,  mu_c = E_c[z],  Sigma_c = E_c[(z - mu_c)(z - mu_c)'],

        where E_c is the mean over z ~ q(z|x, c) and rows weighted by q(c|x), and N_c the sum of
        these weights. A cluster of less than a row keeps its mean.

        Parameters
        ----------
        counts, first, second : Tensor
            Sums of `moments` over all rows, with the means as they are now.
        """
        used = (counts >= 1).unsqueeze(-1)
        shift = torch.where(used, first / counts.clamp(min=1).unsqueeze(-1), 0.0)
        outer = shift.unsqueeze(-1) * shift.unsqueeze(-2)
        self.logits.copy_(share_logits(counts))
        self.means.copy_(self.means.cpu().double() + shift)
        self.covariance.maximise_(second - counts.view(-1, 1, 1) * outer, counts)

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

    @abstractmethod
    def posteriors(self, encoding: Encoding) -> tuple[Tensor, Tensor]:
        """Means and log variances of q(z|x, c): (n_samples, n_clusters or 1, latent_dim)."""

    def prior_moments(self, encoding: Encoding, weights: Tensor) -> tuple[Tensor, ...]:
        """What `maximise_prior_` needs of a block of rows with q(c|x) = weights, to be added."""
        mean, log_variance = self.posteriors(encoding)
        return self.mixture.moments(weights, mean, log_variance.exp())

    def maximise_prior_(self, *moments: Tensor) -> None:
        """Maximise the bound in the mixture alone, given its moments over all rows."""
        self.mixture.maximise_(*moments)

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


def share_logits(counts: Tensor) -> Tensor:
    """Logits of the shares N_c / N, finite for empty clusters too."""
    return (counts.clamp(min=LEAST_COUNT) / counts.sum()).log()


def _scatter(centered: Tensor) -> Tensor:
    return centered.T @ centered


def make_mixture(
    covariance_type: str, n_clusters: int, latent_dim: int, floor: float
) -> GaussianMixturePrior:
    """A mixture with covariances of the given type and least conditional variance."""
    return GaussianMixturePrior(COVARIANCES[covariance_type](n_clusters, latent_dim, floor))
