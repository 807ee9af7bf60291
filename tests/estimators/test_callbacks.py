"""scikit-learn's callbacks hear of every task of a fit, and change nothing unless they end it."""

import importlib.util
import pickle
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score, homogeneity_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvade import VaDEClustering, load
from skvade.estimators import callbacks as module
from skvade.training.descent import Guard
from tests.conftest import FAMILY, small

callback = pytest.importorskip("sklearn.callback")  # scikit-learn >= 1.9
pytestmark = pytest.mark.usefixtures("quiet")
X, Y = load_iris(return_X_y=True)


class Recorder:
    """Keeps what it hears; other callbacks of these tests change one thing of it."""

    def __init__(self):
        self.began, self.ended, self.seen, self.tasks = [], [], [], []

    def setup(self, estimator, context):
        self.seen.append("setup")

    def teardown(self, estimator, context):
        self.seen.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.began.append(context)
        self.tasks.append(("begin", id(context)))

    def on_fit_task_end(self, estimator, context):
        self.ended.append(context)
        self.tasks.append(("end", id(context)))


def _in_order(context):
    """What should be heard of a task: its begin, its subtasks one by one, its end."""
    parts = context._children_map.values()
    inner = [entry for part in parts for entry in _in_order(part)]
    return [("begin", id(context)), *inner, ("end", id(context))]


class Fitted(Recorder):
    """Keeps the estimators as they would be if each task had ended the fit."""

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.ended.append(context)
        self.seen.append((context.task_name, fitted_estimator))


@pytest.mark.parametrize("cls", FAMILY)
def test_tasks_are_restarts_phases_and_epochs(cls):
    recorder = Recorder()
    model = small(cls, n_init=2).set_callbacks(recorder).fit(X, Y)
    assert recorder.seen == ["setup", "teardown"]
    assert recorder.began[0].task_name == recorder.ended[-1].task_name == "fit"
    assert {id(task) for task in recorder.began} == {id(task) for task in recorder.ended}
    assert recorder.tasks == _in_order(recorder.began[0])
    restarts = list(recorder.began[0]._children_map.values())
    assert [task.task_name for task in restarts] == ["restart", "restart"]
    epochs = Counter(record["phase"] for record in model.history_)
    for restart in restarts:
        phases = restart._children_map.values()
        assert [phase.task_name for phase in phases] == list(epochs)
        # Nothing has to be learned like labels here; a phase of its own for that is left out.
        unneeded = is_classifier(model) or "hold" not in epochs
        assert restart.max_subtasks == len(phases) + unneeded
        assert all(len(phase._children_map) <= phase.max_subtasks for phase in phases)
    best = [{p.task_name: len(p._children_map) for p in r._children_map.values()} for r in restarts]
    assert dict(epochs) in best


