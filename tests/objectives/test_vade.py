"""The bound, against Monte Carlo, the evidence, the plain VAE and the paper's formula."""

import math

import numpy as np
import pytest
import torch

from skvade.nn.covariances import COVARIANCES, Full
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.mixtures import GaussianMixturePrior
from skvade.objectives.base import Batch
from skvade.objectives.reconstruction import Reconstruction
from skvade.objectives.vade import HeldNegativeELBO, NegativeELBO, entropy
from tests.conftest import random_model, rows_for

LIKELIHOOD_NAMES, TYPES = sorted(LIKELIHOODS), sorted(COVARIANCES)


def batch_of(likelihood, copies=1):
    x = rows_for(likelihood)
    return Batch(x.repeat(copies, 1), torch.arange(len(x)).repeat(copies))


@pytest.mark.parametrize("covariance", TYPES)
def test_closed_form_equals_monte_carlo(covariance, generator):
    """E_q[log p(z,c) - log q(z) q(c)] over draws of z and the sum over c."""
    model, batch = random_model(covariance=covariance), batch_of("gaussian")
    with torch.no_grad():
        closed = NegativeELBO()(model, batch, generator)["kl"].item()
        mean, log_variance, _ = model.encode(batch.x)
        q = model.assign(batch.x)
        noise = torch.randn(100_000, 1, 2, generator=generator, dtype=torch.float64)
        z = mean + (0.5 * log_variance).exp() * noise
        log_q = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(z).sum(-1)
        log_joint = model.mixture.log_joint(z.flatten(0, 1)).view(*z.shape[:2], -1)
        draws = (log_q - (q * (log_joint - q.log())).sum(-1)).mean(1)
    assert abs(draws.mean().item() - closed) < 5 * draws.std().item() / len(draws) ** 0.5


