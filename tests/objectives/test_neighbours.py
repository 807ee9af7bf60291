"""The neighbour embedding, against its formula written naively and UMAP's own curve."""

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit

from skvade.objectives.base import Batch
from skvade.objectives.neighbours import MAX_SIMILARITY, A, B, WithNeighbours, embedding_losses
from skvade.objectives.reconstruction import Reconstruction
from skvade.objectives.vade import HeldNegativeELBO, NegativeELBO
from tests.conftest import random_model, rows_for


def codes(n_rows, generator, latent_dim=3):
    return torch.randn(n_rows, latent_dim, generator=generator, dtype=torch.float64)


def partners_of(x):
    return lambda index, generator: Batch(x.roll(1, 0)[index], index.roll(1)[index])


def test_losses_equal_the_formula_written_naively(generator):
    z, near = codes(12, generator), codes(12, generator)
    attraction, repulsion = embedding_losses(z, near)
    q = lambda a, b: 1 / (1 + A * (np.linalg.norm(a - b) ** 2 + 1e-6) ** B)  # noqa: E731
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    z, near = z.numpy(), near.numpy()
    assert attraction == pytest.approx(np.mean([-np.log(q(z[i], near[i])) for i in range(12)]))
    assert repulsion == pytest.approx(
        np.mean([-np.log(1 - min(q(z[i], near[j]), MAX_SIMILARITY)) for i, j in pairs])
    )


def test_curve_is_umaps_for_a_least_distance_of_a_tenth():
    distance = np.linspace(0, 3, 300)
    target = np.where(distance < 0.1, 1.0, np.exp(-(distance - 0.1)))
    (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), distance, target)
    assert (a, b) == pytest.approx((A, B), abs=1e-3)


def test_gradients(generator):
    inputs = [codes(5, generator).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(embedding_losses, inputs)


def test_coinciding_codes_and_single_rows_have_finite_gradients():
    for n_rows in (1, 4):
        z = torch.zeros(n_rows, 3, requires_grad=True)
        sum(embedding_losses(z, z)).backward()
        assert z.grad.isfinite().all()


@pytest.mark.parametrize(
    "objective", [Reconstruction(), NegativeELBO(), HeldNegativeELBO(torch.zeros(6, dtype=int))]
)
def test_other_terms_count_rows_and_neighbours(objective):
    model, x = random_model(), rows_for("gaussian")
    batch = Batch(x, torch.arange(len(x)))
    near = partners_of(x)(batch.index, None)
    seeded = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    terms = WithNeighbours(objective, partners_of(x), weight=2.0)(model, batch, seeded())
    both = Batch(torch.cat([x, near.x]), torch.cat([batch.index, near.index]))
    alone = objective(model, both, seeded())
    assert set(terms) == {*alone, "attraction", "repulsion"}
    for name in alone:
        assert terms[name].item() == pytest.approx(alone[name].item())


def test_rows_outside_the_training_data_have_no_neighbours(generator):
    model, batch = random_model(), Batch(rows_for("gaussian"), None)
    terms = WithNeighbours(NegativeELBO(), None, weight=2.0)(model, batch, generator)
    assert set(terms) == {"reconstruction", "kl"}


def test_scale_undoes_a_rescaled_latent_space(generator):
    model, x = random_model(), rows_for("gaussian")
    batch = Batch(x, torch.arange(len(x)))
    before = WithNeighbours(Reconstruction(), partners_of(x), 1.0)(model, batch, generator)
    model.rescale_latent_(3.0)
    after = WithNeighbours(Reconstruction(), partners_of(x), 1.0, scale=3.0)(
        model, batch, generator
    )
    for name, value in before.items():
        assert value.item() == pytest.approx(after[name].item())
