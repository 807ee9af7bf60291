"""Labels beside an objective, and the auxiliary tasks, against naive loops."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from skvade.nn.autoencoder import entropy
from skvade.nn.headed import HeadedAutoencoder
from skvade.nn.heads import Linear
from skvade.nn.m2 import M2
from skvade.objectives import labels as labels_module
from skvade.objectives.auxiliary import (
    NATS,
    AuxiliaryTasks,
    assignment_loss,
    mean_distance,
    nearest_class,
)
from skvade.objectives.base import Batch
from skvade.objectives.category import HeldCategoryELBO
from skvade.objectives.labels import LabeledRows, WithLabels
from skvade.objectives.together import Together
from skvade.objectives.vade import HeldNegativeELBO, NegativeELBO
from skvade.training.batches import Rows
from tests.conftest import random_category_model, random_model, rows_for

X = rows_for("gaussian", n_rows=12)
LABELS = np.array([0, -1, 1, -1, -1, 2, -1, 0, -1, -1, 1, -1])


@pytest.fixture
def labeled():
    return LabeledRows(Rows(X.numpy(), dtype=np.float64), LABELS)


def whole():
    return Batch(X, torch.arange(len(X)))


def test_drawn_rows_come_with_their_labels(labeled, generator):
    x, labels = labeled.draw(3, generator)
    assert x.shape == (3, 4)
    where = [(X == row).all(1).nonzero().item() for row in x]
    assert len(set(where)) == 3
    np.testing.assert_array_equal(LABELS[where], labels)
    assert len(labeled.draw(100, generator)[0]) == 5


def test_labels_add_their_mean_loss(labeled, generator):
    model = random_model()
    known = LABELS >= 0
    with torch.no_grad():
        terms = WithLabels(NegativeELBO(), labeled, 7.0)(model, whole(), generator)
        q = model.assign(X[known])
        naive = -7 * np.mean([np.log(q[i, c]) for i, c in enumerate(LABELS[known])])
        assert terms["labels"].item() == pytest.approx(naive)
        assert set(terms) == {"reconstruction", "kl", "labels"}
        new = WithLabels(NegativeELBO(), labeled, 7.0)(model, Batch(X, None), generator)
    assert set(new) == {"reconstruction", "kl"}


def test_partly_held_is_held_where_labels_are_and_free_elsewhere(generator):
    model, labels = random_model(), torch.from_numpy(LABELS)
    kl = []
    with torch.no_grad():
        for i in range(len(X)):
            one = Batch(X[i : i + 1], torch.tensor([i]))
            mean, log_variance, _ = model.encode(one.x)
            joint = model.mixture.expected_log_joint(mean, log_variance.exp())[0]
            prior = joint[labels[i]] if labels[i] >= 0 else joint.logsumexp(0)
            kl.append(-(prior + entropy(log_variance)).item())
        found = HeldNegativeELBO(labels)(model, whole(), generator)["kl"].item()
        free = HeldNegativeELBO(labels)(model, Batch(X, None), generator)["kl"].item()
        bound = NegativeELBO()(model, Batch(X, None), generator)["kl"].item()
    assert found == pytest.approx(np.mean(kl))
    assert free == bound


def test_of_many_labelled_rows_all_are_drawn_alike(generator, monkeypatch):
    """With an order of all rows, or without one where they are many times what a step takes."""
    for many in (100, 2):
        monkeypatch.setattr(labels_module, "MANY", many)
        rows = LabeledRows(Rows(X.numpy(), dtype=np.float64), np.arange(12) % 2)
        counts = torch.zeros(12)
        for _ in range(3_000):
            x, drawn = rows.draw(4, generator)
            index = torch.cdist(x, X).argmin(1)
            assert torch.equal(index % 2, drawn)
            counts.index_add_(0, index, torch.ones(4))
        assert chisquare(counts.numpy()).pvalue > 1e-4


def test_a_single_labelled_row_comes_twice(generator):
    """Batch normalisation has no variance of one row."""
    one = LabeledRows(Rows(X.numpy(), dtype=np.float64), np.where(np.arange(12) == 3, 1, -1))
    x, labels = one.draw(100, generator)
    np.testing.assert_array_equal(x, X[[3, 3]])
    assert labels.tolist() == [1, 1]


def test_terms_do_not_hide_one_another(labeled, generator):
    """In M2Classifier's held phase labels hid the loss by which q(c|x) learns the partition."""
    held = HeldCategoryELBO(torch.from_numpy(np.abs(LABELS)))
    terms = WithLabels(held, labeled, 7.0)(random_category_model(M2), whole(), generator)
    assert set(terms) == {"reconstruction", "category", "latent", "partition", "labels"}
    twice = Together(NegativeELBO(), NegativeELBO())
    with pytest.raises(ValueError, match="same name"):
        twice(random_model(), whole(), generator)


