"""A category, and a style that is apart from it: c ~ Cat(pi), z ~ N(0, 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skvade.nn.autoencoder import Encoding
from skvade.nn.category import CategoryModel
from skvade.nn.likelihoods import Likelihood
from skvade.nn.mixtures import GaussianMixturePrior, share_logits
from skvade.nn.networks import Decoder, GaussianEncoder


class CategoryAndStyle(CategoryModel):
    """What models of a category and a style share, whatever their posteriors are.

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
        Takes [z, c], of latent_dim + n_clusters columns.
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
        self.logits = nn.Parameter(torch.zeros(head.n_clusters))
        # Row c is what the decoder sees of category c.
        self.register_buffer("categories", torch.eye(head.n_clusters))

    def log_weights(self) -> Tensor:
        return self.logits.log_softmax(-1)

    def latent_divergences(self, encoding: Encoding) -> Tensor:
        mean, log_variance = self.posterior(encoding, self.every_category())  # (B, K, L)
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)

    def decoder_input(self, z: Tensor, weights: Tensor) -> Tensor:
        category = (weights @ self.categories).expand(*z.shape[:-1], self.n_clusters)
        return torch.cat([z, category], -1)

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
        super().take_partition_(codes, labels)
        self.logits.copy_(self.head.logits)

    def prior_moments(self, encoding: Encoding, weights: Tensor) -> tuple[Tensor, ...]:
        """What `maximise_prior_` needs of a block of rows with q(c|x) = weights, to be added."""
        return (weights.cpu().double().sum(0),)

    @torch.no_grad()
    def maximise_prior_(self, *moments: Tensor) -> None:
        """Maximise the bound in p(c) alone, the mean of q(c|x); p(z) is fixed."""
        (counts,) = moments
        self.logits.copy_(share_logits(counts))

    def permute_(self, order: Tensor) -> None:
        super().permute_(order)
        self.logits.data = self.logits.data[order]
        self.categories.data = self.categories.data[order]

    def statistics(self) -> dict[str, Tensor]:
        return {"weights": self.log_weights().exp(), "means": self.head.means}

    def sample(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Draws of x for clusters, (n_samples,) to (n_samples, n_features).

        The same generator gives the same styles, whatever the clusters.
        """
        like = self.mean_offsets
        shape = (len(labels), like.shape[1])
        z = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        outputs = self.decode_drawn(z, self.every_category()[0][labels], generator)
        return self.likelihood.sample(outputs, generator)

    def decode_drawn(self, z: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        """Likelihood parameters of styles and categories, and of what else may be drawn."""
        return self.decode_given(z, weights)

    def _let_category_bring_means_(self) -> None:
        """Let [z, c] be decoded as the code z + mu_c was, by a decoder of ours."""
        latent_dim = self.mean_offsets.shape[1]
        for first in self.decoder.first_layers():
            style, category = first.weight.split([latent_dim, self.n_clusters], 1)
            category.copy_(style @ self.head.means.T)
