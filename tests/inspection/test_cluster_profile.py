import sys

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.feature_selection import VarianceThreshold
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvade import VaDEClustering
from skvade.inspection import ClusterProfileDisplay, cluster_profiles
from skvade.inspection._profiles import Column, _of_time
from skvade.inspection._rows import RowsDisplay
from tests.inspection.conftest import small, tick_names

RNG = np.random.RandomState(0)
GROUP = np.repeat([0, 1, 2], [50, 60, 90])


@pytest.fixture(scope="module")
def frame():
    """Heights and colours tell the groups; the rest tells nothing."""
    return pd.DataFrame(
        {
            "height": np.r_[10.0, 20.0, 30.0][GROUP] + RNG.normal(size=200),
            "colour": np.array(["red", "green", "blue"], object)[GROUP],
            "noise": RNG.normal(size=200),
            "flag": RNG.random_sample(200) < 0.5,
            "holes": np.where(RNG.random_sample(200) < 0.3, np.nan, GROUP == 2),
        }
    )


@pytest.fixture(scope="module")
def fitted(frame):
    columns = make_column_transformer(
        (StandardScaler(), ["height"]), (OneHotEncoder(sparse_output=False), ["colour"])
    )
    return make_pipeline(columns, small(VaDEClustering)).fit(frame)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_lines_are_in_the_columns_that_came_in(fitted, frame):
    profiles = cluster_profiles(fitted, frame)
    labels = fitted.predict(frame)
    assert len(profiles) == 3 * 5
    for (cluster, column), line in profiles.groupby(["cluster", "column"]):
        (line,) = line.itertuples()
        inside = labels == cluster
        assert line.size == inside.sum()
        if column == "height":
            own, rest = frame.height[inside], frame.height[~inside]
            assert (line.typical, line.others) == (own.median(), rest.median())
            apart = (own.mean() - rest.mean()) / frame.height.std(ddof=0)
            assert line.difference == pytest.approx(apart)
        if column == "colour":
            shares = [frame.colour[rows].value_counts(normalize=True) for rows in (inside, ~inside)]
            excess = shares[0].sub(shares[1], fill_value=0)
            assert line.typical == excess.idxmax()
            assert line.difference == pytest.approx(excess.max())
        if column == "holes":
            assert line.missing == pytest.approx(frame.holes[inside].isna().mean())
    for _, own in profiles.groupby("cluster"):
        assert own["rank"].tolist() == [1, 2, 3, 4, 5]
        assert own.information.is_monotonic_decreasing
        assert set(own.column[:2]) <= {"height", "colour", "holes"}


@pytest.mark.parametrize("n_times", [1, 50])
def test_information_is_that_of_scikit_learn_less_chance(n_times):
    inside = np.tile(GROUP == 1, n_times)
    values = np.array(list("abcd"), object)[np.where(RNG.random_sample(200) < 0.5, GROUP, 3)]
    column = Column("x", np.tile(values, n_times))
    table = contingency_matrix(column.bins, inside)
    by_chance = expected_mutual_information(table, len(inside))
    expected = (mutual_info_score(inside, column.bins) - by_chance) / _entropy(inside)
    assert column.information(inside) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n_rows", [500, 1_000, 5_000])
def test_many_values_are_not_many_signs(n_rows):
    inside = RNG.random_sample(n_rows) < 0.3
    names = np.array([f"n{i}" for i in range(n_rows)], object)
    assert abs(Column("id", names).information(inside)) < 0.01
    names[0] = names[1]
    assert abs(Column("nearly an id", names).information(inside)) < 0.01
    of_many = [Column("x", RNG.permutation(np.tile(names[2:102], 5))) for _ in range(20)]
    assert abs(np.mean([column.information(inside[:500]) for column in of_many])) < 0.02


