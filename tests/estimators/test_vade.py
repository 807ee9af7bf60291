"""VaDEClustering on real data, at home among scikit-learn's tools."""

import pickle
import warnings
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score, make_scorer, pairwise_distances_argmin
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from skvade import GMVAEClustering, IDECClustering, VaDEClassifier, VaDEClustering
from skvade.estimators.facts import Facts
from skvade.metrics import clustering_accuracy, mutual_information
from skvade.nn.covariances import COVARIANCES
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.summary import ModelShape
from skvade.training.batches import Rows
from skvade.training.handover import Graph, Handover
from skvade.training.initialisation import ClustererStart, KMeansStart, RandomStart
from skvade.training.mixture_start import GaussianMixtureStart
from skvade.training.phases import Initialise
from skvade.training.resident import make_resident
from skvade.training.runtime import Runtime
from skvade.training.schedules import auto_batch_size, gentle
from skvade.training.trainer import Optimise
from skvade.training.units import Units
from tests.conftest import posteriors, small

METHODS = ["predict", "predict_proba", "transform", "score_samples"]


def test_default_fit_of_digits(digits):
    X, y = digits
    model = VaDEClustering(10, precision="float32", random_state=0).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.85
    assert model.likelihood_ == "bernoulli"
    assert model.lower_bound_ <= model.score(X) + 1


def test_few_rows_keep_their_clusters():
    """Clusters died on 50 rows when the bound was trained at the autoencoder's learning rate."""
    X, y = make_blobs(n_samples=50, random_state=1)
    X = StandardScaler().fit_transform(X)
    for seed in range(3):
        labels = VaDEClustering(3, precision="float32", random_state=seed).fit_predict(X)
        assert adjusted_rand_score(y, labels) > 0.85


def test_fitted_attributes_agree_with_each_other(fitted, digits):
    X, _ = digits
    proba = posteriors(fitted, X)
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(X))
    np.testing.assert_array_equal(fitted.labels_, proba.argmax(1))
    np.testing.assert_allclose(proba.sum(1), 1)
    assert fitted.labels_.dtype == np.int64
    assert fitted.cluster_sizes_.tolist() == np.bincount(fitted.labels_, minlength=10).tolist()
    assert (np.diff(fitted.cluster_sizes_) <= 0).all()
    assert fitted.mutual_information_ == pytest.approx(mutual_information(proba))
    assert fitted.weights_.sum() == pytest.approx(1)
    assert fitted.means_.shape == (10, 10)
    assert fitted.covariances_.shape == (10, 10, 10)
    assert fitted.cluster_centers_.shape == (10, 64)
    np.testing.assert_allclose(fitted.cluster_centers_, fitted.inverse_transform(fitted.means_))
    assert fitted.n_features_in_ == 64
    assert fitted.likelihood_ == "bernoulli"
    phases = {record["phase"] for record in fitted.history_}
    assert phases == {"pretrain", "neighbours", "hold", "train"}
    assert fitted.n_iter_ == fitted.history_[-1]["epoch"]


def test_history_makes_a_table(fitted):
    table = pd.DataFrame(fitted.history_)
    assert {"phase", "epoch", "steps", "loss", "reconstruction", "kl"} <= set(table.columns)
    train = table[table.phase == "train"]
    terms = train[["reconstruction", "kl", "attraction", "repulsion"]]
    np.testing.assert_allclose(train.loss, terms.sum(axis=1))
    assert fitted.lower_bound_ > -(train.reconstruction + train.kl).iloc[-1]


