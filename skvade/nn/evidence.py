"""Importance-weighted estimates of log p(x)."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from skvade.nn.likelihoods import Likelihood


def importance_weighted(
    x: Tensor,
    mean: Tensor,
    log_variance: Tensor,
    noise: Tensor,
    log_prior: Callable[[Tensor], Tensor],
    decode: Callable[[Tensor], Tensor],
    likelihood: Likelihood,
) -> Tensor:
    """log 1/S sum_s p(x|z_s) p(z_s) / q(z_s), with draws z_s of q = N(mean, diag variance).

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_features)
    mean, log_variance : Tensor of shape (n_samples, latent_dim)
    noise : Tensor of shape (n_draws, latent_dim)
        Standard normal draws, shared by all rows: z_s = mean + exp(log_variance / 2) * noise_s.
    log_prior : callable
        Takes (n, latent_dim) to log p(z), (n,).
    decode : callable
        Takes (n_samples, n_draws, latent_dim) to the likelihood's parameters.
    likelihood : Likelihood

    Returns
    -------
    Tensor of shape (n_samples,)

    References
    ----------
    Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016.
    """
    z = mean.unsqueeze(1) + (0.5 * log_variance).exp().unsqueeze(1) * noise  # (B, S, L)
    log_priors = log_prior(z.flatten(0, 1)).view(z.shape[:2])  # (B, S)
    log_posteriors = -0.5 * (
        noise.square().sum(-1)
        + log_variance.sum(-1, keepdim=True)
        + z.shape[-1] * math.log(2 * math.pi)
    )
    weights = likelihood.log_prob(x.unsqueeze(1), decode(z)) + log_priors - log_posteriors
    return weights.logsumexp(1) - math.log(len(noise))
