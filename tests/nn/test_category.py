"""Models of a category: starts at partitions, orders, and GMVAE as VaDE's special case."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from skvade.nn.adgm import ADGM
from skvade.nn.gmvae import GMVAE
from skvade.nn.m2 import M2
from skvade.objectives.base import Batch
from skvade.objectives.category import CategoryNegativeELBO, HeldCategoryELBO
from skvade.objectives.marginalization import Exact
from skvade.objectives.vade import NegativeELBO
from tests.conftest import SDGM, random_category_model, random_model, rows_for

MODELS = [GMVAE, M2, ADGM, SDGM]


@pytest.mark.parametrize("cls", MODELS)
def test_a_new_order_reorders_and_changes_nothing_else(cls, generator):
    model, x = random_category_model(cls), rows_for("gaussian")
    order = torch.tensor([2, 0, 1])
    noise = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        before = model.assign(x), model.decode_centers(), model.centers().clone()
        weights, evidence = model.log_weights(), model.log_evidence(x, noise)
        embedded = model.embed(x)
        model.permute_(order)
        after = model.assign(x), model.decode_centers(), model.centers()
        np.testing.assert_allclose(model.log_weights(), weights[order])
        np.testing.assert_allclose(after[0], before[0][:, order])
        for new, old in zip(after[1:], before[1:], strict=True):
            np.testing.assert_allclose(new, old[order])
        np.testing.assert_allclose(model.log_evidence(x, noise), evidence)
        np.testing.assert_allclose(model.embed(x), embedded)


def test_m2_starts_at_styles_that_are_codes_without_their_clusters_means():
    model = random_category_model(M2)
    model.decoder.latent_scale.fill_(1.7)
    x, labels = rows_for("gaussian", n_rows=60), torch.arange(60) % 3
    with torch.no_grad():
        codes = model.code(x)
        before = model.reconstruct(codes)
        model.take_partition_(codes, labels)
        one_hot = torch.eye(3, dtype=torch.float64)[labels]
        style, _ = model.posterior(model.encode(x), one_hot)
        means = torch.stack([codes[labels == c].mean(0) for c in range(3)])
        np.testing.assert_allclose(style, codes - means[labels], atol=1e-10)
        np.testing.assert_allclose(model.decode_given(style, one_hot), before, atol=1e-10)


def test_adgm_starts_at_the_bound_of_m2(generator):
    """p(a|x, z, c) is q(a|x, z, c) then, and q(z|x, c), with a integrated out, is M2's."""
    x, labels = rows_for("gaussian", n_rows=60), torch.arange(60) % 3
    bounds = []
    for cls in (M2, ADGM):
        model = random_category_model(cls)
        model.encoder.load_state_dict(random_category_model(M2).encoder.state_dict())
        model.decoder.load_state_dict(random_category_model(M2).decoder.state_dict())
        model.log_variance_offsets.data.zero_()
        for name in ("category_head", "style_head", "style_log_variance_head"):
            if cls is ADGM:
                torch.nn.init.zeros_(getattr(model, name).weight)
        batch = Batch(x.repeat(4_000, 1), torch.arange(60).repeat(4_000))
        with torch.no_grad():
            model.take_partition_(model.code(x), labels)
            terms = HeldCategoryELBO(labels)(model, batch, generator)
        bounds.append([terms[name].item() for name in ("reconstruction", "latent", "category")])
    np.testing.assert_allclose(bounds[1], bounds[0], rtol=3e-3)


