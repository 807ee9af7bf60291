"""The M step after training: the bound, its q(c|x), and where the clusters lie then."""

import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from torch import nn

from benchmarks.machine import anonymous_growth
from skvade import VaDEClustering
from skvade.nn.covariances import COVARIANCES
from skvade.nn.gmvae import GMVAE
from skvade.nn.m2 import M2
from skvade.objectives.base import Batch
from skvade.objectives.category import CategoryNegativeELBO
from skvade.objectives.marginalization import Exact
from skvade.objectives.vade import HeldNegativeELBO, NegativeELBO
from skvade.training.batches import Rows
from skvade.training.m_step import MStep
from skvade.training.run import Run
from skvade.training.runtime import Runtime
from tests.conftest import random_category_model, random_model

X = np.random.default_rng(0).normal(size=(400, 4))
LABELS = torch.arange(400) % 4 - 1  # a quarter unknown
MODELS = {
    "VaDE": (
        random_model,
        lambda labels: HeldNegativeELBO(labels) if labels is not None else NegativeELBO(),
    ),
    "GMVAE": (
        lambda: random_category_model(GMVAE),
        lambda labels: CategoryNegativeELBO(Exact(), labels),
    ),
    "M2": (lambda: random_category_model(M2), lambda labels: CategoryNegativeELBO(Exact(), labels)),
}


def m_step(model, objective, device="cpu"):
    run = Run(model, Rows(X, dtype=np.float64), Runtime(torch.device(device)), seed=0)
    MStep(lambda run: objective).run(run, seed=3)
    return run


def terms(model, objective):
    """The terms of all rows at once, with draws of their own."""
    batch = Batch(torch.from_numpy(X), torch.arange(len(X)))
    with torch.no_grad():
        found = objective(model, batch, torch.Generator().manual_seed(1))
    return {name: term.item() for name, term in found.items()}


def divergence(model, objective):
    """What of the negative bound the prior has a part in."""
    return sum(value for name, value in terms(model, objective).items() if name != "reconstruction")


@pytest.mark.parametrize("labels", [None, LABELS], ids=["no labels", "labels"])
@pytest.mark.parametrize("name", MODELS)
def test_the_bound_rises_and_is_that_of_the_model_as_it_is_then(name, labels):
    make, objective_of = MODELS[name]
    model, objective = make(), objective_of(labels)
    before, loss = terms(model, objective), divergence(model, objective)
    run = m_step(model, objective)
    after = terms(model, objective)
    assert divergence(model, objective) < loss - 1e-3
    assert after["reconstruction"] == before["reconstruction"]
    generator = torch.Generator().manual_seed(3)
    same = 0.0
    with torch.no_grad():  # by the same draws, of ten passes over 400 rows
        for block in run.rows.numbered_blocks(model.row_bytes(4), n_passes=10):
            same -= len(block.x) / 4_000 * sum(objective(model, block, generator).values()).item()
    assert run.handover.bound == pytest.approx(same, rel=1e-12)
    batch = Batch(torch.from_numpy(X), torch.arange(len(X)))
    with torch.no_grad():  # by other draws, of which there are five times as many
        passes = [-sum(objective(model, batch, generator).values()).item() for _ in range(50)]
    error = np.std(passes) * (1 / np.sqrt(10) + 1 / np.sqrt(50))
    assert run.handover.bound == pytest.approx(np.mean(passes), abs=3 * error)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_the_bound_never_falls(covariance):
    model, objective = random_model(covariance=covariance), NegativeELBO()
    losses = [divergence(model, objective)]
    for _ in range(8):
        m_step(model, objective)
        losses.append(divergence(model, objective))
    assert (np.diff(losses) < 1e-9).all()
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("name", MODELS)
def test_nothing_but_the_prior_moves(name):
    make, objective_of = MODELS[name]
    model = make()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    m_step(model, objective_of(None))
    moved = {k for k, value in model.state_dict().items() if not torch.equal(value, before[k])}
    prior = {"logits"} if name == "M2" else {key for key in before if key.startswith("mixture.")}
    assert moved == prior


def test_means_lie_among_their_codes():
    model = random_model()
    with torch.no_grad():
        q, codes = model.assign(torch.from_numpy(X)), model.code(torch.from_numpy(X))
    m_step(model, NegativeELBO())
    np.testing.assert_allclose(model.mixture.means.detach(), (q.T @ codes) / q.sum(0)[:, None])
    np.testing.assert_allclose(model.mixture.log_weights().exp().detach(), q.mean(0))


def test_known_labels_are_where_the_clusters_go():
    model, labels = random_model(), torch.arange(400) % 3
    with torch.no_grad():
        codes, log_variance, _ = model.encode(torch.from_numpy(X))
    m_step(model, HeldNegativeELBO(labels))
    statistics = {name: value.detach() for name, value in model.statistics().items()}
    for c in range(3):
        members = codes[labels == c]
        covariance = (
            np.cov(members.T, bias=True) + log_variance[labels == c].exp().mean(0).diag().numpy()
        )
        np.testing.assert_allclose(statistics["means"][c], members.mean(0))
        np.testing.assert_allclose(statistics["covariances"][c], covariance, rtol=1e-8)
    np.testing.assert_allclose(statistics["weights"], torch.bincount(labels) / 400)


