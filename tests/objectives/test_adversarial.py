"""Virtual adversarial training, against formulas written naively and where rows should move."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from scipy.stats import multivariate_t
from torch import nn

from skvade.nn.covariances import COVARIANCES
from skvade.objectives.adversarial import REACH, VirtualAdversary, divergence, steepest
from skvade.objectives.base import Batch
from skvade.objectives.labels import LabeledRows
from skvade.training.batches import Rows
from tests.conftest import random_model, rows_for

X = rows_for("gaussian", n_rows=40)
SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def partner(index, generator):
    return Batch(X[(index + 1) % 40], (index + 1) % 40)


PARTITION = torch.arange(40) % 2


def adversary(shares=SHARES, n_held=4, labeled=None):
    return VirtualAdversary(partner, PARTITION, shares, n_held, labeled)


def terms_of(objective, model, seed=0):
    with torch.enable_grad():
        found = objective(model, Batch(X, torch.arange(40)), torch.Generator().manual_seed(seed))
    return {name: term.item() for name, term in found.items()}


def tailed(model, x):
    with torch.no_grad():
        return model.tailed_logits(model.code(x)).softmax(-1).numpy()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_tails_are_those_of_the_t_distribution(covariance):
    mixture = random_model(covariance=covariance).mixture
    z = 3 * torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = mixture.log_tailed_joint(z).numpy()
        weights = mixture.log_weights().numpy()
        precisions = mixture.covariance.whiten(torch.eye(2).double().unsqueeze(1).expand(2, 3, 2))
        shapes = [np.linalg.inv((u.T @ u).numpy()) for u in precisions.transpose(0, 1).mT]
        means = mixture.means.numpy()
    theirs = [
        weight + multivariate_t(mean, shape, df=2).logpdf(z.numpy())
        for weight, mean, shape in zip(weights, means, shapes, strict=True)
    ]
    difference = ours - np.transpose(theirs)
    assert np.allclose(difference, difference[0, 0])


def test_terms_are_the_formula():
    model, labels = random_model(), np.where(np.arange(40) % 4 == 0, np.arange(40) % 3, -1)
    labeled = LabeledRows(Rows(X.numpy(), dtype=np.float64), labels)
    terms = terms_of(adversary(labeled=labeled), model)
    t = tailed(model, X)
    entropy = -(t * np.log(t)).sum(1).mean()
    assert terms["uncertainty"] == pytest.approx(0.4 * entropy)
    assert terms["shares"] == pytest.approx(0.4 * rel_entr(SHARES.numpy(), t.mean(0)).sum())
    own = np.log(t[np.arange(40), PARTITION.numpy()])
    assert terms["partition"] == pytest.approx(-own.mean())
    known = labels >= 0
    own = np.log(t[known, labels[known]])
    assert terms["labels"] == pytest.approx(-3 * own.mean())


def test_clusters_are_held_less_and_less():
    model, objective = random_model(), adversary(n_held=4)
    held = [terms_of(objective, model)["partition"] for _ in range(6)]
    assert held == pytest.approx([held[0] * share for share in (1, 0.75, 0.5, 0.25, 0, 0)])
    assert held[0] > 0
    again = adversary(n_held=4)
    again.restore(objective.state())
    assert terms_of(again, model)["partition"] == 0


def test_divergence_is_that_of_kullback_and_leibler():
    q, p = (tailed(random_model(), rows) for rows in (X[:20], X[20:]))
    ours = divergence(torch.from_numpy(q).log(), torch.from_numpy(p).log())
    assert ours.item() == pytest.approx(rel_entr(q, p).sum(1).mean())


class Straight(nn.Module):
    """Two clusters that a hyperplane parts: the divergence grows along its normal alone."""

    normal = torch.tensor([2.0, -1.0, 0.0, 0.5], dtype=torch.float64)

    def view(self, x):
        return x

    def code_of(self, view):
        self.seen = view
        return view @ self.normal

    def tailed_logits(self, code):
        return torch.stack([code, -code], 1)


def test_rows_move_across_the_border_by_a_share_of_the_distance_to_a_neighbour():
    model = Straight()
    terms_of(adversary(SHARES[:2]), model)
    rows, moved = model.seen.chunk(2)
    assert torch.equal(rows, X)
    step = moved - rows
    distances = (X.roll(-1, 0) - X).norm(dim=1)
    assert torch.allclose(step.norm(dim=1), REACH * distances)
    along = (step @ model.normal) / (step.norm(dim=1) * model.normal.norm())
    assert torch.allclose(along.abs(), torch.ones(40).double())


def test_nothing_moves_farther_in_divergence_than_the_adversary():
    """A step as long in a random direction changes the clusters less, in the mean."""
    model = random_model()
    adversarial = terms_of(adversary(), model)["smoothness"]
    reach = REACH * (X.roll(-1, 0) - X).norm(dim=1, keepdim=True)
    generator, before = torch.Generator().manual_seed(3), tailed(model, X)
    for _ in range(20):
        noise = torch.randn(X.shape, generator=generator, dtype=X.dtype)
        moved = X + reach * nn.functional.normalize(noise)
        assert rel_entr(before, tailed(model, moved)).sum(1).mean() < adversarial


def test_directions_have_length_one_however_small_the_gradient():
    x = X.float()
    for scale in (1e-30, 1e-20, 1.0, 1e20):
        with torch.enable_grad():
            lengths = steepest(lambda rows, s=scale: s * rows.sin().sum(), x, x).norm(dim=1)
        assert torch.allclose(lengths, torch.ones(40))


def test_an_encoder_that_is_frozen_moves_nothing():
    with torch.enable_grad():
        assert not steepest(lambda x: x.detach().sum(), X, torch.zeros_like(X)).any()
        assert not steepest(lambda x: torch.ones(1, requires_grad=True).sum(), X, X).any()
