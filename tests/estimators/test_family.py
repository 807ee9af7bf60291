"""What every estimator of the family promises, in one suite; see test_vade.py for the details."""

import pickle
import warnings
from functools import partial
from inspect import signature

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier, is_clusterer
from sklearn.datasets import load_iris, make_blobs, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvade import (
    AuxiliaryTaskClassifier,
    DCNClustering,
    DECClustering,
    GMVAEClustering,
    M2Classifier,
    M2Clustering,
    VaDEClassifier,
    VaDEClustering,
    load,
)
from skvade.estimators.preparing import labels_last
from skvade.metrics import clustering_accuracy
from tests import conftest
from tests.conftest import FAMILY

GENERATIVE = [cls for cls in FAMILY if hasattr(cls, "sample")]
CLASSIFIERS = [cls for cls in FAMILY if is_classifier(cls())]
CLUSTERERS = [cls for cls in FAMILY if cls not in CLASSIFIERS]


SURE = {"precision": "float32", "random_state": 0}  # defaults, but the same on every machine
small = partial(conftest.small, hidden_layer_sizes=(32,))
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    return X, y


@pytest.fixture(scope="module")
def models(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {cls: small(cls, init="auto").fit(*data) for cls in FAMILY}


@pytest.mark.parametrize("cls", CLUSTERERS)
def test_finds_blobs_by_default(cls):
    X, y = make_blobs(300, centers=4, n_features=5, random_state=0)
    labels = cls(**SURE).fit_predict(X)
    assert clustering_accuracy(y, labels) > 0.97


@pytest.mark.parametrize(
    ("cls", "least"),
    [(VaDEClustering, 0.9), (GMVAEClustering, 0.9), (M2Clustering, 0.9), (DECClustering, 0.6)],
)
@pytest.mark.parametrize("init", ["auto", "labels"])
def test_crescents_are_learned(cls, least, init):
    """Neither Gaussians nor centres of the codes have them: these tore what the start had found."""
    X, y = make_moons(200, noise=0.05, random_state=0)
    model = cls(2, init=y if init == "labels" else init, compare=False, **SURE).fit(X)
    assert adjusted_rand_score(y, model.labels_) > least
    assert "labels" in {record["phase"] for record in model.history_}


@pytest.mark.parametrize(("cls", "least"), [(VaDEClustering, 0.98), (DCNClustering, 0.9)])
def test_what_was_learned_of_the_graph_is_kept(cls, least, tmp_path):
    """The last phase tore it where rows are many, to .93 and .2; a warm start to .89 and .64."""
    X, y = make_moons(3000, noise=0.06, random_state=0)
    model = cls(2, compare=False, **SURE).fit(X[::2])
    first = adjusted_rand_score(y[::2], model.labels_)
    assert first > least
    assert adjusted_rand_score(y[1::2], model.predict(X[1::2])) > 0.9
    model.save(tmp_path / "model")
    model = load(tmp_path / "model").set_params(warm_start=True)
    model.fit(X[::2]).fit(X[1::2])
    assert adjusted_rand_score(y[1::2], model.labels_) > first - 0.02
    assert not model.set_params(warm_start=False, max_iter=1).fit(load_iris().data)._stays


@pytest.mark.parametrize("cls", FAMILY)
def test_predictions_agree_and_do_not_depend_on_their_company(cls, models, data):
    model, (X, _) = models[cls], data
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(1), 1)
    names = model.classes_ if cls in CLASSIFIERS else np.arange(3)
    np.testing.assert_array_equal(names[proba.argmax(1)], model.predict(X))
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    for method in ("predict_proba", "transform"):
        whole = getattr(model, method)(X)
        alone = np.concatenate([getattr(model, method)(X[i : i + 1]) for i in range(10)])
        np.testing.assert_allclose(alone, whole[:10], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("cls", FAMILY)
def test_codes_centres_and_reports_have_their_shapes(cls, models, data):
    model, (X, _) = models[cls], data
    codes = model.transform(X)
    assert codes.shape == (150, 3)
    assert model.inverse_transform(codes).shape == (150, 4)
    assert model.cluster_centers_.shape == (3, 4)
    assert model.means_.shape == (3, 3)
    assert np.isfinite(model.cluster_centers_).all()
    assert str(model.report()).startswith(f"{cls.__name__}, fitted")
    with pytest.raises(ValueError, match="expects codes with latent_dim=3"):
        model.inverse_transform(codes[:, :2])


@pytest.mark.parametrize("cls", FAMILY)
def test_fits_repeat_and_float32_is_near_float64(cls, models, data):
    X, y = data
    again = clone(models[cls]).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), models[cls].predict_proba(X))
    narrow = models[cls].predict_proba(X.astype(np.float32))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, models[cls].predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("cls", FAMILY)
