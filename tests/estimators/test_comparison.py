"""What a fit is compared with, and when that speaks against it."""

from functools import partial

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from skvade import VaDEClassifier, VaDEClustering, load
from skvade.estimators.comparison import MEANS, MIXTURE, START, compare, objections
from skvade.training.neighbours import membership_weights
from tests import conftest

X, Y = make_blobs(400, n_features=4, centers=8 * np.eye(4)[:3], random_state=0)
compared = partial(conftest.small, VaDEClustering, compare=True, init="auto")
pytestmark = pytest.mark.usefixtures("quiet")


def two_long_clusters():
    """Beside each other, so that k-means and a mixture cut both in two."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 300)
    return np.column_stack([rng.uniform(0, 40, 600), 4 * y + rng.uniform(-0.5, 0.5, 600)]), y


def test_neighbours_kept_are_counted_one_by_one():
    labels = np.random.default_rng(0).integers(0, 3, len(X))
    found = compare(X, labels, 3, seed=0)
    distances, neighbours = NearestNeighbors(n_neighbors=15).fit(X).kneighbors()
    weights = membership_weights(distances)
    weights /= weights.sum(1, keepdims=True)
    together = labels[neighbours] == labels[:, np.newaxis]
    assert found["kept"] == pytest.approx((weights * together).sum(1).mean(), abs=1e-5)
    cluster, share, other = found["leaving"]
    assert 0 < share < 1
    assert cluster != other


def test_right_labels_stand_and_wrong_ones_do_not():
    assert objections(compare(X, Y, 3, seed=0)) == ()
    wrong = np.random.default_rng(0).permutation(Y)
    found = objections(compare(X, wrong, 3, seed=0))
    assert len(found) == 3
    assert "K-means of the principal components finds other clusters" in found[0]
    assert "A Gaussian mixture of the principal components" in found[1]
    assert "A start by init='auto' of the principal components" in found[2]


def test_the_start_speaks_where_simple_methods_are_as_wrong():
    long, _ = two_long_clusters()
    labels = KMeans(2, n_init=3, random_state=0).fit_predict(long)
    (found,) = objections(compare(long, labels, 2, seed=0))
    assert "A start by init='auto'" in found


def test_clusters_that_a_simple_method_cuts_are_no_objection():
    long, y = two_long_clusters()
    found = compare(long, y, 2, seed=0)
    assert found["others"]["k-means"]["agreement"] < 0.1
    assert objections(found) == ()


def test_partitions_are_those_that_the_rows_can_carry():
    labels = np.arange(400) % 100
    assert set(compare(X, Y, 3, seed=0)["others"]) == {MEANS, MIXTURE, START}
    assert set(compare(X, Y, 3, seed=0, start=False)["others"]) == {MEANS, MIXTURE}
    assert set(compare(X, labels, 100, seed=0)["others"]) == {MEANS}  # five numbers for each


def test_a_table_of_categories_is_not_held_against_a_start_that_its_fits_do_not_have():
    categories = np.column_stack([Y, (Y + np.arange(400) % 2) % 3]).astype(float)
    model = compared(categorical_features=[0, 1]).fit(categories)
    assert START not in model._comparison["others"]
    assert MEANS in model._comparison["others"]


def test_a_partition_that_is_not_known_speaks_by_neighbours_alone():
    """Of a file of another version."""
    this = {"kept": 0.5, "worst cut": 0.5, "value": 0.0}
    better = {"kept": 0.52, "worst cut": 0.1, "value": 9.0, "agreement": 0.1}
    assert objections({**this, "others": {"another": better}}) == ()
    assert len(objections({**this, "others": {"another": {**better, "kept": 0.6}}})) == 1
    for name, margin in {MEANS: 0.3, MIXTURE: 0.3, START: 0.22}.items():
        near, far = ({**better, "value": margin + step} for step in (-0.01, 0.01))
        assert objections({**this, "others": {name: near}}) == ()
        assert len(objections({**this, "others": {name: far}})) == 1


def test_two_that_agree_speak_for_clusters_that_are_about_as_good():
    this = {"kept": 0.9, "worst cut": 0.1, "value": 1.0, "mixture and start": 0.96}
    other = {"kept": 0.87, "worst cut": 0.1, "value": 1.0, "agreement": 0.6}
    others = {name: dict(other) for name in (MEANS, MIXTURE, START)}
    (found,) = objections({**this, "others": others})
    assert "find the same clusters (adjusted Rand index 0.96)" in found
    assert "this model's (0.60 at most, below 0.7), and keep 87.0% of neighbours together" in found
    assert objections({**this, "mixture and start": 0.9, "others": others}) == ()
    assert objections({**this, "others": {MEANS: other}}) == ()
    for name, worse in {"agreement": 0.75, "kept": 0.85}.items():
        both = {name: dict(other) for name in (MEANS, MIXTURE, START)}
        for each in (MIXTURE, START):
            both[each][name] = worse
        assert objections({**this, "others": both}) == ()


def test_how_far_the_mixture_and_the_start_agree_is_known():
    found = compare(X, Y, 3, seed=0)
    assert found["mixture and start"] == 1
    assert "mixture and start" not in compare(X, Y, 3, seed=0, start=False)


@pytest.mark.parametrize(
    ("places", "n_clusters"), [(X, 1), (X[:3], 3), (np.ones((20, 2)), 2)], ids=["1", "few", "equal"]
)
def test_where_there_is_nothing_to_compare(places, n_clusters):
    assert compare(places, np.zeros(len(places), int), n_clusters, seed=0) == {}


def test_the_report_tells_of_a_fit_that_a_simple_method_beats(tmp_path):
    model = compared(neighbor_weight=0, learning_rate=1e-9)
    model.set_params(init=np.random.default_rng(0).integers(0, 3, len(X))).fit(X)
    assert adjusted_rand_score(Y, model.labels_) < 0.7
    report = model.report()
    assert not report.trustworthy
    assert any("K-means of the principal components" in finding for finding in report.findings)
    model.set_params(init="auto").save(tmp_path / "model")
    assert str(load(tmp_path / "model").report()) == str(report)


def test_the_report_of_a_fit_that_agrees():
    report = compared(max_iter="auto").fit(X).report()
    assert "beside k-means" in report.lines
    assert "k-means, a Gaussian mixture or the start of a default fit parts" in report.checked
    without = str(compared(compare=False).fit(X).report())
    assert "k-means" not in without
    assert "least separate" not in without


def test_rows_that_are_held_out_and_classifiers():
    assert compared(early_stopping=True).fit(X)._comparison["others"]
    assert "k-means" not in str(conftest.small(VaDEClassifier).fit(X, Y).report())


def test_comparing_changes_no_number():
    one = compared(random_state=np.random.RandomState(0)).fit(X)
    two = compared(random_state=np.random.RandomState(0), compare=False).fit(X)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