def test_sdgm_starts_at_clusters_of_one_variance(generator):
    """With z integrated out p(a|c) is N(mu_c, w) then, and q(z|a, x, c) is p(z|a, c)."""
    x, labels = rows_for("gaussian", n_rows=60), torch.arange(60) % 3
    model = random_category_model(SDGM)
    model.log_variance_offsets.data.zero_()
    for name in ("category_head", "style_head", "style_log_variance_head"):
        torch.nn.init.zeros_(getattr(model, name).weight)
    with torch.no_grad():
        codes = model.code(x)
        before = model.reconstruct(codes)
        model.take_partition_(codes, labels)
        encoding = model.encode(x.repeat(4_000, 1))
        drawn = model.with_draws(encoding, generator)
        latent = model.latent_divergences(drawn).view(4_000, 60, 3).mean(0)
        variance = 2 * model.auxiliary_log_variances[0].exp()
        p = Normal(model.head.means, variance.sqrt())
        posterior = model.encode(x)
        q = Normal(posterior.code, (0.5 * posterior.log_variance).exp())
        divergence = kl_divergence(
            Normal(q.mean.unsqueeze(1), q.stddev.unsqueeze(1)), Normal(p.mean, p.stddev)
        )
        np.testing.assert_allclose(latent, divergence.sum(-1), rtol=0.02, atol=0.02)
        one_hot = torch.eye(3, dtype=torch.float64)[labels]
        outputs = model.explain(posterior, torch.randn(60, 2, dtype=torch.float64), one_hot)
        np.testing.assert_allclose(outputs, before, atol=1e-10)


def test_m2_draws_the_same_styles_for_every_cluster():
    model = random_category_model(M2)
    model.likelihood.log_variance.data.fill_(-30.0)  # means, but for the floor of the variance
    rows = []
    with torch.no_grad():
        for c in range(3):
            labels = torch.full((5,), c)
            z = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            rows.append(model.expect_given(z, c))
            drawn = model.sample(labels, torch.Generator().manual_seed(1))
            assert (drawn - rows[-1]).abs().max() < 5 * model.likelihood.variance.sqrt()
    assert (rows[0] - rows[1]).abs().max() > 0.1


def test_m2_expects_the_average_over_categories():
    model = random_category_model(M2)
    z = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        each = torch.stack([model.expect_given(z, c) for c in range(3)])
        weights = model.logits.softmax(-1).view(3, 1, 1)
        np.testing.assert_allclose(model.expect(z), (weights * each).sum(0))


def test_gmvae_with_vades_posteriors_has_vades_bound(generator):
    """q(z|x, c) the same for all c, and q(c|x) = softmax_c e_c(x) through the head."""
    vade, gmvae = random_model(), random_category_model(GMVAE)
    gmvae.load_state_dict(vade.state_dict(), strict=False)
    vade.encoder.log_variance_head.weight.data.zero_()
    gmvae.encoder.log_variance_head.weight.data.zero_()
    gmvae.mean_offsets.data.zero_()
    gmvae.log_variance_offsets.data.zero_()
    gmvae.head.load_state_dict(vade.mixture.state_dict())
    batch = Batch(rows_for("gaussian"), torch.arange(6))
    with torch.no_grad():
        # e_c adds to log N(m; mu_c, Sigma_c) a trace, the same for all rows: into the weights.
        encoding = vade.encode(batch.x)
        traces = vade.mixture.covariance.traces(encoding.log_variance.exp())
        gmvae.head.logits -= 0.5 * traces[0]
        terms = CategoryNegativeELBO(Exact())(gmvae, batch, generator)
        ours = NegativeELBO()(vade, batch, generator)["kl"].item()
        np.testing.assert_allclose(gmvae.assign(batch.x), vade.assign(batch.x))
    assert terms["category"].item() + terms["latent"].item() == pytest.approx(ours)


@pytest.mark.parametrize("cls", MODELS)
def test_a_partition_is_assigned_as_it_was_given(cls):
    model = random_category_model(cls)
    codes = torch.randn(90, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(90) % 3
    codes += 20 * labels.unsqueeze(-1)
    with torch.no_grad():
        model.take_partition_(codes, labels)
        assert (model.head.log_joint(codes).argmax(-1) == labels).all()
        np.testing.assert_allclose(model.log_weights().exp(), [1 / 3] * 3)
