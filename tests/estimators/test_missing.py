"""Rows with missing values: what is not there has no density, and nothing depends on it."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy import stats
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.metrics import adjusted_rand_score

import skvade
from skvade import VaDEClustering
from skvade.nn.filling import Filling, standard_normal
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.training.batches import Rows
from skvade.training.missing import linear_model
from skvade.training.neighbours import principal_components
from skvade.training.refilling import AS_MANY, FilledByNeighbours
from skvade.training.units import measure_units, n_observed, observed_in_rows, summarize
from tests.conftest import FAMILY, posteriors, rows_for, small, summary

X, Y = load_iris(return_X_y=True)
RNG = np.random.RandomState(0)
HOLES = RNG.random_sample(X.shape) < 0.2
HOLES[:, 0] &= RNG.random_sample(len(X)) < 0.5
WITH = np.where(HOLES, np.nan, X)
KNOWN = np.where(np.arange(len(Y)) % 3, -1, Y)
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def fitted():
    return VaDEClustering(3, random_state=0).fit(WITH)


# ------------------------------------------------------------------ the linear model


def gaussian_expectation(row, mean, covariance):
    """E[x_m | x_o] of a Gaussian, written naively."""
    absent = np.isnan(row)
    within = covariance[np.ix_(~absent, ~absent)]
    across = covariance[np.ix_(absent, ~absent)]
    filled = row.copy()
    filled[absent] = mean[absent] + across @ np.linalg.solve(within, (row - mean)[~absent])
    return filled


def test_holes_are_filled_with_the_conditional_mean_of_a_gaussian():
    rng = np.random.RandomState(1)
    mean, loadings, noise = rng.normal(size=7), rng.normal(size=(7, 3)), 0.3
    filling = Filling(7, 3).double()
    filling.start_(*(torch.as_tensor(value) for value in (mean, loadings, noise)))
    rows = rng.normal(size=(20, 7))
    rows[rng.random_sample(rows.shape) < 0.4] = np.nan
    rows[3] = np.nan
    filled = filling(torch.from_numpy(rows)).numpy()
    covariance = loadings @ loadings.T + noise * np.eye(7)
    for row, ours in zip(rows, filled, strict=True):
        np.testing.assert_allclose(ours, gaussian_expectation(row, mean, covariance), atol=1e-10)


@pytest.mark.parametrize("n_components", [0, 3])
def test_draws_have_the_conditional_moments_of_a_gaussian(n_components, monkeypatch):
    n_draws, rng = 40_000, np.random.RandomState(1)
    monkeypatch.setattr("skvade.nn.filling.N_DRAWS", n_draws)
    mean, loadings, noise = rng.normal(size=5), rng.normal(size=(5, n_components)), 0.3
    filling = Filling(5, n_components).double()
    filling.start_(*(torch.as_tensor(value) for value in (mean, loadings, noise)))
    rows = rng.normal(size=(4, 5))
    rows[[0, 1, 1, 1], [2, 0, 3, 4]] = np.nan
    rows[2] = np.nan
    drawn = torch.stack([*filling.draws(torch.from_numpy(rows))]).numpy()
    np.testing.assert_allclose(drawn.mean(0), filling(torch.from_numpy(rows)), atol=1e-10)
    covariance = loadings @ loadings.T + noise * np.eye(5)
    for number, row in enumerate(rows):
        absent = np.isnan(row)
        across = covariance[np.ix_(absent, ~absent)]
        within = np.linalg.inv(covariance[np.ix_(~absent, ~absent)])
        expected = np.zeros((5, 5))
        expected[np.ix_(absent, absent)] = (
            covariance[np.ix_(absent, absent)] - across @ within @ across.T
        )
        found = np.cov(drawn[:, number].T, bias=True)
        np.testing.assert_allclose(found, expected, atol=1e-9 + 0.04 * np.abs(expected).max())
        np.testing.assert_array_equal(np.ptp(drawn[:, number][:, ~absent], axis=0), 0)


def test_draws_are_the_same_whatever_torch_makes_by_default():
    expected = standard_normal(7, 16).clone()
    standard_normal.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        found = standard_normal(7, 16)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_categories_are_not_drawn():
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    rows[0, 1:3] = rows[1] = torch.nan
    filling = Filling(4, 2)
    filling.start_(torch.zeros(4), torch.ones(4, 2), torch.tensor(0.5))
    which = torch.tensor([True, False, True, False])
    of_all = torch.stack([*filling.draws(rows)])
    drawn = torch.stack([*filling.draws(rows, which)])
    assert torch.equal(drawn[..., which], of_all[..., which])
    assert torch.equal(drawn[..., ~which], filling(rows)[:, ~which].expand(16, 3, 2))


def test_texts_that_are_missing_are_what_they_are_expected_to_be():
    rng = np.random.RandomState(0)
    group = np.repeat([0, 1], 60)
    frame = pd.DataFrame({"a": rng.normal(3 * group, 1), "t": np.array(["u", "v"], object)[group]})
    model = small(VaDEClustering, 2, categorical_features=["t"]).fit(frame)
    assert model.module_.likelihood.are_drawn == [True, False]
    holed = frame.assign(t=None)
    x = torch.from_numpy(model._units.to_model(model._columns_in_use.encode(holed))).float()
    one_filling = model.module_.memberships_of(model.module_.view(x)).detach().numpy()
    np.testing.assert_allclose(posteriors(model, model._check_new(holed)), one_filling, atol=1e-5)


def test_rows_are_as_sure_as_what_is_missing_lets_them_be():
    """What nothing is known of is in any cluster, and whole rows beside such are untouched."""
    rows, _ = make_blobs([150, 50], n_features=4, random_state=0)
    model = small(VaDEClustering, 2, covariance_type="diag").fit(rows)
    proba = model.predict_proba(np.full((1, 4), np.nan))
    np.testing.assert_allclose(np.sort(proba[0]), [0.25, 0.75], atol=0.13)
    both = rows[:20].copy()
    both[5:9, :3] = np.nan
    whole = ~np.isnan(both).any(1)
    np.testing.assert_array_equal(
        model.predict_proba(both)[whole], model.predict_proba(rows[:20])[whole]
    )
    np.testing.assert_array_equal(model.predict(both), model.predict_proba(both).argmax(1))
    surest = [
        model.predict_proba(np.where(np.arange(4) < n_known, rows, np.nan)).max(1).mean()
        for n_known in range(5)
    ]
    assert (np.diff(surest) > -0.01).all()
    assert surest[-1] - surest[0] > 0.1


def test_without_loadings_holes_are_filled_with_the_mean():
    filling = Filling(2, 0)
    filling.start_(torch.tensor([5.0, 6.0]), torch.zeros(2, 0), torch.tensor(1.0))
    x = torch.tensor([[1.0, torch.nan], [torch.nan, 2.0]])
    assert filling(x).tolist() == [[1.0, 6.0], [5.0, 2.0]]


def test_the_linear_model_is_found_again_in_spite_of_holes():
    rng = np.random.RandomState(2)
    loadings = rng.normal(size=(40, 20)) * np.r_[np.full(3, 3.0), np.zeros(17)]
    rows = rng.normal(size=(3_000, 20)) @ loadings.T + 5 + 0.5 * rng.normal(size=(3_000, 40))
    rows[rng.random_sample(rows.shape) < 0.3] = np.nan
    found = linear_model(rows)
    covariance = found.loadings @ found.loadings.T + found.noise * np.eye(40)
    truth = loadings @ loadings.T + 0.25 * np.eye(40)
    assert np.linalg.norm(covariance - truth) < 0.06 * np.linalg.norm(truth)
    np.testing.assert_allclose(found.mean, 5, atol=0.6)
    assert found.noise == pytest.approx(0.25, rel=0.15)


def test_without_holes_it_is_that_of_principal_components():
    rng = np.random.RandomState(3)
    X = rng.normal(size=(500, 10)) @ rng.normal(size=(10, 10)) + 3
    components = principal_components(Rows(X), lambda x: x, 10, 0)
    loadings = components.filling.loadings.double().numpy()
    assert loadings.shape == (10, 5)
    covariance = loadings @ loadings.T + float(components.filling.noise) * np.eye(10)
    values, vectors = np.linalg.eigh(np.cov(X.T))
    values[:5] = values[:5].mean()
    np.testing.assert_allclose(covariance, vectors * values @ vectors.T, rtol=1e-3, atol=1e-3)


def test_neighbours_fill_with_their_mean_beside_what_the_row_leads_one_to_expect():
    x = np.array([[1.0, np.nan], [3.0, 4.0], [5.0, np.nan], [7.0, 8.0]])
    filling = Filling(2, 0)
    filling.start_(torch.tensor([0.0, 6.0]), torch.zeros(2, 0), torch.tensor(1.0))
    neighbours = np.array([[1, 3], [0, 2], [3, 0], [0, 1]])
    (seen,) = FilledByNeighbours(Rows(x), lambda x: x, filling, neighbours).blocks()
    first, last = (4 + 8 + AS_MANY * 6) / (2 + AS_MANY), (8 + AS_MANY * 6) / (1 + AS_MANY)
    np.testing.assert_allclose(seen, [[1, first], [3, 4], [5, last], [7, 8]], rtol=1e-6)


# -------------------------------------------------------------------- likelihoods


@pytest.mark.parametrize("name", sorted(LIKELIHOODS))
@pytest.mark.parametrize("training", [False, True])
def test_what_is_missing_has_no_density(name, training):
    """The same as a likelihood of the other features alone; of counts given their own sum."""
    x = rows_for(name)
    generator = torch.Generator().manual_seed(4)
    f = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    whole = LIKELIHOODS[name](summary(4, has_holes=True)).double().train(training)
    part = LIKELIHOODS[name](summary(3)).double()
    kept = [0, 1, 3]
    for own, other in zip(part.parameters(), whole.parameters(), strict=True):
        other.data.normal_(generator=generator)
        own.data = other.data[kept] if other.ndim else other.data
    with_hole = x.clone()
    with_hole[:, 2] = torch.nan
    np.testing.assert_allclose(
        whole.log_prob(with_hole, f).detach(), part.log_prob(x[:, kept], f[:, kept]).detach()
    )
    residual = whole.residual(with_hole, f)
    assert not residual[:, 2].any()
    np.testing.assert_allclose(residual[:, kept], part.residual(x[:, kept], f[:, kept]))
    assert whole.expectation(with_hole, f).isfinite().all()
    nothing = torch.full_like(x, torch.nan)
    assert (whole.log_prob(nothing, f) == 0).all()


def test_gradients_of_what_is_missing_are_zero():
    likelihood = LIKELIHOODS["negative_binomial"](summary(4, has_holes=True)).double().train()
    x = rows_for("negative_binomial")
    x[:, 1] = torch.nan
    f = torch.zeros(x.shape, dtype=torch.float64, requires_grad=True)
    likelihood.log_prob(x, f).sum().backward()
    assert (f.grad[:, 1] == 0).all()
    assert f.grad.isfinite().all()
    assert likelihood.log_dispersion.grad[1] == 0


# ------------------------------------------------------------------------ the data


def test_facts_of_a_table_are_those_of_what_is_observed():
    table = np.where(HOLES, np.nan, X * 10 - 20)
    known = summarize(table)
    assert (known.minimum, known.maximum) == (np.nanmin(table), np.nanmax(table))
    assert known.has_holes
    assert not known.binary
    assert not summarize(X).has_holes
    measured = measure_units(table)
    np.testing.assert_allclose(measured.units.shift, np.nanmean(table, axis=0))
    variance = np.nanvar(table, axis=0)
    observed = n_observed(table)
    assert observed.tolist() == (~HOLES).sum(0).tolist()
    scale = np.sqrt((variance * observed).sum() / observed.sum())
    assert measured.units.scale == pytest.approx(scale)
    np.testing.assert_allclose(measured.shares, variance / variance.sum())
    assert observed_in_rows(table).tolist() == (~HOLES).sum(1).tolist()
    assert summarize(np.where(HOLES, np.nan, X > 3)).binary


def test_limits_are_those_of_what_is_observed():
    table = np.random.RandomState(0).normal(size=(400, 3))
    table[:4, 1] = -999
    table[100:300, 2] = np.nan
    table[200:220, 1] = np.nan
    measured = measure_units(table)
    assert measured.beyond.tolist() == [0, 4, 0]
    quartiles = np.quantile(table[~np.isnan(table[:, 1]), 1], (0.25, 0.75), method="inverted_cdf")
    assert measured.units.low[1] == pytest.approx(quartiles[0] - 3 * np.diff(quartiles)[0])


# ------------------------------------------------------------------- the estimators


@pytest.mark.parametrize("cls", FAMILY)
def test_every_estimator_takes_holes(cls):
    model = small(cls).fit(WITH, KNOWN)
    assert all(t.isfinite().all() for t in model.module_.state_dict().values())
    np.testing.assert_array_equal(model.predict(WITH), model.labels_)
    proba = model.predict_proba(WITH)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
    assert np.isfinite(model.transform(WITH)).all()
    filled = model.impute(WITH)
    np.testing.assert_array_equal(filled[~HOLES], X[~HOLES])
    assert np.isfinite(filled).all()
    if hasattr(model, "score_samples"):
        assert np.isfinite(model.score_samples(WITH)).all()
        assert 0 <= model.outlier_scores(WITH).min() <= model.outlier_scores(WITH).max() <= 1


def test_clusters_are_found_in_spite_of_holes(fitted):
    complete = VaDEClustering(3, random_state=0).fit(X)
    assert adjusted_rand_score(Y, fitted.labels_) > adjusted_rand_score(Y, complete.labels_) - 0.25


def test_what_is_filled_is_nearer_than_the_mean(fitted):
    error = np.square(fitted.impute(WITH) - X)[HOLES].mean()
    mean = np.square(np.nanmean(WITH, axis=0) - X)[HOLES].mean()
    assert error < 0.25 * mean


def test_a_model_of_complete_rows_takes_holes_as_well():
    model = VaDEClustering(3, random_state=0).fit(X)
    assert adjusted_rand_score(model.labels_, model.predict(WITH)) > 0.5
    error = np.square(model.impute(WITH) - X)[HOLES].mean()
    assert error < 0.25 * np.square(np.nanmean(WITH, axis=0) - X)[HOLES].mean()
    nothing = np.full((2, 4), np.nan)
    assert len(set(model.predict(nothing))) == 1
    np.testing.assert_allclose(*model.impute(nothing))


def test_scores_are_densities_of_what_is_observed():
    """Against a factor analysis by hand: the model is linear, and one cluster wide."""
    model = VaDEClustering(1, random_state=0, latent_dim=2, hidden_layer_sizes=()).fit(X)
    module, units = model.module_.double(), model._units
    with torch.no_grad():
        base = module.decode(torch.zeros(1, 2, dtype=torch.float64))[0].numpy()
        W = (module.decode(torch.eye(2, dtype=torch.float64)).numpy() - base).T
        noise = float(module.likelihood.variance)
        labels = torch.zeros(400_000, dtype=torch.long)
        draws = module.mixture.sample(labels, torch.Generator().manual_seed(0)).numpy()
    mu, spread = draws.mean(0), np.cov(draws.T)
    mean = base + W @ mu
    covariance = W @ spread @ W.T + noise * np.eye(4)
    rows = WITH[:40]
    scores = model.score_samples(rows)
    exact = []
    for row in rows:
        seen = ~np.isnan(row)
        density = stats.multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)])
        x = units.to_model(row[None])[0][seen]
        exact.append(density.logpdf(x) - seen.sum() * np.log(units.scale))
    assert (scores < np.array(exact) + 0.3).all()  # estimates from below
    assert np.abs(scores - exact).mean() < 0.3


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_outlier_scores_of_rows_with_holes_do_not_depend_on_the_unit(unit):
    """Half of the columns missing, an ordinary row is about as ordinary as before."""
    table = np.random.RandomState(0).normal(size=(300, 8))
    model = small(VaDEClustering, noise_quantile=0.95).fit(table * unit)
    half = np.where(np.arange(8) % 2, np.nan, table) * unit
    assert 0.3 < model.outlier_scores(half).mean() < 0.7
    assert (model.predict(half) == -1).mean() < 0.2
    nothing = np.full((1, 8), np.nan)
    assert model.outlier_scores(nothing) == 0


def test_lists_may_have_none():
    rows = WITH[:60].tolist()
    with_none = [[None if value != value else value for value in row] for row in rows]
    model = small(VaDEClustering).fit(with_none)
    np.testing.assert_array_equal(model.labels_, small(VaDEClustering).fit(rows).labels_)


def test_wide_tables_with_holes_need_no_square_of_their_columns():
    rng = np.random.RandomState(0)
    rows = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 6_000))
    rows[rng.random_sample(rows.shape) < 0.1] = np.nan
    tracemalloc.start()
    found = linear_model(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.loadings.shape == (6_000, 20)
    assert peak < 6_000 * 6_000 * 8 / 3


def test_limits_count_what_is_observed():
    """A fifth of the values lie apart, and that is too many to be sentinels, holes or not."""
    table = np.random.RandomState(0).normal(size=(1_000, 2))
    table[:200, 0] = 100
    assert measure_units(table).beyond.tolist() == [0, 0]
    table[np.random.RandomState(1).random_sample(1_000) < 0.6, 0] = np.nan
    assert measure_units(table).beyond.tolist() == [0, 0]


def test_what_is_filled_has_the_dtype_of_the_rows(fitted):
    assert fitted.impute(WITH.astype(np.float32)).dtype == np.float32
    whole = np.round(X).astype(int)
    assert fitted.impute(whole).dtype == whole.dtype


def test_rows_of_other_scales_and_dtypes_are_the_same_rows(fitted):
    half = VaDEClustering(3, random_state=0).fit(WITH * 4)
    assert adjusted_rand_score(half.labels_, fitted.labels_) == 1
    narrow = fitted.predict_proba(WITH.astype(np.float32))
    np.testing.assert_allclose(narrow, fitted.predict_proba(WITH), atol=1e-3)


@pytest.mark.parametrize("dtype", ["Float64", "Int64", "Float32", "object", "boolean"])
def test_frames_have_holes_of_their_own(dtype):
    table = np.round(X * 4) if dtype != "boolean" else X > X.mean(0)
    frame = pd.DataFrame(table, columns=list("abcd")).astype(dtype).mask(HOLES)
    assert frame.isna().to_numpy().any()
    model = small(VaDEClustering).fit(frame)
    array = small(VaDEClustering).fit(np.where(HOLES, np.nan, table.astype(float)))
    np.testing.assert_array_equal(model.labels_, array.labels_)
    filled = model.impute(frame)
    assert list(filled.columns) == list("abcd")
    assert not filled.isna().to_numpy().any()
    kept = filled.to_numpy(dtype=float)[~HOLES]
    np.testing.assert_allclose(kept, table.astype(float)[~HOLES])
    assert frame.isna().to_numpy().any()


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_matrix, sp.coo_array])
def test_sparse_tables_may_have_explicit_holes(kind):
    counts = (load_digits(return_X_y=True)[0][:200]).astype(np.float32)
    holes = (np.random.RandomState(0).random_sample(counts.shape) < 0.1) & (counts > 0)
    table = np.where(holes, np.nan, counts)
    model = small(VaDEClustering, likelihood="poisson").fit(kind(table))
    np.testing.assert_array_equal(
        model.predict_proba(kind(table)), model.predict_proba(sp.csr_array(table))
    )
    filled = model.impute(kind(table))
    assert sp.issparse(filled)
    np.testing.assert_array_equal(filled.toarray()[~holes], counts[~holes])
    assert (filled.toarray()[holes] > 0).all()


def test_holes_survive_a_file(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = skvade.load(tmp_path / "model")
    np.testing.assert_array_equal(again.impute(WITH), fitted.impute(WITH))
    assert again.module_.likelihood.has_holes


def test_a_warm_start_goes_on_with_holes():
    model = small(VaDEClustering, warm_start=True).fit(X)
    model.fit(WITH)
    assert np.isfinite([record["loss"] for record in model.history_]).all()


def test_own_networks_see_filled_rows():
    class Complete(torch.nn.Linear):
        def forward(self, x):
            assert x.isfinite().all()
            return super().forward(x)

    model = small(VaDEClustering, encoder=Complete(4, 8)).fit(WITH)
    assert np.isfinite(model.transform(WITH)).all()


def test_early_stopping_sees_holes():
    model = small(VaDEClustering, early_stopping=True).fit(WITH)
    assert np.isfinite(model.history_[-2]["loss"])


def test_a_column_of_holes_is_refused():
    frame = pd.DataFrame(WITH, columns=list("abcd"))
    frame["c"] = np.nan
    with pytest.raises(ValueError, match="no value but NaN in column 'c'; leave the column out"):
        small(VaDEClustering).fit(frame)
    with pytest.raises(ValueError, match="infinity.*, first in row 3 of column 1"):
        small(VaDEClustering).fit(np.where(np.arange(600).reshape(150, 4) == 13, np.inf, WITH))


@pytest.mark.parametrize("method", ["predict", "impute", "fit"])
def test_models_of_files_that_knew_no_holes_say_so(method, monkeypatch):
    model = small(VaDEClustering, warm_start=True).fit(X)
    monkeypatch.setattr(model, "_n_filling", None)
    monkeypatch.setattr(model.module_.encoder, "filling", None)
    model.predict(X)
    with pytest.raises(ValueError, match="knew none; fit it again"):
        getattr(model, method)(WITH)