@pytest.mark.parametrize("far", ["9999-12-31", "0001-01-01", "1650-01-01"])
def test_dates_of_any_century(far):
    days = pd.Series(pd.to_datetime(["2020-01-01"] * 3).as_unit("us"))
    days = pd.concat([days, pd.Series([pd.Timestamp(far).as_unit("us")] * 4)], ignore_index=True)
    values, restored = _of_time(days)
    column = Column("day", values, restored)
    profile = column.profile(0, np.arange(7) < 3, 1, 0.0)
    assert profile.typical == pd.Timestamp("2020-01-01")
    assert profile.others == pd.Timestamp(far)
    assert (profile.difference > 0) == (pd.Timestamp(far) < pd.Timestamp("2020-01-01"))


def test_a_constant_column_differs_nowhere():
    """Though the mean of some numbers is not any of them, by rounding."""
    for value in (0.1, 0.3, 98.6, 1e9 / 3):
        column = Column("x", np.full(200, value))
        for group in range(3):
            profile = column.profile(group, GROUP == group, 1, 0.0)
            assert (profile.difference, profile.standardized) == (0.0, 0.0)
    display = RowsDisplay(reference=np.column_stack([np.full(200, 0.1), RNG.normal(size=200)]))
    assert (np.abs(display._scaled(display.reference)[:, 0]) < 1e-12).all()


def test_dates_and_durations_are_as_telling_as_numbers():
    rows, _ = make_blobs(120, centers=2, n_features=2, random_state=1)
    model = small(VaDEClustering, n_clusters=2).fit(rows)
    days = 40 * model.labels_ + RNG.randint(0, 10, 120)
    frame = pd.DataFrame(rows, columns=["a", "b"]).assign(
        n=days.astype(float),
        since=pd.Timestamp("2020-03-01") + pd.to_timedelta(days, "D"),
        passed=pd.to_timedelta(days, "D"),
    )
    frame.loc[5, ["n", "since", "passed"]] = None
    choose = make_column_transformer(("passthrough", ["a", "b"]))
    pipeline = make_pipeline(choose.fit(frame), model)
    found = cluster_profiles(pipeline, frame).set_index(["cluster", "column"])
    for cluster in (0, 1):
        number = found.loc[(cluster, "n")]
        for name in ("since", "passed"):
            other = found.loc[(cluster, name)]
            assert other["information"] == number["information"]
            assert other["difference"] == pytest.approx(number["difference"])
            assert other["missing"] == number["missing"]
        day = pd.Timedelta(number["typical"], "D")
        assert abs(found.loc[(cluster, "passed"), "typical"] - day) < pd.Timedelta(1, "s")
        there = found.loc[(cluster, "since"), "typical"] - pd.Timestamp("2020-03-01")
        assert abs(there - day) < pd.Timedelta(1, "s")
    shown = map(str, ClusterProfileDisplay.from_estimator(pipeline, frame).profiles)
    assert sum(text.startswith("since 2020-0") for text in shown) == 2


def _entropy(labels):
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return -(shares * np.log(shares)).sum()


def test_what_tells_nothing_has_no_information_on_average():
    rng = np.random.RandomState(1)
    found = [
        Column("x", rng.normal(size=300)).information(rng.random_sample(300) < 0.3)
        for _ in range(300)
    ]
    assert abs(np.mean(found)) < 3e-3
    everything = Column("x", (GROUP == 1).astype(float))
    assert everything.information(GROUP == 1) == pytest.approx(1, abs=0.01)


def test_arrays_and_sparse_rows_have_columns_too(models, iris):
    X = iris[0]
    model = models["VaDEClustering"]
    of_array = cluster_profiles(model, X)
    assert set(of_array.column) == {"x0", "x1", "x2", "x3"}
    pd.testing.assert_frame_equal(of_array, cluster_profiles(model, csr_array(X)))


def test_classes_have_their_names(models, iris):
    profiles = cluster_profiles(models["VaDEClassifier"], iris[0])
    assert set(profiles.cluster) <= {"setosa", "versicolor", "virginica"}


