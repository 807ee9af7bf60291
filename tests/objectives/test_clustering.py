"""DEC's and DCN's losses, against the papers' formulas written naively."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from skvade.nn.headed import HeadedAutoencoder
from skvade.nn.heads import Centroids, StudentT
from skvade.objectives.base import Batch
from skvade.objectives.dcn import CentroidDistance
from skvade.objectives.dec import TargetAssignment, sharpened
from skvade.objectives.reconstruction import Reconstruction
from skvade.objectives.together import Together
from skvade.training.batches import Rows
from tests.conftest import random_model, rows_for

X = rows_for("gaussian", n_rows=40)
ROWS = Rows(X.numpy(), dtype=np.float64)


def headed(head):
    vade = random_model()
    model = HeadedAutoencoder(vade.encoder, vade.decoder, vade.likelihood, head).double()
    generator = torch.Generator().manual_seed(0)
    model.head.centers.data = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    return model


def batch_of(rows=slice(None)):
    return Batch(X[rows], torch.arange(len(X))[rows])


def naive_q(codes, centers, alpha):
    q = np.empty((len(codes), len(centers)))
    for i, z in enumerate(codes):
        for j, mu in enumerate(centers):
            q[i, j] = (1 + ((z - mu) ** 2).sum() / alpha) ** (-(alpha + 1) / 2)
    return q / q.sum(1, keepdims=True)


def naive_target(q):
    f = q.sum(0)
    p = np.empty_like(q)
    for i in range(len(q)):
        for j in range(q.shape[1]):
            p[i, j] = q[i, j] ** 2 / f[j] / sum(q[i, k] ** 2 / f[k] for k in range(q.shape[1]))
    return p


@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_decs_assignment_target_and_loss_are_the_papers(alpha, generator):
    model = headed(StudentT(3, 2, alpha))
    objective = TargetAssignment(ROWS, interval=10)
    with torch.no_grad():
        loss = objective(model, batch_of(slice(5, 25)), generator)["clustering"].item()
        codes, centers = model.code(X).numpy(), model.centers().numpy()
    q = naive_q(codes, centers, alpha)
    p = naive_target(q)
    np.testing.assert_allclose(model.assign(X).detach(), q)
    np.testing.assert_allclose(objective.targets, p)
    assert loss == pytest.approx((p * np.log(p / q))[5:25].sum(1).mean())


@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_decs_gradients_are_the_papers(alpha, generator):
    """Xie et al. 2016, Eqs. 4 and 5, for one code and all centres."""
    model = headed(StudentT(3, 2, alpha))
    encoding = model.encode(X)
    code = encoding.code.detach().requires_grad_()
    objective = TargetAssignment(ROWS, interval=10)
    terms = objective.terms(model, batch_of(), encoding._replace(code=code), generator)
    (len(X) * terms["clustering"]).backward()
    z, mu = code.detach().numpy(), model.centers().detach().numpy()
    q = naive_q(z, mu, alpha)
    p = naive_target(q)
    by_code, by_center = np.zeros_like(z), np.zeros_like(mu)
    for i in range(len(z)):
        for j in range(len(mu)):
            pull = (alpha + 1) / alpha / (1 + ((z[i] - mu[j]) ** 2).sum() / alpha)
            pull *= (p[i, j] - q[i, j]) * (z[i] - mu[j])
            by_code[i] += pull
            by_center[j] -= pull
    np.testing.assert_allclose(code.grad, by_code)
    np.testing.assert_allclose(model.head.centers.grad, by_center)


def test_the_target_is_found_anew_at_the_interval_and_only_in_training(generator):
    model = headed(StudentT(3, 2))
    objective = TargetAssignment(ROWS, interval=3)
    found = []
    for training in (True, True, True, True, False, True, True):
        objective(model.train(training), batch_of(), generator)
        found.append(objective.targets)
        model.head.centers.data += 0.1
        assert model.training is training
    changes = [a is not b for a, b in pairwise(found)]
    assert changes == [False, False, True, False, False, False]


def test_rows_beside_the_data_get_a_target_of_the_same_frequencies(generator):
    model = headed(StudentT(3, 2))
    objective = TargetAssignment(ROWS, interval=10)
    with torch.no_grad():
        known = objective(model, batch_of(), generator)["clustering"].item()
        new = objective(model, Batch(X, None), generator)["clustering"].item()
    assert new == pytest.approx(known)


def test_a_cluster_that_nobody_is_in_leaves_a_finite_target():
    q = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    target = sharpened(q, q.sum(0))
    np.testing.assert_allclose(target.sum(1), 1)
    assert (target[:, 2] == 0).all()


def test_dcns_centroids_follow_as_in_a_loop_over_rows(generator):
    """Yang et al. 2017, Eq. 8: every row moves its centroid by one over the rows that it counts."""
    model = headed(Centroids(3, 2)).train()
    with torch.no_grad():
        codes, centers = model.code(X).numpy(), model.centers().numpy().copy()
    counts = np.full(3, 100.0)
    nearest = ((codes[:, None] - centers) ** 2).sum(-1).argmin(1)
    naive_loss = 0.5 * ((codes - centers[nearest]) ** 2).sum(1).mean()
    for z, c in zip(codes, nearest, strict=True):
        counts[c] += 1
        centers[c] += (z - centers[c]) / counts[c]
    terms = CentroidDistance()(model, batch_of(), generator)
    assert terms["clustering"].item() == pytest.approx(naive_loss)
    np.testing.assert_allclose(model.centers(), centers)
    np.testing.assert_allclose(model.head.counts, counts)


def test_dcns_centroids_rest_outside_training(generator):
    model = headed(Centroids(3, 2))
    before = model.centers().clone()
    CentroidDistance()(model.eval(), batch_of(), generator)
    CentroidDistance()(model.train(), Batch(X, None), generator)
    np.testing.assert_array_equal(model.centers(), before)


def test_gradients_of_dcn_move_codes_to_their_centroids(generator):
    model = headed(Centroids(3, 2)).eval()
    encoding = model.encode(X)
    code = encoding.code.detach().requires_grad_()
    terms = CentroidDistance().terms(model, batch_of(), encoding._replace(code=code), generator)
    terms["clustering"].backward()
    nearest = model.centers()[model.head(code).argmax(-1)]
    np.testing.assert_allclose(code.grad, (code.detach() - nearest) / len(X))


def test_terms_together_are_weighted_and_keep_their_names(generator):
    model, batch = headed(StudentT(3, 2)), batch_of()
    sharp, plain = TargetAssignment(ROWS, 10), Reconstruction()
    with torch.no_grad():
        both = Together(plain, (7.0, sharp))(model, batch, generator)
        first, second = (part(model, batch, generator) for part in (plain, sharp))
    assert both["reconstruction"].item() == pytest.approx(first["reconstruction"].item())
    assert both["clustering"].item() == pytest.approx(7 * second["clustering"].item())
