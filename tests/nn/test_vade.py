"""The model as a whole, against a case whose evidence is known exactly."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from skvade.nn.covariances import Full
from skvade.nn.likelihoods import Gaussian
from skvade.nn.mixtures import GaussianMixturePrior
from skvade.nn.networks import Decoder, GaussianEncoder
from skvade.nn.vade import MixtureVAE
from skvade.objectives.base import Batch
from skvade.objectives.vade import NegativeELBO
from tests.conftest import random_model, rows_for, summary


@pytest.fixture
def linear_model():
    """z ~ N(0, I), x | z ~ N(W z + b, v I), with the exact posterior mean as its encoder."""
    generator = torch.Generator().manual_seed(0)
    decoder = nn.Linear(2, 4)
    nn.init.normal_(decoder.weight, generator=generator)
    nn.init.normal_(decoder.bias, generator=generator)
    encoder = GaussianEncoder(nn.Identity(), 4, 2, generator)
    model = MixtureVAE(
        encoder, Decoder(decoder), Gaussian(summary()), GaussianMixturePrior(Full(1, 2))
    ).double()
    model.likelihood.log_variance.data.fill_(-1.0)
    with torch.no_grad():
        W, b, v = decoder.weight, decoder.bias, model.likelihood.variance
        precision = torch.eye(2, dtype=torch.float64) + W.T @ W / v
        encoder.mean_head.weight.copy_(torch.linalg.solve(precision, W.T / v))
        encoder.mean_head.bias.copy_(-encoder.mean_head.weight @ b)
        encoder.set_log_variance_(-precision.diagonal().log())
        covariance = W @ W.T + v * torch.eye(4, dtype=torch.float64)
    model.truth = multivariate_normal(b.detach().numpy(), covariance.numpy())
    return model


def test_importance_weighting_finds_the_exact_evidence(linear_model, generator):
    x = rows_for("gaussian")
    noise = torch.randn(20_000, 2, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        estimate = linear_model.log_evidence(x, noise).numpy()
    np.testing.assert_allclose(estimate, linear_model.truth.logpdf(x.numpy()), atol=0.02)


def test_the_gap_of_the_bound_is_the_posteriors_divergence(linear_model, generator):
    """ELBO = log p(x) - KL(q(z|x) || p(z|x)), and several draws lie between the two."""
    x = rows_for("gaussian")
    exact = linear_model.truth.logpdf(x.numpy()).mean()
    with torch.no_grad():
        W, v = linear_model.decoder.body.weight, linear_model.likelihood.variance
        precision = torch.eye(2, dtype=torch.float64) + W.T @ W / v
        variance = torch.tensor([0.05, 0.8], dtype=torch.float64)
        linear_model.encoder.set_log_variance_(variance.log())
        ratio = precision @ variance.diag()
        divergence = 0.5 * (ratio.trace() - 2 - ratio.logdet()).item()
        copies = 20_000
        batch = Batch(x.repeat(copies, 1), torch.arange(len(x) * copies))
        elbo = -sum(NegativeELBO()(linear_model, batch, generator).values()).item()
        noise = torch.randn(4000, 5, 2, generator=generator, dtype=torch.float64)
        few = np.mean([linear_model.log_evidence(x, row).mean() for row in noise])
    assert elbo == pytest.approx(exact - divergence, abs=0.02)
    assert elbo < few < exact


def test_rescaling_the_latent_space_leaves_reconstructions_alone():
    model, x = random_model(), rows_for("gaussian")
    with torch.no_grad():
        codes, before = model.code(x), model.decode(model.code(x))
        model.rescale_latent_(2.5)
        model.rescale_latent_(0.7)
        np.testing.assert_allclose(model.code(x).numpy(), codes.numpy() / 1.75, rtol=1e-12)
        np.testing.assert_allclose(model.decode(model.code(x)).numpy(), before.numpy(), rtol=1e-12)


def test_single_precision_agrees_with_double():
    model, x = random_model(), rows_for("gaussian")
    noise = torch.zeros(3, 2, dtype=torch.float64)
    with torch.no_grad():
        proba, evidence = model.assign(x), model.log_evidence(x, noise)
        model = model.float()
        np.testing.assert_allclose(model.assign(x.float()).numpy(), proba.numpy(), atol=1e-5)
        np.testing.assert_allclose(
            model.log_evidence(x.float(), noise.float()).numpy(), evidence.numpy(), rtol=1e-5
        )


def test_low_precision_is_for_the_networks_only():
    model, x = random_model().float(), rows_for("gaussian").float()
    model.compute_dtype = torch.bfloat16
    assert model.code(x).dtype == torch.float32
    assert model.decode(model.code(x)).dtype == torch.float32
    assert model.assign(x).dtype == torch.float32
    model_codes = model.code(x)
    model.compute_dtype = None
    np.testing.assert_allclose(model_codes.detach(), model.code(x).detach(), atol=0.1)
