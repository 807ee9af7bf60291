"""Which labels are missing: -1 alone, by one rule; what else might mean it is refused."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_circles

import skvade
from skvade import M2Classifier, VaDEClassifier
from tests.conftest import small

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)) + 5 * np.repeat([0, 1, 2], 20)[:, None]
TEXTS = np.repeat(["a", "b", "c"], 20).astype(object)
NUMBERS = np.repeat([0, 1, 2], 20)
HOLES = {
    "None": (NUMBERS.astype(object), None),
    "NaN": (NUMBERS.astype(float), np.nan),
    "NaN in objects": (NUMBERS.astype(object), np.nan),
    "None among strings": (TEXTS, None),
    "NaN among strings": (TEXTS, np.nan),
    "NA": (pd.Series(NUMBERS, dtype="Int64"), pd.NA),
    "NA in objects": (pd.Series(NUMBERS, dtype=object), pd.NA),
    "NA among strings": (pd.Series(TEXTS, dtype="string"), pd.NA),
    "NA of booleans": (pd.Series(NUMBERS > 0, dtype="boolean"), pd.NA),
    "categories": (pd.Series(TEXTS, dtype="category"), None),
    "NaT": (pd.Series(TEXTS, dtype=object), pd.NaT),
}


@pytest.mark.parametrize("name", HOLES)
def test_what_might_mean_no_label_is_refused_by_row(name):
    y, hole = HOLES[name]
    y = y.copy()
    y[7] = hole
    with pytest.raises(ValueError, match=r"y contains \S+ in row 7; pass -1"):
        small(VaDEClassifier).fit(X, y)


@pytest.mark.usefixtures("quiet")
def test_a_report_says_whether_rows_are_in_the_class_of_their_label(tmp_path):
    known = np.arange(60) % 2 == 0
    right = np.where(known, NUMBERS, -1)
    wrong = np.where(known, RNG.permutation(60) % 3, -1)
    for y, follows in ((right, True), (wrong, False), (np.where(NUMBERS == 1, 1, -1), True)):
        model = small(VaDEClassifier, None, n_classes=3).fit(X, y)
        model.save(tmp_path / "model")
        for each in (model, skvade.load(tmp_path / "model")):
            n_right = int((each.predict(X[y >= 0]) == y[y >= 0]).sum())
            line = each.report().lines["rows with a label"]
            assert line.startswith(f"{(y >= 0).sum()}, {n_right / (y >= 0).sum():.1%} of them")
            about_labels = [f for f in each.report().findings if "rows with a label" in f]
            assert bool(about_labels) != follows
    assert "GaussianMixture" not in str(small(VaDEClassifier).fit(X, right).report())


@pytest.mark.usefixtures("quiet")
def test_a_report_before_the_end_and_after_more_rows():
    class Reports:
        lines: ClassVar[list] = []

        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            self.lines.append("rows with a label" in fitted_estimator.report().lines)

    model = small(VaDEClassifier)
    if not hasattr(model, "set_callbacks"):
        pytest.skip("of scikit-learn 1.9")
    for y in (NUMBERS, np.arange(60) % 4):  # the second time of other classes
        Reports.lines.clear()
        model.set_callbacks(Reports()).fit(X, y)
        assert Reports.lines[-1]
        assert not any(Reports.lines[:-1])
    kept = model.report().lines["rows with a label"]
    assert model.partial_fit(X[:20], np.arange(20) % 4).report().lines["rows with a label"] == kept


@pytest.mark.parametrize("kind", ["str", "object", "category", "string"])
def test_the_string_of_minus_one_is_no_mark(kind):
    y = pd.Series(np.where(np.arange(60) % 2, TEXTS.astype(str), "-1"), dtype=kind)
    with pytest.raises(ValueError, match="y holds the string '-1'.*object"):
        small(VaDEClassifier).fit(X, y)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("y", [NUMBERS, TEXTS, pd.Series(NUMBERS, dtype="Int64"), NUMBERS * 1.0])
def test_minus_one_marks_rows_without_a_label(y):
    y = y.copy()
    y[::2] = -1
    model = small(VaDEClassifier).fit(X, y)
    assert len(model.classes_) == 3
    assert model._n_labeled == 3


def test_minus_one_and_one_alone_are_two_classes_with_a_warning():
    y = np.where(np.arange(60) < 20, 1, -1)
    with pytest.warns(UserWarning, match=r"-1 and 1 alone.*set n_classes") as caught:
        model = small(VaDEClassifier).fit(X, y)
    assert model.classes_.tolist() == [-1, 1]
    assert __file__ in {warning.filename for warning in caught}


@pytest.mark.usefixtures("quiet")
def test_with_a_number_of_classes_minus_one_is_no_class(recwarn):
    y = np.where(np.arange(60) < 20, 1, -1)
    model = small(VaDEClassifier, n_classes=2).fit(X, y)
    assert model.classes_.tolist() == [1, 2]
    assert not [w for w in recwarn if "alone" in str(w.message)]


@pytest.mark.parametrize("cls", [VaDEClassifier, M2Classifier])
def test_classes_that_are_no_clusters_are_kept_in_training(cls):
    """Two circles, three labels a class: training does not tear what the graph knows."""
    X, y = make_circles(400, factor=0.4, noise=0.04, random_state=0)
    few = np.full(len(y), -1)
    for c in (0, 1):
        few[np.flatnonzero(y == c)[:3]] = c
    model = cls(hidden_layer_sizes=(64, 64), precision="float32", random_state=0).fit(X, few)
    assert (model.labels_ == y).mean() > 0.98
    phases = {record["phase"] for record in model.history_}
    assert "labels" in phases
    others, truth = make_circles(200, factor=0.4, noise=0.04, random_state=1)
    assert model.score(others, truth) > 0.97