def test_pickles_and_pandas(cls, models, data):
    X, _ = data
    copy = pickle.loads(pickle.dumps(models[cls]))
    np.testing.assert_array_equal(copy.predict_proba(X), models[cls].predict_proba(X))
    codes = copy.set_output(transform="pandas").transform(X)
    assert isinstance(codes, pd.DataFrame)
    assert list(codes.columns) == [f"{cls.__name__.lower()}{i}" for i in range(3)]


@pytest.mark.parametrize("cls", FAMILY)
def test_at_home_in_pipelines_and_searches(cls, data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), small(cls))
    name = pipeline.steps[-1][0]
    scoring = None if cls in GENERATIVE + CLASSIFIERS else "adjusted_rand_score"
    search = GridSearchCV(pipeline, {f"{name}__latent_dim": [2, 3]}, cv=2, scoring=scoring)
    search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_score_ == max(scores)
    scaler, model = (step for _, step in search.best_estimator_.steps)
    assert model.means_.shape == (3, search.best_params_[f"{name}__latent_dim"])
    np.testing.assert_array_equal(search.predict(X), model.predict(scaler.transform(X)))


@pytest.mark.parametrize("cls", FAMILY)
@pytest.mark.parametrize(
    "parameters",
    [{"early_stopping": True}, {"neighbor_weight": 0}, {"n_init": 2}, {"likelihood": "poisson"}],
    ids=str,
)
def test_options_go_together_with_every_method(cls, parameters, data):
    X, y = data
    model = small(cls, **parameters).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert np.isfinite(model.transform(X)).all()
    terms = {name for record in model.history_ for name in record}
    assert ("validation_loss" in terms) == ("early_stopping" in parameters)
    assert ("attraction" in terms) == ("neighbor_weight" not in parameters)
    assert model.likelihood_ == parameters.get("likelihood", "gaussian")
    assert ("fits" in model.report().lines["restart agreement"]) == ("n_init" in parameters)


@pytest.mark.parametrize("cls", FAMILY)
def test_warm_starts_go_on(cls, models, data):
    model = pickle.loads(pickle.dumps(models[cls])).set_params(warm_start=True)
    model.set_params(learning_rate=1e-9).fit(*data)  # as good as none: it stays where it was
    assert {record["phase"] for record in model.history_} == {"train"}
    codes = models[cls].transform(data[0])
    np.testing.assert_allclose(model.transform(data[0]), codes, rtol=1e-3, atol=1e-3)
    model.set_params(learning_rate=2e-3).fit(*data)
    assert np.abs(model.transform(data[0]) - codes).max() > 1e-3


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_warm_starts_keep_their_classes(cls, models, data):
    """Clusters keep their places: with other classes they were named at random, or had no name."""
    X, y = data
    model = pickle.loads(pickle.dumps(models[cls])).set_params(warm_start=True)
    for other in (y + 1, y % 2, np.arange(150) % 5):
        with pytest.raises(ValueError, match=r"fitted model's classes=\[0, 1, 2\], .*got classes="):
            model.fit(X, other)
    np.testing.assert_array_equal(model.predict(X), models[cls].predict(X))


def test_warm_starts_do_not_name_clusters_that_have_no_label(data):
    """Clusters without labels are named by size: labels of the same names were other clusters."""
    X, y = data
    model = small(VaDEClassifier, n_classes=3, warm_start=True).fit(X, np.full(150, -1))
    with pytest.raises(ValueError, match=r"labelled classes=\[\], got .*\[0, 1, 2\]"):
        model.fit(X, y)
    model.set_params(n_classes=None).set_params(n_classes=3).fit(X, np.full(150, -1))


def test_warm_starts_refuse_another_alpha(models, data):
    model = pickle.loads(pickle.dumps(models[DECClustering]))
    with pytest.raises(ValueError, match=r"fitted model's alpha=1.0, got alpha=2.0"):
        model.set_params(warm_start=True, alpha=2.0).fit(*data)


