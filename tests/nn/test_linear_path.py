"""The linear path begins at what scikit-learn's PCA finds, and a linear model is its density."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from skvade import M2Clustering, VaDEClustering
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.linear_path import LinearPath
from skvade.nn.networks import make_decoder, make_encoder, start_linear_paths_
from skvade.nn.summary import ModelShape
from tests.conftest import summary
from tests.nn import paths

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)) @ RNG.normal(size=(5, 5)) + 3.0


@pytest.mark.parametrize("latent_dim", [1, 3, 5])
@pytest.mark.parametrize("sizes", [(), (7,), (7, 6, 5)])
def test_codes_and_reconstructions_begin_as_those_of_pca(sizes, latent_dim):
    model, pca = paths.model_at_components(X, sizes, latent_dim)
    codes, expected = model.code(torch.from_numpy(X)).numpy(), pca.transform(X)
    signs = np.sign((codes * expected).sum(0))
    np.testing.assert_allclose(codes * signs, expected, atol=1e-4)
    decoded = model.expect(torch.from_numpy(codes)).numpy()
    np.testing.assert_allclose(decoded, pca.inverse_transform(expected), atol=1e-4)


def test_dimensions_beyond_the_components_are_zero():
    model, _ = paths.model_at_components(X, (7,), 8)
    codes = model.code(torch.from_numpy(X)).numpy()
    assert (codes[:, 5:] == 0).all()
    assert (codes[:, :5].std(0) > 0).all()
    assert (model.decoder.body.path.weight[:, 5:] == 0).all()


def test_rescaling_changes_codes_alone():
    model, _ = paths.model_at_components(X, (7,), 3)
    x = torch.from_numpy(X)
    before, codes = model.expect(model.code(x)), model.code(x)
    model.rescale_latent_(2.5)
    torch.testing.assert_close(model.code(x), codes / 2.5)
    torch.testing.assert_close(model.expect(model.code(x)), before)


@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_the_mean_row_is_decoded_to_itself(likelihood):
    data = RNG.poisson(4.0, (50, 4)).astype(float)
    data = data / data.max() if likelihood == "bernoulli" else data
    model, _ = paths.model_at_components(data, (7,), 2, likelihood)
    mean = model.view(torch.from_numpy(data)).mean(0, keepdim=True)
    code = model.code_of(mean)
    torch.testing.assert_close(code, torch.zeros_like(code), atol=1e-5, rtol=0)
    expected = model.expect(code)
    if likelihood in ("poisson", "negative_binomial"):  # known up to their sum
        mean = mean.expm1()
        mean, expected = mean / mean.sum(), expected / expected.sum()
    torch.testing.assert_close(expected, mean, atol=1e-4, rtol=1e-4)


def test_a_bernoulli_decoder_follows_the_data_to_first_order():
    """At probabilities of a half the logit's slope is 4."""
    data = 0.5 + 0.01 * RNG.uniform(-1, 1, (40, 3))
    model, _ = paths.model_at_components(data, (7,), 3, "bernoulli")
    x = torch.from_numpy(data)
    torch.testing.assert_close(model.expect(model.code(x)), x, atol=1e-5, rtol=0)


def test_no_path_beside_given_networks_and_none_if_it_is_switched_off(quiet):
    rows = RNG.normal(size=(60, 4))
    own = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU())
    budget = {"latent_dim": 2, "pretrain_iter": 2, "max_iter": 2, "random_state": 0}
    for given in ({"encoder": own}, {"linear_path": False, "hidden_layer_sizes": (6,)}):
        model = VaDEClustering(2, **given, **budget).fit(rows)
        parts = model.module_.modules()
        assert not any(isinstance(part, LinearPath) for part in parts)


def test_the_path_draws_nothing_from_the_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    paths.model_at_components(X, (7,), 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_path_keeps_full_precision_under_autocast():
    path = LinearPath(5, 2)
    torch.nn.init.normal_(path.weight, generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(X).float()
    expected = x @ path.weight.T
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(path(x), expected)


def test_categories_of_m2_bring_their_means_back_along_both_ways(generator):
    shape = ModelShape(2, "gaussian", summary(5), 3, (7,), linear_path=True)
    encoder = make_encoder(None, torch.zeros(2, 5), (7,), 3, "tanh", generator, True)
    decoder = make_decoder(None, 5, (7,), 5, "tanh", generator, True)
    likelihood = LIKELIHOODS["gaussian"](shape.summary)
    model = M2Clustering(2, latent_dim=3)._make_model((encoder, decoder, likelihood), shape)
    pca = PCA(3).fit(X)
    axes, mean = torch.from_numpy(pca.components_.T), torch.from_numpy(pca.mean_)
    start_linear_paths_(encoder, decoder, mean, axes, mean, 1.0)
    torch.nn.init.normal_(decoder.body.perceptron[-1].weight, generator=generator)
    model = model.double()
    x, labels = torch.from_numpy(X), torch.arange(60) % 2
    with torch.no_grad():
        codes = model.code(x)
        before = model.reconstruct(codes)
        model.take_partition_(codes, labels)
        one_hot = torch.nn.functional.one_hot(labels, 2).double()
        style = model.posterior(model.encode(x), one_hot)[0]
        torch.testing.assert_close(model.decode_given(style, one_hot), before)


def test_a_linear_model_at_its_optimum_is_probabilistic_pca():
    """log p(x) by importance weights is scikit-learn's `PCA.score_samples`, to rounding."""
    model, pca = paths.probabilistic_pca(X, 2)
    noise = torch.from_numpy(RNG.normal(size=(3, 2)))
    with torch.no_grad():
        found = model.log_evidence(torch.from_numpy(X), noise).numpy()
    np.testing.assert_allclose(found, pca.score_samples(X), rtol=1e-5, atol=1e-4)


def test_a_linear_fit_comes_near_the_best_density_of_its_kind_and_not_beyond(quiet):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(400, 6))
    budget = {"neighbor_weight": 0, "max_iter": 300, "tol": 0.0, "learning_rate": 2e-2}
    model = VaDEClustering(1, hidden_layer_sizes=(), latent_dim=2, random_state=0, **budget)
    model.set_params(precision="float32").fit(rows)
    best = PCA(2).fit(rows).score(rows)
    assert best - 0.3 < model.score(rows) < best + 0.02
