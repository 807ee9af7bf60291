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
LARGEST_LOG = 20.0  # of a mean count


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
    has_holes : bool
        Whether entries of the training data are missing, as NaN. Missing entries have no density.
    """

    standardizes = False
    lower = -math.inf
    upper = math.inf
    bounded = True
    cure_of_large = ""
    counts = False

    def __init__(self, summary: DataSummary):
        super().__init__()
        self.has_holes = summary.has_holes

    def misses(self, x: Tensor) -> bool:
        """Whether entries may be missing; in training that is known, and a GPU is not asked."""
        return self.has_holes if self.training else bool(x.isnan().any())

    @property
    def are_drawn(self) -> list[bool] | None:
        """Which columns may be drawn where they are missing; None for all.

        Not those of categories, which no Gaussian number stands for.
        """
        return None

    def encoder_input(self, x: Tensor) -> Tensor:
        """What the encoder sees of x; same shape."""
        return x

    def linear_start(self, mean: Tensor) -> tuple[Tensor, Tensor | float]:
        """Where a linear decoder starts, given the mean of what the encoder sees: (n_features,).

        The outputs at that mean, and how much they change with what the encoder sees.
        """
        return mean, 1.0

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log p(x | outputs) of what is observed, summed: (..., n_features) to (...)."""
        if not self.misses(x):
            return self.log_probs(x, outputs).sum(-1)
        absent = x.isnan()
        log_probs = self.log_probs(torch.where(absent, 0.0, x), self._given(absent, outputs))
        return torch.where(absent, 0.0, log_probs).sum(-1)

    @abstractmethod
    def log_probs(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log p(x | outputs) of every entry, none of which is missing; same shape as outputs."""

    def residual(self, x: Tensor, outputs: Tensor) -> Tensor:
        """x - E[x | outputs], 0 where x is missing; same shape."""
        residual = x - self.expectation(x, outputs)
        return torch.where(x.isnan(), 0.0, residual) if self.misses(x) else residual

    def _given(self, absent: Tensor, outputs: Tensor) -> Tensor:
        """The outputs, given which entries are missing; of what is there they tell the same."""
        return outputs

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

    def log_probs(self, x: Tensor, outputs: Tensor) -> Tensor:
        return -binary_cross_entropy_with_logits(outputs, x.expand_as(outputs), reduction="none")

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

    def log_probs(self, x: Tensor, outputs: Tensor) -> Tensor:
        variance = self.variance
        return -0.5 * ((x - outputs).square() / variance + torch.log(2 * math.pi * variance))

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        if self.misses(x):
            return super().log_prob(x, outputs)
        variance = self.variance  # of all entries the same, so that it divides their sum
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

    Draws and decoded means, which have no row sum of their own, use the median of the data. Where
    row sums mean nothing, as in a table of several kinds of columns, E[x|z] = exp(f).
    """

    counts = True
    lower, upper = 0.0, 1e9  # float32 cannot hold what lies beyond, nor its gamma function
    cure_of_large = "divide the counts by a constant"
    typical_total: Tensor

    def __init__(self, summary: DataSummary):
        super().__init__(summary)
        self.has_totals = summary.median_total is not None
        total = max(summary.median_total or 0.0, 1e-8)
        self.register_buffer("typical_total", torch.tensor(float(total)))

    def encoder_input(self, x: Tensor) -> Tensor:
        return x.log1p()

    def linear_start(self, mean: Tensor) -> tuple[Tensor, float]:
        return mean.expm1().clamp(min=RARE).log(), 1.0

    def log_rate(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log E[x | outputs, row sum of x], same shape as outputs.

        Where entries are missing, the sum is of those observed, and so is what it is shared among.
        """
        if not self.has_totals:
            return outputs.clamp(max=LARGEST_LOG)
        if not self.misses(x):
            total = x.sum(-1, keepdim=True).clamp(min=1e-8)
            return log_softmax(outputs, -1) + total.log()
        absent = x.isnan()
        total = torch.where(absent, 0.0, x).sum(-1, keepdim=True)
        total = torch.where(absent.all(-1, keepdim=True), self.typical_total, total)
        observed = self._given(absent, outputs).logsumexp(-1, keepdim=True)
        return outputs - observed + total.clamp(min=1e-8).log()

    def _given(self, absent: Tensor, outputs: Tensor) -> Tensor:
        if not self.has_totals:
            return outputs
        # No share of the row sum falls to what is missing; of a row without entries, to all.
        return torch.where(absent & ~absent.all(-1, keepdim=True), -1e4, outputs)

    def expectation(self, x: Tensor, outputs: Tensor) -> Tensor:
        return self.log_rate(x, outputs).exp()

    def mean(self, outputs: Tensor) -> Tensor:
        if not self.has_totals:
            return outputs.clamp(max=LARGEST_LOG).exp()
        return torch.softmax(outputs, -1) * self.typical_total


class Poisson(_Counts):
    """Poisson counts given the row sum: `log p(x|f) = sum_d x_d log r_d - r_d - log x_d!`."""

    def log_probs(self, x: Tensor, outputs: Tensor) -> Tensor:
        log_rate = self.log_rate(x, outputs)
        return x * log_rate - log_rate.exp() - torch.lgamma(x + 1)

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

    def log_probs(self, x: Tensor, outputs: Tensor) -> Tensor:
        log_rate = self.log_rate(x, outputs)
        t = self.inverse_dispersion
        log_ratio = log_rate - t.log()  # log(r / t)
        return (
            torch.lgamma(x + t)
            - torch.lgamma(t)
            - torch.lgamma(x + 1)
            - t * softplus(log_ratio)  # t log(t / (t + r))
            - x * softplus(-log_ratio)  # x log(r / (t + r))
        )

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