def test_columns_of_one_value_and_of_none():
    inside = GROUP == 0
    for values in (np.full(200, 3.0), np.full(200, np.nan), np.full(200, None, object)):
        column = Column("x", values)
        assert column.information(inside) == pytest.approx(0, abs=1e-2)
        assert column.profile(0, inside, 1, 0.0).difference == 0


def test_the_heat_map_shows_the_columns_that_tell(fitted, frame):
    display = ClusterProfileDisplay.from_estimator(fitted, frame, n_columns=3)
    assert tick_names(display.ax_.xaxis) == display.columns_
    assert set(display.columns_) == {"height", "colour", "holes"}
    assert len(tick_names(display.ax_.yaxis)) == len(set(fitted.predict(frame)))
    cells = {(p.cluster, p.column): p for p in display.profiles}
    for y, cluster in enumerate(dict.fromkeys(p.cluster for p in display.profiles)):
        for x, name in enumerate(display.columns_):
            shade = display.image_.get_array()[y, x]
            assert shade == pytest.approx(cells[cluster, name].standardized)
    written = [text.get_text() for text in display.ax_.texts]
    assert {"red", "green", "blue"} & set(written)
    first, *_ = display.text.splitlines()
    assert first.startswith("Cluster 0 (")
    assert display.figure_ is display.ax_.figure


def test_given_axes_are_used(fitted, frame, plt):
    _, (ax, other) = plt.subplots(1, 2)
    assert ClusterProfileDisplay.from_estimator(fitted, frame, ax=ax).ax_ is ax
    assert not other.has_data()


def test_what_is_missing_is_named(fitted, frame, monkeypatch):
    with pytest.raises(TypeError, match="one of skvade's"):
        cluster_profiles(StandardScaler(), frame)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        cluster_profiles(fitted, frame)


@pytest.mark.filterwarnings("ignore")
def test_columns_of_arrays_are_those_that_came_in():
    """A step leaves the first out, or there are categories: names stay with their columns."""
    X = np.c_[np.ones(200), 5.0 * GROUP, RNG.normal(size=200)]
    X[:, 2] *= 0.5
    model = make_pipeline(VarianceThreshold(), small(VaDEClustering)).fit(X)
    profiles = cluster_profiles(model, X)
    assert set(profiles.column) == {"x0", "x1", "x2"}
    assert set(profiles[profiles["rank"] == 1].column) == {"x1"}
    objects = np.c_[np.array(["a", "b", "c"], object)[GROUP], X[:, 1:].astype(object)]
    model = small(VaDEClustering, categorical_features=[0]).fit(objects)
    profiles = cluster_profiles(model, objects)
    assert set(profiles.column) == {"x0", "x1", "x2"}
    assert set(profiles[profiles.column == "x0"].typical) <= {"a", "b", "c"}
    assert profiles[profiles.column == "x2"].unit.unique() == ["standard deviations"]


@pytest.mark.parametrize("sign", [1, -1])
def test_what_few_rows_have_tells_them_from_the_rest(sign):
    """Whether most rows have the lowest value or the greatest, and however many there are."""
    rare = np.arange(200) >= 190
    flag = Column("x", sign * rare.astype(float)).information(rare)
    text = Column("x", rare.astype(str).astype(object)).information(rare)
    assert flag == text > 0.9
    many = np.where(rare, RNG.normal(10, 1, 200), 0.0)
    assert Column("x", sign * many).information(rare) > 0.85
    some = np.where(np.arange(200) < 50, -RNG.random_sample(200), many)  # zero is not the lowest
    assert Column("x", sign * some).information(rare) > 0.8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pipelines_and_searches_in_one_another():
    X = np.c_[5.0 * GROUP, RNG.normal(size=200)]
    search = GridSearchCV(small(VaDEClustering), {"n_clusters": [3]}, cv=2)
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), search)).fit(X)
    profiles = cluster_profiles(nested, X)
    assert set(profiles.column) == {"x0", "x1"}
