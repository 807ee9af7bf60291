"""Laws that every likelihood obeys, against scipy and by summing or integrating densities."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from skvade.nn.likelihoods import LIKELIHOODS
from tests.conftest import rows_for, summary

ALL = sorted(LIKELIHOODS)
COUNTS = ["poisson", "negative_binomial"]


def make(name, n_features=4, **kwargs):
    likelihood = LIKELIHOODS[name](summary(n_features, **kwargs)).double()
    if name == "negative_binomial":
        likelihood.log_dispersion.data.normal_(generator=torch.Generator().manual_seed(3))
    if name == "gaussian":
        likelihood.log_variance.data.fill_(-0.7)
    return likelihood


def outputs(n_rows=6, n_features=4):
    generator = torch.Generator().manual_seed(4)
    return torch.randn(n_rows, n_features, generator=generator, dtype=torch.float64)


def scipy_log_prob(name, likelihood, x, f):
    x, f = x.numpy(), f.numpy()
    total = x.sum(-1, keepdims=True)
    rate = total * np.exp(f) / np.exp(f).sum(-1, keepdims=True)
    with torch.no_grad():
        if name == "bernoulli":
            return stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-f))).sum(-1)
        if name == "gaussian":
            return stats.norm.logpdf(x, f, likelihood.variance.sqrt().item()).sum(-1)
        if name == "poisson":
            return stats.poisson.logpmf(x, rate).sum(-1)
        t = likelihood.inverse_dispersion.numpy()
        return stats.nbinom.logpmf(x, t, t / (t + rate)).sum(-1)


@pytest.mark.parametrize("name", ALL)
def test_log_prob_equals_scipy(name):
    likelihood, x, f = make(name), rows_for(name), outputs()
    ours = likelihood.log_prob(x, f).detach().numpy()
    np.testing.assert_allclose(ours, scipy_log_prob(name, likelihood, x, f), rtol=1e-10)


def test_bernoulli_sums_to_one():
    likelihood, f = make("bernoulli", 1), outputs(1, 1)
    total = sum(likelihood.log_prob(torch.full_like(f, v), f).exp() for v in (0.0, 1.0))
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_gaussian_integrates_to_one():
    likelihood, f = make("gaussian", 1), outputs(1, 1)

    def density(v):
        return likelihood.log_prob(torch.full_like(f, v), f).exp().item()

    assert integrate.quad(density, -20, 20)[0] == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_sum_to_one_at_a_given_rate(name):
    # The row sum enters as an offset, so the law is about the density at a fixed rate.
    likelihood = make(name, 1)
    likelihood.log_rate = lambda x, f: torch.log(torch.tensor([[3.0]], dtype=torch.float64))
    x = torch.arange(4000, dtype=torch.float64).unsqueeze(-1)
    assert likelihood.log_prob(x, x).exp().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_draws_have_the_mean_and_the_density(name, generator):
    likelihood, f = make(name), outputs(1)
    draws = likelihood.sample(f.expand(200_000, -1), generator)
    mean = likelihood.mean(f)[0]
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - mean).abs() < 5 * error + 1e-12).all()
    expected_variance = {
        "bernoulli": lambda: mean * (1 - mean),
        "gaussian": lambda: likelihood.variance.expand(4),
        "poisson": lambda: mean,
        "negative_binomial": lambda: mean + mean**2 / likelihood.inverse_dispersion,
    }[name]()
    np.testing.assert_allclose(
        draws.var(0).detach().numpy(), expected_variance.detach().numpy(), rtol=0.06
    )


@pytest.mark.parametrize("name", ALL)
def test_gradients_agree_with_finite_differences(name):
    likelihood, x = make(name), rows_for(name)
    f = outputs().requires_grad_()
    parameters = list(likelihood.parameters())
    assert torch.autograd.gradcheck(lambda f, *p: likelihood.log_prob(x, f), (f, *parameters))


@pytest.mark.parametrize("name", ALL)
def test_single_precision_agrees_with_double(name):
    likelihood, x, f = make(name), rows_for(name), outputs()
    double = likelihood.log_prob(x, f)
    single = likelihood.float().log_prob(x.float(), f.float())
    np.testing.assert_allclose(single.detach().numpy(), double.detach().numpy(), rtol=2e-5)


@pytest.mark.parametrize("name", ALL)
def test_extreme_outputs_stay_finite(name):
    likelihood, x = make(name), rows_for(name)
    for scale in (1e3, -1e3):
        f = (scale * outputs()).requires_grad_()
        value = likelihood.log_prob(x, f).sum()
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(f.grad).all()


@pytest.mark.parametrize("name", COUNTS)
def test_rows_without_counts_have_a_finite_likelihood(name):
    x = torch.zeros(2, 4, dtype=torch.float64)
    assert torch.isfinite(make(name).log_prob(x, outputs(2))).all()


@pytest.mark.parametrize("name", COUNTS)
def test_expected_counts_add_up_to_the_row_sum(name):
    x = rows_for(name)
    expected = make(name).expectation(x, outputs())
    np.testing.assert_allclose(expected.sum(-1).numpy(), x.sum(-1).numpy(), rtol=1e-12)


def test_gaussian_variance_starts_at_the_residual_above_its_floor():
    likelihood = make("gaussian")
    residual = torch.tensor([0.1, 0.3, 0.2, 0.4])
    likelihood.calibrate_(residual, residual, residual)
    assert likelihood.variance.item() == pytest.approx(0.25, rel=1e-6)
    likelihood.calibrate_(0 * residual, residual, residual)
    assert likelihood.variance.item() >= likelihood.variance_floor


def test_negative_binomial_dispersion_starts_at_the_moments():
    likelihood = make("negative_binomial")
    rate, t = torch.tensor([1.0, 5.0, 10.0, 2.0]), torch.tensor([0.5, 2.0, 4.0, 1.0])
    likelihood.calibrate_(rate + rate**2 / t, rate, rate**2)
    np.testing.assert_allclose(likelihood.inverse_dispersion.detach().numpy(), t.numpy(), rtol=1e-5)


def test_negative_binomial_tends_to_poisson():
    x, f = rows_for("poisson"), outputs()
    likelihood = make("negative_binomial")
    likelihood.log_dispersion.data.fill_(10.0)
    np.testing.assert_allclose(
        likelihood.log_prob(x, f).detach().numpy(),
        make("poisson").log_prob(x, f).numpy(),
        atol=5e-3,
    )


def test_grey_bernoulli_data_are_drawn_as_means(generator):
    f = outputs()
    grey = make("bernoulli", binary=False)
    assert torch.equal(grey.sample(f, generator), grey.mean(f))
    assert set(make("bernoulli").sample(f, generator).unique().tolist()) <= {0.0, 1.0}
