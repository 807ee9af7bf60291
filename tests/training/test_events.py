"""Listeners: bars, and what ends a phase, against naive loops over what they hear."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skvade.training.batches import Rows
from skvade.training.descent import TrainingDivergedError
from skvade.training.events import HeldOut, Listener, Progress, Settled
from skvade.training.handover import Handover
from tests.training.conftest import CPU, TARGET, Broken, LeastSquares, X, run_phase


def test_a_bar_is_closed_by_an_error_too(capsys):
    bar = Progress()
    with pytest.raises(TrainingDivergedError):
        run_phase(Broken(first=1, times=10**9), listeners=[bar])
    assert bar.bar.disable  # as tqdm leaves a bar that was closed


def test_a_log_is_not_flooded_with_bars(capsys):
    run_phase(listeners=[Progress()], n_steps=1_000)
    written = capsys.readouterr().err
    first, last = written.splitlines()
    assert first.startswith("fit: 0 of 167 epochs")
    assert re.fullmatch(r"fit: 167 of 167 epochs, .* gone, .* left, .*epoch/s, loss=.*", last)


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


class Classifier(nn.Module):
    """Two classes whose boundary training moves."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        return self.linear(x)

    def view(self, x):
        return x

    def memberships_of(self, x):
        return torch.cat([self.linear(x), -self.linear(x)], -1).softmax(-1)

    def row_bytes(self, n_features):
        return 8 * n_features


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


class Scripted(nn.Module):
    """Assigns rows, which hold their own numbers, to the labels (n_epochs + 1, n_rows) in turn."""

    def __init__(self, labels):
        super().__init__()
        self.labels, self.epoch, self.asked, self.modes = torch.from_numpy(labels), 0, [], set()

    def view(self, x):
        return x

    def memberships_of(self, x):
        self.modes.add(self.training)
        self.asked += x[:, 0].long().tolist()
        return nn.functional.one_hot(self.labels[self.epoch, x[:, 0].long()], 3).float()

    def row_bytes(self, n_features):
        return 8 * n_features


def scripted_run(labels):
    rows = Rows(np.arange(labels.shape[1], dtype=np.float32)[:, None])
    return SimpleNamespace(model=Scripted(labels), rows=rows, handover=Handover(), runtime=CPU)


def restless(n_epochs, n_rows, every):
    """Labels of every epoch: a third is drawn anew until half of the time, then one row."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 3, n_rows)]
    for epoch in range(1, n_epochs + 1):
        new = labels[-1].copy()
        if epoch % every == 0:
            some = rng.choice(n_rows, n_rows // 3 if epoch <= n_epochs / 2 else 1, replace=False)
            new[some] = (new[some] + 1) % 3
        labels.append(new)
    return np.stack(labels)


@pytest.mark.parametrize(("n_epochs", "every"), [(10, 1), (100, 4)])
def test_settled_counts_changed_labels_as_a_naive_loop(n_epochs, every):
    labels = restless(n_epochs, 60, every)
    run, settled = scripted_run(labels), Settled(tol=0.05, patience=3)
    settled.on_phase_begin(run, None, n_epochs)
    previous, unchanged, ended = labels[0], 0, []
    for epoch in range(1, n_epochs + 1):
        run.model.epoch = epoch
        record = {"epoch": epoch}
        ended.append(settled.on_epoch_end(run, None, record))
        if epoch % every:
            assert record == {"epoch": epoch}
            assert not ended[-1]
            continue
        changed = np.mean(labels[epoch] != previous)
        previous = labels[epoch]
        unchanged = unchanged + 1 if changed <= 0.05 else 0
        assert record["changed"] == pytest.approx(changed)
        assert ended[-1] == settled.converged == (unchanged >= 3)
    assert not any(ended[: 3 * every - 1])
    assert ended[-1]
    settled.on_phase_end(run, None)
    assert run.handover.converged


def test_settled_watches_rows_evenly_spaced_without_dropout():
    run = scripted_run(np.zeros((1, 60), int))
    Settled(tol=0.0, patience=3, max_rows=16).on_phase_begin(run, None, 1)
    assert run.model.asked == list(range(0, 60, 4))
    assert run.model.modes == {False}
    assert run.model.training


def test_settled_goes_on_with_what_it_knew():
    labels = restless(10, 60, 1)
    ends = []
    for cut in (None, 4, 7):
        run, settled = scripted_run(labels), Settled(tol=0.05, patience=3)
        settled.on_phase_begin(run, None, 10)
        for epoch in range(1, 11):
            run.model.epoch = epoch
            if settled.on_epoch_end(run, None, {"epoch": epoch}):
                ends.append(epoch)
                break
            if epoch == cut:
                left, settled = settled.state(), Settled(tol=0.05, patience=3)
                settled.on_phase_begin(run, None, 10)
                settled.restore(left)
    assert ends == [8, 8, 8]


class Elsewhere(Rows):
    """Rows on a device that cannot compute; functions of them come from the CPU."""

    def map(self, function, row_bytes=0):
        return Rows.map(replace(self, device=torch.device("cpu")), function, row_bytes)


def test_labels_lie_where_the_rows_do():
    """A checkpoint's labels are put there, and those of the next check are compared with them."""
    run = scripted_run(np.zeros((1, 60), int))
    run.rows = Elsewhere(run.rows.X, torch.device("meta"))
    settled = Settled(tol=0.0, patience=3)
    settled.on_phase_begin(run, None, 1)
    assert settled.labels.device == run.rows.device