@pytest.mark.parametrize("cls", FAMILY)
def test_a_failed_fit_changes_nothing(cls, models, data, monkeypatch):
    model = pickle.loads(pickle.dumps(models[cls]))
    before = {name: id(value) for name, value in model.__dict__.items()}
    monkeypatch.setattr(cls, "_publish", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.fit(data[0][:60, :3], data[1][:60])
    assert before == {name: id(value) for name, value in model.__dict__.items()}


@pytest.mark.parametrize("cls", GENERATIVE)
def test_generators_draw_rows_and_score_them(cls, models, data):
    model, (X, _) = models[cls], data
    rows, names = model.sample(200, random_state=0)
    assert rows.shape == (200, 4)
    shares = [np.mean(names == name) for name in np.unique(names)]
    np.testing.assert_allclose(shares, model.weights_, atol=0.12)
    one, labels = model.sample(7, cluster=2, random_state=0)
    assert one.shape == (7, 4)
    assert labels.tolist() == 7 * [model.classes_[2] if cls in CLASSIFIERS else 2]
    scores = model.score_samples(X)
    assert model.lower_bound_ < scores.mean() + 1
    assert model.weights_.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="cluster must be None or an integer from 0 to 2"):
        model.sample(cluster=3)


@pytest.mark.parametrize("cls", GENERATIVE)
def test_the_lower_bound_is_that_of_the_fit_in_the_units_of_the_data(cls, models, data):
    """Above the last pass's, of which it has the better prior, but for draws."""
    model, (X, _) = models[cls], data
    last = model.history_[-1]
    names = ["reconstruction", "kl"] if "kl" in last else ["reconstruction", "category", "latent"]
    in_model_units = -sum(last[name] for name in names)
    scale = np.sqrt(X.var(0).mean())
    assert in_model_units - 4 * np.log(scale) - 0.5 < model.lower_bound_
    assert model.lower_bound_ < model.score_samples(X).mean() + 0.5
    assert f"{model.lower_bound_:.2f} nats" in model.report().lines["lower bound"]


@pytest.mark.parametrize("cls", [cls for cls in GENERATIVE if hasattr(cls(), "style_weight")])
def test_the_lower_bound_does_not_count_weights_of_the_loss(cls, data):
    X, y = data
    model = small(cls, style_weight=0.5, category_weight=3.0, likelihood="poisson").fit(X, y)
    last = model.history_[-1]
    bound = -(last["reconstruction"] + last["category"] / 3 + last["latent"] / 0.5)
    assert model.lower_bound_ == pytest.approx(bound, abs=1)


@pytest.mark.parametrize("cls", CLUSTERERS)
def test_clusterers_do_not_read_labels_and_sort_by_size(cls, models, data):
    X, y = data
    model = clone(models[cls]).fit(X)
    np.testing.assert_array_equal(model.labels_, models[cls].labels_)
    assert (np.diff(model.cluster_sizes_) <= 0).all()
    assert model.fit_predict(X, y[::-1]).tolist() == model.labels_.tolist()


@pytest.mark.parametrize("cls", FAMILY)
def test_documentation_names_every_parameter_in_order(cls):
    entries = cls.__doc__.split("\nParameters\n")[1].split("\nAttributes\n")[0].splitlines()
    names = [
        n
        for line in entries
        if " : " in line and line[0] != " "
        for n in line.split(" : ")[0].split(", ")
    ]
    assert names == list(signature(cls).parameters)


@pytest.mark.parametrize("cls", FAMILY)
def test_attributes_that_are_documented_are_there(cls, models):
    entries = cls.__doc__.split("\nAttributes\n")[1].split("\n\n")[0].splitlines()
    names = [line.split(" : ")[0] for line in entries if " : " in line and line[0] != " "]
    assert len(names) > 10
    sometimes = {"feature_names_in_", "cluster_evidence_", "merge_tree_"}
    missing = [n for n in names if not hasattr(models[cls], n) and n not in sometimes]
    assert not missing


# ------------------------------------------------------------------------------ styles


def test_a_style_is_drawn_in_every_cluster(models, data):
    X, _ = data
    model = models[M2Clustering]
    styles = model.transform(X)
    drawn = np.stack([model.inverse_transform(styles, cluster=c) for c in range(3)])
    average = np.tensordot(model.weights_, drawn, 1)
    np.testing.assert_allclose(model.inverse_transform(styles), average, rtol=1e-5)
    means = drawn.mean(1)
    np.testing.assert_allclose(means, model.cluster_centers_, atol=1.0)
    with pytest.raises(ValueError, match="from 0 to 2, got 5"):
        model.inverse_transform(styles, cluster=5)


