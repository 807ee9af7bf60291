"""The report states what was checked, and what was found."""

import copy
import warnings
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score

from skvade import VaDEClustering
from skvade.estimators.report import Report


def test_report_of_a_run_that_was_cut_short_and_of_a_good_one(quick, digits, quiet):
    fitted = clone(quick).set_params(n_iter_no_change=99).fit(digits[0])
    report = fitted.report()
    text = str(report)
    cut_short = "stopped at max_iter=10 before it had converged; raise max_iter"
    (finding,) = report.findings  # the only one, for the small budget
    assert cut_short in finding
    assert not report.trustworthy
    good = replace(report, findings=())
    assert good.trustworthy
    assert good.verdict == report.checked
    assert cut_short not in str(good)
    assert f"{fitted.lower_bound_:.2f} nats per row" in text
    assert "1797 rows, 64 features" in text
    assert "bernoulli" in text
    assert f"{fitted.cluster_sizes_.max()} to {fitted.cluster_sizes_.min()}" in text
    for phase in ("pretrain", "neighbours", "hold", "train"):
        assert f"phase {phase}" in text
    assert len(report.lines) < 25
    assert max(map(len, text.splitlines())) <= 100


def test_report_repeats_what_fit_warned_of(quick):
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = clone(quick).set_params(n_clusters=4, pretrain_iter=1, max_iter=1)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X)
    report = model.report()
    assert not report.trustworthy
    assert set(report.findings) == {str(w.message) for w in caught}
    text = " ".join(str(report).split())  # lines are wrapped
    assert all(finding in text for finding in report.findings)


def test_report_promises_nothing(quick, digits):
    few, many = (clone(quick).fit(digits[0][:n]).report() for n in (300, 1_000))
    for report in (few, many):
        verdict = replace(report, findings=()).verdict
        assert verdict.startswith("Checked: ")
        assert "does not show that the clusters are right" in verdict
        assert "another random_state" in verdict
    assert "300 rows are few" in few.checked
    assert "few" not in many.checked
    assert "two best starts" in few.lines["restart agreement"]
    several = clone(quick).set_params(n_init=2).fit(digits[0][:300]).report()
    assert "two best fits" in several.lines["restart agreement"]


def test_report_needs_a_fit():
    with pytest.raises(NotFittedError):
        VaDEClustering().report()


def test_long_lines_are_wrapped_and_stand_under_their_text():
    long = "word " * 30
    text = str(Report("A", {"a": "1", "long": long}, (long,), "Checked."))
    lines = text.splitlines()
    assert lines[:2] == ["A", "  a     1"]
    assert lines[2].startswith("  long  word word")
    assert lines[3].startswith("        word word")
    assert lines[-2].startswith("  - word")
    assert lines[-1].startswith("    word")
    assert text.split().count("word") == 60
    assert max(map(len, lines)) <= 100


def test_report_says_how_sure_rows_are(fitted, digits):
    mean = fitted.predict_proba(digits[0]).max(1).mean()
    assert f"{mean:.1%}, the mean probability" in fitted.report().lines["confidence"]


def test_a_notebook_shows_the_same_in_html(fitted):
    good = Report("A & B", {"a<b": "1"}, (), "Checked: C.")
    page = ElementTree.fromstring(good._repr_html_())
    texts = [text.strip() for text in page.itertext() if "{" not in text]
    assert texts == ["A & B", "a<b", "1", good.verdict]
    bad = ElementTree.fromstring(replace(good, findings=("x > y",))._repr_html_())
    assert [item.text for item in bad.iter("li")] == ["x > y"]
    cells = ElementTree.fromstring(fitted.report()._repr_html_()).iter("td")
    assert [cell.text for cell in cells] == list(fitted.report().lines.values())


