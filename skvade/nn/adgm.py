"""Auxiliary deep generative models: a style, a category, and a variable that helps to infer them.

    c ~ Cat(pi),  z ~ N(0, 1),  x | z, c ~ p(x | f(z, c))
    a | x, z, c ~ N(C z + d_c + B m(x), diag v_c s2(x))
    q(a|x) = N(m(x), diag s2(x)),  q(c|a, x),  q(z|a, x, c) = N(T a + S h(x) + a_c, diag s2'_c(x))

(Maaloe, Sonderby, Sonderby, Winther, ICML 2016.) The auxiliary variable a says nothing of how rows
come about; integrated out of q it makes q(z|x, c) more than a Gaussian. With skip connections it
does,

    a | z, c ~ N(C z + d_c, diag v_c),    x | a, z, c ~ p(x | f(a, z, c)).

Here a is a draw of the code, so that q(c|a, x) can be started at a partition of codes: it is M2's
head among codes, with a linear one of the features h(x) beside it. Since p(a|.) is linear in z, its
expectation over z is exact; and it speaks of a relative to m(x) and s2(x), so that it need not
follow where these go.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skvade.nn.autoencoder import Encoding, draw, entropy
from skvade.nn.likelihoods import Likelihood
from skvade.nn.linear_path import LinearPath
from skvade.nn.mixtures import VARIANCE_SHARE, GaussianMixturePrior
from skvade.nn.networks import LOG_VARIANCE_RANGE, Decoder, GaussianEncoder
from skvade.nn.style import CategoryAndStyle


class ADGM(CategoryAndStyle):
    """The models above.

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
        Takes [z, c]; with skip connections [a, z, c], of 2 latent_dim + n_clusters columns.
    likelihood : Likelihood
    head : GaussianMixturePrior
        Of q(c|a, x), among the codes.
    skip : bool
        Whether rows are generated from a as well.
    """

    def __init__(
        self,
        encoder: GaussianEncoder,
        decoder: Decoder,
        likelihood: Likelihood,
        head: GaussianMixturePrior,
        skip: bool = False,
    ):
        super().__init__(encoder, decoder, likelihood, head)
        self.skip = skip
        n_hidden, latent_dim = encoder.mean_head.in_features, head.latent_dim
        self.category_head = LinearPath(n_hidden, head.n_clusters)
        self.style_head = LinearPath(n_hidden, latent_dim)  # S
        self.style_log_variance_head = LinearPath(n_hidden, latent_dim)
        self.style_of_auxiliary = nn.Parameter(torch.eye(latent_dim))  # T
        self.auxiliary_of_code = None if skip else LinearPath(latent_dim, latent_dim)  # B
        self.auxiliary_of_style = nn.Parameter(torch.eye(latent_dim))  # C
        self.auxiliary_means = nn.Parameter(torch.zeros_like(head.means))  # d
        self.auxiliary_log_variances = nn.Parameter(torch.zeros_like(head.means))  # log v

    def with_draws(self, encoding: Encoding, generator: torch.Generator) -> Encoding:
        return encoding._replace(code=draw(encoding.code, encoding.log_variance, generator))

    def category_logits(self, encoding: Encoding) -> Tensor:
        """log q(c|a, x) up to a constant, where the encoding's code is a."""
        return super().category_logits(encoding) + self.category_head(encoding.hidden)

    def base_mean(self, encoding: Encoding) -> Tensor:
        """T a + S h(x)."""
        return encoding.code @ self.style_of_auxiliary.T + self.style_head(encoding.hidden)

    def base_log_variance(self, encoding: Encoding) -> Tensor:
        return self.style_log_variance_head(encoding.hidden).clamp(*LOG_VARIANCE_RANGE)

    def latent_divergences(self, encoding: Encoding) -> Tensor:
        """KL(q(z|a, x, c) || p(z)) + log q(a|x) - E_q[log p(a|x, z, c)], with E[log q(a|x)] for it.

        Of every c, (n_samples, n_clusters), where the encoding's code is a.
        """
        mean, log_variance = self.posterior(encoding, self.every_category())  # (B, K, L)
        every, spread = self.every_category(), log_variance.exp()
        mean_a, log_variance_a = self.auxiliary(encoding, mean, every)
        squares = (encoding.code.unsqueeze(1) - mean_a).square()
        squares = squares + spread @ self.auxiliary_of_style.square().T
        log_density = math.log(2 * math.pi) + log_variance_a + squares * (-log_variance_a).exp()
        expected = -0.5 * log_density.sum(-1)
        own = entropy(encoding.log_variance).unsqueeze(-1)
        return super().latent_divergences(encoding) - expected - own

    def auxiliary(
        self, encoding: Encoding | None, z: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and log variance of p(a|x, z, c), given (n_samples, n_clusters or n_draws, L).

        The encoding is that of x, on which p(a|z, c) of skip connections does not depend.
        """
        mean = z @ self.auxiliary_of_style.T + weights @ self.auxiliary_means
        log_variance = weights @ self.auxiliary_log_variances
        if self.auxiliary_of_code is None or encoding is None:
            return mean, log_variance
        of_code = self.auxiliary_of_code(self.encoder.mean(encoding.hidden)).unsqueeze(1)
        return mean + of_code, log_variance + encoding.log_variance.unsqueeze(1)

    def decoder_input(self, z: Tensor, weights: Tensor, auxiliary: Tensor | None = None) -> Tensor:
        """What the decoder sees; with skip connections a is its mean, where it is not given."""
        style = super().decoder_input(z, weights)
        if not self.skip:
            return style
        if auxiliary is None:
            auxiliary, _ = self.auxiliary(None, z, weights)
        return torch.cat([auxiliary.expand(z.shape), style], -1)

    def explain(self, encoding: Encoding, z: Tensor, weights: Tensor) -> Tensor:
        return self.decode(self.decoder_input(z, weights, encoding.code))

    def decoded_from(self, encoding: Encoding) -> Tensor:
        weights = self.category_logits(encoding).softmax(-1)
        mean, _ = self.posterior(encoding, weights)
        return self.decoder_input(mean, weights, encoding.code)

    def reconstruct(self, code: Tensor) -> Tensor:
        n_others = self.n_clusters + self.skip * code.shape[-1]
        return self.decode(torch.cat([code, code.new_zeros(*code.shape[:-1], n_others)], -1))

    def decode_drawn(self, z: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        if not self.skip:
            return self.decode_given(z, weights)
        a = draw(*self.auxiliary(None, z, weights), generator)
        return self.decode(self.decoder_input(z, weights, a))

    @torch.no_grad()
    def take_partition_(self, codes: Tensor, labels: Tensor) -> None:
        """Start at the bound of M2, or, with skip connections, of clusters of one variance.

        Without them z is a without its cluster's mean, both with half of the variance of M2's z,
        and p(a|x, z, c) is the exact q(a|x, z, c). With them p(a|c) is N(mu_c, diag w), w the
        median variance of the clusters, of which z explains a half, and rows are decoded from a
        alone.
        """
        super().take_partition_(codes, labels)
        means, thin = self.head.means, self.head.thin_log_variance(VARIANCE_SHARE)
        if self.auxiliary_of_code is not None:
            half = thin - math.log(2)
            self.encoder.set_log_variance_(half)
            self.style_log_variance_head.bias.copy_(half)
            nn.init.eye_(self.style_of_auxiliary)
            self.mean_offsets.copy_(-means)
            self.auxiliary_of_code.weight.copy_(0.5 * torch.eye(len(half)))
            nn.init.zeros_(self.auxiliary_of_code.bias)
            self.auxiliary_of_style.copy_(0.5 * torch.eye(len(half)))
            self.auxiliary_means.copy_(0.5 * means)
            self.auxiliary_log_variances.fill_(-math.log(2))
            self._let_category_bring_means_()
            return
        half = self.head.thin_log_variance(0.5)  # log(w / 2)
        gain = (-0.5 * half).exp() / 2  # 1 / sqrt(2 w)
        self.style_log_variance_head.bias.fill_(-math.log(2))
        self.style_of_auxiliary.copy_(gain.diag())
        self.mean_offsets.copy_(-gain * means)
        self.auxiliary_of_style.copy_((0.5 * half).exp().diag())
        self.auxiliary_means.copy_(means)
        self.auxiliary_log_variances.copy_(half.expand_as(means))
        for first in self.decoder.first_layers():
            first.weight[:, means.shape[1] :] = 0.0

    def permute_(self, order: Tensor) -> None:
        super().permute_(order)
        for parameter in (
            *self.category_head.parameters(),
            self.auxiliary_means,
            self.auxiliary_log_variances,
        ):
            parameter.data = parameter.data[order]

    def log_evidence(self, x: Tensor, noise: Tensor) -> Tensor:
        """log sum_c p(x, c), each importance-weighted by draws of q(a|x) q(z|a, x, c).

        All draws are used for a row's most probable category, and a share of them for the others.
        Of z the draw s has the noise of a's draw s - 1, from which it is independent; there must be
        two draws at least.
        """
        encoding = self.encode(x)
        order = self.category_logits(encoding).argsort(-1, descending=True)
        n_few = max(1, len(noise) // self.n_clusters)
        pair = noise, noise.roll(1, 0)
        few = pair[0][:n_few], pair[1][:n_few]
        log_weights = self.log_weights()
        log_joint = [
            log_weights[c] + self._log_evidence_given(x, encoding, c, *(few if rank else pair))
            for rank, c in enumerate(order.T)
        ]
        return torch.stack(log_joint).logsumexp(0)

    def _log_evidence_given(
        self, x: Tensor, encoding: Encoding, c: Tensor, noise_a: Tensor, noise_z: Tensor
    ) -> Tensor:
        """log p(x|c) for a category of each row, importance-weighted: (n_samples,)."""
        weights = self.every_category()[0][c].unsqueeze(1)  # (B, 1, K)
        mean, log_variance = encoding.code.unsqueeze(1), encoding.log_variance.unsqueeze(1)
        a = mean + (0.5 * log_variance).exp() * noise_a  # (B, S, L)
        mean_z, log_variance_z = self.posterior(encoding, weights.squeeze(1))
        mean_z = mean_z.unsqueeze(1) + (a - mean) @ self.style_of_auxiliary.T
        z = mean_z + (0.5 * log_variance_z).exp().unsqueeze(1) * noise_z
        mean_a, log_variance_a = self.auxiliary(encoding, z, weights)
        squares = (a - mean_a).square() * (-log_variance_a).exp()
        log_prior = -0.5 * (z.square() + log_variance_a + squares).sum(-1)
        log_posterior = -0.5 * (
            noise_a.square().sum(-1)
            + noise_z.square().sum(-1)
            + (log_variance + log_variance_z.unsqueeze(1)).sum(-1)
        )
        outputs = self.decode(self.decoder_input(z, weights, a))
        log_likelihood = self.likelihood.log_prob(x.unsqueeze(1), outputs)
        log_ratio = log_likelihood + log_prior - log_posterior  # the factors of 2 pi cancel
        return log_ratio.logsumexp(1) - math.log(len(noise_a))