def test_styles_say_little_of_the_clusters(digits):
    """A classifier finds the digit in VaDE's codes, and hardly in M2's styles."""
    from sklearn.linear_model import LogisticRegression

    X, y = (part[:800] for part in digits)
    shared = {"hidden_layer_sizes": (64, 128), "pretrain_iter": 30, "max_iter": 40}
    found = []
    for cls in (VaDEClustering, M2Clustering):
        codes = cls(10, **SURE, **shared).fit(X).transform(X)
        found.append(LogisticRegression(max_iter=1000).fit(codes, y).score(codes, y))
    assert found[0] > 0.9
    assert found[1] < 0.6


def test_temperatures_fall(data):
    with pytest.raises(ValueError, match=r"min_temperature=2 must be at most temperature=1\.0"):
        small(M2Clustering, min_temperature=2).fit(data[0])


def test_m2_takes_decoders_of_any_kind(data):
    torch.manual_seed(0)  # of the decoders' own weights

    class Split(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.out = torch.nn.Linear(8, 4)
            self.style, self.category = torch.nn.Linear(3, 8), torch.nn.Linear(3, 8)

        def forward(self, x):
            return self.out(torch.tanh(self.style(x[:, :3]) + self.category(x[:, 3:])))

    for decoder in (Split(), torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 4))):
        model = small(M2Clustering, decoder=decoder).fit(data[0])
        body = model.module_.decoder.body
        assert type(body) is type(decoder)
        assert not any(map(torch.equal, body.parameters(), decoder.parameters()))
        styles = model.transform(data[0])
        first, second = (model.inverse_transform(styles, cluster=c) for c in (0, 1))
        assert np.abs(first - second).min(0).max() > 0.01  # the category says something


def test_a_bound_without_one_of_its_terms_is_not_reported(data):
    model = small(M2Clustering, style_weight=0).fit(data[0])
    assert np.isnan(model.lower_bound_)
    assert "lower bound" not in str(model.report())


def test_dcns_labels_are_of_the_nearest_centroid(models, data):
    model, (X, _) = models[DCNClustering], data
    distances = ((model.transform(X)[:, None] - model.means_) ** 2).sum(-1)
    np.testing.assert_array_equal(model.predict(X), distances.argmin(1))


# ------------------------------------------------------------------------------ labels


def few(y, n_each=3):
    hidden = np.full(len(y), -1)
    for c in np.unique(y):
        rows = np.flatnonzero(y == c)[:n_each]
        hidden[rows] = c
    return hidden


@pytest.mark.parametrize("cls", FAMILY)
def test_scikit_learn_knows_what_it_is(cls):
    assert is_clusterer(cls()) is (cls in CLUSTERERS)
    assert is_classifier(cls()) is (cls in CLASSIFIERS)


def test_rows_whose_labels_are_needed_are_held_out_last():
    labels = np.array([-1, 0, -1, 1, 0, -1, 1, -1])
    order = labels_last(np.array([1, 3, 4, 6, 0, 2, 5, 7]), labels)
    assert order.tolist() == [0, 2, 5, 7, 4, 6, 1, 3]
    assert labels_last(order, None) is order


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_early_stopping_leaves_a_label_of_every_class(cls, data, monkeypatch):
    X, y = data
    kept = []
    make_phases = cls._make_phases
    monkeypatch.setattr(
        cls, "_make_phases", lambda self, facts: kept.append(facts) or make_phases(self, facts)
    )
    small(cls, early_stopping=True, validation_fraction=0.6).fit(X, few(y, 1))
    (facts,) = kept
    assert facts.n_rows == len(facts.labels) == 60
    assert set(facts.labels) == {-1, 0, 1, 2}


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_few_labels_name_the_classes_by_default(cls):
    X, y = make_blobs(300, centers=4, n_features=5, random_state=0)
    y = np.array([7, 3, 9, 11])[y]
    model = cls(**SURE).fit(X, few(y))
    assert model.classes_.tolist() == [3, 7, 9, 11]
    assert model.score(X, y) > 0.97
    # Clear clusters are soon learned; 1,500 steps were taken whatever they were.
    assert max(r["steps"] for r in model.history_ if r["phase"] == "labels") < 800


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_labels_may_be_strings_beside_minus_one(cls, data):
    X, y = data
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    names[few(y) < 0] = -1
    model = small(cls).fit(X, names)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    as_numbers = small(cls).fit(X, few(y))
    np.testing.assert_array_equal(model.predict(X), model.classes_[as_numbers.predict(X)])


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_wrong_labels_are_refused_before_training(cls, data, monkeypatch):
    monkeypatch.setattr(cls, "_train", lambda *args, **kwargs: pytest.fail("trained"))
    X, y = data
    model = small(cls)
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="y has no labels, only -1; "):
        model.fit(X, np.full(150, -1))
    with pytest.raises(ValueError, match="3 classes, more than n_classes=2"):
        clone(model).set_params(n_classes=2).fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(ValueError, match="only be named after integers"):
        clone(model).set_params(n_classes=4).fit(X, y.astype(str))
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(X, y + 0.5)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b", -1] * 50, "the string '-1'"),
        (np.array(["a", 3, -1] * 50, dtype=object), "mixes strings with other labels"),
    ],
)
def test_labels_that_numpy_would_misread_are_refused(y, message, data):
    with pytest.raises(ValueError, match=message):
        small(VaDEClassifier).fit(data[0], y)


