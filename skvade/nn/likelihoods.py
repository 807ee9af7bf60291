"""p(x | z): one small class per family, from the decoder's outputs to densities, means and draws.

Log-likelihoods are summed over features, never averaged: the evidence lower bound weighs them
against the latent terms, so an average would silently rescale the prior.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax, softplus

from skvade.nn.summary import DataSummary

RARE = 1e-3  # least mean from which a linear decoder starts


class Likelihood(nn.Module, ABC):
    """A family of densities over the features, given the decoder's outputs.

    Attributes
    ----------
    standardizes : bool
        Whether the model works on shifted and scaled data (densities over the real line do).
    lower, upper : float
        Bounds of the support, or of what can be computed.
    bounded : bool
        Whether there are any.
    cure_of_large : str
        What to do with data beyond the upper one.
    counts : bool
        Whether it is for whole numbers.
    """

    standardizes = False
    lower = -math.inf
    upper = math.inf
    bounded = True
    cure_of_large = ""
    counts = False

    def __init__(self, summary: DataSummary):
        super().__init__()

    def encoder_input(self, x: Tensor) -> Tensor:
        """What the encoder sees of x; same shape."""
        return x

    def linear_start(self, mean: Tensor) -> tuple[Tensor, float]:
        """Where a linear decoder starts, given the mean of what the encoder sees: (n_features,).

        The outputs at that mean, and how much they change with what the encoder sees.
        """
        return mean, 1.0

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log p(x | outputs), summed over features: (..., n_features) to (...)."""

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """E[x | outputs], same shape."""

    @abstractmethod
    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of x for each row of outputs, same shape."""

    def expectation(self, x: Tensor, outputs: Tensor) -> Tensor:
        """E[x | outputs], and for counts given the row sums of x as well."""
        return self.mean(outputs)

    def calibrate_(self, residual: Tensor, mean: Tensor, squared_mean: Tensor) -> None:
        """Start the dispersion where the pretrained decoder left it.

        `residual`, `mean` and `squared_mean`, each of shape (n_features,), are averages over
        rows of (x - E[x|z])^2, E[x|z] and E[x|z]^2. Families without dispersion ignore them.
        """


class Bernoulli(Likelihood):
    """Independent Bernoulli features; outputs are logits, data lie in [0, 1].

    `log p(x|f) = sum_d x_d log s(f_d) + (1 - x_d) log(1 - s(f_d))` with the logistic function s.
    For grey values strictly between 0 and 1 this is the customary cross-entropy, and `sample`
    returns means, because draws of zeros and ones would not look like the data.
    """

    lower, upper = 0.0, 1.0
    cure_of_large = "scale the data with MinMaxScaler(clip=True), divide pixels by their maximum"

    def __init__(self, summary: DataSummary):
        super().__init__(summary)
        self.binary = summary.binary

    def linear_start(self, mean: Tensor) -> tuple[Tensor, float]:
        return mean.clamp(RARE, 1 - RARE).logit(), 4.0  # d logit(p) / dp is 4 at p = 1/2

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        return -binary_cross_entropy_with_logits(
            outputs, x.expand_as(outputs), reduction="none"
        ).sum(-1)

    def mean(self, outputs: Tensor) -> Tensor:
        return torch.sigmoid(outputs)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        mean = self.mean(outputs)
        return torch.bernoulli(mean, generator=generator) if self.binary else mean


class Gaussian(Likelihood):
    """Gaussian features with one noise variance v, learned; outputs are means.

    `log p(x|f) = -1/2 [ |x - f|^2 / v + D log(2 pi v) ]`. The floor on v, relative to the mean
    variance of a feature, keeps the density from growing without bound.
    """

    standardizes = True
    bounded = False
    variance_floor = 1e-3

    def __init__(self, summary: DataSummary):
        super().__init__(summary)
        self.log_variance = nn.Parameter(torch.zeros(()))

    @property
    def variance(self) -> Tensor:
        """The noise variance v, a scalar in units of the mean feature variance."""
        return self.log_variance.exp() + self.variance_floor

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        variance = self.variance
        squared_error = (x - outputs).square().sum(-1)
        return -0.5 * (squared_error / variance + x.shape[-1] * torch.log(2 * math.pi * variance))

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(
            outputs.shape, generator=generator, dtype=outputs.dtype, device=outputs.device
        )
        return outputs + self.variance.sqrt() * noise

    @torch.no_grad()
    def calibrate_(self, residual: Tensor, mean: Tensor, squared_mean: Tensor) -> None:
        excess = (residual.mean() - self.variance_floor).clamp(min=self.variance_floor)
        self.log_variance.copy_(excess.log())


class _Counts(Likelihood):
    """What count families share: E[x|z] = total(x) * softmax(f), with the row sum as offset.

    Draws and decoded means, which have no row sum of their own, use the median of the data.
    """

    counts = True
    lower, upper = 0.0, 1e9  # float32 cannot hold what lies beyond, nor its gamma function
    cure_of_large = "divide the counts by a constant"
    typical_total: Tensor

    def __init__(self, summary: DataSummary):
        super().__init__(summary)
        total = max(summary.median_total, 1e-8)
        self.register_buffer("typical_total", torch.tensor(float(total)))

    def encoder_input(self, x: Tensor) -> Tensor:
        return x.log1p()

    def linear_start(self, mean: Tensor) -> tuple[Tensor, float]:
        return mean.expm1().clamp(min=RARE).log(), 1.0

    def log_rate(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log E[x | outputs, row sum of x], same shape as outputs."""
        total = x.sum(-1, keepdim=True).clamp(min=1e-8)
        return log_softmax(outputs, -1) + total.log()

    def expectation(self, x: Tensor, outputs: Tensor) -> Tensor:
        return self.log_rate(x, outputs).exp()

    def mean(self, outputs: Tensor) -> Tensor:
        return torch.softmax(outputs, -1) * self.typical_total


