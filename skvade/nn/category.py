"""Models with q(c|x) of their own beside q(z|x, c): GMVAE's and M2's.

The category is read off the code, q(c|x) ~ pi_c N(m(x); mu_c, Sigma_c) with parameters of its own:
a quadratic head, which can be started at a partition exactly. The latent variable z is Gaussian
given row and category, with heads on the features h(x) and the category together,

    q(z|x, c) = N(m'(x) + a_c, diag exp(l(x) + b_c)),

which is a linear layer on [h(x), c].
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from skvade.nn.autoencoder import Autoencoder, Encoding, entropy
from skvade.nn.evidence import importance_weighted
from skvade.nn.likelihoods import Likelihood
from skvade.nn.mixtures import GaussianMixturePrior
from skvade.nn.models import VARIANCE_SHARE, MixtureOfCodes
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

    @abstractmethod
    def log_weights(self) -> Tensor:
        """log p(c), of shape (K,)."""

    @abstractmethod
    def latent_divergences(self, encoding: Encoding) -> Tensor:
        """KL(q(z|x, c) || p(z|c)) for every c, of shape (n_samples, K)."""

    @abstractmethod
    def decode_given(self, z: Tensor, weights: Tensor) -> Tensor:
        """Likelihood parameters of (..., latent_dim) and categories (..., K), maybe relaxed."""

    def category_logits(self, encoding: Encoding) -> Tensor:
        return self.head.log_joint(encoding.code)

    def posterior(self, encoding: Encoding, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x, c) for one-hot or relaxed categories.

        Weights of shape (n_samples, K) give (n_samples, latent_dim), and (1, K, K), the identity,
        every category at once, (n_samples, K, latent_dim).
        """
        mean, log_variance = self.base_mean(encoding), encoding.log_variance
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


class GMVAE(MixtureOfCodes, CategoryModel):
    """c ~ Cat(pi), z | c ~ N(mu_c, Sigma_c), x | z ~ p(x | f(z)), as VaDE.

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
    likelihood : Likelihood
    head, mixture : GaussianMixturePrior
        Of q(c|x), among the codes, and of p(c) p(z|c).
    """

    def __init__(
        self,
        encoder: GaussianEncoder,
        decoder: Decoder,
        likelihood: Likelihood,
        head: GaussianMixturePrior,
        mixture: GaussianMixturePrior,
    ):
        super().__init__(encoder, decoder, likelihood, head)
        self.mixture = mixture

    def base_mean(self, encoding: Encoding) -> Tensor:
        """The code."""
        return encoding.code

    def log_weights(self) -> Tensor:
        return self.mixture.log_weights()

    def latent_divergences(self, encoding: Encoding) -> Tensor:
        mean, log_variance = self.posterior(encoding, self.every_category())  # (B, K, L)
        expected = self.mixture.expected_log_components(mean, log_variance.exp())
        return -(expected + entropy(log_variance))

    def decode_given(self, z: Tensor, weights: Tensor) -> Tensor:
        """The category speaks through z alone."""
        return self.decode(z)

    def take_partition_(self, codes: Tensor, labels: Tensor) -> None:
        super().take_partition_(codes, labels)
        self.mixture.assign_partition_(codes, labels)

    def permute_(self, order: Tensor) -> None:
        super().permute_(order)
        self.mixture.permute_(order)

    def log_evidence(self, x: Tensor, noise: Tensor) -> Tensor:
        """Importance-weighted log p(x), by draws of q(z|x, c) for the most probable c."""
        encoding = self.encode(x)
        likely = one_hot(self.category_logits(encoding).argmax(-1), self.n_clusters)
        mean, log_variance = self.posterior(encoding, likely.to(encoding.code))
        prior, decode = self.mixture.log_prob, self.decode
        return importance_weighted(x, mean, log_variance, noise, prior, decode, self.likelihood)


