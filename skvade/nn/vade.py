"""VaDE's model: a variational autoencoder whose prior is a Gaussian mixture."""

from __future__ import annotations

from torch import Tensor

from skvade.nn.autoencoder import Encoding
from skvade.nn.evidence import importance_weighted
from skvade.nn.likelihoods import Likelihood
from skvade.nn.mixtures import VARIANCE_SHARE, GaussianMixturePrior, MixtureOfCodes
from skvade.nn.networks import Decoder, GaussianEncoder


class MixtureVAE(MixtureOfCodes):
    """c ~ Cat(pi), z | c ~ N(mu_c, Sigma_c), x | z ~ p(x | f(z)); q(z|x) = N(m(x), diag s2(x)).

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
    likelihood : Likelihood
    mixture : GaussianMixturePrior
    """

    def __init__(
        self,
        encoder: GaussianEncoder,
        decoder: Decoder,
        likelihood: Likelihood,
        mixture: GaussianMixturePrior,
    ):
        super().__init__(encoder, decoder, likelihood)
        self.mixture = mixture

    def category_logits(self, encoding: Encoding) -> Tensor:
        """e_c(x), whose softmax is q(c|x), the optimum of the bound: (n_samples, n_clusters)."""
        return self.mixture.expected_log_joint(encoding.code, encoding.log_variance.exp())

    def tailed_logits(self, code: Tensor) -> Tensor:
        return self.mixture.log_tailed_joint(code)

    def posteriors(self, encoding: Encoding) -> tuple[Tensor, Tensor]:
        return encoding.code.unsqueeze(1), encoding.log_variance.unsqueeze(1)

    def take_partition_(self, codes: Tensor, labels: Tensor) -> None:
        """Take the mixture of a partition, and a posterior thinner than its clusters.

        The encoder's variance starts at a tenth of the median conditional variance of the clusters,
        1 / (Sigma_c^-1)_ll: were it larger than the clusters are thin, the trace term would swamp
        the mixture and clusters would die.
        """
        self.mixture.assign_partition_(codes, labels)
        self.encoder.set_log_variance_(self.mixture.thin_log_variance(VARIANCE_SHARE))

    def permute_(self, order: Tensor) -> None:
        self.mixture.permute_(order)

    def log_evidence(self, x: Tensor, noise: Tensor) -> Tensor:
        """Importance-weighted log p(x) of rows (n_samples, n_features), by draws of q(z|x)."""
        mean, log_variance, _ = self.encode(x)
        prior, decode = self.mixture.log_prob, self.decode
        return importance_weighted(x, mean, log_variance, noise, prior, decode, self.likelihood)
