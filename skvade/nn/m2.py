"""M2's model: a category, and a style that is read off the row and the category."""

from __future__ import annotations

import copy
import math
from functools import partial

import torch
from torch import Tensor

from skvade.nn.autoencoder import Encoding
from skvade.nn.evidence import importance_weighted
from skvade.nn.likelihoods import Likelihood
from skvade.nn.mixtures import GaussianMixturePrior
from skvade.nn.networks import Decoder, GaussianEncoder
from skvade.nn.style import CategoryAndStyle


class M2(CategoryAndStyle):
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

    def __init__(
        self,
        encoder: GaussianEncoder,
        decoder: Decoder,
        likelihood: Likelihood,
        head: GaussianMixturePrior,
    ):
        super().__init__(encoder, decoder, likelihood, head)
        self.style_head = copy.deepcopy(encoder.mean_head)

    def base_mean(self, encoding: Encoding) -> Tensor:
        """The style head's mean."""
        return self.style_head(encoding.hidden.to(self.style_head.weight.dtype))

    @torch.no_grad()
    def take_partition_(self, codes: Tensor, labels: Tensor) -> None:
        """Start at styles that are the codes without their clusters' means.

        Where the decoder is a sequence that begins with a dense layer, the category brings the mean
        back, and reconstructions stay as they are.
        """
        super().take_partition_(codes, labels)
        self.style_head.load_state_dict(self.encoder.mean_head.state_dict())
        self.mean_offsets.copy_(-self.head.means)
        self._let_category_bring_means_()

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
