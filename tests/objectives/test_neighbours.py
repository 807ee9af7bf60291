"""The neighbour embedding, against its formula written naively and UMAP's own curve."""

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit

from skvade.objectives.base import Batch
from skvade.objectives.neighbours import (
    MAX_SIMILARITY,
    A,
    B,
    WithNeighbours,
    embedding_losses,
    pushed_away,
)
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
def test_other_terms_count_the_rows(objective):
    model, x = random_model(), rows_for("gaussian")
    batch = Batch(x, torch.arange(len(x)))
    seeded = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    terms = WithNeighbours(objective, partners_of(x), weight=2.0)(model, batch, seeded())
    alone = objective(model, batch, seeded())
    assert set(terms) == {*alone, "attraction", "repulsion"}
    for name in alone:
        assert terms[name].item() == pytest.approx(alone[name].item())


def test_wherever_codes_have_drifted_distances_are_the_same(generator):
    """Nothing holds their middle.

    At 10,000 products had lost all distances, and codes of ten million rows, which are trained for
    as many steps, ran away from there.
    """
    z = torch.randn(200, 10, generator=generator)
    near = z + 0.1 * torch.randn(200, 10, generator=generator)
    far = [codes + torch.linspace(-1e4, 1e4, 10) for codes in (z, near)]
    exact = [float(loss) for loss in embedding_losses(z.double(), near.double())]
    assert [float(loss) for loss in embedding_losses(z, near)] == pytest.approx(exact, rel=1e-5)
    assert [float(loss) for loss in embedding_losses(*far)] == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
def test_embedding_terms_are_those_of_the_moved_neighbours(likelihood):
    model, x = random_model(likelihood), rows_for(likelihood)
    batch = Batch(x, torch.arange(len(x)))
    terms = WithNeighbours(NegativeELBO(), partners_of(x), 2.0, scale=0.5, repulsion=3.0, push=0.2)(
        model, batch, torch.Generator().manual_seed(0)
    )
    near = model.view(x.roll(1, 0))
    moved = pushed_away(model.code_of, near, model.view(x), model.code(x).detach(), 0.2)
    attraction, repulsion = embedding_losses(0.5 * model.code(x), 0.5 * model.code_of(moved))
    assert terms["attraction"].item() == pytest.approx(2 * attraction.item())
    assert terms["repulsion"].item() == pytest.approx(6 * repulsion.item())


def test_a_pushed_neighbour_goes_where_its_code_is_farthest(generator):
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    rows = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    near = rows + 1e-3 * torch.randn(50, 4, generator=generator, dtype=torch.float64)
    encode = lambda x: x @ weight.T  # noqa: E731
    distance = lambda x: (encode(x) - encode(rows)).norm(dim=1)  # noqa: E731
    moved = pushed_away(encode, near, rows, encode(rows), push=1e-3)
    step = (moved - near).norm(dim=1)
    torch.testing.assert_close(step, 1e-3 * (near - rows).norm(dim=1))
    for _ in range(20):
        other = torch.randn(50, 4, generator=generator, dtype=torch.float64)
        other = near + step.unsqueeze(1) * torch.nn.functional.normalize(other)
        assert (distance(moved) >= distance(other) - 1e-12).all()


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda x: 0.0 * x, id="constant"),
        pytest.param(lambda x: x.detach(), id="frozen"),
        pytest.param(lambda x: x.round() @ torch.ones(3, 3, requires_grad=True), id="rounded"),
        pytest.param(lambda x: x.detach() @ torch.ones(3, 3, requires_grad=True), id="frozen body"),
    ],
)
def test_a_neighbour_stays_where_its_code_does_not_depend_on_it(encode):
    rows, near = torch.zeros(4, 3), torch.ones(4, 3)
    assert torch.equal(pushed_away(encode, near, rows, torch.zeros(4, 3), push=0.5), near)


def test_a_neighbour_that_is_the_row_stays():
    near = torch.ones(4, 3)
    assert torch.equal(pushed_away(lambda x: 2 * x, near, near, near, push=0.5), near)


def test_encoders_may_work_in_place():
    rows, near = torch.zeros(4, 3), torch.ones(4, 3)
    moved = pushed_away(lambda x: x.mul_(2), near, rows, rows, push=0.5)
    torch.testing.assert_close(moved, near + 0.5)
    assert torch.equal(near, torch.ones(4, 3))


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
