"""The bounds of GMVAE, M2 and ADGM, against Monte Carlo, the evidence and the textbook."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, MultivariateNormal, Normal, kl_divergence

from skvade.nn.adgm import ADGM
from skvade.nn.gmvae import GMVAE
from skvade.nn.m2 import M2
from skvade.nn.style import CategoryAndStyle
from skvade.objectives.base import Batch
from skvade.objectives.category import CategoryNegativeELBO, HeldCategoryELBO
from skvade.objectives.marginalization import Drawn, Exact, Gumbel, Known, relaxed_draw
from tests.conftest import SDGM, random_category_model, rows_for

CERTAIN = [GMVAE, M2]  # whose latent terms need no draw
MODELS = [*CERTAIN, ADGM, SDGM]
LATENT, CLUSTERS = 2, 3


def batch_of(copies=1):
    x = rows_for("gaussian")
    return Batch(x.repeat(copies, 1), torch.arange(len(x)).repeat(copies))


def total(terms):
    return torch.stack(list(terms.values())).sum().item()


@pytest.mark.parametrize("cls", MODELS)
def test_exact_bound_equals_monte_carlo(cls, generator):
    """E_q(c|x) q(z|x,c) [log p(x, z, c) - log q(z, c|x)] by draws of c and z with torch's own."""
    model, x = random_category_model(cls), rows_for("gaussian")
    with torch.no_grad():
        closed = total(CategoryNegativeELBO(Exact())(model, batch_of(4_000), generator))
        encoding = model.with_draws(model.encode(x.repeat(40_000, 1)), generator)
        log_q = model.category_logits(encoding).log_softmax(-1)
        c = torch.multinomial(log_q.exp(), 1, generator=generator).squeeze(-1)
        every = torch.eye(CLUSTERS, dtype=torch.float64)
        mean, log_variance = model.posterior(encoding, every[c])
        noise = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
        z = mean + (0.5 * log_variance).exp() * noise
        log_qz = Normal(mean, (0.5 * log_variance).exp()).log_prob(z).sum(-1)
        log_joint = log_prior(model, z)[range(len(c)), c]
        log_joint = log_joint + model.likelihood.log_prob(
            x.repeat(40_000, 1), model.explain(encoding, z, every[c])
        )
        if isinstance(model, ADGM):
            log_joint = log_joint + log_ratio_of_auxiliary(model, encoding, z, every[c])
        draws = -(log_joint - log_qz - log_q[range(len(c)), c])
    error = draws.view(40_000, -1).mean(1).std().item() / 40_000**0.5
    assert abs(draws.mean().item() - closed) < 12 * error


def log_ratio_of_auxiliary(model, drawn, z, weights):
    """log p(a|x, z, c) - log q(a|x) at draws of a, by torch's distributions."""
    mean = z @ model.auxiliary_of_style.T + weights @ model.auxiliary_means
    deviation = (0.5 * weights @ model.auxiliary_log_variances).exp()
    if not model.skip:
        mean = mean + model.auxiliary_of_code(model.encoder.mean(drawn.hidden))
        deviation = deviation * (0.5 * drawn.log_variance).exp()
    p = Normal(mean, deviation)
    q = Normal(model.encoder.mean(drawn.hidden), (0.5 * drawn.log_variance).exp())
    return (p.log_prob(drawn.code) - q.log_prob(drawn.code)).sum(-1)


def log_prior(model, z):
    """log p(c) + log p(z|c), (n, K), by torch's distributions."""
    if isinstance(model, CategoryAndStyle):
        style = Normal(0.0, 1.0).log_prob(z).sum(-1, keepdim=True)
        return model.logits.log_softmax(-1) + style
    return torch.stack(
        [
            weight + MultivariateNormal(mean, covariance).log_prob(z)
            for weight, mean, covariance in zip(
                model.mixture.log_weights(),
                model.mixture.means,
                model.mixture.covariance.covariances(),
                strict=True,
            )
        ],
        -1,
    )


