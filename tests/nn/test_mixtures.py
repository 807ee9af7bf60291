"""The mixture and its covariances, against scikit-learn's and against Monte Carlo."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

from skvade.nn.covariances import COVARIANCES, Full
from skvade.nn.mixtures import GaussianMixturePrior
from tests.conftest import random_mixture

TYPES = sorted(COVARIANCES)


def as_sklearn(mixture, kind):
    """scikit-learn's mixture with the same parameters."""
    with torch.no_grad():
        theirs = GaussianMixture(mixture.n_clusters, covariance_type=kind)
        theirs.weights_ = mixture.log_weights().exp().numpy()
        theirs.means_ = mixture.means.numpy()
        theirs.covariances_ = mixture.covariance.covariances().numpy()
    theirs.precisions_cholesky_ = _compute_precision_cholesky(theirs.covariances_, kind)
    return theirs


def codes(n_rows=50, latent_dim=4, seed=5):
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=2, size=(n_rows, latent_dim)))


@pytest.mark.parametrize("kind", TYPES)
def test_densities_and_responsibilities_equal_scikit_learns(kind):
    mixture, z = random_mixture(kind, 5, 4), codes()
    theirs = as_sklearn(mixture, kind)
    with torch.no_grad():
        log_joint = mixture.log_joint(z)
        log_prob, responsibilities = mixture.log_prob(z), log_joint.softmax(-1)
    np.testing.assert_allclose(log_prob.numpy(), theirs.score_samples(z.numpy()), atol=1e-10)
    np.testing.assert_allclose(
        responsibilities.numpy(), theirs.predict_proba(z.numpy()), atol=1e-10
    )


