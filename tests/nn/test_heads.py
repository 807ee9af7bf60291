"""Clusters among codes, against the formulas, scipy, scikit-learn and a loop over rows."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from scipy.special import log_softmax
from sklearn.mixture import GaussianMixture

from skvade.nn.heads import CENTROID_COUNT, Centroids, Linear, StudentT, squared_distances

HEADS = [StudentT, Centroids, Linear]
ORDER = torch.tensor([1, 2, 0])


def random_head(cls, n_clusters=3, latent_dim=2, **given):
    """A float64 head whose every parameter and buffer is random."""
    generator = torch.Generator().manual_seed(0)
    head = cls(n_clusters, latent_dim, **given).double()
    for tensor in (*head.parameters(), *head.buffers()):
        tensor.data = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if cls is Centroids:
        head.counts.abs_().mul_(50).add_(1)
    return head


def random_codes(n_rows=40, latent_dim=2):
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn(n_rows, latent_dim, generator=generator, dtype=torch.float64)


def test_distances_are_scipys():
    codes, centers = random_codes(40, 5), random_codes(7, 5)
    expected = cdist(codes, centers) ** 2
    np.testing.assert_allclose(squared_distances(codes, centers), expected, atol=1e-12)


@pytest.mark.parametrize("cls", HEADS)
def test_tails_are_scipys_multivariate_t(cls):
    head, codes = random_head(cls, latent_dim=5), random_codes(40, 5)
    with torch.no_grad():
        found = head.tailed(codes).log_softmax(1)
    joint = [stats.multivariate_t(c.detach().numpy(), df=5).logpdf(codes) for c in head.centers]
    np.testing.assert_allclose(found, log_softmax(np.transpose(joint), 1), atol=1e-10)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 7.0])
def test_students_density_is_the_formula_and_scipys(alpha):
    head, codes = random_head(StudentT, alpha=alpha), random_codes()
    with torch.no_grad():
        found = head(codes).exp().numpy()
    for i, z in enumerate(codes.numpy()):
        for c, mu in enumerate(head.centers.detach().numpy()):
            naive = (1 + ((z - mu) ** 2).sum() / alpha) ** (-(alpha + 1) / 2)
            assert found[i, c] == pytest.approx(naive)
    distances = cdist(codes, head.centers.detach())
    expected = stats.t.pdf(distances, alpha) / stats.t.pdf(0, alpha)
    np.testing.assert_allclose(found, expected)


def test_centroids_are_spherical_gaussians_of_equal_weight():
    head, codes = random_head(Centroids), random_codes()
    theirs = GaussianMixture(3, covariance_type="spherical")
    theirs.weights_, theirs.means_ = np.full(3, 1 / 3), head.centers.numpy()
    theirs.covariances_ = theirs.precisions_cholesky_ = np.ones(3)
    np.testing.assert_allclose(head(codes).softmax(-1), theirs.predict_proba(codes.numpy()))


def test_centroids_follow_as_in_a_loop_over_rows():
    head = random_head(Centroids)
    centers, counts = head.centers.numpy().copy(), head.counts.numpy().copy()
    for labels in (torch.arange(40) % 3, torch.full((40,), 1), torch.arange(40) % 2):
        head.follow_(random_codes(), labels)
        for z, c in zip(random_codes().numpy(), labels.tolist(), strict=True):
            counts[c] += 1
            centers[c] += (z - centers[c]) / counts[c]
        np.testing.assert_allclose(head.centers, centers)
        np.testing.assert_allclose(head.counts, counts)


def test_a_centroid_weighs_as_many_rows_at_the_start_as_in_dcns_code():
    head, codes = Centroids(2, 2).double(), random_codes()
    head.follow_(codes, torch.zeros(40, dtype=torch.int64))
    np.testing.assert_allclose(head.centers[0], codes.sum(0) / (CENTROID_COUNT + 40))
    np.testing.assert_array_equal(head.centers[1], [0, 0])


@pytest.mark.parametrize("cls", [StudentT, Linear])
def test_centres_that_gradients_move_do_not_follow(cls):
    head = random_head(cls)
    before = head.centers.detach().clone()
    head.follow_(random_codes(), torch.zeros(40, dtype=torch.int64))
    np.testing.assert_array_equal(head.centers.detach(), before)


def test_the_linear_head_is_its_formula_up_to_a_constant():
    head, codes = random_head(Linear), random_codes()
    with torch.no_grad():
        distances = torch.from_numpy(cdist(codes, head.centers) ** 2)
        expected = -0.5 * head.log_scale.exp() * distances + head.bias
        np.testing.assert_allclose(head(codes).softmax(-1), expected.softmax(-1))
        # It is linear: the middle of two codes has the middle of their logits.
        middle = 0.5 * (head(codes[:20]) + head(codes[20:]))
        np.testing.assert_allclose(head(0.5 * (codes[:20] + codes[20:])), middle)


@pytest.mark.parametrize("unit", [1e-2, 1.0, 1e2])
def test_the_median_row_is_moderately_sure_at_first_whatever_the_unit(unit):
    codes, labels = unit * random_codes(301), torch.arange(301) % 3
    codes[labels == 1] += 5 * unit
    head = Linear(3, 2).double()
    for again in (7 * codes, codes):  # it may start anew, where codes have moved
        head.assign_partition_(again, labels)
    with torch.no_grad():
        proba = head(codes).softmax(-1).sort(-1).values
    odds = (proba[:, -1] / proba[:, -2]).numpy()
    assert np.median(odds) == pytest.approx(np.exp(3))


def test_without_gaps_the_linear_head_keeps_finite_numbers():
    for n_clusters, codes in ((3, torch.ones(9, 2)), (1, torch.randn(9, 2))):
        head = Linear(n_clusters, 2)
        head.assign_partition_(codes, torch.arange(9) % n_clusters)
        assert head(codes).isfinite().all()
    assert head.log_scale.item() == 0  # one cluster has no gap to a next one


@pytest.mark.parametrize("cls", HEADS)
def test_heads_start_at_the_means_of_a_partition(cls):
    labels = torch.arange(60) % 3
    codes = random_codes(60) + 12 * labels.unsqueeze(-1)
    head = cls(3, 2).double()
    head.assign_partition_(codes, labels)
    means = torch.stack([codes[labels == c].mean(0) for c in range(3)])
    np.testing.assert_allclose(head.centers.detach(), means)
    assert (head(codes).argmax(-1) == labels).all()


@pytest.mark.parametrize("cls", HEADS)
def test_an_empty_cluster_starts_in_the_middle(cls):
    codes, labels = random_codes(20), torch.arange(20) % 2
    head = cls(3, 2).double()
    head.assign_partition_(codes, labels)
    np.testing.assert_allclose(head.centers[2].detach(), codes.mean(0))
    np.testing.assert_allclose(head.centers[0].detach(), codes[::2].mean(0))


@pytest.mark.parametrize("cls", HEADS)
def test_a_new_order_reorders_clusters_and_all_that_is_theirs(cls):
    head, codes = random_head(cls), random_codes()
    with torch.no_grad():
        before, theirs = head(codes), {name: t.clone() for name, t in head.state_dict().items()}
        head.permute_(ORDER)
        np.testing.assert_allclose(head(codes).softmax(-1), before[:, ORDER].softmax(-1))
    for name, tensor in head.state_dict().items():
        expected = theirs[name][ORDER] if tensor.ndim else theirs[name]
        np.testing.assert_array_equal(tensor, expected)


@pytest.mark.parametrize("cls", HEADS)
def test_gradients_agree_with_finite_differences(cls):
    head, codes = random_head(cls), random_codes(5).requires_grad_()
    parameters = list(head.parameters())
    assert torch.autograd.gradcheck(lambda z, *p: head(z).log_softmax(-1), (codes, *parameters))
    assert {name for name, _ in head.named_parameters()} == {
        StudentT: {"centers"},
        Centroids: set(),
        Linear: {"centers", "bias", "log_scale"},
    }[cls]


@pytest.mark.parametrize("cls", HEADS)
def test_single_precision_agrees_with_double(cls):
    head, codes = random_head(cls), random_codes()
    with torch.no_grad():
        double = head(codes).log_softmax(-1)
        single = head.float()(codes.float()).log_softmax(-1)
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)
