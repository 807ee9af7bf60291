"""More rows, a batch at a time: what is new is learned, what is old is kept."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_wine, make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from skvade import DECClustering, VaDEClassifier, VaDEClustering, load
from skvade.distributed import group
from skvade.estimators.updating import _renewed
from skvade.persistence.container import read
from tests.conftest import FAMILY, small

pytestmark = pytest.mark.usefixtures("quiet")
CLUSTERERS = [cls for cls in FAMILY if not is_classifier(cls())]
CLASSIFIERS = [cls for cls in FAMILY if is_classifier(cls())]
X, Y = make_blobs(240, centers=4, n_features=5, cluster_std=0.5, random_state=0)


def everything(model):
    return {name: copy.deepcopy(value) for name, value in vars(model).items()}


@pytest.mark.parametrize("cls", CLUSTERERS)
def test_ten_batches_keep_the_clusters_and_their_numbers(cls):
    model = small(cls, n_clusters=4, pretrain_iter="auto", max_iter="auto").fit(X[:140])
    before, sizes = model.predict(X[:140]), model.cluster_sizes_.copy()
    weights = copy.deepcopy(model.module_.state_dict())
    for batch in np.array_split(X[140:], 10):
        assert model.partial_fit(batch) is model
        np.testing.assert_array_equal(model.labels_, model.predict(batch))
    assert adjusted_rand_score(before, model.predict(X[:140])) >= 0.95
    assert (model.predict(X[:140]) == before).mean() > 0.95  # the same numbers
    assert model.cluster_sizes_.sum() == len(X)
    assert (model.cluster_sizes_ >= sizes).all()
    now = model.module_.state_dict()
    assert any(not np.array_equal(weights[name], now[name]) for name in weights)  # it has learned
    assert [record["phase"] for record in model.history_[-2:]] == ["update", "update"]


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_ten_batches_keep_the_classes(cls):
    """With labels on every tenth row, by strings; classes may be told or not."""
    names = np.array(["a", "b", "c", "d"], object)[Y]
    some = np.where(np.arange(len(X)) % 10, -1, names)
    model = small(cls, pretrain_iter="auto", max_iter="auto")
    model.partial_fit(X[:140], some[:140], classes=["a", "b", "c", "d"])
    before, sizes = model.predict(X[:140]), model.cluster_sizes_.copy()
    weights = copy.deepcopy(model.module_.state_dict())
    for rows in np.array_split(np.arange(140, len(X)), 10):
        assert model.partial_fit(X[rows], some[rows]) is model
        np.testing.assert_array_equal(model.labels_, model.predict(X[rows]))
    assert (model.predict(X[:140]) == before).mean() > 0.95
    assert (model.predict(X) == names).mean() > 0.95
    assert (model.cluster_sizes_ >= sizes).all()
    assert model.cluster_sizes_.sum() == len(X)
    assert model.classes_.tolist() == ["a", "b", "c", "d"]
    now = model.module_.state_dict()
    assert any(not np.array_equal(weights[name], now[name]) for name in weights)  # it has learned


def test_labels_of_new_rows_count():
    """Where they lie between two classes they move the border, by large steps."""
    rows, truth = make_blobs(300, centers=[[0, 0], [3, 0]], random_state=0)
    first = np.where(np.arange(300) < 40, truth, -1)
    model = small(VaDEClassifier, learning_rate=0.02).fit(rows, first)
    between = np.random.RandomState(0).normal([1.5, 0.0], 0.2, (400, 2))
    before = model.predict_proba(between)[:, 1].mean()
    for _ in range(5):
        model.partial_fit(between, np.ones(400, int))
    assert model.predict_proba(between)[:, 1].mean() > before + 0.1


def test_labels_that_contradict_the_model_are_told():
    model = small(VaDEClassifier).fit(X[:200], Y[:200])
    with pytest.warns(UserWarning, match="40 of 40 new rows with a label are in another class"):
        model.partial_fit(X[200:], (Y[200:] + 1) % 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.partial_fit(X[200:], np.where(Y[200:] == 3, -1, Y[200:]))


def test_labels_that_do_not_fit_are_refused():
    some = np.where(np.arange(len(X)) % 2, -1, Y)
    model = small(VaDEClassifier)
    with pytest.raises(ValueError, match=r"holds \['7'\] beyond .* lacks \['3'\] of them; label"):
        model.partial_fit(X, some, classes=[0, 1, 2, 7])
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.partial_fit(X, None, classes=[0, 1])
    assert not hasattr(model, "module_")
    model.partial_fit(X[:200], some[:200], classes=[-1, 0, 1, 2, 3])
    before = everything(model)
    for y, message in (
        (None, "requires y to be passed"),
        (
            [5, 0, -1],
            r"labels \[5\], which no row had in the first .* \[0, 1, 2, 3\]. Correct them",
        ),
        (["a", "b", "c"], r"labels \['a', 'b', 'c'\]"),
        ([0, 1], "inconsistent numbers of samples"),
        ([0, np.nan, 1], "contains NaN in row 1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.partial_fit(X[200:203], y)
    with pytest.raises(ValueError, match=r"lacks \['3'\]"):
        model.partial_fit(X[200:203], [0, 1, 2], classes={0, 1, 2})
    with pytest.raises(ValueError, match="4 classes, got n_classes=7; set it back"):
        model.set_params(n_classes=7).partial_fit(X[200:203], [0, 1, 2])
    model.set_params(n_classes=None)
    assert vars(model).keys() == before.keys()
    np.testing.assert_array_equal(model.means_, before["means_"])


def test_clusters_without_labels_have_no_names_that_a_label_could_mean():
    model = small(VaDEClassifier, n_classes=4).fit(X[:200], np.where(Y[:200] < 2, Y[:200], -1))
    assert model.classes_.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"labels \[2, 3\], which no row had .*fit anew"):
        model.partial_fit(X[200:], Y[200:])
    model.partial_fit(X[200:], np.where(Y[200:] < 2, Y[200:], -1))


def test_what_is_told_of_strings_may_hold_minus_one():
    names = np.where(np.arange(len(X)) % 2, -1, np.array(["a", "b", "c", "d"], object)[Y])
    model = small(VaDEClassifier).partial_fit(X, names, classes=["d", "c", "b", "a", -1])
    assert model.classes_.tolist() == ["a", "b", "c", "d"]


def test_one_wrong_label_does_not_make_a_fit_forget_that_classes_stay():
    rows, truth = make_moons(200, noise=0.1, random_state=0)
    first = np.where(np.arange(200) < 10, truth, -1)
    model = VaDEClassifier(precision="float32", random_state=0).fit(rows, first)
    assert model._stays
    model.partial_fit(rows[:20], np.r_[truth[0], 1 - truth[1], -np.ones(18, int)])
    assert model._stays


def test_labels_of_a_start_do_not_matter_any_more():
    model = small(VaDEClustering, n_clusters=4, init=Y[:200]).fit(X[:200])
    model.partial_fit(X[200:])
    model.set_params(warm_start=True).fit(X)
    assert len(model.labels_) == len(X)
    assert isinstance(model.init, np.ndarray)


def test_a_failed_call_draws_nothing():
    draws = np.random.RandomState(0)
    model = small(VaDEClustering, likelihood="poisson", random_state=draws)
    model.fit(np.abs(X).round())
    before = draws.get_state()[1].copy()
    with pytest.raises(ValueError, match="Negative values"):
        model.partial_fit(-np.ones((3, 5)))
    np.testing.assert_array_equal(draws.get_state()[1], before)


def test_noise_that_is_not_asked_for_any_more_is_not_marked():
    model = small(VaDEClustering, noise_quantile=0.9).fit(X)
    model.set_params(noise_quantile=None).partial_fit(X[:100])
    np.testing.assert_array_equal(model.labels_, model.predict(X[:100]))


def test_minus_one_is_a_class_where_the_fit_has_it():
    pair = np.where(Y < 2, -1, 1)
    with pytest.warns(UserWarning, match="taken as two classes"):
        model = small(VaDEClassifier).fit(X[:200], pair[:200])
    model.partial_fit(X[200:], pair[200:])
    assert model.classes_.tolist() == [-1, 1]
    assert (model.predict(X) == pair).mean() > 0.9


def test_the_first_call_is_fit():
    first, other = small(VaDEClustering).partial_fit(X), small(VaDEClustering).fit(X)
    np.testing.assert_array_equal(first.predict_proba(X), other.predict_proba(X))


def test_a_single_row_is_enough_and_calls_repeat():
    models = [small(VaDEClustering).fit(X[:200]) for _ in range(2)]
    for model in models:
        for row in (200, 201):
            model.partial_fit(X[row : row + 1])
        assert model.labels_.shape == (1,)
    np.testing.assert_array_equal(models[0].predict_proba(X), models[1].predict_proba(X))


def test_density_goes_to_where_new_rows_are():
    """What was an outlier becomes ordinary when many rows like it have come."""
    model = VaDEClustering(4, precision="float32", random_state=0).fit(X)
    there = X[Y == 0] + 2.5
    before = np.median(model.score_samples(there))
    for _ in range(8):
        model.partial_fit(there)
    assert np.median(model.score_samples(there)) > before + 1


def test_every_row_seen_has_the_same_chance_to_be_kept():
    older, kept = np.zeros((2_000, 1)), []
    rng = np.random.RandomState(0)
    for batch in range(1, 9):  # of a thousand rows each, after two thousand
        older = _renewed(older, np.full((1_000, 1), batch), 1_000 * (batch + 1), rng)
        assert len(older) == 2_000
    kept = np.bincount(older[:, 0].astype(int), minlength=9)
    expected = 2_000 * np.array([2, *[1] * 8]) / 10
    assert (np.abs(kept - expected) < 5 * np.sqrt(expected)).all()


def test_sparse_rows_mixed_tables_and_holes():
    sparse = sp.csr_array(np.abs(X) * (np.abs(X) > 2))
    model = small(VaDEClustering).fit(sparse[:200])
    assert model.partial_fit(sparse[200:]).cluster_sizes_.sum() == len(X)
    model = small(VaDEClustering).fit(X[:200])
    holes = X[200:].copy()
    holes[::3, 1] = np.nan
    assert np.isfinite(model.partial_fit(holes).predict_proba(holes)).all()
    coded = np.c_[X, Y]
    model = small(VaDEClustering, categorical_features=[5]).fit(coded[:200])
    model.partial_fit(coded[200:])
    assert set(model.cluster_centers_[:, 5]) <= {0.0, 1.0, 2.0, 3.0}


def test_files_hold_no_rows_and_pickles_do(tmp_path):
    model = small(VaDEClustering).fit(X[:200])
    again = pickle.loads(pickle.dumps(model))
    model.save(tmp_path / "model.safetensors")
    stored = read(tmp_path / "model.safetensors", "model")["fitted"]
    assert not any(name.startswith("_replay") for name in stored)
    loaded = load(tmp_path / "model.safetensors")
    before = loaded.predict(X[:200])
    model.partial_fit(X[200:])
    again.partial_fit(X[200:])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    loaded.partial_fit(X[200:])  # on rows that it generates
    assert adjusted_rand_score(before, loaded.predict(X[:200])) > 0.8
    small(DECClustering).fit(X).save(tmp_path / "dec.safetensors")
    with pytest.raises(ValueError, match="holds no rows, .* and it generates none; fit it again"):
        load(tmp_path / "dec.safetensors").partial_fit(X)


def test_refused_batches_change_nothing():
    model = small(VaDEClustering, likelihood="poisson").fit(np.abs(X).round())
    before = everything(model)
    for batch, message in ((-np.ones((3, 5)), "Negative values"), (X[:, :2], "5 features")):
        with pytest.raises(ValueError, match=message):
            model.partial_fit(batch)
    with pytest.raises(ValueError, match="partial_fit goes on with .*latent_dim=3, got .*call fit"):
        model.set_params(latent_dim=2).partial_fit(X)
    model.set_params(latent_dim=3)
    assert vars(model).keys() == before.keys()
    np.testing.assert_array_equal(model.means_, before["means_"])
    with group(), pytest.raises(ValueError, match=r"one process|outside") as error:
        pretend_to_be_two(model)
    assert "partial_fit" in str(error.value)


def pretend_to_be_two(model):
    from skvade.training.peers import Peers, among

    class Two(Peers):
        size = 2

    with among(Two()):
        model.partial_fit(X)


def test_parameters_stay_as_they_are():
    model = small(VaDEClustering, early_stopping=True, max_iter=3).fit(X)
    before = model.get_params()
    model.partial_fit(X[:20])
    assert model.get_params() == before
    assert clone(model).get_params() == before


def test_noise_is_marked_among_new_rows():
    model = small(VaDEClustering, noise_quantile=0.9).fit(X)
    model.partial_fit(np.r_[X[:10], X[:1] + 100])
    assert model.labels_[-1] == -1
    np.testing.assert_array_equal(model.labels_, model.predict(np.r_[X[:10], X[:1] + 100]))


def test_it_is_worth_it_on_wine():
    """Ten batches of the second half bring what the first half had not."""
    rows, classes = load_wine(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(rows))
    rows, classes = StandardScaler().fit_transform(rows)[order], classes[order]
    model = VaDEClustering(3, precision="float32", random_state=0).fit(rows[:80])
    before = model.predict(rows[:80])
    for batch in np.array_split(rows[80:], 10):
        model.partial_fit(batch)
    assert adjusted_rand_score(before, model.predict(rows[:80])) >= 0.95
    assert adjusted_rand_score(classes, model.predict(rows)) > 0.7


def test_records_of_updates_count_on():
    model = small(VaDEClustering, n_clusters=4, max_iter="auto").fit(X[:140])
    trained = copy.deepcopy(model.history_)
    for batch in np.array_split(X[140:], 3):
        model.partial_fit(batch)
    assert model.history_[: len(trained)] == trained
    updates = model.history_[len(trained) :]
    assert {record["phase"] for record in updates} == {"update"}
    for count in ("epoch", "steps"):
        assert np.all(np.diff([record[count] for record in updates]) > 0)
