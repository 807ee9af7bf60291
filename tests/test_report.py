"""The report tells good runs from bad ones."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skvade import VaDEClustering


def test_report_of_a_good_run(fitted):
    report = fitted.report()
    text = str(report)
    assert report.trustworthy == (not fitted._findings)
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


def test_report_needs_a_fit():
    with pytest.raises(NotFittedError):
        VaDEClustering().report()
