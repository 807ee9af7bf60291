"""The same clusters on every device that is present, and no device but the one that is named."""

import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from skvade import VaDEClassifier, VaDEClustering
from skvade.training.runtime import Runtime
from skvade.training.steps import RecordedSteps
from skvade.training.trainer import Optimise
from tests.conftest import FAMILY, small
from tests.persistence.test_checkpoint import assert_same, fit_with_crashes

PRESENT = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
X, Y = load_iris(return_X_y=True)


def fit_elsewhere(quick, fitted, digits, device):
    """What must hold on a device on which the fit is not that of the CPU to the bit."""
    X = digits[0]
    model = clone(quick).set_params(device=device).fit(X)
    assert {p.device.type for p in model.module_.parameters()} == {device}
    assert adjusted_rand_score(model.labels_, fitted.labels_) > 0.5
    drawn, labels = model.sample(200, random_state=0)
    assert np.mean(model.predict(drawn) == labels) > 0.7
    assert model.score(X) == pytest.approx(fitted.score(X), rel=0.1)
    assert {p.device.type for p in model.module_.parameters()} == {device}
    copy = pickle.loads(pickle.dumps(model))
    assert {p.device.type for p in copy.module_.parameters()} == {"cpu"}
    np.testing.assert_allclose(copy.predict_proba(X), model.predict_proba(X), atol=1e-3)


if PRESENT["cuda"]:

    def test_cuda(quick, fitted, digits):
        fit_elsewhere(quick, fitted, digits, "cuda")

    @pytest.mark.usefixtures("quiet")
    @pytest.mark.parametrize("cls", FAMILY)
    def test_steps_that_are_played_are_those_that_are_asked_for(cls, monkeypatch):
        recorded, record = [], RecordedSteps._recorded

        def noted(self, batch):
            recorded.append(batch)
            return record(self, batch)

        monkeypatch.setattr(RecordedSteps, "_recorded", noted)
        given = {"device": "cuda", "pretrain_iter": 6, "batch_size": 32}
        played = small(cls, **given).fit(X, Y)
        assert recorded
        recorded.clear()
        monkeypatch.setattr("skvade.training.steps.N_FIRST", 1_000_000)
        asked = small(cls, **given).fit(X, Y)
        assert not recorded
        for name, tensor in asked.module_.state_dict().items():
            assert torch.equal(tensor, played.module_.state_dict()[name]), name

    @pytest.mark.usefixtures("quiet")
    def test_a_fit_on_a_gpu_goes_on_where_it_was_cut_off(tmp_path):
        estimator = small(VaDEClustering, device="cuda", pretrain_iter=6, batch_size=32)
        resumed, n_crashes = fit_with_crashes(estimator, X, Y, tmp_path / "fit", n_states=3)
        assert n_crashes >= 3
        assert_same(resumed, clone(estimator).fit(X, Y), X)


if PRESENT["mps"]:

    def test_mps(quick, fitted, digits):
        fit_elsewhere(quick, fitted, digits, "mps")


@pytest.mark.usefixtures("quiet")
def test_a_device_that_is_named_is_used_whatever_is_present(monkeypatch):
    expected = small(VaDEClustering, device="cpu").fit(X)
    monkeypatch.setattr("skvade.training.runtime._n_devices", lambda kind: 1)
    model = small(VaDEClustering, device="cpu").fit(X)
    assert {p.device.type for p in model.module_.parameters()} == {"cpu"}
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


@dataclass(frozen=True)
class Watched(Runtime):
    """Keeps what a fit asks of its runtime."""

    asked: dict = field(default_factory=lambda: {"prepare": [], "place": [], "generator": []})

    def prepare(self, model):
        self.asked["prepare"].append(super().prepare(model))
        return self.asked["prepare"][-1]

    def place(self, rows):
        self.asked["place"].append(super().place(rows))
        return self.asked["place"][-1]

    def generator(self, seed):
        self.asked["generator"].append(seed)
        return super().generator(seed)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("cls", [VaDEClustering, VaDEClassifier])
def test_model_rows_and_draws_of_a_fit_go_through_its_runtime(cls, monkeypatch):
    """They lie and are made where it says; that its verbs keep to its device, test_runtime has."""
    runtime, phases = Watched(torch.device("cpu")), []
    monkeypatch.setattr("skvade.estimators.base.resolve_runtime", lambda *names: runtime)
    make_phases, run_phase = cls._make_phases, Optimise.run

    def placed(self, facts):
        held_out, rows = runtime.asked["place"]
        assert facts.monitor.rows is held_out
        assert (len(held_out), len(rows)) == (30, 120)
        return make_phases(self, facts)

    def noted(self, run, seed):
        if self.when(run):
            phases.append(seed)
        assert run.model is runtime.asked["prepare"][-1]
        assert run.rows is runtime.asked["place"][-1]
        run_phase(self, run, seed)

    monkeypatch.setattr(cls, "_make_phases", placed)
    monkeypatch.setattr(Optimise, "run", noted)
    model = small(cls, max_iter=10, early_stopping=True, validation_fraction=0.2).fit(X, Y)
    assert model.module_ is runtime.asked["prepare"][-1]
    assert len(phases) == 4
    # Each phase has draws of its own; those on the held-out rows are the same after every epoch.
    drawn = runtime.asked["generator"]
    assert set(phases) <= set(drawn)
    assert len(drawn) == len(phases) + model.n_iter_ + 1  # the bound after the M step
    assert len(set(drawn)) == len(phases) + 2
