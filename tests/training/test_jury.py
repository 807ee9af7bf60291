"""What is known of a mixture without labels, against loops over rows and scikit-learn's measure."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import mutual_info_score
from sklearn.mixture import GaussianMixture

from skvade.training.jury import Jury, subsample
from tests.training.conftest import Fixed, nearest, numbered, one_hot


@pytest.mark.parametrize("max_rows", [120, 40])
def test_a_verdict_is_that_of_a_naive_loop(max_rows):
    codes, _ = make_blobs(120, n_features=3, centers=4, cluster_std=2.0, random_state=0)
    near = nearest(codes, 6)
    mixture = GaussianMixture(5, random_state=0).fit(codes)
    jury = Jury.draw(codes, near, max_rows, np.random.RandomState(3))
    found = jury(mixture)
    proba = mixture.predict_proba(codes)
    average = sum(proba[i] for i in jury.rows) / max_rows
    kept = decided = 0.0
    for i in jury.rows:
        kept += sum(proba[i, c] * proba[j, c] for j in near[i] for c in range(5)) / 6
        decided += sum(p * np.log(p / q) for p, q in zip(proba[i], average, strict=True) if p > 0)
    assert len(jury.rows) == max_rows
    assert found.neighbours_kept == pytest.approx(kept / max_rows)
    assert found.mutual_information == pytest.approx(decided / max_rows)
    assert found.used_clusters == len({proba[i].argmax() for i in jury.rows})


def test_information_of_certain_rows_is_scikit_learns():
    labels = np.random.default_rng(0).integers(0, 4, 200)
    jury = Jury.draw(numbered(200), None, 200, np.random.RandomState(0))
    found = jury(Fixed(one_hot(labels)))
    assert found.mutual_information == pytest.approx(mutual_info_score(labels, labels))
    assert found.neighbours_kept == 0


def test_codes_are_kept_once_however_many_ask_for_them():
    codes = numbered(50)
    near = np.tile([7, 8, 9], (50, 1))
    jury = Jury.draw(codes, near, 4, np.random.RandomState(0))
    np.testing.assert_array_equal(jury.codes[:, 0], np.union1d(jury.rows, [7, 8, 9]))
    np.testing.assert_array_equal(jury.codes[jury.own], codes[jury.rows])
    np.testing.assert_array_equal(jury.codes[jury.neighbours, 0], near[jury.rows])


def test_some_neighbours_are_judged_where_all_were_many_codes(monkeypatch):
    monkeypatch.setattr("skvade.training.jury.MAX_CODES", 100)
    codes = numbered(1_000)
    near = nearest(codes, 6)
    jury = Jury.draw(codes, near, 300, np.random.RandomState(0))
    assert len(jury.codes) < len(np.union1d(jury.rows, near[jury.rows]))
    np.testing.assert_array_equal(jury.codes[jury.own], codes[jury.rows])
    assert 0 < jury.neighbours.shape[1] < 6
    for row, found in zip(jury.rows, jury.codes[jury.neighbours, 0], strict=True):
        assert np.isin(found, near[row]).all()


def test_a_subsample_is_all_rows_or_some_without_repetition():
    rng = np.random.RandomState(0)
    np.testing.assert_array_equal(subsample(5, 5, rng), np.arange(5))
    draws = np.stack([subsample(10, 4, rng) for _ in range(5_000)])
    assert all(len(set(draw)) == 4 for draw in draws)
    counts = np.bincount(draws.ravel(), minlength=10)
    np.testing.assert_allclose(counts / 5_000, 0.4, atol=0.04)


def test_a_jury_counts_the_neighbours_kept():
    labels, near = np.arange(60) // 20, nearest(np.arange(60.0)[:, None])
    jury = Jury.draw(numbered(60), near, 60, np.random.RandomState(0))
    found = jury(Fixed(one_hot(labels)))
    assert found.neighbours_kept == pytest.approx((labels[near] == labels[:, None]).mean())
    assert found.mutual_information == pytest.approx(np.log(3))
    undecided = jury(Fixed(np.full((60, 3), 1 / 3)))
    assert undecided.neighbours_kept == pytest.approx(1 / 3)
    assert undecided.mutual_information == pytest.approx(0.0, abs=1e-12)
    assert jury(Fixed(one_hot(labels))).used_clusters == 3


def test_a_jury_of_few_rows_asks_all_their_neighbours():
    rng = np.random.RandomState(0)
    proba, near = rng.dirichlet(np.ones(4), 500), rng.randint(500, size=(500, 7))
    jury = Jury.draw(numbered(500), near, 50, rng)
    rows = jury.rows
    assert len(np.unique(rows)) == 50
    expected = np.mean([proba[i] @ proba[j] for i in rows for j in near[i]])
    assert jury(Fixed(proba)).neighbours_kept == pytest.approx(expected)
