"""GMVAE's model: VaDE's generative story with a q(c|x) of its own."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import one_hot

from skvade.nn.autoencoder import Encoding, entropy
from skvade.nn.category import CategoryModel
from skvade.nn.evidence import importance_weighted
from skvade.nn.likelihoods import Likelihood
from skvade.nn.mixtures import GaussianMixturePrior, MixtureOfCodes
from skvade.nn.networks import Decoder, GaussianEncoder


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

    def posteriors(self, encoding: Encoding) -> tuple[Tensor, Tensor]:
        return self.posterior(encoding, self.every_category())  # (B, K, L)

    def latent_divergences(self, encoding: Encoding) -> Tensor:
        mean, log_variance = self.posteriors(encoding)
        expected = self.mixture.expected_log_components(mean, log_variance.exp())
        return -(expected + entropy(log_variance))

    def decoder_input(self, z: Tensor, weights: Tensor) -> Tensor:
        """The category speaks through z alone."""
        return z

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