def test_numbers_among_objects_are_numbers(data):
    X, y = data
    model = small(VaDEClassifier).fit(X, few(y).astype(object))
    assert model.classes_.tolist() == [0, 1, 2]
    pair = np.where(y == 0, 1, -1).astype(object)
    assert small(VaDEClassifier).fit(X, pair).classes_.tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([253, 254, 255], np.uint8), [253, 254, 255, 256]),
        (np.array([3, 5, 9], np.uint64), [3, 5, 9, 10]),
        (np.array([-4, -3, -2]), [-4, -3, -2, 0]),
    ],
)
def test_unnamed_classes_come_after_the_largest_label(labels, names, data):
    X, y = data
    model = small(VaDEClassifier, n_classes=4).fit(X, labels[y])
    assert model.classes_.tolist() == names
    assert model.classes_.dtype.kind == "i"


def test_minus_one_and_one_are_two_classes_unless_more_are_sought(data):
    X, y = data
    pair = np.where(y == 0, 1, -1)
    assert small(VaDEClassifier).fit(X, pair).classes_.tolist() == [-1, 1]
    assert small(VaDEClassifier, n_classes=3).fit(X, pair).classes_.tolist() == [1, 2, 3]


@pytest.mark.parametrize("cls", [VaDEClassifier, M2Classifier])
def test_classes_without_labels_are_found(cls):
    X, y = make_blobs(300, centers=4, n_features=5, random_state=0)
    hidden = few(y)
    hidden[y >= 2] = -1
    model = cls(n_classes=4, hidden_layer_sizes=(64, 128), **SURE).fit(X, hidden)
    assert model.classes_.tolist() == [0, 1, 2, 3]
    labels = model.predict(X)
    assert np.mean(labels[y < 2] == y[y < 2]) > 0.97
    assert clustering_accuracy(y, labels) > 0.97
    assert model.cluster_sizes_[2] >= model.cluster_sizes_[3]


def test_without_labels_the_classifier_is_the_clusterer(data):
    X, _ = data
    clusterer = small(VaDEClustering).fit(X)
    classifier = small(VaDEClassifier, n_classes=3).fit(X, np.full(len(X), -1))
    np.testing.assert_array_equal(classifier.predict_proba(X), clusterer.predict_proba(X))
    np.testing.assert_array_equal(classifier.classes_, [0, 1, 2])


def test_auxiliary_tasks_need_a_label_of_every_class(data):
    with pytest.raises(ValueError, match="finds only classes with a labelled row; n_classes=4"):
        small(AuxiliaryTaskClassifier, n_classes=4).fit(*data)
    with pytest.raises(ValueError, match="label some rows, or use VaDEClassifier"):
        small(AuxiliaryTaskClassifier, n_classes=3).fit(data[0], np.full(150, -1))


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_with_all_labels_it_reaches_a_perceptron_of_its_size(cls, digits):
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    X, X_test, y, y_test = train_test_split(*digits, random_state=0, stratify=digits[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = MLPClassifier((64, 64), max_iter=60, random_state=0).fit(X, y)
    model = cls(hidden_layer_sizes=(64, 64), **SURE).fit(X, y)
    assert model.score(X_test, y_test) > network.score(X_test, y_test) - 0.01


def test_kingmas_m1_and_m2_are_a_pipeline(digits):
    X, y = (part[:800] for part in digits)
    codes = VaDEClustering(n_clusters=1, hidden_layer_sizes=(64, 128), **SURE)
    classifier = M2Classifier(hidden_layer_sizes=(64, 128), **SURE)
    model = make_pipeline(codes, classifier).fit(X, few(y, 10))
    assert model.score(X, y) > 0.85
