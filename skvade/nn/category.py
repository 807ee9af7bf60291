"""What models share that have a q(c|x) of their own beside q(z|x, c): GMVAE, M2 and ADGM.

The category is read off the code, q(c|x) ~ pi_c N(m(x); mu_c, Sigma_c) with parameters of its own:
a quadratic head, which can be started at a partition exactly. The latent variable z is Gaussian
given row and category, with heads on the features h(x) and the category together,

    q(z|x, c) = N(m'(x) + a_c, diag exp(l(x) + b_c)),

which is a linear layer on [h(x), c].
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from skvade.nn.autoencoder import Autoencoder, Encoding
from skvade.nn.likelihoods import Likelihood
from skvade.nn.mixtures import VARIANCE_SHARE, GaussianMixturePrior
from skvade.nn.networks import LOG_VARIANCE_RANGE, Decoder, GaussianEncoder


class CategoryModel(Autoencoder):
    """A category c, a latent z, and the posteriors above.

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
    likelihood : Likelihood
    head : GaussianMixturePrior
        Of q(c|x), among the codes.
    """

    def __init__(
        self,
        encoder: GaussianEncoder,
        decoder: Decoder,
        likelihood: Likelihood,
        head: GaussianMixturePrior,
    ):
        super().__init__(encoder, decoder, likelihood)
        self.head = head
        self.mean_offsets = nn.Parameter(torch.zeros_like(head.means))
        self.log_variance_offsets = nn.Parameter(torch.zeros_like(head.means))

    @property
    def n_clusters(self) -> int:
        """K."""
        return self.head.n_clusters

    @abstractmethod
    def base_mean(self, encoding: Encoding) -> Tensor:
        """m'(x), of shape (n_samples, latent_dim)."""

    def base_log_variance(self, encoding: Encoding) -> Tensor:
        """l(x), of shape (n_samples, latent_dim)."""
        return encoding.log_variance

    def with_draws(self, encoding: Encoding, generator: torch.Generator) -> Encoding:
        """The encoding with draws of what the posteriors depend on, in models that have such."""
        return encoding

    @abstractmethod
    def log_weights(self) -> Tensor:
        """log p(c), of shape (K,)."""

    @abstractmethod
    def latent_divergences(self, encoding: Encoding) -> Tensor:
        """KL(q(z|x, c) || p(z|c)) for every c, of shape (n_samples, K), given `with_draws`."""

    @abstractmethod
    def decoder_input(self, z: Tensor, weights: Tensor) -> Tensor:
        """What the decoder sees of (..., latent_dim) and categories (..., K), maybe relaxed."""

    def decode_given(self, z: Tensor, weights: Tensor) -> Tensor:
        """Likelihood parameters of the same."""
        return self.decode(self.decoder_input(z, weights))

    def explain(self, encoding: Encoding, z: Tensor, weights: Tensor) -> Tensor:
        """The same for draws of z given the encoding, `with_draws`, which may say more."""
        return self.decode_given(z, weights)

    def decoded_from(self, encoding: Encoding) -> Tensor:
        weights = self.category_logits(encoding).softmax(-1)
        return self.decoder_input(self.posterior(encoding, weights)[0], weights)

    def category_logits(self, encoding: Encoding) -> Tensor:
        return self.head.log_joint(encoding.code)

    def tailed_logits(self, code: Tensor) -> Tensor:
        return self.head.log_tailed_joint(code)

    def posterior(self, encoding: Encoding, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x, c) for one-hot or relaxed categories.

        Weights of shape (n_samples, K) give (n_samples, latent_dim), and (1, K, K), the identity,
        every category at once, (n_samples, K, latent_dim).
        """
        mean, log_variance = self.base_mean(encoding), self.base_log_variance(encoding)
        if weights.ndim == 3:
            mean, log_variance = mean.unsqueeze(1), log_variance.unsqueeze(1)
        log_variance = log_variance + weights @ self.log_variance_offsets
        return mean + weights @ self.mean_offsets, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def every_category(self) -> Tensor:
        """The one-hot categories of every cluster, as `posterior` takes them: (1, K, K)."""
        means = self.mean_offsets
        return torch.eye(self.n_clusters, dtype=means.dtype, device=means.device).unsqueeze(0)

    def embed(self, x: Tensor) -> Tensor:
        """E_q[z|x], with the expectation over the category."""
        encoding = self.encode(x)
        return self.posterior(encoding, self.category_logits(encoding).softmax(-1))[0]

    def take_partition_(self, codes: Tensor, labels: Tensor) -> None:
        self.head.assign_partition_(codes, labels)
        self.encoder.set_log_variance_(self.head.thin_log_variance(VARIANCE_SHARE))

    def permute_(self, order: Tensor) -> None:
        self.head.permute_(order)
        for offsets in (self.mean_offsets, self.log_variance_offsets):
            offsets.data = offsets.data[order]

    def centers(self) -> Tensor:
        return self.head.means
