"""Equal values have equal digests in every process, and others have others."""

import copy
import functools
import math
import operator
import pickle
import subprocess
import sys
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from skvade.persistence.digest import digest_of


def double(x):
    return 2 * x


def triple(x):
    return 3 * x


def hook(module, args):
    return None


def other_hook(module, args):
    return None


@dataclass
class Options:
    rate: float = 0.1
    names: set = field(default_factory=lambda: {"a", "b", "c", "d", "e"})


class Net(nn.Module):
    """With attributes of many kinds, of this and of a module in it."""

    def __init__(self, **attributes):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layer = nn.Linear(4, 3)
        self.inner = nn.Sequential(nn.LazyLinear(2), nn.Dropout(0.3))
        with torch.no_grad():
            for parameter in self.layer.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator))
        self.register_buffer("count", torch.zeros(2))
        self.register_buffer("unsaved", torch.zeros(2), persistent=False)
        self.g = 1.0
        self.tensor = torch.arange(3.0)
        self.array = np.arange(3.0)
        self.words = {"one", "two", "three", "four", "five"}
        self.table = {"a": 1, "b": [2, {3}]}
        self.options = Options()
        self.function = double
        self.bound = self.layer.forward
        self.partial = functools.partial(double, x=3)
        self.itself = [self]
        self.register_forward_pre_hook(hook)
        for name, value in attributes.items():
            setattr(self, name, value)


class Other(Net):
    pass


def change(function):
    """What a function makes of a network."""

    def changed():
        net = Net()
        function(net)
        return net

    return changed


def within(*path, **values):
    """Set attributes of a part."""

    def function(net):
        part = functools.reduce(getattr, path, net)
        for name, value in values.items():
            setattr(part, name, value)

    return change(function)


def add_(tensor):
    with torch.no_grad():
        tensor += 1


