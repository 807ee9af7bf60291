"""What is no table of numbers yet is refused before training, by name and with the cure."""

import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_blobs

from skvade import VaDEClustering
from skvade.training.descent import Guard
from tests.conftest import small
from tests.persistence.test_checkpoint import assert_same

X, _ = make_blobs(60, centers=3, n_features=3, random_state=0)
FRAME = pd.DataFrame(X, columns=["age", "size", "rooms"])


def other(name, **attributes):
    """An object of another library's kind: it has the attributes by which those are told."""
    return type(name, (), {"shape": X.shape, **attributes})()


CONTAINERS = {
    "AnnData": (other("AnnData", X=X, obs_names=[]), r"pass its matrix, adata\.X"),
    "AnnData's matrix in a file": (other("Backed", to_memory=None), r"X\.to_memory\(\)"),
    "lazy frame": (other("LazyFrame", collect=None), r"collect it first: X\.collect\(\)"),
    "lazy expression": (other("Expr", compute=None), r"compute it first: X\.compute\(\)"),
    "frame of a cluster": (other("Cluster", toPandas=None), r"X\.toPandas\(\)"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_without_rows_are_named_with_the_cure(name):
    container, cure = CONTAINERS[name]
    kind = type(container).__name__
    with pytest.raises(TypeError, match=f"X is a .*{kind}, of which no rows.*{cure}"):
        small(VaDEClustering).fit(container)


@pytest.mark.usefixtures("quiet")
def test_what_numpy_makes_rows_of_is_taken():
    array = other("DataArray", compute=None, __array__=lambda self, dtype=None, copy=None: X)
    names = ["compute", "collect", "obs_names"]
    for rows in (array, pd.DataFrame(X, columns=names), pd.DataFrame(X, columns=list("abc"))):
        assert small(VaDEClustering).fit(rows).n_features_in_ == 3


def test_tensors_that_numpy_cannot_read():
    with pytest.raises(TypeError, match=r"requires a gradient; pass X\.detach"):
        small(VaDEClustering).fit(torch.from_numpy(X).requires_grad_())
    with pytest.raises(TypeError, match=r"tensor on device meta; pass X\.cpu"):
        small(VaDEClustering).fit(torch.empty(60, 3, device="meta"))


TEXTS, DATES = "to_numeric.*encode.*from_dtype", "days: .*dt.days"
COLUMNS = {
    "strings": (["a", "b", "c"] * 20, f"'town' .*such as 'a'.*{TEXTS}"),
    "strings among numbers": ([*map(str, range(59)), "n/a"], f"'town' .*such as 'n/a'.*{TEXTS}"),
    "categories": (pd.Categorical(["a"] * 60), rf"'town' \(category, such as 'a'\).*{TEXTS}"),
    "spans": (pd.to_timedelta([1] * 60, unit="D"), rf"'town' \(timedelta64.*{DATES}"),
    "days": ([datetime.date(2026, 1, 1)] * 60, rf"'town' \(object, such as datetime.*{DATES}"),
    "dates": ([datetime.datetime(2026, 1, 1)] * 60, rf"'town' \(datetime64.*{DATES}"),
    "mixed objects": ([1, "b", 2.5] * 20, rf"'town' \(object, such as 'b'\).*{TEXTS}"),
    "dicts": ([{}] * 60, r"'town' \(object, such as \{\}\); make numbers or texts"),
    "lists": ([[1, 2]] * 60, r"'town' \(object, such as \[1, 2\]\); make numbers or texts"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_without_numbers_are_named(name, monkeypatch):
    values, named = COLUMNS[name]
    monkeypatch.setattr(Guard, "descend", lambda *args: pytest.fail("it was trained"))
    frame = FRAME.assign(town=values)
    with pytest.raises(ValueError, match=f"no numbers in column {named}"):
        small(VaDEClustering).fit(frame)


def test_what_a_mask_hides_is_missing():
    hidden = np.ma.masked_array(X, X > np.quantile(X, 0.9))
    model = small(VaDEClustering).fit(hidden)
    assert_same(model, small(VaDEClustering).fit(hidden.filled(np.nan)), X)
    np.testing.assert_array_equal(model.predict(hidden), model.predict(hidden.filled(np.nan)))
    texts = np.ma.masked_array(FRAME.astype(object).assign(town="a").to_numpy(), np.eye(60, 4) > 0)
    with pytest.raises(ValueError, match=r"no numbers in column 3 \(object, such as 'a'\)"):
        small(VaDEClustering).fit(texts)
    assert small(VaDEClustering).fit(FRAME.assign(_mask=0.5)).n_features_in_ == 4
    whole = np.ma.masked_array(X)
    assert_same(small(VaDEClustering).fit(whole), small(VaDEClustering).fit(X), X)


@pytest.mark.usefixtures("quiet")
def test_columns_of_numbers_in_other_dress_are_taken():
    model = small(VaDEClustering).fit(FRAME)
    for frame in (FRAME.astype(object), FRAME.astype("Float64"), FRAME.map(str).astype(object)):
        np.testing.assert_allclose(model.transform(frame), model.transform(FRAME), rtol=1e-5)
    for column in (FRAME.age > 0, pd.Categorical([1, 2, 3] * 20)):
        assert small(VaDEClustering).fit(FRAME.assign(more=column)).n_features_in_ == 4


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", [object, "Float64", float])
def test_holes_are_missing_and_not_text(kind):
    frame, array = FRAME.astype(kind), FRAME.to_numpy(dtype=float).copy()
    frame.iloc[3, 1], array[3, 1] = None, np.nan
    model = small(VaDEClustering).fit(frame)
    np.testing.assert_array_equal(model.labels_, small(VaDEClustering).fit(array).labels_)


@pytest.mark.usefixtures("quiet")
def test_what_is_not_finite_is_found_by_every_method():
    model = small(VaDEClustering).fit(FRAME)
    frame = FRAME.copy()
    frame.loc[[2, 5], "age"] = np.inf
    for method in (model.predict, model.score_samples, model.fit):
        with pytest.raises(ValueError, match="infinity.*first in row 2 of column 'age'.*1 more"):
            method(frame)
    with pytest.raises(ValueError, match="first in row 2 of column 0"):
        small(VaDEClustering).fit(frame.to_numpy())


@pytest.mark.parametrize("kind", [str, object])
def test_strings_in_an_array_are_named_by_column(kind):
    texts = X.astype("U32").astype(kind)
    texts[7, 2] = "many"
    with pytest.raises(ValueError, match=r"no numbers in column 2 \(.*'many'\).*to_numeric"):
        small(VaDEClustering).fit(texts)


def test_a_single_hidden_layer_is_hinted_at():
    with pytest.raises(ValueError, match=r"'hidden_layer_sizes'.*Got 64.*write \(64,\)"):
        VaDEClustering(3, hidden_layer_sizes=64).fit(X)


@pytest.mark.usefixtures("quiet")
def test_more_clusters_than_rows_of_a_mixture():
    """A mixture is made of 6,000 rows, or of more where there are more clusters than that."""
    from skvade.training.mixture_start import GaussianMixtureStart

    start = GaussianMixtureStart(30, "spherical", n_restarts=1, max_samples=20, max_iter=1)
    codes = np.random.default_rng(0).normal(size=(200, 2))
    assert len(np.unique(start(codes, seed=0).labels)) > 20


def test_two_rows_cannot_be_held_out_from():
    message = r"holds out 1 of 2 rows, which leaves 1, and .* n_clusters=1 needs 2.*False"
    with pytest.raises(ValueError, match=message):
        small(VaDEClustering, n_clusters=1, early_stopping=True).fit(X[:2])


@pytest.mark.usefixtures("quiet")
def test_truth_values_with_holes_and_decimals_of_other_libraries():
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    flags = [True, None, False] * 20
    numbers = {"flag": [1.0, np.nan, 0.0] * 20, "size": X[:, 0].round(2)}
    expected = small(VaDEClustering).fit(pd.DataFrame(numbers)).predict_proba(pd.DataFrame(numbers))
    frame = polars.DataFrame({"flag": flags, "size": numbers["size"]})
    decimal = frame.with_columns(polars.col("size").cast(polars.Decimal(10, 2)))
    table = pyarrow.table({"flag": flags, "size": numbers["size"]})
    for rows in (frame, decimal, table):
        found = small(VaDEClustering).fit(rows).predict_proba(rows)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match="'town' .*such as 'a'.*categorical_features"):
        small(VaDEClustering).fit(pyarrow.table({"town": ["a", "b"] * 30, "size": X[:, 0]}))