@pytest.mark.parametrize("cls", FAMILY)
def test_estimators_on_the_way_are_fitted_and_leave_the_fit_as_it_is(cls):
    watched = Fitted()
    model = small(cls, early_stopping=True).set_callbacks(watched).fit(X, Y)
    alone = small(cls, early_stopping=True).fit(X, Y)
    assert model.history_ == alone.history_
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))

    on_the_way = [each for each in watched.seen if isinstance(each, tuple)]
    assert len({id(each.module_) for name, each in on_the_way if name == "epoch"}) > 1
    for name, each in on_the_way:
        assert each.predict_proba(X).shape == (len(X), 3)
        assert np.isfinite(each.transform(X)).all()
        if name in ("restart", "fit"):
            np.testing.assert_array_equal(each.predict_proba(X), model.predict_proba(X))
            np.testing.assert_array_equal(each.cluster_centers_, model.cluster_centers_)
    first, last = on_the_way[0][1], model
    assert len(first.history_) == 1 < len(last.history_)
    assert not np.array_equal(first.transform(X), last.transform(X))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_last_estimator_on_the_way_is_that_of_the_fit(precision):
    watched = Fitted()
    model = small(VaDEClustering, precision=precision).set_callbacks(watched).fit(X)
    epochs = [each for name, each in watched.seen[1:-1] if name == "epoch"]
    assert [len(each.history_) for each in epochs] == list(range(1, 1 + len(model.history_)))
    assert epochs[-1].history_ == model.history_
    (last,) = (each for name, each in watched.seen[1:-1] if name == "restart")
    np.testing.assert_array_equal(last.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(last.weights_, model.weights_)
    assert last.lower_bound_ == model.lower_bound_
    np.testing.assert_array_equal(epochs[-1].transform(X), model.transform(X))  # but for an M step
    assert not np.array_equal(epochs[-1].weights_, model.weights_)
    assert not np.array_equal(epochs[-2].transform(X), model.transform(X))


def test_an_epoch_that_is_told_to_stop_ends_its_phase():
    class Stop(Recorder):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch" and context.task_id == 1

    model = small(VaDEClustering, pretrain_iter=6, max_iter=6).set_callbacks(Stop()).fit(X)
    assert set(Counter(record["phase"] for record in model.history_).values()) <= {1, 2}
    assert model.n_iter_ == 2


def test_a_phase_that_was_told_to_end_is_not_called_too_short():
    class Stop(Recorder):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch" and context.task_id == 1

    model = small(VaDEClustering, max_iter=30).set_callbacks(Stop()).fit(X)
    assert not model.converged_
    assert not any("stopped at max_iter" in finding for finding in model.report().findings)
    assert any("max_iter" in text for text in small(VaDEClustering, max_iter=1).fit(X)._findings)


def test_an_epoch_lasts_as_long_as_its_steps(monkeypatch):
    heard = []

    class Order(Recorder):
        def on_fit_task_begin(self, estimator, context):
            heard.append(("begin", context.task_name))

        def on_fit_task_end(self, estimator, context):
            heard.append(("end", context.task_name))

    step = Guard.descend

    def counted(self, loss, rate):
        heard.append(("step", None))
        step(self, loss, rate)

    monkeypatch.setattr(Guard, "descend", counted)
    small(VaDEClustering, batch_size=50).set_callbacks(Order()).fit(X)
    begins = [i for i, entry in enumerate(heard) if entry == ("begin", "epoch")]
    ends = [i for i, entry in enumerate(heard) if entry == ("end", "epoch")]
    within = {i for b, e in zip(begins, ends, strict=True) for i in range(b + 1, e)}
    assert within == {i for i, entry in enumerate(heard) if entry[0] == "step"}


def test_random_draws_of_a_callback_are_its_own():
    """Dropout draws from torch's own generator, as a callback may."""

    class Draws(Recorder):
        def on_fit_task_begin(self, estimator, context):
            torch.randn(3)

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            torch.randn(3)

    class Noisy(torch.nn.Linear):
        def forward(self, x):
            self.last = super().forward(x)  # a graph that cannot be copied
            return self.last + 0.1 * torch.randn(self.last.shape)

    given = {"encoder": torch.nn.Sequential(Noisy(4, 16), torch.nn.Dropout(0.2))}
    alone = small(VaDEClustering, **given).fit(X)
    watched = small(VaDEClustering, **given).set_callbacks(Draws()).fit(X)
    assert alone.history_ == watched.history_


def test_scores_on_the_way_are_those_of_the_fit():
    watched = Fitted()
    model = small(VaDEClustering).set_callbacks(watched).fit(X)
    (restart,) = (each for name, each in watched.seen[1:-1] if name == "restart")
    np.testing.assert_array_equal(restart.score_samples(X), model.score_samples(X))


class FailsError(Exception):
    """Of a callback."""


@pytest.mark.parametrize("task", ["fit", "restart", "pretrain", "epoch"])
def test_a_callback_that_fails_leaves_the_estimator_as_it_was(task):
    class Fails(Recorder):
        def on_fit_task_begin(self, estimator, context):
            if context.task_name == task:
                raise FailsError

    callback = Fails()
    model = small(VaDEClustering).fit(X)
    before = dict(vars(model))
    with pytest.raises(FailsError):
        model.set_callbacks(callback).fit(X)
    assert callback.seen == ["setup", "teardown"]
    assert vars(model.set_callbacks()) == before


def test_a_callback_that_fails_at_the_very_end_does_so_too():
    class Fails(Recorder):
        def teardown(self, estimator, context):
            raise FailsError

    random_state = np.random.RandomState(0)
    model = small(VaDEClustering, random_state=random_state)
    before = dict(vars(model))
    with pytest.raises(FailsError):
        model.set_callbacks(Fails()).fit(X)
    assert vars(model.set_callbacks()) == before
    assert random_state.randint(1_000) == np.random.RandomState(0).randint(1_000)


def test_a_call_that_is_refused_tears_callbacks_down():
    recorder = Recorder()
    model = small(VaDEClustering, n_init="many").set_callbacks(recorder)
    before = dict(vars(model))
    with pytest.raises((TypeError, ValueError), match="n_init"):
        model.fit(X)
    assert recorder.seen == ["setup", "teardown"]
    assert not recorder.began
    assert vars(model) == before


def test_a_warm_start_is_one_restart():
    recorder = Recorder()
    model = small(VaDEClustering, n_init=2).fit(X)
    model.set_params(warm_start=True).set_callbacks(recorder).fit(X)
    assert recorder.began[0].max_subtasks == 1
    assert [t.task_name for t in recorder.began if t.max_subtasks != 0] == [
        *("fit", "restart", "train")
    ]


def test_callbacks_are_kept_by_clones_and_pickles_and_not_by_files(tmp_path):
    model = small(VaDEClustering).set_callbacks(Fitted()).fit(X)
    assert clone(model)._skl_callbacks == model._skl_callbacks
    model.set_callbacks(callback.ScoringMonitor(scoring=None))
    assert len(pickle.loads(pickle.dumps(model))._skl_callbacks) == 1
    model.save(tmp_path / "model")
    assert "_skl_callbacks" not in vars(load(tmp_path / "model"))


def test_an_estimator_on_the_way_can_be_saved(tmp_path):
    class Saves(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            fitted_estimator.save(tmp_path / "model")
            self.proba = fitted_estimator.predict_proba(X)

    saves = Saves()
    search = GridSearchCV(small(VaDEClustering).set_callbacks(saves), {"latent_dim": [2]}, cv=2)
    search.fit(X)
    np.testing.assert_array_equal(load(tmp_path / "model").predict_proba(X), saves.proba)


def test_scikit_learns_progress_bar_shows_every_phase(capsys):
    pytest.importorskip("rich")
    small(VaDEClustering).set_callbacks(callback.ProgressBar()).fit(X)
    shown = capsys.readouterr().out
    for line in ("VaDEClustering - fit", "restart #0", "pretrain #0", "neighbours #1", "100%"):
        assert line in shown


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bars_of_a_search_reach_into_its_fits(capsys, n_jobs):
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), small(VaDEClustering))
    search = GridSearchCV(pipeline, {"vadeclustering__latent_dim": [2, 3]}, cv=2, n_jobs=n_jobs)
    bar = callback.ProgressBar(max_propagation_depth=None)
    search.set_callbacks(bar).fit(X)
    shown = capsys.readouterr().out
    assert "GridSearchCV - fit" in shown
    assert "VaDEClustering - fit" in shown
    assert "pretrain" in shown