class Poisson(_Counts):
    """Poisson counts given the row sum: `log p(x|f) = sum_d x_d log r_d - r_d - log x_d!`."""

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        log_rate = self.log_rate(x, outputs)
        return (x * log_rate - log_rate.exp() - torch.lgamma(x + 1)).sum(-1)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        return torch.poisson(self.mean(outputs), generator=generator)


class NegativeBinomial(_Counts):
    """Overdispersed counts given the row sum, with one inverse dispersion t_d per feature.

    The variance is r + r^2 / t, and `log p(x|f) = sum_d log G(x + t) - log G(t) - log x!
    + t log(t / (t + r)) + x log(r / (t + r))` with the gamma function G.
    """

    def __init__(self, summary: DataSummary):
        super().__init__(summary)
        self.log_dispersion = nn.Parameter(torch.zeros(summary.n_features))

    @property
    def inverse_dispersion(self) -> Tensor:
        """t, of shape (n_features,); Poisson is the limit of large t."""
        return self.log_dispersion.clamp(-10.0, 10.0).exp()

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        log_rate = self.log_rate(x, outputs)
        t = self.inverse_dispersion
        log_ratio = log_rate - t.log()  # log(r / t)
        return (
            torch.lgamma(x + t)
            - torch.lgamma(t)
            - torch.lgamma(x + 1)
            - t * softplus(log_ratio)  # t log(t / (t + r))
            - x * softplus(-log_ratio)  # x log(r / (t + r))
        ).sum(-1)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        t = self.inverse_dispersion.expand_as(outputs)
        rate = self.mean(outputs) / t * torch._standard_gamma(t, generator=generator)
        return torch.poisson(rate, generator=generator)

    @torch.no_grad()
    def calibrate_(self, residual: Tensor, mean: Tensor, squared_mean: Tensor) -> None:
        # Moments: E[(x - r)^2] = r + r^2 / t, solved for t feature by feature.
        excess = (residual - mean).clamp(min=1e-3 * squared_mean).clamp(min=1e-8)
        self.log_dispersion.copy_((squared_mean / excess).clamp(1e-2, 1e3).log())


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
}
