"""Whole pipelines come back to the bit, and files that say anything else are refused."""

import copy
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skvade import VaDEClassifier, VaDEClustering, load, save
from skvade.persistence import container
from tests.conftest import small

X, Y = load_iris(return_X_y=True)
COUNTS = np.round(X * 5)
RNG = np.random.RandomState(0)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(
    town=np.where(RNG.random_sample(150) < 0.1, None, np.array(["Rome", "Paris"])[Y % 2]),
    size=np.where(RNG.random_sample(150) < 0.1, np.nan, X[:, 0]),
)
pytestmark = pytest.mark.usefixtures("quiet")

STEPS = {
    "scalers": [StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler(), Normalizer()],
    "shapes": [PowerTransformer(), QuantileTransformer(n_quantiles=50)],
    "reductions": [VarianceThreshold(), PCA(3, random_state=0), StandardScaler()],
    "svd": [TruncatedSVD(2, random_state=0)],
    "bins": [KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf")],
    "texts": [TfidfTransformer()],
    "union": [make_union(StandardScaler(), PCA(2, random_state=0))],
    "passthrough": ["passthrough", StandardScaler()],
}


def saved(model, tmp_path):
    save(model, tmp_path / "pipeline")
    return load(tmp_path / "pipeline")


@pytest.mark.parametrize("name", STEPS)
def test_pipelines_come_back_to_the_bit(name, tmp_path):
    rows = COUNTS if name == "texts" else X
    model = make_pipeline(*STEPS[name], small(VaDEClustering)).fit(rows)
    again = saved(model, tmp_path)
    np.testing.assert_array_equal(again.predict_proba(rows), model.predict_proba(rows))
    np.testing.assert_array_equal(again.transform(rows), model.transform(rows))
    assert str(again.get_params()) == str(model.get_params())


def mixed(last):
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b", "size"]),
        (make_pipeline(KNNImputer(), MinMaxScaler()), ["c", "size"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["town"]),
        (
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1
            ),
            ["town"],
        ),
        remainder="passthrough",
    )
    return make_pipeline(columns, MinMaxScaler(clip=True), last)


@pytest.mark.parametrize("cls", [VaDEClustering, VaDEClassifier])
def test_mixed_tables_come_back_to_the_bit(cls, tmp_path):
    model = mixed(small(cls)).fit(FRAME, np.where(np.arange(150) % 4, -1, Y))
    again = saved(model, tmp_path)
    new = FRAME.assign(town="Oslo")
    for frame in (FRAME, new):
        np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert list(again.feature_names_in_) == list(FRAME.columns)
    assert list(again[:-1].get_feature_names_out()) == list(model[:-1].get_feature_names_out())


def test_a_new_process_gives_the_same(tmp_path):
    model = make_pipeline(StandardScaler(), small(VaDEClustering)).fit(X)
    save(model, tmp_path / "pipeline")
    np.save(tmp_path / "X.npy", X)
    code = (
        "import sys, numpy as np, skvade; folder = sys.argv[1]; "
        "model = skvade.load(folder + '/pipeline'); "
        "np.save(folder + '/proba.npy', model.predict_proba(np.load(folder + '/X.npy')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "proba.npy"), model.predict_proba(X))


def test_a_model_alone_is_saved_as_by_itself(tmp_path):
    model = small(VaDEClustering).fit(X)
    save(model, tmp_path / "one")
    model.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_needs_code_is_named(tmp_path):
    rows = FRAME[["a", "b", "c", "d"]]
    for step, message in [
        (FunctionTransformer(np.log1p), "steps.0.1.func is a numpy.ufunc"),
        (make_column_transformer((StandardScaler(), make_column_selector())), "column_selector"),
        (PCA(2, random_state=np.random.RandomState(0)), r"random_state is a .*RandomState"),
    ]:
        model = make_pipeline(step, small(VaDEClustering)).fit(rows)
        with pytest.raises(TypeError, match=message):
            save(model, tmp_path / "none")
    for other in (KMeans(2).fit(X), make_pipeline(StandardScaler(), KMeans(2)).fit(X)):
        with pytest.raises(TypeError, match="ends in one"):
            save(other, tmp_path / "none")
    with pytest.raises(NotFittedError):
        save(make_pipeline(StandardScaler(), small(VaDEClustering)), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def altered(path, change):
    """The file with other contents, and a digest of these."""
    contents = container.read(path, "model")
    change(contents)
    container.write(path, "model", contents)
    return load(path)


def test_columns_may_be_an_index(tmp_path):
    numbers = FRAME[["a", "b", "c", "d"]]
    columns = make_column_transformer((StandardScaler(), numbers.columns[:3]))
    model = make_pipeline(columns, small(VaDEClustering)).fit(numbers)
    np.testing.assert_array_equal(saved(model, tmp_path).predict(numbers), model.predict(numbers))


def test_a_memory_is_refused(tmp_path):
    """Its files are pickles, which a later fit would read from wherever the file says."""
    memory = str(tmp_path / "memory")
    model = make_pipeline(StandardScaler(), small(VaDEClustering), memory=memory).fit(X)
    with pytest.raises(TypeError, match=r"memory.*set_params\(memory=None\)"):
        save(model, tmp_path / "file")
    save(model.set_params(memory=None), tmp_path / "file")

    def remember(contents):
        contents["state"]["memory"] = {"kind": "value", "value": memory}

    with pytest.raises(ValueError, match="has a memory"):
        altered(tmp_path / "file", remember)


CHANGES = {
    "a step that only looks like a model": (
        lambda c: c["state"]["steps"]["items"].pop(),
        "end in a model",
    ),
    "another class": (lambda c: c.update(name="SVC"), "class 'SVC'"),
    "a function's name": (
        lambda c: c["state"].update(predict={"kind": "value", "value": 1}),
        "attribute 'predict'",
    ),
    "no steps": (lambda c: c["state"].pop("steps"), "has no steps"),
    "steps of numbers": (
        lambda c: c["state"].update(steps={"kind": "list", "items": []}),
        "end in a model",
    ),
    "another kind": (lambda c: c.update(kind="code"), "kind 'code'|altered"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_altered_files_are_refused(name, tmp_path):
    change, message = CHANGES[name]
    save(make_pipeline(StandardScaler(), small(VaDEClustering)).fit(X), tmp_path / "file")
    with pytest.raises(ValueError, match=message):
        altered(tmp_path / "file", change)


def test_damaged_files_are_refused_or_equal(tmp_path):
    model = make_pipeline(StandardScaler(), small(VaDEClustering)).fit(X)
    save(model, tmp_path / "file")
    whole, rng = bytearray((tmp_path / "file").read_bytes()), np.random.RandomState(0)
    expected = model.predict_proba(X)
    for number in range(300):
        damaged = copy.copy(whole)
        if number % 3 == 0:
            damaged = damaged[: rng.randint(len(damaged))]
        else:
            place = rng.randint(len(damaged) if number % 3 == 1 else 4_000)
            damaged[place] ^= 1 << rng.randint(8)
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            again = load(tmp_path / "damaged")
        except ValueError:
            continue
        np.testing.assert_array_equal(again.predict_proba(X), expected)


def test_another_version_of_scikit_learn_is_named(tmp_path, monkeypatch):
    model = make_pipeline(StandardScaler(), small(VaDEClustering)).fit(X)
    monkeypatch.setattr(sklearn, "__version__", "0.1")
    save(model, tmp_path / "file")
    monkeypatch.undo()
    with pytest.warns(InconsistentVersionWarning, match=r"from version 0\.1"):
        load(tmp_path / "file")
