"""The loop on models that have nothing to do with clustering."""

import numpy as np
import pytest
import torch
from torch import nn

from skvade.training.events import Listener
from skvade.training.schedules import constant
from skvade.training.trainer import Optimise
from tests.training.conftest import TARGET, LeastSquares, regression, run_phase


def test_it_solves_least_squares():
    run = run_phase()
    np.testing.assert_allclose(run.model.weight.detach().numpy()[0], TARGET.numpy(), atol=1e-3)
    assert not run.model.training


def test_history_has_every_term_of_every_epoch():
    run = run_phase(n_steps=20)
    assert [record["epoch"] for record in run.history] == [1, 2, 3, 4]
    assert [record["steps"] for record in run.history] == [6, 12, 18, 20]
    for record in run.history:
        assert record["phase"] == "fit"
        assert record["loss"] == pytest.approx(record["half"] + record["rest"])
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_the_same_seed_gives_the_same_model_and_another_a_different_one():
    weights = [run_phase(n_steps=30, seed=seed).model.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_listeners_hear_every_event_and_can_end_a_phase():
    class Recorder(Listener):
        heard = ()

        def on_phase_begin(self, run, phase, n_epochs):
            self.heard += (("begin", n_epochs),)

        def on_epoch_end(self, run, phase, record):
            self.heard += (("epoch", record["epoch"]),)
            return record["epoch"] == 2

        def on_phase_end(self, run, phase):
            self.heard += ("end",)

    recorder = Recorder()
    run_phase(listeners=[recorder])
    assert recorder.heard == (("begin", 100), ("epoch", 1), ("epoch", 2), "end")


def test_a_run_goes_through_the_phases_that_it_is_given_each_time():
    run = run_phase(n_steps=100)
    phase = Optimise("again", lambda run: LeastSquares(), 100, 32, 0.05)
    assert {record["phase"] for record in run.go([phase]).history} == {"fit", "again"}


def test_phases_learn_only_their_own_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    frozen = model[0].weight.clone()
    run = run_phase(model=model, parameters=lambda model: list(model[1].parameters()))
    assert torch.equal(run.model[0].weight, frozen)
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_where_a_phase_is_not_needed_another_is_done_instead():
    other = Optimise("other", lambda run: LeastSquares(), 30, 32, 0.05)
    phases = {
        needed: run_phase(n_steps=30, when=lambda run, needed=needed: needed, instead=other)
        for needed in (True, False)
    }
    assert [{r["phase"] for r in run.history} for run in phases.values()] == [{"fit"}, {"other"}]
    assert torch.equal(phases[True].model.weight, phases[False].model.weight)  # the same draws
    untouched = run_phase(n_steps=30, when=lambda run: False)
    assert not untouched.history
    assert torch.equal(untouched.model.weight, regression().weight)


def test_gradients_are_clipped():
    free = run_phase(n_steps=1, schedule=constant).model.weight
    # Adam's first step does not depend on the gradient's size unless it is tiny against epsilon.
    clipped = run_phase(n_steps=1, schedule=constant, max_grad_norm=1e-10).model.weight
    start = regression().weight
    assert (clipped - start).abs().max() < 0.1 * (free - start).abs().max()
