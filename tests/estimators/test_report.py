"""The report tells good runs from bad ones."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skvade import VaDEClustering
from skvade.estimators.report import Report


def test_report_of_a_run_that_was_cut_short_and_of_a_good_one(fitted):
    report = fitted.report()
    text = str(report)
    cut_short = "stopped at max_iter=10 before it had converged; raise max_iter"
    (finding,) = report.findings  # the only one, for the small budget
    assert cut_short in finding
    assert not report.trustworthy
    good = replace(report, findings=())
    assert good.trustworthy
    assert good.verdict == f"No check of this run failed. {report.advice}"
    assert cut_short not in str(good)
    assert f"{fitted.lower_bound_:.2f} nats per row" in text
    assert "1797 rows, 64 features" in text
    assert "bernoulli" in text
    assert f"{fitted.cluster_sizes_.max()} to {fitted.cluster_sizes_.min()}" in text
    for phase in ("pretrain", "neighbours", "hold", "train"):
        assert f"phase {phase}" in text
    assert len(text.splitlines()) < 25


def test_report_repeats_what_fit_warned_of(quick):
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = clone(quick).set_params(n_clusters=4, pretrain_iter=1, max_iter=1)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X)
    report = model.report()
    assert not report.trustworthy
    assert set(report.findings) == {str(w.message) for w in caught}
    assert all(finding in str(report) for finding in report.findings)


def test_report_trusts_no_single_run(quick, digits):
    few, many = (clone(quick).fit(digits[0][:n]).report() for n in (300, 1_000))
    for report in (few, many):
        assert (
            "Another random_state should find the same clusters"
            in replace(report, findings=()).verdict
        )
    assert "300 rows are few" in few.advice
    assert "few" not in many.advice
    assert "mixtures on the same codes" in few.lines["restart agreement"]
    several = clone(quick).set_params(n_init=2).fit(digits[0][:300]).report()
    assert "two best fits" in several.lines["restart agreement"]


def test_report_needs_a_fit():
    with pytest.raises(NotFittedError):
        VaDEClustering().report()


def test_report_says_how_sure_rows_are(fitted, digits):
    mean = fitted.predict_proba(digits[0]).max(1).mean()
    assert f"{mean:.1%} of a row's probability" in fitted.report().lines["confidence"]


def test_a_notebook_shows_the_same_in_html(fitted):
    good = Report("A & B", {"a<b": "1"}, (), "Try C.")
    page = ElementTree.fromstring(good._repr_html_())
    texts = [text.strip() for text in page.itertext() if "{" not in text]
    assert texts == ["A & B", "a<b", "1", good.verdict]
    bad = ElementTree.fromstring(replace(good, findings=("x > y",))._repr_html_())
    assert [item.text for item in bad.iter("li")] == ["x > y"]
    cells = ElementTree.fromstring(fitted.report()._repr_html_()).iter("td")
    assert [cell.text for cell in cells] == list(fitted.report().lines.values())
