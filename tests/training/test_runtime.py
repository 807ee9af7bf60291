"""Devices and precisions; where there is no GPU, by torch's device without any memory."""

import numpy as np
import pytest
import torch

from skvade.objectives.labels import LabeledRows
from skvade.objectives.vade import HeldNegativeELBO
from skvade.training.batches import Batches, Rows
from skvade.training.descent import Guard
from skvade.training.handover import Graph, Handover
from skvade.training.resident import make_resident
from skvade.training.run import Keeper, Run
from skvade.training.runtime import (
    Runtime,
    resolve_device,
    resolve_runtime,
)
from skvade.training.trainer import Optimise
from tests.conftest import random_model

META = torch.device("meta")
X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("present", "best"),
    [
        ({"cuda", "mps", "cpu"}, "cuda"),
        ({"cuda", "cpu"}, "cuda"),
        ({"mps", "cpu"}, "mps"),
        ({"cpu"}, "cpu"),
    ],
)
def test_auto_is_the_best_that_exists(monkeypatch, present, best):
    monkeypatch.setattr("skvade.training.runtime._n_devices", lambda kind: 2 * int(kind in present))
    assert resolve_device("auto") == torch.device(best)
    for name in present:
        assert resolve_device(name) == torch.device(name)
        assert resolve_device(f"{name}:1") == torch.device(name, 1)
        with pytest.raises(ValueError, match=rf"found 2 {name} device\(s\)"):
            resolve_device(f"{name}:2")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "tpu:0"])
def test_unknown_devices_are_named(device):
    with pytest.raises(ValueError, match="is not a device; use 'auto'"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda:99", "cpu:7", "meta"])
def test_absent_devices_are_named(device):
    with pytest.raises(ValueError, match="is not available here.*use 'auto' or one of"):
        resolve_device(device)


def test_precision_auto_follows_the_hardware(monkeypatch):
    for native, dtype in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(
            "skvade.training.runtime._multiplies_bfloat16", lambda device, native=native: native
        )
        assert resolve_runtime("cpu", "auto").compute_dtype is dtype
        assert resolve_runtime("cpu", "float32").compute_dtype is None
        assert resolve_runtime("cpu", "bfloat16").compute_dtype is torch.bfloat16


# ---------------------------------------------------------------- everything is on the device


def devices(tensors):
    return {tensor.device for tensor in tensors}


@pytest.mark.parametrize("resident", [False, True])
def test_batches_and_labels_are_on_the_device(resident):
    rows = Rows(X, META)
    rows = make_resident(rows) if resident else rows
    batch = next(iter(Batches(rows, 8, seed=0)))
    labeled = LabeledRows(rows, np.arange(20) % 3 - 1)
    found = [
        batch.x,
        batch.index,
        labeled.labels,
        *rows.blocks(),
        *rows.subset(np.array([3, 1])).blocks(),
    ]
    assert devices(found) == {META}


def test_generators_are_of_the_device(monkeypatch):
    asked = []

    class Generator:
        def __init__(self, device):
            asked.append(device)

        def manual_seed(self, seed):
            asked.append(seed)
            return self

    monkeypatch.setattr(torch, "Generator", Generator)
    assert isinstance(Runtime(META).generator(7), Generator)
    assert asked == [META, 7]


def test_a_gradient_step_is_taken_on_the_device(generator):
    """Torch refuses what mixes devices."""
    runtime, rows = Runtime(META), make_resident(Rows(X, META))
    model = runtime.prepare(random_model().float())
    assert devices([*model.parameters(), *model.buffers()]) == {META}
    phase = Optimise("train", None, 10, 8, 0.1)
    guard = Guard(runtime.weights(model, list(model.parameters())), phase)
    batch = next(iter(Batches(rows, 8, seed=0)))
    partition = torch.zeros(20, dtype=torch.int64, device=META)
    terms = HeldNegativeELBO(partition)(model, batch, generator)
    guard.descend(torch.stack(list(terms.values())).sum(), guard.rate_at(0.0))
    found = [*terms.values(), *guard.weights.state().values(), *model.state_dict().values()]
    found += [guard.moments["exp_avg"], guard.moments["exp_avg_sq"]]
    assert devices(found) == {META}
    with pytest.raises(RuntimeError, match="device"):
        HeldNegativeELBO(partition.new_zeros(20, device="cpu"))(model, batch, generator)


def test_what_an_earlier_run_left_is_put_on_the_device():
    left = Handover(Graph(torch.zeros(20, 1), torch.ones(20, 1)), torch.zeros(20))

    class Left(Keeper):
        def left(self):
            return {
                **{"model": random_model().float().state_dict(), "history": [], "n_done": 0},
                **{"handover": left.state(), "n_rescues": 2, "random_state": None},
                "descent": {"parts": [{"own": {"moments": {"exp_avg": torch.zeros(3)}}}]},
            }

    run = Run(random_model(), Rows(X, META), Runtime(META), 0, keeper=Left()).go([])
    graph, descent = run.handover.need_graph(), run.take_descent()
    found = [graph.neighbours, graph.cumulative, run.handover.need_partition()]
    found += [descent["parts"][0]["own"]["moments"]["exp_avg"], *run.model.state_dict().values()]
    assert devices(found) == {META}
    assert run.n_rescues == 2
    assert left.partition.device.type == "cpu"
