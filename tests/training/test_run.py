"""A run tells its listeners of every phase, and its state is that of the model."""

import re

import numpy as np
import pytest
import torch

from skvade import VaDEClustering
from skvade.training.events import Listener
from tests.conftest import FAMILY, small

X = np.random.default_rng(0).random((60, 4))


class Hears(Listener):
    def __init__(self):
        self.heard = []

    def on_work_begin(self, run, phase):
        self.heard.append(("begin", phase.name))

    def on_work_end(self, run, phase):
        self.heard.append(("end", phase.name))

    def on_phase_begin(self, run, phase, n_epochs):
        self.heard.append(("begin", phase.name))

    def on_phase_end(self, run, phase):
        self.heard.append(("end", phase.name))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("cls", FAMILY)
def test_listeners_hear_of_every_phase_in_order(cls, monkeypatch):
    hears = Hears()
    monkeypatch.setattr("skvade.estimators.base.History", lambda: Both(hears))
    model = small(cls).fit(X, np.repeat([0, 1, 2], 20))
    expected = ["pretrain", "graph", "neighbours", "clusters", "hold", "train"]
    if not any(record["phase"] == "hold" for record in model.history_):
        expected.remove("hold")
    expected += ["M step"] if hasattr(model, "lower_bound_") else []
    expected.append("calibrate")
    pairs = [(kind, name) for name in expected for kind in ("begin", "end")]
    assert hears.heard == pairs
    hears.heard.clear()
    model.set_params(warm_start=True).fit(X, np.repeat([0, 1, 2], 20))
    again = [name for name in expected if name in ("graph", "train", "M step", "calibrate")]
    assert hears.heard == [(kind, name) for name in again for kind in ("begin", "end")]


class Both(Listener):
    """Keeps the history, and passes all on."""

    def __init__(self, other):
        self.other = other

    def __getattribute__(self, name):
        if name == "on_epoch_end":
            return lambda run, phase, record: run.history.append(record)
        if name.startswith("on_") and hasattr(Hears, name):
            return getattr(object.__getattribute__(self, "other"), name)
        return object.__getattribute__(self, name)


@pytest.mark.usefixtures("quiet")
def test_verbose_has_a_line_for_phases_without_epochs(capsys):
    small(VaDEClustering, verbose=True).fit(X)
    lines = capsys.readouterr().err.splitlines()
    for name in ("graph", "clusters"):
        assert f"{name}: begun" in lines
        assert any(re.fullmatch(rf"{name}: done in \d+\.\d s", line) for line in lines)
    order = [line.split(":")[0] for line in lines]
    firsts = [
        order.index(name) for name in ("pretrain", "graph", "neighbours", "clusters", "train")
    ]
    assert firsts == sorted(firsts)


@pytest.mark.usefixtures("quiet")
def test_a_phase_that_ends_early_says_so(capsys):
    small(VaDEClustering, verbose=True, max_iter=200, tol=1.0, n_iter_no_change=1).fit(X)
    lines = capsys.readouterr().err.splitlines()
    (ended,) = (line for line in lines if "ended after" in line)
    assert re.fullmatch(r"train: ended after \d+ of 200 epochs, settled", ended)


@pytest.mark.usefixtures("quiet")
def test_without_verbose_nothing_is_printed(capsys):
    small(VaDEClustering).fit(X)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_state_of_a_model_is_a_copy():
    from skvade.training.batches import Rows
    from skvade.training.run import Run
    from skvade.training.runtime import Runtime
    from tests.conftest import random_model

    model = random_model().float()
    run = Run(model, Rows(X), Runtime(torch.device("cpu")), seed=0)
    state = run.model_state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    for name, tensor in state.items():
        assert torch.equal(tensor, before[name])
    run.restore_model(state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
