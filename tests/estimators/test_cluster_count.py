"""A number of clusters that is found: who has it, what it leaves, and what it survives."""

import os
import warnings

import numpy as np
import pytest
from scipy.cluster.hierarchy import dendrogram
from sklearn.base import is_classifier
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvade import GMVAEClustering, M2Clustering, VaDEClustering, load
from tests.conftest import FAMILY, small
from tests.persistence.test_checkpoint import assert_same, fit_with_crashes

CLUSTERERS = [cls for cls in FAMILY if not is_classifier(cls())]
X, Y = make_blobs(300, n_features=5, centers=12 * np.eye(5)[:3], random_state=0)
pytestmark = pytest.mark.usefixtures("quiet")
QUICK = {"hidden_layer_sizes": (8,), "latent_dim": 2, "max_iter": 5, "precision": "float32"}


@pytest.mark.parametrize("cls", CLUSTERERS)
def test_every_clusterer_counts(cls, tmp_path):
    model = small(cls, "auto").fit(X)
    assert model.n_clusters_ == 3
    assert model.n_clusters == "auto"
    assert model.predict_proba(X).shape == (300, 3)
    assert adjusted_rand_score(Y, model.labels_) > 0.95
    assert adjusted_rand_score(Y, model.labels_at(3)) == 1
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.n_clusters_ == 3
    np.testing.assert_array_equal(again.labels_at(2), model.labels_at(2))
    np.testing.assert_array_equal(again.merge_tree_, model.merge_tree_)


@pytest.mark.parametrize("neighbor_weight", [0.0, 200.0])
def test_the_fit_is_one_of_the_number_that_was_found(neighbor_weight):
    model = small(VaDEClustering, "auto", neighbor_weight=neighbor_weight).fit(X)
    assert model.n_clusters_ == len(model.means_) == len(model.cluster_sizes_) == 3
    assert model.cluster_evidence_.shape == (31,)
    assert "count" not in {record["phase"] for record in model.history_}
    leaves = dendrogram(model.merge_tree_, no_plot=True)["leaves"]
    assert sorted(leaves) == list(range(len(model.merge_tree_) + 1))


def test_cuts_are_nested_and_ordered_by_size():
    model = small(VaDEClustering, "auto").fit(X)
    coarse = model.labels_at(1)
    assert not coarse.any()
    for n_clusters in range(2, len(model.merge_tree_) + 2):
        fine = model.labels_at(n_clusters)
        sizes = np.bincount(fine)
        assert len(sizes) == n_clusters
        assert np.all(np.diff(sizes) <= 0)
        assert all(len(set(coarse[fine == c])) == 1 for c in range(n_clusters))
        coarse = fine


def test_rows_that_are_held_out_have_no_group():
    model = small(VaDEClustering, "auto", early_stopping=True).fit(X)
    assert (model.labels_at(3) == -1).sum() == 30
    assert model.n_clusters_ == 3


def test_bad_cuts_are_named():
    model = small(VaDEClustering, "auto").fit(X)
    n_groups = len(model.merge_tree_) + 1
    with pytest.raises(ValueError, match=f"from 1 to the number of groups, {n_groups}, got 0"):
        model.labels_at(0)
    with pytest.raises(TypeError, match="n_clusters must be an integer, got 2.0"):
        model.labels_at(2.0)
    model.set_params(n_clusters=2).fit(X)
    assert model.n_clusters_ == 2
    assert not hasattr(model, "cluster_evidence_")
    with pytest.raises(AttributeError, match="fit it with n_clusters='auto'"):
        model.labels_at(2)


@pytest.mark.parametrize("init", [Y, np.zeros((3, 3))], ids=["labels", "means"])
def test_a_start_of_a_number_needs_that_number(init):
    with pytest.raises(ValueError, match="init is an array, and n_clusters='auto'"):
        small(VaDEClustering, "auto", init=init).fit(X)


def test_no_clear_number_is_said():
    rows = np.random.default_rng(0).normal(size=(400, 4))
    with pytest.warns(match="no number is clear: . or . would fit about as well"):
        model = small(VaDEClustering, "auto", max_clusters=6).fit(rows)
    assert not model.report().trustworthy
    assert 2 <= model.n_clusters_ <= 6


def test_a_clear_number_is_in_the_report():
    model = small(VaDEClustering, "auto").fit(X)
    assert "3, found among 2 to 30" in str(model.report())
    assert "number of clusters" not in str(small(VaDEClustering).fit(X).report())


@pytest.mark.parametrize("cls", [VaDEClustering, GMVAEClustering, M2Clustering])
def test_crashes_change_nothing(cls, tmp_path):
    whole = small(cls, "auto").fit(X)
    resumed, crashes = fit_with_crashes(small(cls, "auto"), X, None, tmp_path / "fit")
    assert crashes > 3
    assert_same(whole, resumed, X)
    np.testing.assert_array_equal(whole.labels_at(4), resumed.labels_at(4))
    np.testing.assert_array_equal(whole.cluster_evidence_, resumed.cluster_evidence_)


def test_a_warm_start_keeps_the_number(monkeypatch):
    model = small(VaDEClustering, "auto", warm_start=True).fit(X)
    monkeypatch.setattr(VaDEClustering, "_count_clusters", None)  # nothing is counted again
    tree = model.merge_tree_
    model.fit(X)
    assert model.n_clusters_ == 3
    assert model.merge_tree_ is tree


def test_searches_compare_found_and_given_numbers():
    grid = {"n_clusters": ["auto", 2]}
    search = GridSearchCV(small(VaDEClustering), grid, cv=2).fit(X)
    assert search.best_estimator_.n_clusters_ in (2, 3)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_two_fits_of_one_seed_are_the_same():
    one, two = (small(VaDEClustering, "auto").fit(X) for _ in range(2))
    assert_same(one, two, X)


@pytest.mark.parametrize("n_rows", [2, 3, 7])
def test_few_rows(n_rows, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = small(VaDEClustering, "auto").fit(X[:n_rows])
    assert model.n_clusters_ == min(2, n_rows)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.merge_tree_, model.merge_tree_)


ALL = "SKVADE_DEFAULT_CHECKS" in os.environ  # `make checks`; M2's decoder knows the number


@parametrize_with_checks([cls("auto", **QUICK) for cls in (CLUSTERERS if ALL else (M2Clustering,))])
def test_scikit_learn_check(estimator, check):
    if "sparse" in check.func.__name__:  # it wants four columns of probabilities, found or not
        estimator.set_params(n_clusters=4)
    check(estimator)


def test_rows_that_came_later_are_not_those_that_counted(tmp_path):
    model = small(VaDEClustering, "auto").fit(X).partial_fit(X[:18])
    assert len(model.labels_) == 18
    assert len(model.labels_at(2)) == 300  # of the fit that counted
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.labels_at(2), model.labels_at(2))
