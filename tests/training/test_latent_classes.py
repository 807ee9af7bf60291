"""Latent classes against scikit-learn's mixtures, and against classes that are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skvade.training.latent_classes import Classes, LatentClassStart, Seen, Table

RNG = np.random.default_rng(0)


def categories(n_rows=600, n_features=8, strength=0.8):
    """Three classes, in each of which every feature has a favourite among three values."""
    labels = RNG.integers(0, 3, n_rows)
    favourite = RNG.integers(0, 3, (3, n_features))
    values = np.where(
        RNG.random((n_rows, n_features)) < strength,
        favourite[labels],
        RNG.integers(0, 3, (n_rows, n_features)),
    )
    hot = np.eye(3)[values].reshape(n_rows, -1)
    return Table(hot.astype(np.float32), np.ones(hot.shape[1], bool)), labels


def test_the_density_is_that_of_independent_columns():
    classes = Classes(
        np.log([0.3, 0.7]),
        np.array([[0.5, 0.2, 0.8], [-1.0, 0.6, 0.4]]),
        np.array([[2.0, 1.0, 1.0], [0.5, 1.0, 1.0]]),
    )
    is_share = np.array([False, True, True])
    rows = Seen.of(np.array([[0.3, 1.0, 0.0], [np.nan, 0.0, 1.0]]))
    for c, weight in enumerate((0.3, 0.7)):
        mean, deviation = classes.means[c], np.sqrt(classes.variances[c, 0])
        first = np.log(weight) + stats.norm.logpdf(0.3, mean[0], deviation) + np.log(mean[1])
        second = np.log(weight) + np.log(mean[2])
        found = classes.log_joint(rows, is_share)[:, c]
        np.testing.assert_allclose(found, [first, second], rtol=1e-12)


def test_of_numbers_they_are_a_mixture_with_diagonal_covariances():
    X = np.concatenate([RNG.normal(m, 1, (200, 4)) for m in (0.0, 3.0)])
    X = (X - X.mean(0)) / X.std(0)
    start = LatentClassStart(Table(X.astype(np.float32), np.zeros(4, bool)), 2, prior=1e-9)
    bound, classes = start.fit_one(start.table, np.random.RandomState(0))
    mixture = GaussianMixture(2, covariance_type="diag", n_init=5, random_state=0).fit(X)
    assert bound == pytest.approx(mixture.score(X), abs=2e-3)
    order = np.argsort(classes.means[:, 0]), np.argsort(mixture.means_[:, 0])
    np.testing.assert_allclose(classes.means[order[0]], mixture.means_[order[1]], atol=0.05)


def test_classes_are_found_whatever_is_missing():
    table, labels = categories()
    hidden = np.repeat(RNG.random((len(labels), 8)) < 0.3, 3, axis=1)
    for values, least in ((table.values, 0.9), (np.where(hidden, np.nan, table.values), 0.7)):
        start = LatentClassStart(Table(values.astype(np.float32), table.is_share), 3)
        found = start(np.empty((len(labels), 0)), seed=0)
        assert adjusted_rand_score(labels, found.labels) > least
        assert 0.5 < found.agreement <= 1


def test_rows_beyond_the_sample_get_the_most_probable_class():
    table, labels = categories()
    start = LatentClassStart(table, 3, max_samples=200)
    assert adjusted_rand_score(labels, start(np.empty((600, 0)), seed=1).labels) > 0.85
    few = replace(start, table=table.restricted(np.arange(50)))
    assert len(few(np.empty((50, 0)), seed=1).labels) == 50


@pytest.mark.parametrize("prior", [1e-12, 1.0, 20.0])
def test_what_is_maximised_never_falls(prior):
    table, _ = categories(300, strength=0.4)
    numbers = RNG.normal(0, 1, (300, 2)).astype(np.float32)
    values, is_share = np.hstack([table.values, numbers]), np.append(table.is_share, [False] * 2)
    table = Table(values, is_share)
    bounds = []
    for max_iter in range(1, 30):
        start = LatentClassStart(table, 3, max_iter=max_iter, tol=-np.inf, prior=prior)
        bounds.append(start.fit_one(table, np.random.RandomState(0))[0])
    assert (np.diff(bounds) > -1e-9).all()


def test_what_is_maximised_is_the_posterior():
    """The likelihood alone prefers classes of a few rows of about one value."""
    table, _ = categories(40, n_features=2)
    numbers = RNG.normal(0, 1, (40, 2)).astype(np.float32)
    numbers[::7, 0] = np.nan
    table = Table(np.hstack([table.values, numbers]), np.append(table.is_share, [False] * 2))
    start = LatentClassStart(table, 2, max_iter=5, tol=-np.inf, prior=3.0)
    found, _ = start.fit_one(table, np.random.RandomState(0))  # of the classes of four M steps
    _, classes = replace(start, max_iter=4).fit_one(table, np.random.RandomState(0))
    logs = np.log(classes.means[:, :6])
    of = [
        stats.norm(m[6:], v[6:] ** 0.5)
        for m, v in zip(classes.means, classes.variances, strict=True)
    ]
    rows = []
    for row in table.values.astype(float):
        of_numbers = [np.nansum(each.logpdf(row[6:])) for each in of]
        rows.append(np.logaddexp.reduce(classes.log_weights + logs @ row[:6] + of_numbers))
    prior = 0.0
    for c in range(2):  # each observed value of a column alike, three rows in all
        prior += classes.log_weights[c] + table.values[:, :6].mean(0) @ logs[c]
        for d in (6, 7):
            values = table.values[:, d].astype(float)
            deviation = classes.variances[c, d] ** 0.5
            prior += np.nanmean(stats.norm.logpdf(values, classes.means[c, d], deviation))
    assert found == pytest.approx(np.mean(rows) + 3.0 * prior / 40, rel=1e-9)


def test_many_rows_do_not_stay_where_all_classes_are_alike():
    """Two classes of truth values, a question of bounds: near the mean of all, they gain little."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 20_000)
    yes = rng.random((20_000, 5)) < np.where(truth, 0.3, 0.7)[:, np.newaxis]
    hot = np.stack([~yes, yes], 2).reshape(20_000, -1).astype(np.float32)
    start = LatentClassStart(Table(hot, np.ones(10, bool)), 2)
    found = start(np.empty((20_000, 0)), seed=0).labels
    best = yes.sum(1) < 3  # Bayes' rule
    assert max(np.mean(found == best), np.mean(found != best)) > 0.95


@pytest.mark.parametrize("shares", [[0.9, 0.05, 0.05], [0.9, 0.04, 0.03, 0.03], [1 / 8] * 8])
def test_classes_of_rows_that_repeat_begin_apart(shares):
    n_classes = len(shares)
    truth = np.arange(n_classes).repeat(np.multiply(shares, 400).round().astype(int))
    values = (truth[:, np.newaxis] // 2 ** np.arange(3)) % 2
    hot = np.eye(2)[values].reshape(len(values), -1).astype(np.float32)
    start = LatentClassStart(Table(hot, np.ones(6, bool)), n_classes)
    found = start(np.empty((len(hot), 0)), seed=0).labels
    assert adjusted_rand_score(truth, found) > 0.95