def test_the_nearest_labelled_rows_vote():
    distances = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], [1.0, 3.0, 2.0, 4.0]])
    classes = torch.tensor([0, 1, 1, 2])
    assert nearest_class(distances, classes, 3, 1).tolist() == [0, 2, 0]
    assert nearest_class(distances, classes, 3, 3).tolist() == [1, 1, 1]
    assert nearest_class(distances, classes, 3, 2).tolist() == [0, 2, 0]  # of equals the nearest
    assert nearest_class(distances, classes, 3, 99).tolist() == [1, 1, 1]
    order = torch.arange(6.0).unsqueeze(0)
    assert nearest_class(order[:, :4], torch.tensor([1, 0, 0, 1]), 2, 4).tolist() == [1]
    assert nearest_class(order, torch.tensor([1, 0, 0, 0, 1, 1]), 2, 6).tolist() == [1]


def test_auxiliary_losses_are_the_papers(generator):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 6)
    assigned = np.array([0, 1, 2, 2, 1, 0])
    total = 0.0
    for i, c in enumerate(assigned):
        total += np.tanh(-np.log(p[i, c])) + 1
        total += sum(np.tanh(np.log(p[i, d])) for d in range(3) if d != c)
    found = assignment_loss(torch.from_numpy(p).log(), torch.from_numpy(assigned))
    assert found.item() == pytest.approx(total / (2 * 6))

    f, r = rng.normal(size=(6, 5)), rng.normal(size=(4, 5))
    classes = np.array([0, 1, 1, 0])
    distances = torch.cdist(torch.from_numpy(f), torch.from_numpy(r))
    found = mean_distance(distances, torch.from_numpy(classes), torch.from_numpy(assigned))
    for i, c in enumerate(assigned):
        mine = r[classes == c]
        naive = sum(np.linalg.norm(f[i] - v) for v in mine) / (np.sqrt(2) * max(1, len(mine)))
        assert found[i].item() == pytest.approx(naive)


def test_auxiliary_terms_follow_labels_and_have_gradients(labeled, generator):
    vade = random_model()
    model = HeadedAutoencoder(vade.encoder, vade.decoder, vade.likelihood, Linear(3, 2)).double()
    codes = model.code(X).detach()
    model.take_partition_(codes, torch.arange(12) % 3)
    objective = AuxiliaryTasks(labeled)
    terms = objective(model, whole(), generator)
    assert list(terms) == ["reconstruction", "clustering", "assignment", "feature"]
    error = (X - model.decode(model.code(X))).square().mean()
    assert terms["reconstruction"].item() == pytest.approx(NATS * error.item())
    torch.stack(list(terms.values())).sum().backward()
    learned = [*model.encoder.body.parameters(), *model.head.parameters()]
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in learned)
    right = [LABELS, np.where(LABELS == 0, 1, LABELS)]
    losses = []
    for labels in right:
        rows = LabeledRows(Rows(X.numpy(), dtype=np.float64), labels)
        with torch.no_grad():
            losses.append(AuxiliaryTasks(rows)(model, whole(), generator)["assignment"].item())
    assert losses[0] != losses[1]