@pytest.mark.parametrize("likelihood", LIKELIHOOD_NAMES)
@pytest.mark.parametrize("covariance", TYPES)
def test_bound_lies_below_an_importance_sampled_evidence(likelihood, covariance, generator):
    model = random_model(likelihood, covariance)
    x = rows_for(likelihood)
    noise = torch.randn(50_000, 2, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        elbo = -sum(NegativeELBO()(model, batch_of(likelihood, 500), generator).values()).item()
        evidence = model.log_evidence(x, noise).mean().item()
    assert elbo < evidence


@pytest.mark.parametrize("covariance", TYPES)
def test_equals_the_papers_formula_written_naively(covariance, generator):
    """Eq. 12 of Jiang et al. (2017), term by term, for any q(c|x), here the optimal one."""
    model, batch = random_model(covariance=covariance, latent_dim=3), batch_of("gaussian")
    with torch.no_grad():
        closed = NegativeELBO()(model, batch, generator)["kl"].item()
        m, log_s2 = (t.numpy() for t in model.encode(batch.x)[:2])
        gamma = model.assign(batch.x).numpy()
        pi = model.mixture.log_weights().exp().numpy()
        mu = model.mixture.means.numpy()
        precision = np.stack(
            [np.linalg.inv(s) for s in full_matrices(covariance, model.mixture.covariance)]
        )
    total = 0.0
    for i in range(len(m)):
        for c in range(len(pi)):
            d = m[i] - mu[c]
            log_density = -0.5 * (
                len(d) * math.log(2 * math.pi)
                - math.log(np.linalg.det(precision[c]))
                + d @ precision[c] @ d
                + sum(precision[c][k, k] * math.exp(log_s2[i, k]) for k in range(len(d)))
            )
            total += gamma[i, c] * (log_density + math.log(pi[c] / gamma[i, c]))
        total += 0.5 * sum(1 + math.log(2 * math.pi) + log_s2[i, k] for k in range(m.shape[1]))
    assert closed == pytest.approx(-total / len(m), rel=1e-10)


def full_matrices(kind, covariance):
    values, n, dim = covariance.covariances().numpy(), covariance.n_clusters, covariance.latent_dim
    return {
        "full": lambda: values,
        "tied": lambda: np.stack([values] * n),
        "diag": lambda: np.stack([np.diag(v) for v in values]),
        "spherical": lambda: np.stack([v * np.eye(dim) for v in values]),
    }[kind]()


def test_one_standard_normal_component_is_the_plain_vae(generator):
    model, batch = random_model(), batch_of("gaussian")
    model.mixture = GaussianMixturePrior(Full(1, 2)).double()
    with torch.no_grad():
        mean, log_variance, _ = model.encode(batch.x)
        ours = NegativeELBO()(model, batch, generator)["kl"].item()
    # Kingma and Welling (2014), appendix B.
    textbook = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(-1).mean().item()
    assert ours == pytest.approx(textbook, rel=1e-12)


def test_the_closed_form_responsibilities_are_optimal():
    model, x = random_model(), rows_for("gaussian")
    with torch.no_grad():
        mean, log_variance, _ = model.encode(x)
        joint = model.mixture.expected_log_joint(mean, log_variance.exp())
        optimum = joint.logsumexp(-1)
        best = joint.softmax(-1)
        for seed in range(20):
            noise = torch.randn(best.shape, generator=torch.Generator().manual_seed(seed))
            other = (best.log() + 0.1 * noise).softmax(-1)
            value = (other * (joint - other.log())).sum(-1)
            assert (value < optimum).all()
        np.testing.assert_allclose(
            (best * (joint - best.log())).sum(-1).numpy(), optimum.numpy(), rtol=1e-12
        )


def test_a_held_partition_bounds_the_loss_from_above(generator):
    model, batch = random_model(), batch_of("gaussian")
    with torch.no_grad():
        free = NegativeELBO()(model, batch, generator)["kl"].item()
        best = model.assign(batch.x).argmax(-1)
        worst = model.assign(batch.x).argmin(-1)
        held = [HeldNegativeELBO(p)(model, batch, generator)["kl"].item() for p in (best, worst)]
        joint = model.mixture.expected_log_joint(*_moments(model, batch.x))
        naive = -(joint[range(len(best)), best] + entropy(model.encode(batch.x)[1])).mean().item()
    assert free < held[0] < held[1]
    assert held[0] == pytest.approx(naive, rel=1e-12)


def _moments(model, x):
    mean, log_variance, _ = model.encode(x)
    return mean, log_variance.exp()


def test_entropy_equals_torchs():
    log_variance = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal(0.0, (0.5 * log_variance).exp())
    np.testing.assert_allclose(entropy(log_variance), normal.entropy().sum(-1), rtol=1e-5)


@pytest.mark.parametrize("likelihood", LIKELIHOOD_NAMES)
def test_gradients_agree_with_finite_differences(likelihood):
    model, batch = random_model(likelihood), batch_of(likelihood)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def loss(*parameters):
        generator = torch.Generator().manual_seed(3)
        return sum(NegativeELBO()(model, batch, generator).values())

    assert torch.autograd.gradcheck(loss, parameters, atol=1e-4, fast_mode=True)


def test_reconstruction_is_the_likelihood_at_the_mean_code(generator):
    model, batch = random_model(), batch_of("gaussian")
    with torch.no_grad():
        loss = Reconstruction()(model, batch, generator)["reconstruction"].item()
        error = (batch.x - model.decode(model.code(batch.x))).square().sum(-1)
        v = model.likelihood.variance
        naive = (0.5 * error / v + 2 * torch.log(2 * math.pi * v)).mean().item()
    assert loss == pytest.approx(naive, rel=1e-12)


def test_the_sampled_part_is_unbiased(generator):
    """One draw of z for each row: its mean over many is E_q[-log p(x|z)]."""
    model = random_model()
    with torch.no_grad():
        one = NegativeELBO()(model, batch_of("gaussian", 20_000), generator)["reconstruction"]
        mean, log_variance, _ = model.encode(batch_of("gaussian").x)
        noise = torch.randn(20_000, 1, 2, generator=generator, dtype=torch.float64)
        outputs = model.decode(mean + (0.5 * log_variance).exp() * noise)
        many = -model.likelihood.log_prob(batch_of("gaussian").x, outputs)
    assert abs(one - many.mean()) < 7 * many.mean(1).std() / 20_000**0.5
