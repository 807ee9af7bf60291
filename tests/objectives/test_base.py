"""Laws of every objective: terms by name, which of them are the bound, on the model's device."""

import inspect
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from skvade.nn.gmvae import GMVAE
from skvade.nn.headed import HeadedAutoencoder
from skvade.nn.heads import Centroids, Linear, StudentT
from skvade.nn.m2 import M2
from skvade.objectives import labels as labels_module
from skvade.objectives.adversarial import VirtualAdversary
from skvade.objectives.auxiliary import AuxiliaryTasks
from skvade.objectives.base import Batch, Objective, joined
from skvade.objectives.category import CategoryNegativeELBO, HeldCategoryELBO
from skvade.objectives.dcn import CentroidDistance
from skvade.objectives.dec import TargetAssignment
from skvade.objectives.denoising import Denoised, WithDenoising
from skvade.objectives.labels import LabeledRows, WithLabels
from skvade.objectives.marginalization import Exact, Gumbel
from skvade.objectives.neighbours import WithNeighbours
from skvade.objectives.reconstruction import Reconstruction
from skvade.objectives.together import Together
from skvade.objectives.vade import HeldNegativeELBO, NegativeELBO
from tests.conftest import random_category_model, random_model, rows_for

X = rows_for("gaussian", n_rows=12)
LABELS = np.array([0, -1, 1, -1, -1, 2, -1, 0, -1, -1, 1, -1])
PARTITION = torch.arange(12) % 3
WEIGHTS = {"category_weight": 2.0, "latent_weight": 0.5}


@dataclass(frozen=True)
class Whole:
    """Rows of the training data, as far as objectives ask for them."""

    x: torch.Tensor = X
    n_features = X.shape[1]
    device = index_device = torch.device("cpu")

    def take(self, index):
        return self.x[index]

    def subset(self, index):
        return Whole(self.x[torch.from_numpy(index)])

    def map(self, function, row_bytes=0):
        return function(self.x)


def with_head(cls):
    vade = random_model()
    model = HeadedAutoencoder(vade.encoder, vade.decoder, vade.likelihood, cls(3, 2)).double()
    with torch.no_grad():
        model.take_partition_(model.code(X), PARTITION)
    return model


def partner(index, generator):
    return Batch(X[(index + 1) % 12], (index + 1) % 12)


def near(objective):
    return WithNeighbours(objective, partner, weight=3.0)


def adversary(labeled=None):
    shares = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    return VirtualAdversary(partner, PARTITION, shares, 4, labeled)


def beside_labels(objective, weight=7.0):
    return WithLabels(objective, LabeledRows(Whole(), LABELS), weight)


def gmvae():
    return random_category_model(GMVAE)


def m2():
    return random_category_model(M2)


MODELS = {
    Reconstruction: random_model,
    NegativeELBO: random_model,
    HeldNegativeELBO: random_model,
    CategoryNegativeELBO: gmvae,
    HeldCategoryELBO: m2,
    TargetAssignment: lambda: with_head(StudentT),
    CentroidDistance: lambda: with_head(Centroids),
    AuxiliaryTasks: lambda: with_head(Linear),
    VirtualAdversary: random_model,
}
ALONE = {
    "autoencoder": Reconstruction,
    "vade": NegativeELBO,
    "vade held": lambda: HeldNegativeELBO(torch.from_numpy(LABELS)),
    "category": lambda: CategoryNegativeELBO(Exact()),
    "category weighted": lambda: CategoryNegativeELBO(Gumbel(1.0, 0.5, 9), **WEIGHTS),
    "category held": lambda: HeldCategoryELBO(PARTITION, **WEIGHTS),
    "dec": lambda: TargetAssignment(Whole(), 5),
    "dcn": CentroidDistance,
    "auxiliary": lambda: AuxiliaryTasks(LabeledRows(Whole(), LABELS)),
    "adversary": adversary,
    "adversary with labels": lambda: adversary(LabeledRows(Whole(), LABELS)),
}
COMPOSITES = {
    "idec": lambda: Together(Reconstruction(), (0.1, TargetAssignment(Whole(), 5))),
    "neighbours": lambda: near(NegativeELBO()),
    "neighbours of an autoencoder": lambda: near(Reconstruction()),
    "neighbours held": lambda: near(HeldCategoryELBO(PARTITION, **WEIGHTS)),
    "depict": lambda: Denoised(Together((0.5, TargetAssignment(Whole(), 5))), 0.1),
    "noise beside a bound": lambda: WithDenoising(HeldNegativeELBO(PARTITION), 0.5, 0.1),
    "labels": lambda: beside_labels(NegativeELBO()),
    "labels held": lambda: beside_labels(HeldCategoryELBO(PARTITION)),
    "neighbours and labels": lambda: near(beside_labels(CategoryNegativeELBO(Exact(), **WEIGHTS))),
    "neighbours of idec": lambda: near(COMPOSITES["idec"]()),
}
CASES = ALONE | COMPOSITES
BOUNDS = [name for name in CASES if CASES[name]().bound_terms()]
NO_BOUNDS = [name for name in CASES if name not in BOUNDS]


def innermost(objective):
    """The objective that says which model it is for."""
    parts = [part for part in objective.parts() if isinstance(part, Objective)]
    return innermost(parts[-1]) if parts else objective


def setting(name):
    """A new objective, a model of its kind, and a batch in another order than the rows."""
    objective = CASES[name]()
    model = MODELS[type(innermost(objective))]()
    index = torch.tensor([3, 0, 7, 5, 11, 2, 1])
    return objective, model, Batch(X[index], index)