class Noisy(LeastSquares):
    """A loss with draws, which knows rows of the data from others."""

    def __init__(self):
        self.known = {True: set(), False: set()}  # by whether the model is trained

    def __call__(self, model, batch, generator):
        self.known[model.training].add(batch.index is not None)
        terms = super().__call__(model, batch, generator)
        return terms | {"noise": torch.randn(len(batch.x), generator=generator).mean()}


def test_held_out_rows_meet_the_same_draws_every_time_and_are_not_of_the_data():
    objectives, losses = [Noisy(), Noisy()], []
    for objective, seed in zip(objectives, (0, 1), strict=True):
        held_out = HeldOut(Rows(X[:50]), tol=0.0, patience=99, seed=seed)
        run = run_phase(objective, [held_out], n_steps=18, learning_rate=1e-30)
        losses.append({record["validation_loss"] for record in run.history})
        assert len({record["noise"] for record in run.history}) == 3
        assert objective.known == {True: {True}, False: {False}}
    assert [len(each) for each in losses] == [1, 1]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("tol", [0.0, 0.05, 0.3])
def test_held_out_rows_end_a_phase_and_bring_the_best_state_back_exactly(tol):
    class Overshoot(Listener):
        def __init__(self):
            self.states = []

        def on_epoch_end(self, run, phase, record):
            if record["epoch"] > 20:
                run.model.weight.data += 1.0
            self.states.append(run.model_state())
            return False

    overshoot, held_out = Overshoot(), HeldOut(Rows(X[:50]), tol, patience=5, seed=0)
    run = run_phase(listeners=[overshoot, held_out], n_steps=6000)
    best, waited, where = float("inf"), 0, 0
    for place, record in enumerate(run.history):
        assert waited < 5
        loss = record["validation_loss"]
        if loss < best - tol * abs(loss):
            best, waited, where = loss, 0, place
        else:
            waited += 1
    assert waited == 5
    assert held_out.converged
    assert run.handover.converged
    assert (where > 0) == (tol < 0.1)  # the last asks for more than the first epochs improve
    expected = overshoot.states[where]
    torch.testing.assert_close(dict(run.model.state_dict()), expected, rtol=0, atol=0)


def test_a_phase_whose_budget_ends_first_takes_the_best_state_too():
    held_out = HeldOut(Rows(X[:50]), tol=0.0, patience=99, seed=0)
    run = run_phase(listeners=[held_out], n_steps=12, learning_rate=10.0)
    rows = torch.from_numpy(X[:50])
    with torch.no_grad():
        loss = (run.model(rows).squeeze(-1) - rows @ TARGET).square().mean().item()
    losses = [record["validation_loss"] for record in run.history]
    assert loss == pytest.approx(min(losses), rel=1e-5)
    assert not run.handover.converged