def test_the_lower_bound_is_that_of_the_fitted_model(fitted, digits):
    """Against the paper's formula with q(c|x) as the model has it, and draws of its own."""
    X = digits[0].astype(np.float32)
    z, s2 = fitted.transform(X), log_variances(fitted, X)
    z, s2 = z.astype(float), np.exp(s2.astype(float))
    log_q = np.log(np.maximum(posteriors(fitted, X), 1e-30))
    expected = np.log(fitted.weights_) + np.stack(
        [
            multivariate_normal(mean, covariance).logpdf(z)
            - 0.5 * s2 @ np.diagonal(np.linalg.inv(covariance))
            for mean, covariance in zip(fitted.means_, fitted.covariances_, strict=True)
        ],
        1,
    )
    latent = (np.exp(log_q) * (expected - log_q)).sum(1)
    latent += 0.5 * (1 + np.log(2 * np.pi * s2)).sum(1)
    rng, log_likelihood = np.random.default_rng(0), 0.0
    for _ in range(10):
        rows = fitted.inverse_transform(z + np.sqrt(s2) * rng.normal(size=z.shape))
        rows = np.clip(rows, 1e-12, 1 - 1e-12)
        log_likelihood += (X * np.log(rows) + (1 - X) * np.log1p(-rows)).sum(1) / 10
    draws = 2 * log_likelihood.std() / len(X) ** 0.5
    assert fitted.lower_bound_ == pytest.approx((latent + log_likelihood).mean(), abs=draws)


def log_variances(fitted, X):
    with torch.no_grad():
        return fitted.module_.encode(torch.from_numpy(X)).log_variance.numpy()


def test_the_mixture_keeps_up_with_its_codes(fitted, digits):
    """Means are those of the codes by what q(c|x) was before the last step, so nearly still."""
    X, proba = digits[0], posteriors(fitted, digits[0])
    means = (proba.T @ fitted.transform(X)) / proba.sum(0)[:, None]
    sizes = np.sqrt(np.trace(fitted.covariances_, axis1=1, axis2=2))
    assert (np.linalg.norm(means - fitted.means_, axis=1) < 0.05 * sizes).all()
    np.testing.assert_allclose(fitted.weights_, proba.mean(0), atol=5e-3)


def test_the_mixture_is_scikit_learns(fitted, digits):
    """The fitted prior, given to GaussianMixture, has the density that the model uses."""
    codes = fitted.transform(digits[0])
    theirs = GaussianMixture(10, covariance_type="full")
    theirs.weights_, theirs.means_ = fitted.weights_, fitted.means_
    theirs.precisions_cholesky_ = np.stack(
        [np.linalg.cholesky(np.linalg.inv(c)) for c in fitted.covariances_]
    )
    mixture = deepcopy(fitted.module_.mixture).double()
    with torch.no_grad():
        ours = mixture.log_prob(torch.from_numpy(codes)).numpy()
    np.testing.assert_allclose(ours, theirs.score_samples(codes), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_rows_do_not_depend_on_their_company(fitted, digits, method, monkeypatch):
    X = digits[0][:40]
    whole = getattr(fitted, method)(X)
    single = np.concatenate([getattr(fitted, method)(row[None]) for row in X])
    np.testing.assert_allclose(whole, single, rtol=1e-9, atol=1e-12)
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 2**20)
    np.testing.assert_allclose(whole, getattr(fitted, method)(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS[1:])
def test_outputs_have_the_inputs_precision(fitted, digits, method):
    X = digits[0][:20]
    double, single = getattr(fitted, method)(X), getattr(fitted, method)(X.astype(np.float32))
    assert double.dtype == np.float64
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4)


def test_decoded_codes_have_their_precision(fitted):
    for dtype in (np.float32, np.float64):
        codes = np.zeros((3, 10), dtype=dtype)
        assert fitted.inverse_transform(codes).dtype == dtype
    with pytest.raises(ValueError, match="latent_dim=10"):
        fitted.inverse_transform(np.zeros((3, 4)))


def test_the_same_random_state_gives_the_same_fit(quick, fitted, digits):
    again = clone(quick)
    codes = again.fit_transform(digits[0])
    np.testing.assert_array_equal(codes, fitted.transform(digits[0]))
    np.testing.assert_array_equal(fitted.predict_proba(digits[0]), again.predict_proba(digits[0]))
    assert fitted.history_ == again.history_
    few = digits[0][:200]
    np.testing.assert_array_equal(clone(quick).fit_predict(few), clone(quick).fit(few).labels_)