def test_m2s_categories_have_the_mean_of_their_posterior():
    model = random_category_model(M2)
    with torch.no_grad():
        shares = model.assign(torch.from_numpy(X)).mean(0)
    m_step(model, CategoryNegativeELBO(Exact()))
    np.testing.assert_allclose(model.log_weights().exp().detach(), shares)


def test_gmvaes_components_have_the_moments_of_draws(generator):
    """z ~ q(z|x, c), c ~ q(c|x): its moments in each category, by Monte Carlo."""
    model, x = random_category_model(GMVAE), torch.from_numpy(X).repeat(500, 1)
    with torch.no_grad():
        encoding = model.encode(x)
        c = torch.multinomial(model.category_logits(encoding).softmax(-1), 1, generator=generator)
        c = c.squeeze(-1)
        mean, log_variance = model.posterior(encoding, torch.eye(3, dtype=torch.float64)[c])
        noise = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
        z = mean + (0.5 * log_variance).exp() * noise
        m_step(model, CategoryNegativeELBO(Exact()))
        statistics = {name: value.detach() for name, value in model.statistics().items()}
    for k in range(3):
        scale = statistics["covariances"][k].diagonal().max()
        np.testing.assert_allclose(statistics["means"][k], z[c == k].mean(0), atol=0.05 * scale)
        np.testing.assert_allclose(
            statistics["covariances"][k], np.cov(z[c == k].T), atol=0.05 * scale
        )


def test_codes_that_are_not_finite_leave_the_prior_as_it_is():
    model = random_model()
    before = model.mixture.means.clone()
    model.encoder.mean_head.bias.data.fill_(float("inf"))
    run = m_step(model, NegativeELBO())
    assert torch.equal(model.mixture.means, before)
    assert not np.isfinite(run.handover.bound)


def test_it_is_computed_in_full_precision_and_leaves_the_models_own():
    rough, fine = random_model(), random_model()
    rough.compute_dtype = torch.bfloat16
    bounds = [m_step(model, NegativeELBO()).handover.bound for model in (rough, fine)]
    assert bounds[0] == bounds[1]
    assert rough.compute_dtype is torch.bfloat16


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_it_takes_does_not_grow_with_the_rows():
    """Small results of every block would lie between the freed memory of the blocks."""
    some = np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32)
    fitted = VaDEClustering(20, pretrain_iter=1, max_iter=1, compare=False, random_state=0)
    fitted.fit(some)
    many = Rows(np.tile(some, (500, 1)))
    run = Run(fitted.module_, many, Runtime(torch.device("cpu")), seed=0)
    with anonymous_growth() as growth:
        MStep(lambda run: NegativeELBO()).run(run, seed=0)
    assert growth.mb < 64  # twice what a block may have


class Straight(nn.Module):
    """Clusters as the last column says, until an M step cuts along the first."""

    n_clusters, compute_dtype = 2, None

    def __init__(self):
        super().__init__()
        self.cut = nn.Parameter(torch.zeros(()))

    def row_bytes(self, n_features):
        return 8 * n_features

    def encode(self, x):
        return x

    def category_logits(self, x):
        clusters = torch.where(self.cut > 0, (x[:, 0] > 0.5).to(x), x[:, -1])
        return 9 * nn.functional.one_hot(clusters.long(), 2).to(x)

    def prior_moments(self, x, weights):
        return (weights.sum(0),)

    def maximise_prior_(self, counts):
        self.cut.fill_(1.0)


class OfStraight:
    """A bound that knows no more than the clusters."""

    def __call__(self, model, batch, generator):
        return {"kl": model.category_logits(batch.x)[:, 0].mean()}

    def responsibilities(self, model, batch, x):
        return model.category_logits(x).softmax(-1)

    def bound(self, means):
        return -means["kl"]


@pytest.mark.parametrize(
    ("stays", "learned", "cut"), [(True, "y", 0), (False, "y", 1), (True, "halves", 1)]
)
def test_what_stays_is_not_torn(stays, learned, cut):
    """A prior that loses rows of what codes have learned is not taken; one that gains some is."""
    crescents, y = make_moons(400, noise=0.05, random_state=0)
    halves = (crescents[:, 0] > 0.5).astype(int)
    rows = Rows(np.column_stack([crescents, y]), dtype=np.float64)
    run = Run(Straight(), rows, Runtime(torch.device("cpu")), seed=0)
    run.handover.stays = stays
    run.handover.partition = torch.from_numpy(halves if learned == "halves" else y)
    MStep(lambda run: OfStraight()).run(run, seed=0)
    assert run.model.cut == cut
    assert run.handover.bound == -run.model.category_logits(torch.from_numpy(rows.X))[:, 0].mean()
