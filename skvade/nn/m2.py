"""M2's model: a category, and a style that is apart from it."""

from __future__ import annotations

import copy
import math
from functools import partial

import torch
from torch import Tensor, nn

from skvade.nn.autoencoder import Encoding
from skvade.nn.category import CategoryModel
from skvade.nn.evidence import importance_weighted
from skvade.nn.likelihoods import Likelihood
from skvade.nn.mixtures import GaussianMixturePrior, share_logits
from skvade.nn.networks import Decoder, GaussianEncoder


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
        for first in self.decoder.first_layers():
            style, category = first.weight.split([codes.shape[1], self.n_clusters], 1)
            category.copy_(style @ self.head.means.T)

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
                partial(self.decode_given, weights=every[c].unsqueeze(1)),
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