def test_random_state_instances_are_drawn_from(quick, digits):
    fits = [
        clone(quick).set_params(random_state=np.random.RandomState(3)).fit(digits[0][:200])
        for _ in range(2)
    ]
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)


def _threads():
    """Of torch and of every library of threads that is loaded."""
    pools = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    return {"torch": torch.get_num_threads(), **pools}


def test_the_process_is_left_as_it_was(quick, digits):
    np.random.seed(11)
    torch.manual_seed(11)
    threads, dtype = _threads(), torch.get_default_dtype()
    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()
    for random_state in (0, None):
        model = clone(quick).set_params(random_state=random_state).fit(digits[0][:200])
        model.predict(digits[0])
        model.sample(5)
        model.score(digits[0][:10])
    assert all(
        np.array_equal(a, b) for a, b in zip(numpy_state, np.random.get_state(), strict=True)
    )
    assert torch.equal(torch_state, torch.get_rng_state())
    assert _threads().items() >= threads.items()
    assert dtype == torch.get_default_dtype()
    assert torch.is_grad_enabled()


def test_nothing_is_printed_unless_asked(quick, digits, capfd):
    clone(quick).fit(digits[0][:200])
    assert capfd.readouterr() == ("", "")
    clone(quick).set_params(verbose=1).fit(digits[0][:200])
    assert "pretrain" in capfd.readouterr().err


# ---------------------------------------------------------------- generation


def test_samples_belong_to_the_cluster_they_were_drawn_from(fitted):
    X, labels = fitted.sample(500, random_state=0)
    assert X.shape == (500, 64)
    assert labels.dtype == np.int64
    assert (fitted.predict(X) == labels).mean() > 0.7
    frequencies = np.bincount(labels, minlength=10) / 500
    np.testing.assert_allclose(frequencies, fitted.weights_, atol=0.08)


def test_samples_of_one_cluster(fitted):
    for cluster in (0, 9):
        X, labels = fitted.sample(50, cluster=cluster, random_state=0)
        assert set(labels) == {cluster}
        distance = np.linalg.norm(X.mean(0) - fitted.cluster_centers_, axis=1)
        assert distance.argmin() == cluster


def test_samples_repeat_with_the_random_state(fitted):
    one, two, other = (fitted.sample(20, random_state=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(fitted.sample(3)[0], fitted.sample(3)[0])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n_samples": 0}, "n_samples must be an integer of at least 1"),
        ({"n_samples": 2.5}, "n_samples must be an integer of at least 1"),
        ({"cluster": 10}, "cluster must be None or an integer from 0 to 9, got 10"),
        ({"cluster": -1}, "cluster must be None or an integer"),
        ({"cluster": 1.0}, "cluster must be None or an integer"),
        ({"cluster": True}, "cluster must be None or an integer"),
    ],
)
def test_impossible_samples_are_named(fitted, arguments, message):
    with pytest.raises(ValueError, match=message):
        fitted.sample(**arguments)


def test_decoding_the_codes_resembles_the_data(fitted, digits):
    X = digits[0]
    error = np.square(fitted.inverse_transform(fitted.transform(X)) - X).mean()
    assert error < 0.5 * X.var(0).mean()


def test_scores_tell_digits_from_noise(fitted, digits):
    X = digits[0][:100]
    noise = np.random.default_rng(0).permuted(X, axis=1)
    assert np.median(fitted.score_samples(X)) > np.median(fitted.score_samples(noise)) + 10
    assert fitted.score(X) == pytest.approx(fitted.score_samples(X).mean())


