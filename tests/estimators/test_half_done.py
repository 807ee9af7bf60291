"""A fit is never seen half done: the estimator changes once, at its end."""

import threading

import numpy as np
import pytest
from sklearn.base import is_classifier

from skvade import VaDEClassifier, VaDEClustering, load
from skvade.estimators.base import BaseDeepModel
from tests.conftest import FAMILY, small

pytestmark = pytest.mark.usefixtures("quiet")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)) + 6 * np.repeat(np.arange(3), 30)[:, None]
Y = np.repeat(["a", "b", "c"], 30)
WIDE = np.hstack([X, -X[:, :2]])
METHODS = ("predict", "predict_proba", "transform", "score_samples")


def outcomes(model, X):
    found = {name: getattr(model, name)(X) for name in METHODS if hasattr(model, name)}
    return found | {"report": str(model.report()), "classes": getattr(model, "classes_", None)}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("cls", FAMILY)
def test_whoever_looks_during_a_fit_sees_the_older_one(cls, monkeypatch, tmp_path):
    """Other columns, other classes: at every phase's end the estimator is what it was."""
    model = small(cls).fit(X, Y)
    before, seen = outcomes(model, X), []
    finish = BaseDeepModel._finish

    def look(self, *args):
        finish(self, *args)
        seen.append(outcomes(model, X))
        model.save(tmp_path / "model")
        seen.append(outcomes(load(tmp_path / "model"), X))

    monkeypatch.setattr(BaseDeepModel, "_finish", look)
    names = np.repeat(["x", "y", "z"], 30)
    model.fit(WIDE, names)
    assert len(seen) == 2
    for each in seen:
        assert_same(each, before)
    assert model.n_features_in_ == 6
    if is_classifier(model):
        assert set(model.predict(WIDE)) <= {"x", "y", "z"}


def test_a_callback_sees_the_older_fit():
    callback = pytest.importorskip("sklearn.callback")
    seen = []

    class Looks:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            seen.append(estimator.predict(X))

        def on_fit_task_begin(self, estimator, context):
            seen.append(estimator.predict(X))

        def on_fit_task_end(self, estimator, context):
            seen.append(estimator.predict(X))

    assert isinstance(Looks(), callback.FitCallback)
    model = small(VaDEClassifier).fit(X, Y)
    before = model.predict(X)
    model.set_callbacks(Looks()).fit(WIDE, np.repeat(["x", "y", "z"], 30))
    assert len(seen) > 10
    for labels in seen:
        np.testing.assert_array_equal(labels, before)


def test_names_of_columns_go_with_the_fit_that_had_them():
    pandas = pytest.importorskip("pandas")
    model = small(VaDEClustering).fit(pandas.DataFrame(X, columns=list("abcd")))
    assert model.feature_names_in_.tolist() == list("abcd")
    model.fit(X)
    assert not hasattr(model, "feature_names_in_")


def test_what_is_set_during_a_fit_stays(monkeypatch):
    """Parameters and attributes of the user's are not those of the fit."""
    model = small(VaDEClustering, tol=1e-3)
    finish = BaseDeepModel._finish

    def meddle(self, *args):
        finish(self, *args)
        model.set_params(tol=0.5)
        model.note = "mine"

    monkeypatch.setattr(BaseDeepModel, "_finish", meddle)
    model.fit(X)
    assert model.tol == 0.5
    assert model.note == "mine"
    assert model.predict(X).shape == (90,)


@pytest.mark.parametrize("moment", ["_prepare", "_train", "_publish", "_find_faults"])
def test_a_fit_that_fails_leaves_the_older_one(monkeypatch, moment):
    model = small(VaDEClustering).fit(X)
    before, attributes = outcomes(model, X), dict(vars(model))

    def fail(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(VaDEClustering, moment, fail)
    with pytest.raises(KeyboardInterrupt):
        model.fit(WIDE)
    monkeypatch.undo()
    assert vars(model) == attributes
    assert_same(outcomes(model, X), before)


def test_other_threads_see_one_fit_or_the_other():
    """Fits of 4 and of 6 columns in turn; whoever predicts has one of both, whole."""
    models = {4: small(VaDEClustering).fit(X), 6: small(VaDEClustering).fit(WIDE)}
    expected = {n: model.predict_proba(X if n == 4 else WIDE) for n, model in models.items()}
    shared = small(VaDEClustering).fit(X)
    stop, wrong, n_looks = threading.Event(), [], [0]

    def look():
        while not stop.is_set():
            for n, rows in ((4, X), (6, WIDE)):
                try:
                    proba = shared.predict_proba(rows)
                except ValueError as error:  # the other fit's number of columns
                    if "features" not in str(error):
                        wrong.append(error)
                    continue
                n_looks[0] += 1
                if not np.array_equal(proba, expected[n]):
                    wrong.append(n)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(3):
            shared.fit(WIDE)
            shared.fit(X)
    finally:
        stop.set()
        thread.join()
    assert n_looks[0] > 0
    assert not wrong