class M2(CategoryModel):
    """c ~ Cat(pi), z ~ N(0, 1), x | z, c ~ p(x | f(z, c)): a category and a style apart from it.

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
        Takes [z, c], of latent_dim + n_clusters columns; a plain autoencoder's codes come with
        zeros in the place of c.
    likelihood : Likelihood
    head : GaussianMixturePrior
        Of q(c|x), among the codes.
    """

    categories: Tensor

    def __init__(
        self,
        encoder: GaussianEncoder,
        decoder: Decoder,
        likelihood: Likelihood,
        head: GaussianMixturePrior,
    ):
        super().__init__(encoder, decoder, likelihood, head)
        self.style_head = copy.deepcopy(encoder.mean_head)
        self.logits = nn.Parameter(torch.zeros(head.n_clusters))
        # Row c is what the decoder sees of category c.
        self.register_buffer("categories", torch.eye(head.n_clusters))

    def log_weights(self) -> Tensor:
        return self.logits.log_softmax(-1)

    def base_mean(self, encoding: Encoding) -> Tensor:
        """The style head's mean."""
        return self.style_head(encoding.hidden.to(self.style_head.weight.dtype))

    def latent_divergences(self, encoding: Encoding) -> Tensor:
        mean, log_variance = self.posterior(encoding, self.every_category())  # (B, K, L)
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)

    def decode_given(self, z: Tensor, weights: Tensor) -> Tensor:
        category = (weights @ self.categories).expand(*z.shape[:-1], self.n_clusters)
        return self.decode(torch.cat([z, category], -1))

    def reconstruct(self, code: Tensor) -> Tensor:
        return self.decode(torch.cat([code, code.new_zeros(*code.shape[:-1], self.n_clusters)], -1))

    def expect(self, z: Tensor) -> Tensor:
        """E[x|z], with the expectation over the category."""
        weights = self.log_weights().exp()
        return sum(weight * self.expect_given(z, c) for c, weight in enumerate(weights))

    def expect_given(self, z: Tensor, cluster: int) -> Tensor:
        """E[x|z, c] for one category c."""
        return self.likelihood.mean(self.decode_given(z, self.every_category()[0, cluster]))

    def decode_centers(self) -> Tensor:
        """The likelihood's parameters of every category in the middle of all styles."""
        every = self.every_category()[0]
        return self.decode_given(torch.zeros_like(self.mean_offsets), every)

    @torch.no_grad()
    def take_partition_(self, codes: Tensor, labels: Tensor) -> None:
        """Start at styles that are the codes without their clusters' means.

        Where the decoder is a sequence that begins with a dense layer, the category brings the mean
        back, and reconstructions stay as they are.
        """
        super().take_partition_(codes, labels)
        self.logits.copy_(self.head.logits)
        self.style_head.load_state_dict(self.encoder.mean_head.state_dict())
        self.mean_offsets.copy_(-self.head.means)
        body = self.decoder.body
        first = body[0] if isinstance(body, nn.Sequential) else None
        if isinstance(first, nn.Linear):
            style, category = first.weight.split([codes.shape[1], self.n_clusters], 1)
            category.copy_(style @ self.head.means.T)

    def permute_(self, order: Tensor) -> None:
        super().permute_(order)
        self.logits.data = self.logits.data[order]
        self.categories.data = self.categories.data[order]

    def statistics(self) -> dict[str, Tensor]:
        return {"weights": self.log_weights().exp(), "means": self.head.means}

    def log_evidence(self, x: Tensor, noise: Tensor) -> Tensor:
        """log sum_c p(x, c), each importance-weighted by draws of q(z|x, c).

        All draws are used for a row's most probable category, and a share of them for the others,
        which hardly count.
        """
        encoding = self.encode(x)
        order = self.category_logits(encoding).argsort(-1, descending=True)
        every, log_weights = self.every_category()[0], self.log_weights()
        few = noise[: max(1, len(noise) // self.n_clusters)]
        log_joint = []
        for rank, c in enumerate(order.T):
            mean, log_variance = self.posterior(encoding, every[c])
            log_evidence = importance_weighted(
                x,
                mean,
                log_variance,
                few if rank else noise,
                lambda z: -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1),
                lambda z, c=c: self.decode_given(z, every[c].unsqueeze(1)),
                self.likelihood,
            )
            log_joint.append(log_weights[c] + log_evidence)
        return torch.stack(log_joint).logsumexp(0)

    def sample(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Draws of x for clusters, (n_samples,) to (n_samples, n_features).

        The same generator gives the same styles, whatever the clusters.
        """
        like = self.mean_offsets
        shape = (len(labels), like.shape[1])
        z = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        outputs = self.decode_given(z, self.every_category()[0][labels])
        return self.likelihood.sample(outputs, generator)