@pytest.mark.parametrize("factor, shift", [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e6), (40.0, -7.0)])
def test_gaussian_fits_do_not_depend_on_units(quick, digits, factor, shift):
    X = digits[0][:300]
    # Training amplifies rounding, and the more, the higher the rate.
    base = clone(quick).set_params(likelihood="gaussian", learning_rate=2e-3)
    one, two = clone(base).fit(X), clone(base).fit(factor * X + shift)
    assert adjusted_rand_score(one.labels_, two.labels_) > 0.95
    scores, expected = two.score_samples(factor * X + shift), one.score_samples(X)
    alike = np.isclose(scores, expected - 64 * np.log(factor), rtol=0.02, atol=2)
    assert alike.mean() > 0.95  # a rounding error of the first step may move a few rows
    scale = factor * X.std()
    np.testing.assert_allclose(
        two.cluster_centers_.mean(0),
        factor * one.cluster_centers_.mean(0) + shift,
        atol=0.1 * scale,
    )


# ---------------------------------------------------------- among other tools


def test_pipeline(quick, digits):
    X, y = digits
    pipeline = make_pipeline(StandardScaler(), clone(quick))
    labels = pipeline.fit_predict(X)
    np.testing.assert_array_equal(labels, pipeline.predict(X))
    assert clustering_accuracy(y, labels) > 0.5
    assert pipeline.transform(X[:5]).shape == (5, 10)
    scaler, model = (step for _, step in pipeline.steps)
    assert pipeline.score(X) == model.score(scaler.transform(X))


@pytest.mark.parametrize("scoring", [None, make_scorer(adjusted_rand_score)])
def test_grid_search_in_two_processes(quick, digits, scoring):
    X, y = (a[:400] for a in digits)
    search = GridSearchCV(
        clone(quick), {"latent_dim": [2, 5]}, cv=2, n_jobs=2, scoring=scoring, error_score="raise"
    )
    search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_score_ == max(scores) > min(scores)
    assert search.best_estimator_.means_.shape[1] == search.best_params_["latent_dim"]


def test_labels_are_never_read(quick, digits):
    X, y = (a[:200] for a in digits)
    with_labels, without = clone(quick).fit(X, y), clone(quick).fit(X)
    np.testing.assert_array_equal(with_labels.means_, without.means_)


def test_clone_keeps_parameters_and_drops_the_fit(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(np.zeros((1, 64)))


def test_pickle_and_joblib_keep_every_digit(fitted, digits, tmp_path):
    X = digits[0][:50]
    joblib.dump(fitted, tmp_path / "model.joblib")
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "model.joblib")):
        for method in METHODS:
            np.testing.assert_array_equal(getattr(copy, method)(X), getattr(fitted, method)(X))


def test_pandas_in_pandas_out(quick, digits):
    frame = pd.DataFrame(digits[0][:300], columns=[f"pixel{i}" for i in range(64)])
    frame.index = frame.index + 100
    model = clone(quick).set_output(transform="pandas").fit(frame)
    codes = model.transform(frame)
    assert list(codes.columns) == [f"vadeclustering{i}" for i in range(model.latent_dim_)]
    assert codes.index.equals(frame.index)
    assert list(model.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])


def test_displays_as_html(quick):
    assert "VaDEClustering" in clone(quick)._repr_html_()


# -------------------------------------------------------------- the options


@pytest.mark.parametrize("covariance", sorted(COVARIANCES))
@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_every_combination_fits_digits(quick, digits, covariance, likelihood):
    X, y = (a[:300] for a in digits)
    X = np.round(16 * X) if likelihood in ("poisson", "negative_binomial") else X
    given = {"covariance_type": covariance, "likelihood": likelihood, "init": "k-means"}
    model = clone(quick).set_params(pretrain_iter=15, **given).fit(X)
    assert model.likelihood_ == likelihood
    assert clustering_accuracy(y, model.labels_) > 0.4
    assert np.isfinite(model.score_samples(X)).all()
    rows, _ = model.sample(20, random_state=0)
    assert LIKELIHOODS[likelihood].lower <= rows.min()
    assert rows.max() <= LIKELIHOODS[likelihood].upper
    if likelihood in ("poisson", "negative_binomial"):
        assert np.array_equal(rows, rows.round())
        total = np.median(X.sum(1))
        np.testing.assert_allclose(model.cluster_centers_.sum(1), total, rtol=1e-4)