def test_a_column_that_drowns_the_others_is_named(quick):
    X, _ = make_blobs(200, centers=3, n_features=4, random_state=0)
    frame = pd.DataFrame(X * [1, 1, 500, 1], columns=["age", "size", "income", "rooms"])
    model = clone(quick).set_params(n_clusters=3)
    with pytest.warns(UserWarning, match=r"Column 'income' has \d+\.\d% of the variance") as caught:
        model.fit(frame)
    (finding,) = (text for text in model.report().findings if "income" in text)
    assert "standardise the columns" in finding
    assert finding in {str(warning.message) for warning in caught}
    assert not model.report().trustworthy
    model.set_params(likelihood="gaussian").fit((frame - frame.mean()) / frame.std())
    assert not [text for text in model.report().findings if "variance" in text]


def test_sentinel_values_are_named_and_do_not_hide_the_clusters():
    """One row of -9999 among 301, where one scale of all had an adjusted Rand index of .16."""
    X, y = make_blobs(300, centers=3, n_features=5, random_state=0)
    frame = pd.DataFrame(np.vstack([X, np.full((1, 5), -9999.0)]), columns=list("abcde"))
    model = VaDEClustering(3, hidden_layer_sizes=(64, 64), latent_dim=5, precision="float32")
    with pytest.warns(UserWarning, match=r"'d', 'e' have.*1 in column 'a', such as -9999"):
        model.set_params(random_state=0).fit(frame)
    assert adjusted_rand_score(y, model.labels_[:300]) > 0.95
    assert any("set them to NaN before" in text for text in model.report().findings)
    assert np.isfinite(model.score(frame))
    scores = model.score_samples(frame)
    assert scores.argmin() == 300
    assert scores[300] < 10 * scores[:300].min()


def test_labels_that_do_not_settle_are_named(fitted):
    model = copy.copy(fitted)
    run = SimpleNamespace(n_rescues=0)
    model.set_params(max_iter="auto")
    assert not any("settle" in text for text in model._find_faults(SimpleNamespace(run=run)))
    model.converged_ = False
    model.history_ = [*model.history_, {**model.history_[-1], "changed": 0.034}]
    (fault,) = model._find_faults(SimpleNamespace(run=run))
    assert "3.4% of rows changed" in fault
    assert "Raise max_iter" in fault
    model.history_ = [*model.history_, {**model.history_[-1], "changed": 0.004}]
    assert model._find_faults(SimpleNamespace(run=run)) == ()


def test_constant_columns_are_not_drowned(quick):
    X, _ = make_blobs(100, centers=3, n_features=1, random_state=0)
    model = clone(quick).set_params(n_clusters=3, likelihood="gaussian")
    model.fit(np.c_[X, np.zeros((100, 2))])
    assert not [text for text in model.report().findings if "variance" in text]


def test_far_minorities_stay_clusters():
    """Each beyond the fences of a column, by fifty standard deviations of most of it."""
    centers = np.vstack([np.zeros(6), 8 * np.eye(6)[:5]])
    X, y = make_blobs([500, *[60] * 5], centers=centers, cluster_std=0.15, random_state=0)
    model = VaDEClustering(6, hidden_layer_sizes=(64, 64), latent_dim=6, precision="float32")
    with pytest.warns(UserWarning, match="far from all others"):
        model.set_params(random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.95


def test_two_columns_of_four_may_drown_the_others(quick):
    X, _ = make_blobs(200, centers=3, n_features=4, random_state=0)
    names = ["age", "size", "income", "debt"]
    model = clone(quick).set_params(n_clusters=3, likelihood="gaussian")
    model.fit(pd.DataFrame(X * [1, 1, 500, 300], columns=names))
    (finding,) = (text for text in model.report().findings if "variance" in text)
    assert "'income'" in finding
    assert "'debt'" in finding
    assert "hides the 2 others" in finding


def test_findings_of_far_rows_are_said_without_others_warnings(quick):
    X, _ = make_blobs(200, centers=3, n_features=4, random_state=0)
    model = clone(quick).set_params(n_clusters=3).fit(X)
    far = X[:3].copy()
    far[1, 2] = 1e9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = model.score_samples(far)
    assert scores[1] < 100 * scores[0]
