"""Tables of numbers and categories: in as they are, and back as they came."""

import copy
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvade import VaDEClassifier, VaDEClustering, load
from skvade.estimators.column_kinds import look, settle
from skvade.estimators.columns import Columns
from skvade.training.peers import ALONE
from tests.conftest import FAMILY, small

pytestmark = pytest.mark.usefixtures("quiet")
RNG = np.random.default_rng(0)
N = 90
LABELS = np.repeat([0, 1, 2], N // 3)


def table():
    """Three kinds of customers, with holes, in columns of every dtype."""
    rng = np.random.default_rng(0)
    towns = np.array([["Rome", "Oslo", "Lima"][label] for label in LABELS], object)
    towns[rng.random(N) < 0.2] = "Rome"
    age = 30 + 15 * LABELS + rng.normal(0, 3, N)
    age[5] = np.nan
    frame = pd.DataFrame(
        {
            "town": towns,
            "age": age,
            "visits": rng.poisson(2 + 3 * LABELS),
            "member": rng.random(N) < 0.2 + 0.3 * LABELS,
            "size": pd.Categorical.from_codes(
                np.where(rng.random(N) < 0.8, LABELS, 1), ["S", "M", "L", "XL"], ordered=True
            ),
            "pets": pd.array(rng.integers(0, 4, N), dtype="Int64"),
            "paid": pd.Series(np.where(LABELS > 1, "yes", "no")),
            "weight": rng.normal(LABELS, 1).astype(np.float32),
        }
    )
    frame.loc[[3, 7], "town"] = None
    frame.loc[4, "pets"] = pd.NA
    frame.loc[[8, 9], "size"] = None
    return frame


X = table()


def columns_of(X, categorical_features="from_dtype", likelihood="auto"):
    given = {"categorical_features": categorical_features, "likelihood": likelihood}
    return settle(look(VaDEClustering(**given), X), ALONE)


def mixed(cls=VaDEClustering, **parameters):
    return small(cls, **{"categorical_features": "from_dtype", **parameters})


def fitted(cls=VaDEClustering, **parameters):
    return mixed(cls, **parameters).fit(X, LABELS if is_classifier(cls()) else None)


def test_kinds_of_columns():
    kinds = {column.name: column.likelihood for column in columns_of(X).columns}
    assert kinds == {
        "town": "categorical",
        "age": "gaussian",
        "visits": "gaussian",
        "member": "bernoulli",
        "size": "categorical",
        "pets": "gaussian",
        "paid": "bernoulli",
        "weight": "gaussian",
    }
    assert columns_of(X).columns[4].categories == ("S", "M", "L")  # as the dtype orders them
    named = columns_of(X, likelihood={"visits": "poisson", "pets": "categorical"})
    assert [named.columns[n].likelihood for n in (2, 5)] == ["poisson", "categorical"]


def test_what_is_encoded_can_be_decoded():
    columns = columns_of(X)
    encoded = columns.encode(X)
    assert encoded.shape == (N, columns.n_encoded)
    whole = ~X.isna().any(axis=1).to_numpy()
    decoded = columns.decode(encoded[whole])
    expected = X[whole].reset_index(drop=True)
    pd.testing.assert_frame_equal(decoded, expected, check_dtype=True)


def test_holes_and_unknown_categories_are_missing():
    columns = columns_of(X)
    encoded, parts = columns.encode(X), dict(columns.layout)
    assert np.isnan(encoded[[3, 7], parts[0]]).all()
    assert np.isnan(encoded[5, parts[1]]).all()
    assert np.isnan(encoded[4, parts[5]]).all()
    assert np.isnan(encoded).sum() == 2 * 3 + 1 + 2 * 3 + 1
    other = X.assign(town="Atlantis")
    assert np.isnan(columns.encode(other)[:, parts[0]]).all()
    model = fitted()
    missing = X.assign(town=pd.Series([None] * N, dtype=object))
    np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(missing))
    assert (model.impute(other)["town"] == "Atlantis").all()  # it is there