@pytest.mark.parametrize("cls", MODELS)
def test_drawn_categories_have_the_expectation_of_all(cls, generator):
    model, copies = random_category_model(cls), 20_000
    batch = batch_of(copies)
    with torch.no_grad():
        encoding = model.encode(batch.x)
        log_q = model.category_logits(encoding).log_softmax(-1)
        sums, drawn = (
            method(model, batch.x, encoding, log_q, generator) for method in (Exact(), Drawn())
        )
    difference = (sums - drawn).view(copies, -1).mean(1)
    assert abs(difference.mean().item()) < 5 * difference.std().item() / copies**0.5


@pytest.mark.parametrize("cls", MODELS)
def test_exact_bound_lies_below_an_importance_sampled_evidence(cls, generator):
    model, x = random_category_model(cls), rows_for("gaussian")
    noise = torch.randn(60_000, LATENT, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        elbo = -total(CategoryNegativeELBO(Exact())(model, batch_of(500), generator))
        evidence = model.log_evidence(x, noise).mean().item()
    assert elbo < evidence


@pytest.mark.parametrize("cls", MODELS)
def test_evidence_equals_sampling_from_the_prior(cls, generator):
    """log p(x) = log E_p(z,c)[p(x|z, c)], the plainest estimate of all."""
    model, x = random_category_model(cls), rows_for("gaussian")
    noise = torch.randn(60_000, LATENT, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        model.likelihood.log_variance.add_(1.5)
        for head in (model.encoder, model):  # wide enough to miss nothing
            for name, part in head.named_children():
                if name.endswith("log_variance_head"):
                    part.bias.fill_(2.0)
        estimate = model.log_evidence(x, noise)
        weights = model.log_weights().exp()
        c = torch.multinomial(weights, 400_000, replacement=True, generator=generator)
        if cls is GMVAE:
            z = model.mixture.sample(c, generator)
        else:
            z = torch.randn(400_000, LATENT, generator=generator, dtype=torch.float64)
        one_hot = torch.eye(CLUSTERS, dtype=torch.float64)[c]
        outputs = model.decode_given(z, one_hot)
        if isinstance(model, CategoryAndStyle):
            outputs = model.decode_drawn(z, one_hot, generator)
        plain = torch.stack([model.likelihood.log_prob(row, outputs) for row in x])
        plain = plain.logsumexp(1) - math.log(400_000)
    # Two variables need more draws than one for the same error; a lost factor of 2 pi would be .9.
    np.testing.assert_allclose(estimate, plain, atol=0.05 if cls in CERTAIN else 0.2)


@pytest.mark.parametrize("cls", MODELS)
def test_gumbel_bound_converges_to_the_exact_one_as_the_temperature_falls(cls, generator):
    model, batch = random_category_model(cls), batch_of(20_000)
    with torch.no_grad():
        exact = CategoryNegativeELBO(Exact())(model, batch, generator)["reconstruction"].item()
        distances = [
            abs(
                CategoryNegativeELBO(Gumbel(t, t, 1))(model, batch, generator)[
                    "reconstruction"
                ].item()
                - exact
            )
            for t in (3.0, 0.3, 0.01)
        ]
    # Where the decoder takes the category itself, a relaxed one is far from any; the last distance
    # is of Monte Carlo.
    assert distances[2] < 0.05 * abs(exact)
    assert distances[2] < distances[0]


def test_relaxed_draws_are_draws_of_the_categories_in_the_limit(generator):
    log_q = torch.tensor([0.6, 0.3, 0.1]).log().expand(50_000, -1)
    sharp = relaxed_draw(log_q, 1e-3, generator)
    np.testing.assert_allclose(sharp.mean(0), [0.6, 0.3, 0.1], atol=0.01)
    assert (sharp.amax(-1) > 0.99).float().mean() > 0.98
    soft = relaxed_draw(log_q, 5.0, generator)
    np.testing.assert_allclose(soft.sum(-1), 1, rtol=1e-5)
    assert (soft.amax(-1) > 0.99).float().mean() < 0.1


def test_the_temperature_falls_geometrically_while_training(generator):
    model, gumbel = random_category_model(M2), Gumbel(1.0, 0.25, 2)
    objective = CategoryNegativeELBO(gumbel)
    found = []
    for _ in range(4):
        found.append(gumbel.temperature)
        objective(model.train(), batch_of(), generator)
    assert found == [1.0, 0.5, 0.25, 0.25]
    objective(model.eval(), batch_of(), generator)
    assert gumbel.step == 4


def test_with_known_categories_m2s_bound_is_the_textbook_one(generator):
    """Kingma et al. 2014, Eq. 6, term by term with torch's distributions."""
    model, batch = random_category_model(M2), batch_of(30_000)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.no_grad():
        terms = HeldCategoryELBO(labels)(model, batch, generator)
        encoding = model.encode(rows_for("gaussian"))
        mean, log_variance = model.posterior(encoding, torch.eye(3, dtype=torch.float64)[labels])
        q, p = Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)
        assert terms["latent"].item() == pytest.approx(kl_divergence(q, p).sum(-1).mean().item())
        prior = Categorical(logits=model.logits)
        assert terms["category"].item() == pytest.approx(-prior.log_prob(labels).mean().item())
        log_q = model.category_logits(encoding).log_softmax(-1)
        assert terms["partition"].item() == pytest.approx(-log_q[range(6), labels].mean().item())
        z = q.sample((30_000,))
        one_hot = torch.eye(3, dtype=torch.float64)[labels].expand(30_000, -1, -1)
        outputs = model.decode_given(z, one_hot)
        reconstruction = -model.likelihood.log_prob(rows_for("gaussian"), outputs).mean(1)
    error = reconstruction.std().item() / 30_000**0.5
    assert abs(terms["reconstruction"].item() - reconstruction.mean().item()) < 10 * error


@pytest.mark.parametrize("cls", CERTAIN)
@pytest.mark.parametrize("marginalization", [Exact(), Gumbel(0.5, 0.5, 1), Known()])
def test_all_labels_known_is_the_held_bound_whatever_the_marginalization(
    cls, marginalization, generator
):
    model, batch = random_category_model(cls), batch_of(4_000)
    labels = torch.tensor([2, 2, 0, 1, 0, 1])
    with torch.no_grad():
        held = HeldCategoryELBO(labels)(model, batch, generator)
        other = CategoryNegativeELBO(marginalization, labels)(model, batch, generator)
    for name in ("category", "latent"):
        assert other[name].item() == pytest.approx(held[name].item(), rel=1e-9)
    assert other["reconstruction"].item() == pytest.approx(held["reconstruction"].item(), rel=0.02)


def test_labels_of_some_rows_leave_the_others_alone(generator):
    model, x = random_category_model(GMVAE), rows_for("gaussian")
    labels = torch.tensor([0, -1, -1, 1, -1, 2])
    with torch.no_grad():
        mixed = CategoryNegativeELBO(Exact(), labels)(model, batch_of(), generator)["latent"]
        parts = [
            CategoryNegativeELBO(Exact(), labels[i : i + 1])(
                model, Batch(x[i : i + 1], torch.tensor([0])), generator
            )["latent"]
            for i in range(6)
        ]
        free = CategoryNegativeELBO(Exact())(model, Batch(x[1:2], None), generator)["latent"]
    assert mixed.item() == pytest.approx(torch.stack(parts).mean().item())
    assert parts[1].item() == pytest.approx(free.item())


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize("labels", [None, torch.tensor([0, -1, 1, -1, 2, 2])])
def test_gradients_agree_with_finite_differences(cls, labels):
    model, batch = random_category_model(cls), batch_of()
    parameters = [p for p in model.parameters() if p.requires_grad]

    def loss(*parameters):
        generator = torch.Generator().manual_seed(3)
        objective = CategoryNegativeELBO(Exact(), labels)
        return sum(objective(model, batch, generator).values())

    assert torch.autograd.gradcheck(loss, parameters, atol=1e-4, fast_mode=True)


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize("marginalization", [Exact(), Gumbel(0.1, 0.1, 1)])
def test_certain_rows_have_finite_gradients(cls, marginalization, generator):
    """q log q at q = 0 has an infinite slope; GMVAE diverged for it at first."""
    model = random_category_model(cls)
    model.head.means.data *= 1e3
    sum(CategoryNegativeELBO(marginalization)(model, batch_of(), generator).values()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(gradients) > 5
    assert all(gradient.isfinite().all() for gradient in gradients)