def test_likelihood_auto_follows_the_data(quick, digits):
    X = digits[0][:100]
    assert clone(quick).fit(16 * X).likelihood_ == "gaussian"
    assert clone(quick).fit(X).likelihood_ == "bernoulli"


@pytest.mark.parametrize("init", ["k-means", "random", "labels", "means", "clusterer"])
def test_initialisations(quick, digits, init, monkeypatch):
    X, y = (a[:500] for a in digits)
    value = {
        "labels": y,
        "means": np.random.default_rng(0).normal(size=(10, 10)),
        "clusterer": make_pipeline(StandardScaler(), GaussianMixture(10, reg_covar=1e-2)),
    }.get(init, init)
    seen, run_phase = [], Initialise.run

    def noted(self, run, seed):
        with torch.no_grad():
            seen.append(
                (run.model.code(run.rows.take(slice(None))).numpy(), self.initialiser, seed)
            )
        run_phase(self, run, seed)
        seen.append(run.handover.partition.numpy())

    monkeypatch.setattr(Initialise, "run", noted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # arbitrary means leave clusters empty
        model = clone(quick).set_params(init=value, latent_dim=10).fit(X)
    (codes, initialiser, seed), start = seen
    codes = codes.astype(np.float64)
    if init == "labels":
        np.testing.assert_array_equal(start, y)
        assert clustering_accuracy(y, model.labels_) > 0.8
    elif init == "means":
        np.testing.assert_array_equal(start, pairwise_distances_argmin(codes, value))
    else:
        kinds = {"k-means": KMeansStart, "random": RandomStart, "clusterer": ClustererStart}
        assert type(initialiser) is kinds[init]
        np.testing.assert_array_equal(start, initialiser(codes, seed).labels)
        assert clustering_accuracy(y, start) > (0.3 if init == "random" else 0.6)
    assert adjusted_rand_score(start, model.labels_) > 0.3  # it is where training begins


def test_n_init_keeps_the_candidate_that_decides_most(quick, digits, monkeypatch):
    seen = []
    train = VaDEClustering._train

    def spy(self, *args, **kwargs):
        seen.append(train(self, *args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(VaDEClustering, "_train", spy)
    model = clone(quick).set_params(n_init=3).fit(digits[0][:400])
    worst, second, best = sorted(seen, key=lambda candidate: candidate.rank)
    assert worst.rank < second.rank < best.rank
    assert model.history_ is best.run.history
    assert model.mutual_information_ == pytest.approx(best.rank[1], rel=1e-4)
    agreement = adjusted_rand_score(best.labels, second.labels)
    assert model.restart_agreement_ == pytest.approx(agreement)
    assert agreement < 1


@pytest.mark.usefixtures("quiet")
def test_a_single_fit_has_the_agreement_of_its_two_best_mixtures(monkeypatch):
    X = np.random.default_rng(0).normal(size=(150, 4))
    start = GaussianMixtureStart.among
    monkeypatch.setattr(
        GaussianMixtureStart, "among", lambda *args: replace(start(*args), agreement=0.625)
    )
    model = small(VaDEClustering, init="auto").fit(X)
    assert model.restart_agreement_ == 0.625
    assert "0.62 (" in model.report().lines["restart agreement"]
    model = small(VaDEClustering, init="k-means").fit(X)
    assert np.isnan(model.restart_agreement_)
    assert model.report().lines["restart agreement"] == "unknown, one start only"


def test_warm_start_goes_on(quick, digits):
    X = digits[0][:500]
    model = clone(quick).fit(X)
    first = model.module_
    before = model.lower_bound_
    model.set_params(warm_start=True, max_iter=20).fit(X)
    assert {record["phase"] for record in model.history_} == {"train"}
    assert model.lower_bound_ > before
    assert model.module_ is not first
    with pytest.raises(
        ValueError, match=r"goes on with the fitted model's n_clusters=10, got n_cl"
    ):
        model.set_params(n_clusters=5).fit(X)
    with pytest.raises(ValueError, match="features"):
        model.set_params(n_clusters=10).fit(X[:, :5])
    with pytest.raises(ValueError, match=r"needs X in \[0, 1\]"):
        model.fit(16 * X)  # "auto" was Bernoulli, and the model still is
    with pytest.raises(ValueError, match="likelihood='bernoulli', got likelihood='gaussian'"):
        model.set_params(likelihood="gaussian").fit(X)


@pytest.mark.parametrize("surroundings", ["float64", "no_grad"])
def test_unusual_torch_settings_do_not_matter(quick, digits, surroundings):
    X = digits[0][:200]
    expected = clone(quick).fit(X).means_
    if surroundings == "float64":
        torch.set_default_dtype(torch.float64)
    try:
        with torch.set_grad_enabled(surroundings != "no_grad"):
            model = clone(quick).fit(X)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(model.means_, expected)


def test_early_stopping_watches_held_out_rows(quick, digits):
    model = clone(quick).set_params(early_stopping=True, max_iter=300, tol=0.01)
    model.fit(digits[0][:300])
    assert model.converged_
    assert model.n_iter_ < 300
    losses = [r["validation_loss"] for r in model.history_ if "validation_loss" in r]
    assert min(losses) < losses[0]
    assert len(model.labels_) == 300


def test_early_stopping_counts_passes_over_the_rows_it_trains_on(quick, digits):
    model = clone(quick).set_params(early_stopping=True, n_iter_no_change=99, max_iter=4)
    assert model.fit(digits[0][:140]).n_iter_ == 4


def test_held_out_rows_are_not_trained_on(quick, digits, monkeypatch):
    seen = []
    run = VaDEClustering._make_phases

    def spy(self, plan):
        seen.append((plan.n_rows, plan.monitor.rows))
        return run(self, plan)

    monkeypatch.setattr(VaDEClustering, "_make_phases", spy)
    clone(quick).set_params(early_stopping=True, validation_fraction=0.2).fit(digits[0][:200])
    ((n_rows, held_out),) = seen
    assert (n_rows, len(held_out)) == (160, 40)


def plan(n_rows, batch_size, small=False, linear_path=True, labels=None):
    shape = ModelShape(3, "gaussian", None, 2, (4,), linear_path=linear_path)
    return Facts(
        shape=shape,
        units=Units(),
        n_rows=n_rows,
        small=small,
        batch_size=batch_size,
        components=None,
        initialiser=None,
        monitor=None,
        trained_on=np.arange(n_rows),
        dealt=None,
        labels=labels,
    )


@pytest.mark.parametrize(("n_rows", "share"), [(200, 0.05), (2_500, 0.25), (10_000, 0.5)])
@pytest.mark.parametrize("small", [False, True])
def test_the_bound_is_trained_at_a_share_of_the_rate(n_rows, share, small):
    model = VaDEClustering(3, learning_rate=0.01, pretrain_iter=1)
    phases = model._make_phases(plan(n_rows, 64, small))
    rates = [p.learning_rate for p in phases if isinstance(p, Optimise)]
    first = 0.01 * gentle(n_rows, small)
    assert rates == pytest.approx([0.5 * first, first, share * 0.01, share * 0.01])


@pytest.mark.parametrize(
    "model", [GMVAEClustering(3), VaDEClustering(3, neighbor_weight=0), IDECClustering(3)]
)
def test_elsewhere_the_last_phase_is_longer_and_slower(model):
    last = [p for p in model._make_phases(plan(70_000, 512)) if isinstance(p, Optimise)][-1]
    assert (last.n_steps, last.learning_rate) == (2_500, 0.25 * model.learning_rate)


@pytest.mark.parametrize("sizes", [(990, 10), (1000, 20, 10)])
def test_training_leaves_uneven_clusters_whole(sizes):
    rng, y = np.random.default_rng(0), np.repeat(np.arange(len(sizes)), sizes)
    X = 12 / np.sqrt(2) * np.eye(10)[y] + rng.normal(size=(len(y), 10))
    model = VaDEClustering(len(sizes), precision="float32", random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.95
    assert sorted(model.cluster_sizes_) == sorted(sizes)


@pytest.mark.parametrize(("max_iter", "steps"), [("auto", 1_500), (2, 40), (1_000, 1_500)])
def test_max_iter_bounds_the_phase_that_teaches_labels(max_iter, steps):
    labelled = plan(1_280, 128, labels=np.zeros(1_280, int))
    phases = VaDEClassifier(max_iter=max_iter)._make_phases(labelled)
    (learn,) = [phase for phase in phases if phase.name == "labels"]
    assert learn.n_steps == steps  # of 64 rows and as many neighbours
    phases = VaDEClustering(3, max_iter=max_iter)._make_phases(plan(1_280, 128))
    (hold,) = [phase for phase in phases if phase.name == "hold"]
    assert hold.instead.n_steps == min(steps, 300)


def test_labels_take_the_longer_last_phase():
    labelled = plan(70_000, 512, labels=np.zeros(70_000, int))
    phases = VaDEClassifier()._make_phases(labelled)
    assert [p.n_steps for p in phases if isinstance(p, Optimise)] == [1125, 2100, 500, 1500, 2500]


@pytest.mark.parametrize(
    ("n_rows", "size", "sizes"),
    [
        (1_000, "auto", [128, 64, 64, 64]),
        (10_000, "auto", [256, 128, 128, 128]),
        (50_000, "auto", [512, 256, 256, 256]),
        (50_000, 64, [64, 32, 32, 32]),
    ],
)
def test_batches_of_each_phase(n_rows, size, sizes):
    """Rows; in phases with neighbours as many neighbours come with them."""
    model = VaDEClustering(3, batch_size=size)
    size = auto_batch_size(n_rows) if size == "auto" else size
    phases = [p for p in model._make_phases(plan(n_rows, size)) if isinstance(p, Optimise)]
    assert [p.batch_size for p in phases] == sizes
    assert phases[2].n_steps == phases[3].n_steps // 5


def test_early_stopping_needs_enough_rows(quick, digits):
    with pytest.raises(ValueError, match="holds out 1 of 10 rows.*lower validation_fraction"):
        clone(quick).set_params(early_stopping=True).fit(digits[0][:10])


def test_early_stopping_with_given_labels(quick, digits):
    X, y = (a[:300] for a in digits)
    model = clone(quick).set_params(early_stopping=True, init=y).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.8


def test_a_cut_budget_warns(quick, digits):
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        clone(quick).set_params(max_iter=1, tol=0.0, learning_rate=0.01).fit(digits[0])


def test_empty_clusters_warn_and_come_last(quick):
    X = np.repeat(np.eye(3), 40, axis=0)
    with pytest.warns(ConvergenceWarning, match="uses 3 of n_clusters=6 clusters"):
        model = clone(quick).set_params(n_clusters=6, init=np.arange(120) // 40).fit(X)
    assert model.cluster_sizes_.tolist() == [40, 40, 40, 0, 0, 0]
    assert set(model.labels_) == {0, 1, 2}


@pytest.mark.parametrize(
    "parameters, given, n_rows, steps",
    [
        ({}, {}, 70_000, [1125, 2100, 100, 500]),
        ({}, {}, 1_797, [369, 336, 16, 80]),
        ({}, {"small": True}, 150, [0, 97, 4, 23]),
        ({}, {"linear_path": False}, 70_000, [2500, 2100, 100, 500]),
        ({}, {"linear_path": False, "small": True}, 150, [237, 97, 4, 23]),
        ({"neighbor_weight": 0.0}, {}, 70_000, [1125, 500, 2500]),
        ({"neighbor_weight": 0.0}, {"small": True}, 150, [107, 23, 116]),
        ({"pretrain_iter": 10}, {}, 1_280, [100, 50, 13, 68]),
        ({"pretrain_iter": 0, "max_iter": 2}, {}, 1_280, [0, 0, 8, 40]),
        ({"pretrain_iter": 3}, {"small": True}, 1_280, [30, 15, 13, 68]),
    ],
)
def test_phases_have_the_documented_numbers_of_steps(parameters, given, n_rows, steps):
    facts = plan(n_rows, 512 if n_rows == 70_000 else 128, **given)
    phases = VaDEClustering(**parameters)._make_phases(facts)
    assert [phase.n_steps for phase in phases if isinstance(phase, Optimise)] == steps


def test_neighbours_are_pushed_by_what_is_not_noise():
    graph = Graph(torch.empty(0, 1), torch.empty(0, 1), signal=0.5)
    handover, runtime = Handover(graph, scale=2.0), Runtime(torch.device("cpu"))
    run = SimpleNamespace(rows=Rows(np.empty((0, 1))), handover=handover, runtime=runtime)
    near = VaDEClustering(2)._near(lambda run: None)(run)
    assert near.push == 0.15
    assert near.scale == 2.0


def test_user_networks(digits):
    X, y = (part[:1_100] for part in digits)
    nn = torch.nn
    encoder = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    decoder = nn.Sequential(nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 64))
    weights = [parameter.clone() for parameter in encoder.parameters()]
    given = {"encoder": encoder, "decoder": decoder, "pretrain_iter": 20, "max_iter": 5}
    model = VaDEClustering(10, **given, precision="float32", random_state=0)
    state = torch.get_rng_state()
    labels = model.fit_predict(X)
    assert torch.equal(state, torch.get_rng_state())
    assert clustering_accuracy(y, labels) > 0.5
    assert all(torch.equal(a, b) for a, b in zip(weights, encoder.parameters(), strict=True))
    np.testing.assert_array_equal(labels, clone(model).fit_predict(X))
    np.testing.assert_array_equal(model.predict(X), labels)


def test_wrong_user_networks_fail_before_training(digits):
    model = VaDEClustering(10, decoder=torch.nn.Linear(10, 63), pretrain_iter=10**9)
    with pytest.raises(ValueError, match=r"\(2, 10\) to \(2, 63\); expected \(2, 64\)"):
        model.fit(digits[0])


def test_a_failed_fit_changes_nothing(fitted, digits, monkeypatch):
    model = pickle.loads(pickle.dumps(fitted))
    before = {name: id(value) for name, value in model.__dict__.items()}
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((20, 3), np.nan))
    monkeypatch.setattr(VaDEClustering, "_publish", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.fit(digits[0][:50, :7])
    assert before == {name: id(value) for name, value in model.__dict__.items()}


def test_pickles_hold_the_model_on_the_cpu(fitted, monkeypatch):
    moved = []
    monkeypatch.setattr(type(fitted.module_), "cpu", lambda self: moved.append(self) or self)
    pickle.dumps(fitted)
    assert len(moved) == 1
    assert moved[0] is not fitted.module_


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_on_the_device_give_the_same_fit(monkeypatch, early_stopping):
    X = np.random.default_rng(0).integers(0, 256, (240, 8)).astype(np.uint8)
    given = {"early_stopping": early_stopping, "likelihood": "poisson", "latent_dim": 2}
    model = small(VaDEClustering, pretrain_iter=3, max_iter=3, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        from_host = model.fit(X).predict_proba(X)
        monkeypatch.setattr(Runtime, "place", lambda runtime, rows: make_resident(rows))
        np.testing.assert_array_equal(clone(model).fit(X).predict_proba(X), from_host)
