"""What is generated: a variational autoencoder whose prior is a Gaussian mixture."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from skvade.nn.likelihoods import Likelihood
from skvade.nn.mixtures import GaussianMixturePrior
from skvade.nn.networks import Decoder, GaussianEncoder

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class MixtureVAE(nn.Module):
    """c ~ Cat(pi), z | c ~ N(mu_c, Sigma_c), x | z ~ p(x | f(z)); q(z|x) = N(m(x), diag s2(x)).

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
    likelihood : Likelihood
    mixture : GaussianMixturePrior

    Attributes
    ----------
    compute_dtype : torch.dtype or None
        Precision in which the two networks are multiplied; None for that of the parameters.
        Densities always keep the precision of the parameters.
    """

    def __init__(
        self,
        encoder: GaussianEncoder,
        decoder: Decoder,
        likelihood: Likelihood,
        mixture: GaussianMixturePrior,
    ):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.mixture = mixture
        self.compute_dtype: torch.dtype | None = None

    def view(self, x: Tensor) -> Tensor:
        """What the encoder sees of x; same shape."""
        return self.likelihood.encoder_input(x)

    def code(self, x: Tensor) -> Tensor:
        """The mean code m(x): (n_samples, n_features) to (n_samples, latent_dim)."""
        return self.code_of(self.view(x))

    def code_of(self, view: Tensor) -> Tensor:
        """The mean code of what the encoder sees; shapes as in `code`."""
        return self.encoder.mean(self._hidden(view))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """m(x) and log s2(x), each of shape (n_samples, latent_dim)."""
        return self.encoder(self._hidden(self.view(x)))

    def decode(self, z: Tensor) -> Tensor:
        """The likelihood's parameters f(z): (..., latent_dim) to (..., n_features)."""
        flat = z.reshape(-1, z.shape[-1])
        with self._autocast(z):
            outputs = self.decoder(flat)
        return outputs.to(z.dtype).view(*z.shape[:-1], -1)

    def assign(self, x: Tensor) -> Tensor:
        """q(c|x) = softmax_c e_c(x), the optimum of the bound: (n_samples, n_clusters)."""
        mean, log_variance = self.encode(x)
        return self.mixture.expected_log_joint(mean, log_variance.exp()).softmax(-1)

    def log_evidence(self, x: Tensor, noise: Tensor) -> Tensor:
        """Importance-weighted estimate of log p(x): log mean_s p(x, z_s) / q(z_s|x).

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_features)
        noise : Tensor of shape (n_draws, latent_dim)
            Standard normal draws, shared by all rows: z_s = m(x) + s(x) * noise_s.

        Returns
        -------
        Tensor of shape (n_samples,)

        References
        ----------
        Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016.
        """
        mean, log_variance = self.encode(x)
        z = mean.unsqueeze(1) + (0.5 * log_variance).exp().unsqueeze(1) * noise  # (B, S, L)
        log_prior = self.mixture.log_prob(z.flatten(0, 1)).view(z.shape[:2])  # (B, S)
        log_posterior = -0.5 * (
            noise.square().sum(-1)
            + log_variance.sum(-1, keepdim=True)
            + z.shape[-1] * math.log(2 * math.pi)
        )
        log_likelihood = self.likelihood.log_prob(x.unsqueeze(1), self.decode(z))
        weights = log_likelihood + log_prior - log_posterior
        return weights.logsumexp(1) - math.log(len(noise))

    def product_weights(self) -> list[nn.Parameter]:
        """Weights of dense and convolutional layers, of which `compute_dtype` speaks."""
        bodies = (self.encoder.body, self.decoder.body)
        layers = [layer for body in bodies for layer in body.modules() if type(layer) in LAYERS]
        return [parameter for layer in layers for parameter in layer.parameters(recurse=False)]

    @torch.no_grad()
    def rescale_latent_(self, factor: float) -> None:
        """Divide the latent space by `factor` without changing what is reconstructed."""
        self.encoder.rescale_(factor)
        self.decoder.rescale_(factor)

    def _hidden(self, view: Tensor) -> Tensor:
        with self._autocast(view):
            return self.encoder.hidden(view)

    def _autocast(self, x: Tensor) -> AbstractContextManager:
        dtype = self.compute_dtype
        return nullcontext() if dtype is None else torch.autocast(x.device.type, dtype=dtype)


def draw(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """z = m + s * noise, the reparametrised draw of N(m, diag s2); all (n_samples, latent_dim)."""
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + (0.5 * log_variance).exp() * noise