@pytest.mark.parametrize("kind", TYPES)
def test_prior_integrates_to_one(kind):
    mixture = random_mixture(kind)
    axis = torch.linspace(-25, 25, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = mixture.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", TYPES)
def test_expected_log_joint_equals_monte_carlo(kind, generator):
    mixture = random_mixture(kind, 3, 4)
    mean, variance = codes(2), codes(2, seed=6).abs() + 0.1
    with torch.no_grad():
        exact = mixture.expected_log_joint(mean, variance)
        noise = torch.randn(200_000, 4, generator=generator, dtype=torch.float64)
        for row in range(2):
            draws = mixture.log_joint(mean[row] + variance[row].sqrt() * noise)
            error = draws.std(0) / len(noise) ** 0.5
            assert ((draws.mean(0) - exact[row]).abs() < 5 * error).all()


@pytest.mark.parametrize("kind", TYPES)
def test_draws_have_the_components_moments(kind, generator):
    mixture = random_mixture(kind, 3, 4)
    matrices = np.stack([np.linalg.inv(p) for p in precisions(mixture)])
    with torch.no_grad():
        for component in range(3):
            draws = mixture.sample(torch.full((200_000,), component), generator).numpy()
            np.testing.assert_allclose(draws.mean(0), mixture.means[component].numpy(), atol=0.05)
            scale = matrices[component].diagonal().max()
            np.testing.assert_allclose(np.cov(draws.T), matrices[component], atol=0.02 * scale)


def precisions(mixture):
    """Precision matrices found by differentiating the log density twice."""
    covariance = mixture.covariance

    def distance(z, component):
        return 0.5 * covariance.mahalanobis((z - mixture.means).unsqueeze(0))[0, component]

    zero = torch.zeros(mixture.latent_dim, dtype=torch.float64)
    return [
        torch.autograd.functional.hessian(lambda z, c=c: distance(z, c), zero).numpy()
        for c in range(mixture.n_clusters)
    ]


@pytest.mark.parametrize("kind", TYPES)
def test_precision_diagonals_and_determinants_are_those_of_the_precision(kind):
    mixture = random_mixture(kind, 3, 4)
    matrices = np.stack(precisions(mixture))
    covariance = mixture.covariance
    with torch.no_grad():
        diagonals = covariance.precision_diagonals().expand(3, 4).numpy()
        half_log_det = covariance.half_log_det().numpy()
        conditional = covariance.conditional_variances().numpy()
    np.testing.assert_allclose(diagonals, np.diagonal(matrices, axis1=1, axis2=2), rtol=1e-10)
    np.testing.assert_allclose(half_log_det, 0.5 * np.linalg.slogdet(matrices)[1], rtol=1e-10)
    np.testing.assert_allclose(conditional, 1 / np.diagonal(matrices, axis1=1, axis2=2), rtol=1e-10)


@pytest.mark.parametrize("kind", TYPES)
def test_gradients_agree_with_finite_differences(kind):
    mixture = random_mixture(kind, 3, 3)
    mean, variance = codes(4, 3), codes(4, 3, seed=6).abs() + 0.1
    parameters = list(mixture.parameters())
    assert torch.autograd.gradcheck(
        lambda m, v, *p: mixture.expected_log_joint(m, v),
        (mean.requires_grad_(), variance.requires_grad_(), *parameters),
    )


@pytest.mark.parametrize("kind", TYPES)
def test_assigned_parameters_come_back(kind):
    mixture = random_mixture(kind, 3, 4)
    again = GaussianMixturePrior(COVARIANCES[kind](3, 4)).double()
    with torch.no_grad():
        matrices = torch.from_numpy(np.stack([np.linalg.inv(p) for p in precisions(mixture)]))
        again.assign_(mixture.log_weights().exp(), mixture.means, matrices)
        np.testing.assert_allclose(
            again.log_joint(codes()).numpy(), mixture.log_joint(codes()).numpy(), atol=1e-9
        )


@pytest.mark.parametrize("kind", TYPES)
def test_permuting_components_permutes_everything(kind):
    mixture, z, order = random_mixture(kind, 3, 4), codes(), torch.tensor([2, 0, 1])
    with torch.no_grad():
        before = mixture.log_joint(z)
        mixture.permute_(order)
        np.testing.assert_allclose(
            mixture.log_joint(z).numpy(), before[:, order].numpy(), atol=1e-12
        )


def test_a_partition_gives_its_shares_means_and_covariances():
    z = codes(90_000, 2)
    labels = torch.arange(90_000) % 3
    z[labels == 1] *= 3
    z[labels == 2] += 5
    mixture = GaussianMixturePrior(Full(3, 2)).double()
    mixture.assign_partition_(z, labels)
    with torch.no_grad():
        np.testing.assert_allclose(mixture.log_weights().exp().numpy(), [1 / 3] * 3, rtol=1e-10)
        for c in range(3):
            members = z[labels == c].numpy()
            np.testing.assert_allclose(mixture.means[c].numpy(), members.mean(0), rtol=1e-10)
            np.testing.assert_allclose(
                mixture.covariance.covariances()[c].numpy(), np.cov(members.T), rtol=2e-3, atol=2e-3
            )


def test_empty_and_single_member_clusters_get_the_pooled_shape():
    z, labels = codes(200, 2), torch.zeros(200, dtype=torch.long)
    labels[0] = 1
    mixture = GaussianMixturePrior(Full(3, 2, floor=0.01)).double()
    mixture.assign_partition_(z, labels)
    with torch.no_grad():
        first, single, empty = mixture.covariance.covariances()
    pooled = np.cov(z.numpy().T)
    np.testing.assert_allclose(empty.numpy(), pooled, rtol=0.1, atol=0.1)
    np.testing.assert_allclose(first.numpy(), pooled, rtol=0.1, atol=0.1)
    assert torch.isfinite(single).all()
    assert torch.isfinite(mixture.logits).all()


@pytest.mark.parametrize("kind", TYPES)
def test_the_floor_lets_a_component_widen_again(kind):
    covariance = COVARIANCES[kind](2, 3, floor=0.04)
    covariance.log_diagonal.data.fill_(3.0)
    covariance.half_log_det().sum().backward()
    assert (covariance.log_diagonal.grad.abs() > 0).all()


@pytest.mark.parametrize("kind", TYPES)
def test_covariances_above_the_floor_come_back(kind):
    matrices = torch.diag_embed(torch.tensor([[0.05, 0.5, 2.0]]).expand(2, 3).double())
    if kind == "spherical":
        matrices = torch.eye(3, dtype=torch.float64).expand(2, 3, 3) * 0.05
    covariance = COVARIANCES[kind](2, 3, floor=0.04).double()
    with torch.no_grad():
        covariance.assign_(matrices, torch.tensor([0.5, 0.5], dtype=torch.float64))
        variances = covariance.conditional_variances()
    np.testing.assert_allclose(variances, matrices.diagonal(dim1=1, dim2=2), rtol=1e-10)


@pytest.mark.parametrize("kind", TYPES)
def test_the_floor_bounds_conditional_variances(kind):
    covariance = COVARIANCES[kind](2, 3, floor=0.04)
    covariance.log_diagonal.data.fill_(20.0)
    assert covariance.log_scales().max().exp().item() == pytest.approx(1 / 0.2, rel=1e-6)
    assert torch.isfinite(covariance.half_log_det()).all()
