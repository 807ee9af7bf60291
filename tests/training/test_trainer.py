"""The loop on models that have nothing to do with clustering."""

import itertools
import re

import numpy as np
import pytest
import torch
from torch import nn

from skvade.objectives.base import Objective
from skvade.training.batches import Rows
from skvade.training.descent import CHECK_STEPS, MAX_RESCUES, TrainingDivergedError
from skvade.training.events import HeldOut, History, Listener, Progress, Settled
from skvade.training.run import Run
from skvade.training.runtime import Runtime
from skvade.training.schedules import SCHEDULES, WarmUp, constant
from skvade.training.trainer import Optimise

CPU = Runtime(torch.device("cpu"))
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3)).astype(np.float32)
TARGET = torch.tensor([1.0, -2.0, 0.5])


class LeastSquares(Objective):
    """(w'x - target'x)^2, split in two named terms."""

    def __call__(self, model, batch, generator):
        error = model(batch.x).squeeze(-1) - batch.x @ TARGET
        return {"half": 0.5 * error.square().mean(), "rest": 0.5 * error.square().mean()}


class Broken(LeastSquares):
    """A loss that is NaN from a given call on, as often as told."""

    def __init__(self, first, times):
        self.calls, self.first, self.times = 0, first, times

    def __call__(self, model, batch, generator):
        self.calls += 1
        terms = super().__call__(model, batch, generator)
        if self.calls >= self.first and self.times > 0:
            self.times -= 1
            terms["half"] = terms["half"] * float("nan")
        return terms


def regression():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def run_phase(objective=None, listeners=(), model=None, seed=0, **kwargs):
    objective = objective or LeastSquares()
    settings = {"n_steps": 600, "batch_size": 32, "learning_rate": 0.05, **kwargs}
    run = Run(model or regression(), Rows(X), CPU, seed, [History()])
    phase = Optimise("fit", lambda run: objective, listeners=listeners, **settings)
    return run.go([phase])


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


def test_a_loss_that_turns_nan_is_rescued():
    run = run_phase(Broken(first=300, times=1))
    assert run.n_rescues == 1
    np.testing.assert_allclose(run.model.weight.detach().numpy()[0], TARGET.numpy(), atol=1e-2)
    assert np.isfinite([record["loss"] for record in run.history]).all()


def test_a_step_that_breaks_the_parameters_is_undone():
    run = run_phase(Broken(first=600, times=1))
    assert run.n_rescues == 1
    assert torch.isfinite(run.model.weight).all()


def test_a_loss_that_stays_nan_raises_with_the_cure():
    with pytest.raises(TrainingDivergedError, match="lower learning_rate"):
        run_phase(Broken(first=1, times=10**9))


def test_rescues_are_few():
    objective = Broken(first=1, times=10**9)
    with pytest.raises(TrainingDivergedError):
        run_phase(objective)
    per_epoch = len(X) // 32
    assert objective.calls == (MAX_RESCUES + 1) * per_epoch


def test_a_phase_that_was_wholly_undone_raises():
    with pytest.raises(TrainingDivergedError, match="became non-finite 1 times"):
        run_phase(Broken(first=1, times=1), n_steps=6)


def test_long_epochs_are_checked_on_the_way():
    objective = Broken(first=10, times=10**9)
    with pytest.raises(TrainingDivergedError):
        run_phase(objective, batch_size=1, n_steps=1000)
    assert objective.calls <= (MAX_RESCUES + 1) * CHECK_STEPS


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


def test_a_bar_is_closed_by_an_error_too(capsys):
    bar = Progress()
    with pytest.raises(TrainingDivergedError):
        run_phase(Broken(first=1, times=10**9), listeners=[bar])
    assert bar.bar.disable  # as tqdm leaves a bar that was closed


def test_a_log_is_not_flooded_with_bars(capsys):
    run_phase(listeners=[Progress()], n_steps=5_000)
    written = capsys.readouterr().err
    first, last = written.splitlines()
    assert first.startswith("fit: 0 of 834 epochs")
    assert re.fullmatch(r"fit: 834 of 834 epochs, .* gone, .* left, .*epoch/s, loss=.*", last)


def test_a_stream_that_knows_nothing_of_terminals_is_a_log(monkeypatch):
    class Stream:
        text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    stream = Stream()
    monkeypatch.setattr("sys.stderr", stream)
    run_phase(listeners=[Progress()])
    assert stream.text.count("\n") == 2


def test_a_terminal_has_bars_that_move(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    bar = Progress()
    run_phase(listeners=[bar])
    assert bar.bar.mininterval < 1


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


def test_gradients_are_clipped():
    free = run_phase(n_steps=1, schedule=constant).model.weight
    # Adam's first step does not depend on the gradient's size unless it is tiny against epsilon.
    clipped = run_phase(n_steps=1, schedule=constant, max_grad_norm=1e-10).model.weight
    start = regression().weight
    assert (clipped - start).abs().max() < 0.1 * (free - start).abs().max()


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_start_at_one_and_never_rise(name):
    values = [SCHEDULES[name](p) for p in np.linspace(0, 0.999, 200)]
    assert values[0] == 1
    assert all(b <= a for a, b in itertools.pairwise(values))
    assert min(values) >= 0


def test_warm_up_rises_and_then_is_the_schedule():
    warm = WarmUp(SCHEDULES["cosine"], share=0.1)
    values = [warm(p) for p in np.linspace(0, 0.1, 20)]
    assert 0 < values[0] < 0.05
    assert values == sorted(values)
    assert warm(0.5) == SCHEDULES["cosine"](0.5)


class Classifier(nn.Module):
    """Two classes whose boundary training moves."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        return self.linear(x)

    def assign(self, x):
        return torch.cat([self.linear(x), -self.linear(x)], -1).softmax(-1)


def test_settled_ends_a_phase_when_labels_stop_changing():
    settled = Settled(tol=0.0, patience=3)
    run = run_phase(listeners=[settled], model=Classifier(), n_steps=6000)
    assert settled.converged
    assert run.history[-1]["steps"] < 6000
    assert [r["changed"] for r in run.history if "changed" in r][-3:] == [0.0] * 3


def test_settled_reports_when_labels_still_change():
    settled = Settled(tol=0.0, patience=3)
    run_phase(listeners=[settled], model=Classifier(), n_steps=12, learning_rate=0.5)
    assert not settled.converged


def test_every_held_out_row_counts():
    held_out = HeldOut(Rows(X), tol=0.0, patience=5, seed=0)
    run = run_phase(listeners=[held_out], n_steps=6)
    rows = torch.from_numpy(X)
    error = (run.model(rows).squeeze(-1) - rows @ TARGET).square()
    assert run.history[-1]["validation_loss"] == pytest.approx(error.mean().item(), rel=1e-5)


def test_held_out_rows_end_a_phase_and_bring_the_best_state_back():
    class Overshoot(Listener):
        def on_epoch_end(self, run, phase, record):
            if record["epoch"] > 30:
                run.model.weight.data += 1.0
            return False

    held_out = HeldOut(Rows(X[:50]), tol=1e-4, patience=5, seed=0)
    run = run_phase(listeners=[Overshoot(), held_out], n_steps=6000)
    losses = [record["validation_loss"] for record in run.history]
    assert held_out.converged
    assert run.history[-1]["epoch"] < 60
    error = (torch.from_numpy(X[:50]) @ (run.model.weight[0] - TARGET) + run.model.bias).square()
    assert error.mean().item() == pytest.approx(min(losses), rel=0.2, abs=1e-4)
