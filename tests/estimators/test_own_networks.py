"""Networks of a user are trained, or refused before training with their name and the cure."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from torch import nn
from torch.nn.utils import parametrizations, prune

from skvade import VaDEClustering, load
from skvade.training.descent import Guard, TrainingDivergedError
from tests.conftest import small

pytestmark = pytest.mark.usefixtures("quiet")
X, _ = make_blobs(80, centers=3, n_features=4, random_state=0)


def dense():
    return nn.Linear(4, 8)


class Calls(nn.Module):
    """A dense layer, and something that is done to its output."""

    def __init__(self, then=None, **attributes):
        super().__init__()
        self.layer, self.then = dense(), then
        vars(self).update(attributes)

    def forward(self, x):
        return self.then(self.layer(x), x)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 8, dtype=torch.complex64))

    def forward(self, x):
        return (x.to(torch.complex64) @ self.weight).abs()


def pruned():
    layer = dense()
    prune.random_unstructured(layer, "weight", 0.3)
    return nn.Sequential(layer)


def old_norm(norm):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and in use
        return nn.Sequential(norm(dense()))


def nan_of(h, x):
    return h.abs().neg().log()


def nan_in_training(h, x):
    return h / (x[:, :1] < x[:, :1].max())


TRAINED = {
    "weight norm": lambda: old_norm(nn.utils.weight_norm),
    "spectral norm": lambda: old_norm(nn.utils.spectral_norm),
    "parametrized": lambda: nn.Sequential(parametrizations.weight_norm(dense())),
    "pruned": pruned,
    "float16": lambda: dense().half(),
    "no parameters": nn.Flatten,
    "frozen": lambda: dense().requires_grad_(False),
    "script": lambda: torch.jit.script(nn.Sequential(dense(), nn.Dropout(0.2))),
    "batch norm": lambda: nn.Sequential(dense(), nn.BatchNorm1d(8)),
    "tensors of a last pass": lambda: Keeps(),
}


class Keeps(nn.Linear):
    """Keeps its last output, with the graph."""

    def __init__(self):
        super().__init__(4, 8)

    def forward(self, x):
        self.last = super().forward(x)
        return self.last


UNPICKLABLE = {"parametrized": "parametrizations", "script": "scripts"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", TRAINED)
def test_modules_of_many_kinds_are_trained(name, precision, tmp_path):
    encoder = TRAINED[name]()
    model = small(VaDEClustering, encoder=encoder, precision=precision).fit(X)
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(1), 1)
    again = small(VaDEClustering, encoder=encoder, precision=precision).fit(X)
    np.testing.assert_array_equal(again.predict_proba(X), proba)
    np.testing.assert_array_equal(copy.deepcopy(model).predict_proba(X), proba)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model", encoder=encoder).predict_proba(X), proba)
    if name in UNPICKLABLE:
        with pytest.raises(TypeError, match=f"{UNPICKLABLE[name]}, such as .* encoder; use save"):
            pickle.dumps(model)
    else:
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), proba)


REFUSED = {
    "complex": (Complex, "complex parameters.*use pairs of real ones"),
    "meta": (lambda: nn.Linear(4, 8, device="meta"), "device 'meta'.*to_empty"),
    "lazy batch norm": (
        lambda: nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d()),
        "cannot be copied.*run lazy layers once",
    ),
    "lock": (lambda: Calls(nan_of, lock=threading.Lock()), "cannot be copied.*keep locks"),
    "generator": (lambda: Calls(nan_of, rows=(i for i in "ab")), "cannot be copied.*generators"),
    "NaN": (lambda: Calls(nan_of), "not finite for the first rows; mend it"),
    "fails in training": (
        lambda: nn.Sequential(dense(), FailsInTraining()),
        "fails in training, on a batch of 40 row.*of mine",
    ),
}


class FailsInTraining(nn.Module):
    def forward(self, x):
        if self.training:
            raise KeyError("of mine")
        return x


@pytest.mark.parametrize("name", REFUSED)
def test_modules_that_cannot_be_trained_are_refused_before(name, monkeypatch):
    make, message = REFUSED[name]
    monkeypatch.setattr(Guard, "descend", lambda *args: pytest.fail("it was trained"))
    with pytest.raises(ValueError, match=f"(?s)^encoder .*{message}"):
        small(VaDEClustering, encoder=make(), batch_size=80).fit(X)


@pytest.mark.parametrize(("batch_size", "n_rows"), [(2, 1), (3, 1)])
def test_batch_norm_on_single_rows_is_refused_before(monkeypatch, batch_size, n_rows):
    """With neighbours half of a batch are rows, and batch norm has no variance of one."""
    monkeypatch.setattr(Guard, "descend", lambda *args: pytest.fail("it was trained"))
    encoder = TRAINED["batch norm"]()
    with pytest.raises(ValueError, match=rf"encoder fails.*batch of {n_rows} row.*batch_size"):
        small(VaDEClustering, encoder=encoder, batch_size=batch_size).fit(X)


def test_decoders_are_tried_too():
    with pytest.raises(ValueError, match="decoder returns values .* finite for usual codes"):
        small(VaDEClustering, decoder=nn.Sequential(nn.Linear(3, 4), Nowhere())).fit(X)


class Nowhere(nn.Module):
    def forward(self, x):
        return x / 0


def test_codes_that_are_lost_later_are_named_as_the_encoders():
    """Some rows only, so that no trial shows them."""
    encoder = Calls(lambda h, x: torch.where(x[:, :1] > far, float("nan"), h))
    order = X[:, 0].argsort()
    far = float((X[order[-3], 0] - X[:, 0].mean()) / X.std(0).max())
    model = small(VaDEClustering, encoder=encoder, pretrain_iter=0, batch_size=64)
    with pytest.raises(TrainingDivergedError, match=r"The encoder takes \d+ of 80 rows.*Mend"):
        model.fit(X[order])


@pytest.mark.parametrize("norm", [lambda z: z / z.norm(dim=1, keepdim=True), nn.LayerNorm(3)])
def test_decoders_need_not_take_zero(norm):
    """Nothing of a code of zeros is left by normalisation, and no code of data is that."""
    decoder = nn.Sequential(Applies(norm), nn.Linear(3, 4))
    assert small(VaDEClustering, decoder=decoder).fit(X).predict(X).shape == (80,)


class Applies(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, z):
        return self.function(z)


def test_copies_are_shallow_or_deep_as_asked():
    model = small(VaDEClustering, encoder=TRAINED["parametrized"]()).fit(X)
    assert copy.copy(model).module_ is model.module_
    assert copy.deepcopy(model).module_ is not model.module_
