"""The mixture and its covariances, against scikit-learn's and against Monte Carlo."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from sklearn.mixture._gaussian_mixture import (
    _compute_precision_cholesky,
    _estimate_gaussian_parameters,
)

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


def posteriors(n_rows, n_clusters, latent_dim, seed=7):
    """Weights q(c|x), and means and variances of a q(z|x, c) for each c, with nothing special."""
    rng = np.random.default_rng(seed)
    weights = torch.from_numpy(rng.dirichlet(0.3 * np.ones(n_clusters), n_rows))
    mean = torch.from_numpy(rng.normal(scale=2, size=(n_rows, n_clusters, latent_dim)))
    return weights, mean, torch.from_numpy(rng.gamma(1.0, size=mean.shape))


def expected_log_density(mixture, weights, mean, variance):
    """sum_x sum_c q(c|x) E_q[log pi_c + log N(z; mu_c, Sigma_c)]."""
    with torch.no_grad():
        each = mixture.log_weights() + mixture.expected_log_components(mean, variance)
    return (weights * each).sum().item()


@pytest.mark.parametrize("kind", TYPES)
def test_the_m_step_is_scikit_learns_where_codes_are_points(kind):
    mixture, z = random_mixture(kind, 3, 4), codes(300) + 40
    z[100:200] -= 10
    weights = torch.from_numpy(np.random.default_rng(1).dirichlet(np.ones(3), 300))
    parts = [
        mixture.moments(weights[part], z[part].unsqueeze(1), torch.zeros(1, 1, 4))
        for part in (slice(0, 130), slice(130, 300))
    ]
    mixture.maximise_(*(a + b for a, b in zip(*parts, strict=True)))
    counts, means, covariances = _estimate_gaussian_parameters(z.numpy(), weights.numpy(), 0, kind)
    with torch.no_grad():
        np.testing.assert_allclose(mixture.log_weights().exp(), counts / 300, rtol=1e-12)
        np.testing.assert_allclose(mixture.means, means, rtol=1e-12)
        np.testing.assert_allclose(
            mixture.covariance.covariances(), covariances, rtol=1e-8, atol=1e-8
        )


@pytest.mark.parametrize("floor", [0.0, 0.5], ids=["no floor", "a floor that binds"])
@pytest.mark.parametrize("kind", TYPES)
def test_no_other_mixture_has_a_higher_bound_than_that_of_the_m_step(kind, floor):
    """From wherever it starts, it ends where gradients vanish and small steps lead down."""
    weights, mean, variance = posteriors(200, 3, 4)
    mean[..., 1] = mean[..., 0] + 0.1 * mean[..., 1]  # a thin direction, for the floor
    variance *= 0.01
    found = []
    for seed in range(3):
        mixture = random_mixture(kind, 3, 4, seed=seed)
        with torch.no_grad():
            matrices = mixture.covariance.matrices()
            mixture.covariance.floor = floor
            mixture.covariance.assign_(matrices, mixture.log_weights().exp())
        before = expected_log_density(mixture, weights, mean, variance)
        mixture.maximise_(*mixture.moments(weights, mean, variance))
        found.append(expected_log_density(mixture, weights, mean, variance))
        assert found[-1] > before
    np.testing.assert_allclose(found, found[0], rtol=1e-9)
    rng = np.random.default_rng(0)
    best = {name: value.clone() for name, value in mixture.state_dict().items()}
    for _ in range(30):
        moved = {
            name: value + 0.02 * torch.from_numpy(rng.normal(size=value.shape))
            for name, value in best.items()
        }
        mixture.load_state_dict(moved)
        # The floor is met but for a thousandth of it, from which a component can widen again.
        assert expected_log_density(mixture, weights, mean, variance) < found[0] + 1e-3 * 200


@pytest.mark.parametrize("kind", TYPES)
def test_an_m_step_keeps_what_too_few_rows_say_nothing_of(kind):
    mixture = random_mixture(kind, 4, 3)
    weights, mean, variance = posteriors(60, 4, 3)
    weights[:, 2] = 0  # no row
    weights[:, 3] = 0
    weights[:2] = torch.eye(4, dtype=torch.float64)[3]  # two rows, in three dimensions
    before = {name: value.clone() for name, value in mixture.statistics().items()}
    start = expected_log_density(mixture, weights, mean, variance)
    mixture.maximise_(*mixture.moments(weights, mean, variance))
    after = mixture.statistics()
    with torch.no_grad():
        np.testing.assert_array_equal(after["means"][2], before["means"][2])
        np.testing.assert_allclose(after["means"][3], mean[:2, 3].mean(0))
        if kind != "tied":
            np.testing.assert_allclose(after["covariances"][2:], before["covariances"][2:])
        assert 0 < after["weights"][2] < 1e-4
        assert all(value.isfinite().all() for value in mixture.state_dict().values())
    assert expected_log_density(mixture, weights, mean, variance) > start


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("spread", [0.0, 1e-15, 1e15])
def test_an_m_step_of_degenerate_codes_stays_finite(kind, spread):
    mixture = GaussianMixturePrior(COVARIANCES[kind](2, 3, floor=1e-2))  # float32
    z = spread * torch.arange(30.0).view(-1, 1, 1) * torch.ones(3)
    weights = torch.full((30, 2), 0.5)
    mixture.maximise_(*mixture.moments(weights, z, torch.full((1, 1, 3), 6e-6)))
    assert all(value.isfinite().all() for value in mixture.state_dict().values())
    assert mixture.log_prob(z.squeeze(1)).isfinite().all()


@pytest.mark.parametrize("kind", TYPES)
def test_full_matrices_are_those_of_the_precision(kind):
    mixture = random_mixture(kind, 3, 4)
    inverse = np.stack([np.linalg.inv(p) for p in precisions(mixture)])
    with torch.no_grad():
        np.testing.assert_allclose(mixture.covariance.matrices(), inverse, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_a_floor_that_binds_leaves_conditional_means_alone(kind):
    """z_l given the dimensions after it has the regression that the matrix says."""
    matrix = torch.tensor([[1.0, 0.99], [0.99, 1.0]], dtype=torch.float64).expand(2, 2, 2)
    covariance = COVARIANCES[kind](2, 2, floor=0.3).double()
    covariance.assign_(matrix, torch.full((2,), 0.5, dtype=torch.float64))
    with torch.no_grad():
        found = covariance.matrices()[0]
    assert (found[0, 1] / found[1, 1]).item() == pytest.approx(0.99)
    assert found[1, 1].item() == pytest.approx(1.0)
    assert (found[0, 0] - found[0, 1] ** 2 / found[1, 1]).item() == pytest.approx(0.3, rel=2e-3)