@pytest.mark.parametrize("cls", FAMILY)
def test_every_method_gives_back_the_columns_that_came_in(cls):
    model = fitted(cls)
    assert model.likelihood_ == "mixed"
    assert model.n_features_in_ == X.shape[1]
    found = [model.cluster_centers_, model.inverse_transform(model.transform(X)), model.impute(X)]
    if hasattr(model, "sample"):
        found.append(model.sample(30)[0])
        assert np.isfinite(model.score_samples(X)).all()
    for rows in found:
        pd.testing.assert_series_equal(rows.dtypes, X.dtypes)
        assert not rows.isna().any(axis=None)
        assert set(rows["town"]) <= {"Rome", "Oslo", "Lima"}
        assert set(rows["paid"]) <= {"yes", "no"}
        assert set(rows["size"]) <= {"S", "M", "L"}
    filled = model.impute(X)
    pd.testing.assert_frame_equal(filled.where(X.notna()).astype(object), X.astype(object))
    assert model.predict_proba(X).sum(1) == pytest.approx(np.ones(N), abs=1e-5)


@pytest.mark.parametrize("cls", FAMILY)
def test_files_hold_all_of_it(cls, tmp_path):
    model = fitted(cls)
    model.save(tmp_path / "table.safetensors")
    again = load(tmp_path / "table.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    pd.testing.assert_frame_equal(again.cluster_centers_, model.cluster_centers_)
    pd.testing.assert_frame_equal(again.impute(X), model.impute(X))
    assert str(again.report()) == str(model.report())
    again.save(tmp_path / "again.safetensors")
    names = ("again", "table")
    first, second = ((tmp_path / f"{name}.safetensors").read_bytes() for name in names)
    assert first == second


def test_arrays_with_numbered_categories():
    rng = np.random.default_rng(1)
    first, last = rng.normal(LABELS * 3, 1), rng.normal(size=N)
    numbers = np.c_[first, LABELS, rng.integers(0, 2, N) + 7, last]
    masks = ([1, 2], np.array([False, True, True, False]), [-3, -2])
    models = [
        small(VaDEClustering, categorical_features=mask, max_iter=1).fit(numbers) for mask in masks
    ]
    for model in models:
        np.testing.assert_array_equal(model.labels_, models[0].labels_)
        assert model.cluster_centers_.dtype == np.float64
        assert set(model.cluster_centers_[:, 1]) <= {0.0, 1.0, 2.0}
        assert set(model.sample(20)[0][:, 2]) <= {7.0, 8.0}
    whole = np.c_[LABELS, rng.integers(0, 2, N), rng.integers(0, 9, N)]
    model = small(VaDEClustering, categorical_features=[0, 1]).fit(whole)
    assert model.sample(20)[0].dtype == whole.dtype
    texts = np.array([["a", 1.5], ["b", None], ["a", 2.0], ["c", 3.0]] * 10, dtype=object)
    model = small(VaDEClustering, categorical_features=[0]).fit(texts)
    assert set(model.impute(texts)[:, 0]) == {"a", "b", "c"}
    assert model.impute(texts)[2, 1] == 2.0
    assert model.impute(texts.tolist()).shape == texts.shape


def test_numbers_are_places_whatever_the_columns_are_called():
    frame = pd.DataFrame({5: RNG.normal(size=N), 0: LABELS})
    model = small(VaDEClustering, categorical_features=[1]).fit(frame)
    assert [column.likelihood for column in model._columns.columns] == ["gaussian", "categorical"]
    with pytest.raises(ValueError, match="2D array"):
        mixed().fit(X["town"])


def test_likelihoods_by_number_come_back_from_a_file(tmp_path):
    counts = RNG.poisson(3, (N, 2))
    model = small(VaDEClustering, likelihood={0: "poisson", 1: "gaussian"}).fit(counts)
    model.save(tmp_path / "counts.safetensors")
    again = load(tmp_path / "counts.safetensors")
    assert again.likelihood == {0: "poisson", 1: "gaussian"}
    np.testing.assert_array_equal(again.predict_proba(counts), model.predict_proba(counts))


def test_without_categories_nothing_changes():
    numbers = X[["age", "weight"]].fillna(30.0)
    plain = small(VaDEClustering).fit(numbers)
    for chosen in ("from_dtype", None):
        model = small(VaDEClustering, categorical_features=chosen).fit(numbers)
        assert model.likelihood_ == "gaussian"
        np.testing.assert_array_equal(model.transform(numbers), plain.transform(numbers))
    again = fitted().set_params(categorical_features=None).fit(numbers)
    np.testing.assert_array_equal(again.transform(numbers), plain.transform(numbers))
    assert isinstance(again.cluster_centers_, np.ndarray)


def test_units_of_columns_of_numbers_change_nothing():
    """Each has a scale of its own: neither kind drowns the other, whatever the unit."""
    other = X.assign(age=X.age * 1e4 - 7, weight=X.weight * 1e-3)
    first, second = (mixed().fit(rows) for rows in (X, other))
    np.testing.assert_allclose(
        second.predict_proba(other), first.predict_proba(X), rtol=2e-3, atol=2e-3
    )
    change = np.log(1e4 * 1e-3)
    np.testing.assert_allclose(
        second.score_samples(other)[10:], first.score_samples(X)[10:] - change, rtol=1e-2
    )


def test_densities_are_of_what_is_observed():
    model = fitted()
    part = X.drop(columns=[]).copy()
    part["town"], part["age"] = None, np.nan
    assert (model.score_samples(part) != model.score_samples(X)).all()
    nothing = X.iloc[:3].astype(object)
    nothing[:] = None
    assert np.isfinite(model.score_samples(nothing)).all()
    assert (model.outlier_scores(nothing) == 0).all()


def test_clusters_of_categories_are_found():
    """Where all columns are categories, codes start at latent classes."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 400)
    favourite = rng.integers(0, 4, (3, 10))
    noise = rng.integers(0, 4, (400, 10))
    values = np.where(rng.random((400, 10)) < 0.7, favourite[labels], noise)
    frame = pd.DataFrame(np.array(["red", "blue", "green", "grey"])[values]).add_prefix("x")
    model = VaDEClustering(
        3, categorical_features="from_dtype", precision="float32", random_state=0
    ).fit(frame)
    assert adjusted_rand_score(labels, model.labels_) > 0.9
    assert "labels" in {record["phase"] for record in model.history_}  # codes learn the classes
    assert model.history_[-1]["phase"] == "train"
    assert "labels" in model.history_[-1]  # and keep them


REFUSED = [
    ({"categorical_features": ["city"]}, ValueError, "names column 'city', which X has not.*town"),
    ({"categorical_features": [8]}, ValueError, "names column 8, but X has columns 0 to 7"),
    ({"categorical_features": [True, False]}, ValueError, "mask of 2 columns, but X has 8"),
    ({"categorical_features": [[0]]}, ValueError, r"one-dimensional.*shape \(1, 1\)"),
    ({"categorical_features": [0.5]}, ValueError, "dtype float64"),
    ({"likelihood": {"town": "normal"}}, ValueError, "'likelihood'.*'normal' for column 'town'"),
    ({"likelihood": {"city": "poisson"}}, ValueError, "likelihood names column 'city'"),
    (
        {"likelihood": {"age": "bernoulli"}},
        ValueError,
        "'age' holds .*'bernoulli' needs",
    ),
    ({"likelihood": {"weight": "poisson"}}, ValueError, "'weight' holds -.*at least 0"),
    (
        {"likelihood": {"age": "poisson"}, "categorical_features": ["age", "town", "size", "paid"]},
        ValueError,
        "'age' is named in categorical_features, and likelihood='poisson'",
    ),
    ({"categorical_features": ["town", "size"]}, ValueError, "no numbers in column 'paid'.*'no'"),
    ({"likelihood": {"town": "gaussian"}}, ValueError, "no numbers in column 'town'"),
]


@pytest.mark.parametrize(("parameters", "error", "message"), REFUSED)
def test_what_is_no_kind_is_refused_before_training(parameters, error, message):
    given = {"categorical_features": "from_dtype", **parameters}
    with pytest.raises(error, match=message):
        small(VaDEClustering, **given).fit(X)


FRAMES = {
    "names": (X.assign(name=[f"n{i}" for i in range(N)]), "'name' holds texts with 90 diff.*leave"),
    "nothing": (X.assign(empty=pd.Series([None] * N, dtype="category")), "but NaN in .*'empty'"),
    "dates": (X.assign(day=pd.Timestamp("2026-01-01")), "no numbers in column 'day' .datetime64"),
    "objects": (
        X.assign(day=pd.Categorical([pd.Timestamp("2026-01-01")] * N)),
        "'day' holds Timestamp.*texts, numbers or truth values",
    ),
    "numbers as texts": (X.assign(more=["1.5", "2.5", "?"] * 30), None),
    "infinity": (X.assign(age=np.inf), "infinity, first in row 0 of column 'age'"),
    "one row": (X.iloc[:1], "1 sample.*minimum of 2"),
    "mixed texts": (X.assign(more=[1, "b", 2.5] * 30), "column 'more'.*in which all values are"),
    "an array": (X.to_numpy(dtype=object), "reads the dtypes of a DataFrame.*set_output"),
    "a column": (X["age"], r"got a Series of 1 dimension.*X\.iloc\[\[0\]\]"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_columns_that_are_no_categories_are_named(name):
    frame, message = FRAMES[name]
    if message is None:
        assert mixed(max_iter=1).fit(frame).n_features_in_ == 9
        return
    with pytest.raises(ValueError, match=message):
        mixed().fit(frame)


def test_what_has_no_hash_is_no_category():
    frame = X[["age"]].assign(tags=[[1]] * N)
    with pytest.raises(ValueError, match="'tags' holds values that cannot be categories.*list"):
        mixed(categorical_features=["tags"]).fit(frame)


def test_one_row_has_two_dimensions():
    model = mixed().fit(X)
    for row in (X.iloc[0], [X.iloc[0].to_dict()], X.iloc[0].to_dict()):
        with pytest.raises(ValueError, match=r"2D array or DataFrame.*X\.iloc\[\[0\]\]"):
            model.predict(row)


def test_texts_of_numbers_beside_categories():
    texts = np.array([["1.0", "u"], ["9.5", "v"], ["1.2", "u"]] * 20)
    model = small(VaDEClustering, 2, categorical_features=[1])
    expected = model.fit_predict(texts.astype(object))
    np.testing.assert_array_equal(model.fit_predict(texts), expected)


def test_masked_categories_are_missing():
    rows = np.array([[1.0, 0], [9.5, 1], [1.2, 0]] * 20)
    hidden = np.ma.masked_array(rows, np.zeros(rows.shape, bool))
    hidden[3, 1] = np.ma.masked
    rows[3, 1] = np.nan
    model = small(VaDEClustering, 2, categorical_features=[1])
    expected = model.fit(rows).predict_proba(rows)
    np.testing.assert_array_equal(model.fit(hidden).predict_proba(hidden), expected)
    assert model._columns_in_use.columns[1].categories == (0.0, 1.0)


def test_constant_counts_have_a_scale_of_their_own():
    counts = RNG.poisson(3, (1_000, 2))
    counts[:, 1] = 2
    model = small(VaDEClustering, 2, likelihood={0: "poisson", 1: "poisson"}).fit(counts)
    assert max(model._summary.blocks[0].scales) < 10


def test_other_tables_at_prediction_are_refused():
    model = fitted()
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="8 features|feature names"):
        model.predict(X.iloc[:, :3])
    with pytest.raises(ValueError, match="no numbers in column 'age'"):
        model.predict(X.assign(age="old"))
    counts = mixed(likelihood={"visits": "poisson"}).fit(X)
    with pytest.raises(ValueError, match="'visits' holds -1"):
        counts.score_samples(X.assign(visits=-1))
    with pytest.raises(TypeError, match="dense table, got a sparse"):
        small(VaDEClustering, categorical_features=[0]).fit(sp.csr_array(np.eye(20)))


def test_warm_starts_go_on_with_the_columns():
    model = fitted(max_iter=1).set_params(warm_start=True)
    before = model.module_
    again = model.fit(X.assign(town=X.town.replace("Lima", "Quito")))
    assert again.module_ is not before
    assert set(again.cluster_centers_["town"]) <= {"Rome", "Oslo", "Lima"}


def test_checkpoints_go_on(tmp_path):
    whole = fitted()
    path = tmp_path / "state"
    first = mixed().fit(X, checkpoint=path, checkpoint_interval=0.0)
    again = mixed().fit(X, checkpoint=path)
    for model in (first, again):
        np.testing.assert_array_equal(model.predict_proba(X), whole.predict_proba(X))


def test_searches_and_pipelines():
    scaler = make_column_transformer(
        (StandardScaler(), ["age", "weight"]),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipeline = make_pipeline(scaler, mixed(max_iter=1)).fit(X)
    assert set(pipeline[-1].cluster_centers_.columns) == set(X.columns)
    search = GridSearchCV(mixed(max_iter=1), {"n_clusters": [2, 3]}, cv=2, error_score="raise")
    assert search.fit(X).best_estimator_.likelihood_ == "mixed"
    assert clone(mixed()).get_params()["categorical_features"] == "from_dtype"


def test_counting_clusters_starts_at_classes_too():
    model = mixed(n_clusters="auto", pretrain_iter="auto", max_iter=1).fit(X)
    assert 1 <= model.n_clusters_ <= 30


def test_labels_and_rows_that_are_held_out():
    y = np.where(np.arange(N) % 3, -1, LABELS)
    model = mixed(VaDEClassifier, early_stopping=True).fit(X, y)
    assert model.score(X, LABELS) > 0.6


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries(library):
    module = pytest.importorskip(library)
    plain = X.drop(columns=["pets", "size"])
    make = module.from_pandas if library == "polars" else module.Table.from_pandas
    model, ours = (mixed().fit(rows) for rows in (make(plain), plain))
    np.testing.assert_array_equal(model.labels_, ours.labels_)
    filled = model.impute(make(plain))
    assert type(filled) is type(make(plain))
    pd.testing.assert_frame_equal(
        filled.to_pandas().astype(object), ours.impute(plain).astype(object)
    )


values = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "", "ä"]))
numbers = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6, width=32))


@st.composite
def frames(draw):
    n_rows = draw(st.integers(8, 30))
    columns = {}
    for number in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            column = draw(st.lists(values, min_size=n_rows, max_size=n_rows))
            dtype = draw(st.sampled_from([object, "category"]))
            columns[f"c{number}"] = pd.Series(column, dtype=dtype)
        else:
            columns[f"c{number}"] = draw(st.lists(numbers, min_size=n_rows, max_size=n_rows))
    return pd.DataFrame(columns)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(frame=frames(), cls=st.sampled_from(FAMILY))
def test_any_table_ends_in_a_fit_or_a_clear_error(frame, cls):
    model = small(cls, n_clusters=2, categorical_features="from_dtype", max_iter=1, pretrain_iter=1)
    y = np.arange(len(frame)) % 2 if is_classifier(model) else None
    before, refusal = frame.copy(), ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            filled = model.fit(frame, y).impute(frame)
        except ValueError as error:
            refusal = str(error)
    if refusal:
        assert "column" in refusal
        assert not hasattr(model, "module_")
        return
    pd.testing.assert_frame_equal(frame, before)
    assert np.isfinite(model.predict_proba(frame)).all()
    if isinstance(filled, pd.DataFrame):
        assert not filled.isna().any(axis=None)
        pd.testing.assert_series_equal(filled.dtypes, frame.dtypes)


def test_columns_of_a_file_are_checked():
    from dataclasses import asdict, replace

    columns = columns_of(X)
    plain = asdict(columns)
    assert Columns.of(plain) == columns
    forged = [
        {**plain, "container": "os"},
        {**plain, "columns": ()},
        *(
            {**plain, "columns": (asdict(replace(columns.columns[0], **change)),)}
            for change in (
                {"likelihood": "eval"},
                {"categories": ("a", "a", "b")},
                {"categories": ("a",)},
                {"categories": (object(), "a", "b")},
                {"dtype": 3},
                {"name": 1.5},
            )
        ),
    ]
    for values in forged:
        with pytest.raises(ValueError, match="column"):
            Columns.of(values)


def test_displays_name_the_values_of_categories():
    import matplotlib

    matplotlib.use("Agg")
    from skvade.inspection import ReconstructionDisplay, cluster_profiles

    model = fitted()
    display = ReconstructionDisplay.from_estimator(model, X)
    assert {"town=Oslo", "age", "paid=yes"} <= set(display.feature_names)
    profiles = cluster_profiles(model, X)
    assert set(profiles["column"]) == set(X.columns)


SMALL = ["uint8", "int8", "uint64", "int64", "UInt8", "Int16", "bool"]


@pytest.mark.parametrize("dtype", SMALL)
def test_decoded_numbers_stay_within_what_a_dtype_holds(dtype):
    frame = pd.DataFrame(
        {"town": ["a", "b", "c"] * 4, "count": pd.Series([0, 1] * 6).astype(dtype)}
    )
    columns = columns_of(frame, likelihood={"town": "categorical", "count": "gaussian"})
    encoded = columns.encode(frame)
    encoded[:4, columns.layout[0][1]] = np.array([-0.6, -3e30, 0.6, 3e30])[:, None]
    decoded = columns.decode(encoded)["count"]
    assert str(decoded.dtype) == dtype
    limits = [0, 1] if dtype == "bool" else np.iinfo(dtype.lower())
    low, high = limits if dtype == "bool" else (limits.min, limits.max)
    assert decoded[0] == max(low, -1)
    assert decoded[1] == low
    assert decoded[2] == 1
    assert high * (1 - 1e-15) <= float(decoded[3]) <= high
    if dtype == dtype.lower():
        table = frame[["count"]].to_numpy().repeat(2, axis=1)
        columns = columns_of(table, [1], {0: "gaussian"})
        decoded = columns.decode(np.array([[-0.6, 1.0], [3e30, 0.0]]))
        assert decoded.dtype == dtype
        assert decoded[0, 0] == max(low, -1)


def filled(frame, given):
    """What `impute` gives of rows, by columns of another fit."""
    columns = columns_of(frame)
    encoded = columns.encode(given)
    return columns.fill(given, encoded, np.ones_like(encoded))


def test_observed_values_stay_as_they_are_whatever_their_dtype():
    frame = pd.DataFrame({"size": pd.Categorical(["a", "b", "c"] * 5), "pets": [3, 1, 2] * 5})
    fewer = frame.assign(size=pd.Categorical(["a", None, "b"] * 5, categories=["a", "b"]))
    assert filled(frame, fewer)["size"].dtype == frame["size"].dtype
    assert filled(frame, fewer)["size"][0] == "a"
    parts = frame.assign(pets=[2.7, np.nan, 3.0] * 5)
    assert filled(frame, parts)["pets"].tolist() == [2.7, 1.0, 3.0] * 5
    large = frame.assign(pets=[300, np.nan, 3.0] * 5)
    assert filled(frame.astype({"pets": "uint8"}), large)["pets"].tolist() == [300, 1, 3] * 5
    other = frame.assign(size=pd.Series(["Z", None, "b"] * 5, dtype=object))
    assert filled(frame, other)["size"][0] == "Z"
    assert filled(frame, other)["size"].notna().all()
    array = parts.astype(object).to_numpy()
    pd.testing.assert_frame_equal(
        filled(frame, array), filled(frame, parts), check_dtype=False, check_categorical=False
    )
    whole = np.c_[[0, 1, 2] * 5, [3, 1, 2] * 5]
    columns = columns_of(whole, [0])
    given = np.c_[[0, 1, 2] * 5, [2.7, np.nan, 3.0] * 5]
    encoded = columns.encode(given)
    assert columns.fill(given, encoded, np.ones_like(encoded))[:3, 1].tolist() == [2.7, 1.0, 3.0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_going_on_asks_for_the_same_kinds_of_columns():
    numbers = X[["town", "visits", "age"]]
    model = mixed(likelihood="gaussian").fit(numbers)
    assert model.partial_fit(numbers[:20]) is model  # "gaussian" is what its numbers are
    named = mixed(likelihood={"visits": "poisson"}).fit(numbers)
    named.partial_fit(numbers[:20])
    for changed, column in (
        ({"likelihood": {"visits": "negative_binomial"}}, "visits"),
        ({"likelihood": "gaussian"}, "visits"),
        ({"categorical_features": [0, 1]}, "visits"),
        ({"categorical_features": None}, "town"),
    ):
        other = copy.deepcopy(named).set_params(**changed)
        with pytest.raises(ValueError, match=f"ask for another kind of '{column}'"):
            other.partial_fit(numbers[:20])
        other.set_params(warm_start=True)
        with pytest.raises(ValueError, match="set warm_start=False"):
            other.fit(numbers)
    nothing = small(VaDEClustering, categorical_features=np.zeros(2, bool))
    nothing.fit(X[["visits", "weight"]]).partial_fit(X[["visits", "weight"]])
    plain = small(VaDEClustering).fit(X[["visits", "weight"]])
    with pytest.raises(ValueError, match="ask for another kind of 'visits'"):
        plain.set_params(likelihood={"visits": "poisson"}).partial_fit(X[["visits", "weight"]])


def test_tables_of_arrow_in_pandas_hold_categories():
    pytest.importorskip("pyarrow")
    frame = X[["town", "visits", "paid"]].dropna().convert_dtypes(dtype_backend="pyarrow")
    kinds = [column.likelihood for column in columns_of(frame).columns]
    assert kinds == ["categorical", "gaussian", "bernoulli"]
    import pyarrow as pa

    kind = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
    columns = columns_of(pd.DataFrame({"town": frame.town.astype(kind), "visits": frame.visits}))
    assert [column.likelihood for column in columns.columns] == ["categorical", "gaussian"]
    decoded = columns.decode(columns.encode(frame[["town", "visits"]]))
    assert decoded.town.astype(str).tolist() == frame.town.tolist()


def test_lists_with_texts_in_a_later_row():
    rows = [[np.nan, 1.0], ["a", 2.0], ["b", 3.0]] * 5
    first = columns_of(rows, [0]).columns[0]
    assert first.categories == ("a", "b")
    with pytest.raises(ValueError, match="2D array"):
        columns_of([1, 2, 3], [0])


def test_sparse_rows_of_a_table_with_categories_are_named():
    model = fitted()
    with pytest.raises(TypeError, match=r"need a dense table.*pass X\.toarray"):
        model.predict(sp.csr_array(np.ones((2, X.shape[1]))))


def test_what_is_filled_is_never_the_table_that_came_in():
    whole = pd.DataFrame({"a": LABELS, "b": RNG.integers(0, 9, N)})
    given = whole.copy()
    found = small(VaDEClustering).fit(whole).impute(given)
    found.iloc[:, 0] = 99
    pd.testing.assert_frame_equal(given, whole)


def test_a_library_that_is_not_there_is_named(tmp_path, monkeypatch):
    fitted().save(tmp_path / "table.safetensors")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs a library that is not installed.*pandas"):
        load(tmp_path / "table.safetensors")