CHANGES = {
    "number": lambda: Net(g=-30.0),
    "type of a number": lambda: Net(g=1),
    "sign of zero": lambda: Net(g=-0.0),
    "new attribute": lambda: Net(more=None),
    "no attribute": change(lambda net: delattr(net, "g")),
    "tensor": lambda: Net(tensor=torch.arange(1, 4.0)),
    "dtype of a tensor": lambda: Net(tensor=torch.arange(3)),
    "shape of a tensor": lambda: Net(tensor=torch.arange(3.0).reshape(1, 3)),
    "array": lambda: Net(array=np.arange(1, 4.0)),
    "dtype of an array": lambda: Net(array=np.arange(3)),
    "array of others": lambda: Net(array=np.array([0, "x", None], object)),
    "set": lambda: Net(words={"one", "two", "three", "four", "six"}),
    "dict": lambda: Net(table={"a": 1, "b": [2, {4}]}),
    "ordered dict": lambda: Net(table=OrderedDict(a=1, b=[2, {3}])),
    "object": lambda: Net(options=Options(0.2)),
    "function": lambda: Net(function=triple),
    "function of C": lambda: Net(function=operator.neg),
    "method": change(lambda net: setattr(net, "bound", net.inner.forward)),
    "partial": lambda: Net(partial=functools.partial(double, x=4)),
    "class": Other,
    "parameter": change(lambda net: add_(net.layer.weight)),
    "frozen parameter": change(lambda net: net.layer.weight.requires_grad_(False)),
    "buffer": change(lambda net: add_(net.count)),
    "buffer that is not saved": change(lambda net: add_(net.unsaved)),
    "attribute within": within("inner", "1", p=0.5),
    "new attribute within": within("inner", scale=2),
    "lazy size": lambda: Net(inner=nn.Sequential(nn.LazyLinear(3), nn.Dropout(0.3))),
    "class within": lambda: Net(inner=nn.Sequential(nn.LazyLinear(2), nn.AlphaDropout(0.3))),
    "order within": lambda: Net(inner=nn.Sequential(nn.Dropout(0.3), nn.LazyLinear(2))),
    "hook": change(lambda net: net.register_forward_pre_hook(other_hook)),
    "hook within": change(lambda net: net.layer.register_forward_hook(other_hook)),
    "flag of a hook": change(
        lambda net: (
            net._forward_pre_hooks.clear(),
            net.register_forward_pre_hook(hook, with_kwargs=True),
        )
    ),
    "backward hook": change(lambda net: net.register_full_backward_hook(other_hook)),
    "tie": change(lambda net: setattr(net, "again", net.layer)),
    "copy instead of a tie": change(lambda net: setattr(net, "again", copy.deepcopy(net.layer))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_differs_has_another_digest(name):
    assert digest_of(CHANGES[name]()) != digest_of(Net())
    assert digest_of(CHANGES[name]()) == digest_of(CHANGES[name]())


def test_changes_differ_among_each_other():
    assert len({digest_of(changed()) for changed in CHANGES.values()}) == len(CHANGES)


def script():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(nn.ReLU(), torch.zeros(2))


def values():
    """Of all kinds, each made anew."""
    words = ["one", "two", "three", "four", "five"]
    return {
        "net": Net(),
        "twins": [nn.LazyLinear(3), nn.LazyLinear(3)],
        "clusterer": make_pipeline(FunctionTransformer(double), KMeans(3, random_state=0)),
        "wrapped": KMeans(init=Net().layer.forward),
        "numbers": (1, -0.0, math.nan, 1j, True, None, ..., b"x", "ü\udc80", np.float32(2)),
        "sets": [set(words), frozenset(words), {(1, "x"), (2, "y")}],
        "dicts": {"a": {"b": 1}, 3: [words], (1, 2): None},
        "arrays": [np.eye(3), np.array(["a", "bc"]), np.zeros((0, 3)), np.array(2.0)],
        "records": np.zeros(2, [("x", "f8"), ("y", "i4")]),
        "dates": np.array(["2020-01-01"], "M8[D]"),
        "sparse": [sp.eye_array(3, format="csr"), sp.eye_array(3, format="csc")],
        "tensors": [
            torch.eye(2).bfloat16(),
            torch.eye(2).to_sparse(),
            torch.ones(2, dtype=torch.cfloat),
        ],
        "states": [np.random.RandomState(0), np.random.default_rng(0)],
        "torch": [torch.float32, torch.device("cpu"), torch.Size([2])],
        "functions": [double, np.add, len, operator.neg, torch.relu, Net.forward, "x".join],
        "script": script(),
    }


def digests():
    return {name: digest_of(value) for name, value in values().items()}


def test_equal_values_have_equal_digests_in_every_process():
    """Where texts have other hashes, and other hooks were counted before."""
    script = """
import torch
for _ in range(7):
    torch.nn.Linear(1, 1).register_forward_hook(print)
from tests.persistence.test_digest import digests
print(digests())
"""
    here = digests()
    assert len(set(here.values())) == len(here)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True
    )
    assert done.stdout.strip() == str(here), done.stderr
    assert digests() == here


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_have_the_same_digest(copied):
    net = Net()
    assert digest_of(copied(net)) == digest_of(net)


def test_what_makes_no_difference():
    net = Net()
    before = digest_of(net)
    assert digest_of(net.eval()) == before  # which `fit` sets
    assert digest_of(Net(table={"b": [2, {3}], "a": 1})) == before
    state = np.random.RandomState()
    state.set_state(np.random.RandomState(7).get_state())
    assert digest_of(state) == digest_of(np.random.RandomState(7))
    wide = np.arange(12.0).reshape(3, 4)
    assert digest_of(np.asfortranarray(wide)) == digest_of(wide)
    assert digest_of(np.repeat(wide, 2, axis=0)[::2]) == digest_of(wide)
    assert digest_of(torch.arange(6.0).reshape(2, 3).T) == digest_of(
        torch.tensor([[0.0, 3], [1, 4], [2, 5]])
    )


def local():
    def inside(x):
        return x

    return inside


@pytest.mark.parametrize(
    "value",
    [lambda x: x, local(), threading.Lock(), (i for i in range(3)), sys.stdout],
    ids=["lambda", "local", "lock", "generator", "file"],
)
def test_what_has_no_name_has_no_digest(value):
    for whole in (value, [value], Net(inner=nn.Sequential(Net(x=value))), KMeans(init=value)):
        with pytest.raises((TypeError, AttributeError)):
            digest_of(whole)