def test_scikit_learns_scoring_monitor_has_a_score_of_every_epoch():
    monitor = callback.ScoringMonitor(scoring=["adjusted_rand_score", "homogeneity_score"])
    model = small(VaDEClustering).set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs().data
    epochs = [row for row in log if row["task_name"] == "epoch"]
    assert len(epochs) == len(model.history_)
    for name, score in {
        "adjusted_rand_score": adjusted_rand_score,
        "homogeneity_score": homogeneity_score,
    }.items():
        (last,) = (row[name] for row in log if row["task_name"] == "restart")
        assert last == pytest.approx(score(Y, model.labels_))
        assert len({row[name] for row in epochs}) > 1
    names = {row["task_name"] for row in log}
    assert {"fit", "restart", "pretrain", "train"} <= names


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="callbacks must be instances"):
        VaDEClustering().set_callbacks("bar")


def test_without_scikit_learns_callbacks_nobody_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("older", module.__file__)
    older = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "older", older)
    spec.loader.exec_module(older)

    context = older.CallbackSupportMixin()._init_callback_context(max_subtasks=1)
    listener = older.Callbacks(context, {"estimator": None, "X": X, "y": Y}, fitted=None)
    listener.on_run_begin(None, [])
    assert not hasattr(older.CallbackSupportMixin, "set_callbacks")
    assert older.with_callbacks(small) is small