def seeded():
    return torch.Generator().manual_seed(0)


def means_of(terms):
    return {name: term.item() for name, term in terms.items()}


def subclasses(cls):
    return {cls}.union(*(subclasses(each) for each in cls.__subclasses__()))


def test_every_objective_is_among_the_cases():
    concrete = {
        cls
        for cls in subclasses(Objective)
        if cls.__module__.startswith("skvade.") and not inspect.isabstract(cls)
    }
    assert concrete == {type(make()) for make in CASES.values()}


@pytest.mark.parametrize("name", CASES)
def test_terms_are_scalars_with_gradients_that_repeat_with_the_generator(name):
    objective, model, batch = setting(name)
    terms = objective(model, batch, seeded())
    assert all(term.shape == () for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in model.encoder.body.parameters())
    again, model, batch = setting(name)
    assert means_of(again(model, batch, seeded())) == means_of(terms)


@pytest.mark.parametrize("name", CASES)
def test_no_tensor_is_made_on_another_device_than_the_models(name):
    """Where nothing else is said, torch makes them on the default device, here one of no use."""
    for known in (True, False):
        if not known and isinstance(innermost(CASES[name]()), HeldCategoryELBO):
            continue  # a step of training only
        objective, model, batch = setting(name)
        batch = batch if known else Batch(batch.x, None)
        expected = means_of(objective(model, batch, seeded()))
        (objective, model, _), generator = setting(name), seeded()
        with torch.device("meta"):
            terms = objective(model, batch, generator)
            torch.stack(list(terms.values())).sum().backward()
        assert means_of(terms) == expected


@pytest.mark.parametrize("name", BOUNDS)
def test_the_bounds_terms_are_among_those_that_are_returned(name):
    objective, model, batch = setting(name)
    terms = objective(model, batch, seeded())
    assert objective.bound_terms().keys() <= terms.keys()
    means = means_of(terms)
    weights = objective.bound_terms()
    assert objective.bound(means) == -sum(means[term] / weights[term] for term in weights)
    assert math.isfinite(objective.bound(means))
    if not isinstance(innermost(objective), HeldCategoryELBO):  # a step of training only
        beside = objective(model, Batch(batch.x, None), seeded())
        assert objective.bound_terms().keys() <= beside.keys()


@pytest.mark.parametrize("name", NO_BOUNDS)
def test_what_is_no_bound_has_none(name):
    objective, model, batch = setting(name)
    assert math.isnan(objective.bound(means_of(objective(model, batch, seeded()))))


def test_which_objectives_are_bounds():
    assert NO_BOUNDS == [
        *("autoencoder", "dec", "dcn", "auxiliary", "adversary", "adversary with labels", "idec"),
        *("neighbours of an autoencoder", "depict", "neighbours of idec"),
    ]


@pytest.mark.parametrize("make", [near, beside_labels, lambda o: near(beside_labels(o))])
def test_company_does_not_change_the_bound(make):
    model, batch = random_model(), Batch(X, torch.arange(12))
    alone = NegativeELBO()
    bound = alone.bound(means_of(alone(model, batch, seeded())))
    joint = make(NegativeELBO())
    terms = means_of(joint(model, batch, seeded()))
    assert joint.bound(terms) == pytest.approx(bound)
    assert -sum(terms.values()) < bound  # the company counts in the loss


@pytest.mark.parametrize(
    "make",
    [
        lambda **weights: CategoryNegativeELBO(Exact(), **weights),
        lambda **weights: HeldCategoryELBO(PARTITION, **weights),
    ],
)
@pytest.mark.parametrize("model", [gmvae, m2])
def test_weights_in_the_loss_do_not_change_the_bound(make, model):
    model, batch = model(), Batch(X, torch.arange(12))
    plain, weighted = make(), make(**WEIGHTS)
    terms = means_of(plain(model, batch, seeded()))
    expected = -(terms["reconstruction"] + terms["category"] + terms["latent"])
    assert plain.bound(terms) == pytest.approx(expected)
    assert weighted.bound(means_of(weighted(model, batch, seeded()))) == pytest.approx(expected)
    for name in WEIGHTS:
        without = make(**{name: 0.0})
        assert math.isnan(without.bound(means_of(without(model, batch, seeded()))))
        assert math.isnan(near(without).bound(terms))


@pytest.mark.parametrize("make", [lambda o: o, near, beside_labels])
def test_a_term_under_another_name_is_an_error_and_not_nan(make):
    class Renamed(NegativeELBO):
        def terms(self, *args):
            terms = super().terms(*args)
            return {"reconstruction": terms["reconstruction"], "divergence": terms["kl"]}

    objective = make(Renamed())
    terms = objective(random_model(), Batch(X, torch.arange(12)), seeded())
    with pytest.raises(KeyError, match="kl"):
        objective.bound(means_of(terms))


def test_labels_without_weight_are_not_drawn(monkeypatch):
    monkeypatch.setattr(labels_module.LabeledRows, "draw", lambda *args: pytest.fail("drawn"))
    objective = beside_labels(NegativeELBO(), weight=0.0)
    terms = objective(random_model(), Batch(X, torch.arange(12)), seeded())
    assert list(terms) == ["reconstruction", "kl"]


def test_joined_terms_are_all_there_and_none_hides_another():
    one, two, three = torch.ones(3).unbind()
    assert joined({"a": one}, {}, {"b": two, "c": three}) == {"a": one, "b": two, "c": three}
    with pytest.raises(ValueError, match="same name"):
        joined({"a": one, "b": two}, {"b": three})
