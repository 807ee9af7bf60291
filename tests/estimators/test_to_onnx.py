"""What an ONNX file computes, against `predict` and the other methods."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skvade import VaDEClustering, to_onnx
from skvade.estimators.exported import eliminate
from skvade.estimators.to_onnx import _affine
from tests.conftest import FAMILY, small

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = [
    pytest.mark.usefixtures("quiet"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
X, Y = load_wine(return_X_y=True)
X = X.astype(np.float32)
SCALED = StandardScaler().fit_transform(X)
MANY = np.tile(SCALED, (57, 1))[:10_000]


def run(path, rows, *names):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    assert [session.get_inputs()[0].name] == ["X"]
    found = session.run(list(names) or outputs, {"X": rows.astype(np.float32)})
    return dict(zip(names or outputs, found, strict=True))


@pytest.mark.parametrize("cls", FAMILY)
def test_a_file_gives_what_the_methods_give(cls, tmp_path, capfd):
    model = small(cls).fit(SCALED, np.where(np.arange(len(Y)) % 2, Y, -1))
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    assert capfd.readouterr() == ("", "")
    for rows in (MANY, SCALED[:1]):
        found = run(path, rows)
        expected = model.predict(rows)
        clusters = model.classes_[found["cluster"]] if is_classifier(model) else found["cluster"]
        np.testing.assert_array_equal(clusters, expected)
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(rows), atol=1e-5)
        np.testing.assert_allclose(found["code"], model.transform(rows), rtol=1e-4, atol=1e-5)
        if hasattr(model, "score_samples"):
            scores = model.score_samples(rows[: len(SCALED)])  # the others are the same again
            found = found["log_likelihood"][: len(SCALED)]
            np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


STEPS = {
    "standard": [StandardScaler()],
    "range": [MinMaxScaler()],
    "robust": [RobustScaler()],
    "several": [MaxAbsScaler(), StandardScaler(), PCA(5)],
}


@pytest.mark.parametrize("name", STEPS)
def test_an_affine_step_is_one_factor_and_one_shift(name):
    for step in STEPS[name]:
        affine = _affine(name, step.fit(X))
        factor = affine.factor if affine.factor.ndim == 2 else np.diag(affine.factor)
        np.testing.assert_allclose(
            X @ factor + affine.shift, step.transform(X), rtol=1e-4, atol=1e-4
        )


def test_affine_steps_are_folded_in(tmp_path):
    pipeline = make_pipeline(*STEPS["several"], small(VaDEClustering, likelihood="gaussian")).fit(X)
    to_onnx(pipeline, tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", X)
    np.testing.assert_array_equal(found["cluster"], pipeline.predict(X))
    np.testing.assert_allclose(found["probabilities"], pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson", "negative_binomial"])
def test_other_likelihoods(likelihood, tmp_path):
    counts = np.abs(SCALED * 3).round() if likelihood != "bernoulli" else (SCALED > 0).astype("f4")
    model = small(VaDEClustering, likelihood=likelihood, init="auto").fit(counts)
    model.to_onnx(tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", counts)
    np.testing.assert_array_equal(found["cluster"], model.predict(counts))
    np.testing.assert_allclose(found["log_likelihood"], model.score_samples(counts), rtol=1e-4)


FEW = SCALED[:, :3]  # torch exports an elimination step by step, for seconds each
HOLES = np.where(np.random.default_rng(0).random(FEW.shape) < 0.15, np.nan, FEW)
HOLES[3] = np.nan
HOLES = HOLES.astype(np.float32)


@pytest.mark.parametrize(
    ("name", "likelihood"),
    [
        ("VaDEClustering", "gaussian"),
        ("VaDEClustering", "negative_binomial"),
        ("M2Classifier", "gaussian"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*without any value")
def test_missing_values_are_known_where_the_fit_saw_some(name, likelihood, tmp_path):
    rows = HOLES if likelihood == "gaussian" else np.abs(HOLES * 3).round()
    (cls,) = (cls for cls in FAMILY if cls.__name__ == name)
    own = {} if issubclass(cls, ClassifierMixin) else {"noise_quantile": 0.9}
    model = small(cls, likelihood=likelihood, **own)
    pipeline = make_pipeline(MaxAbsScaler(), model) if likelihood == "gaussian" else model
    pipeline.fit(rows, np.where(np.arange(len(Y)) % 2, Y, -1))
    to_onnx(pipeline, tmp_path / "model.onnx")
    for some in (rows, rows[3:4], np.nan_to_num(rows)):
        found = run(tmp_path / "model.onnx", some)
        expected = pipeline.predict(some)
        clusters = model.classes_[found["cluster"]] if not own else found["cluster"]
        np.testing.assert_array_equal(clusters, expected)
        np.testing.assert_allclose(found["probabilities"], pipeline.predict_proba(some), atol=1e-5)
        scores = pipeline.score_samples(some)
        np.testing.assert_allclose(found["log_likelihood"], scores, rtol=1e-4, atol=1e-3)


def test_missing_values_stay_known_after_a_fit_of_complete_rows(tmp_path):
    """What an earlier fit saw counts, as `predict` has it."""
    model = small(VaDEClustering, warm_start=True).fit(HOLES).fit(FEW)
    model.to_onnx(tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", HOLES, "probabilities")["probabilities"]
    np.testing.assert_allclose(found, model.predict_proba(HOLES), atol=1e-5)


def test_elimination_solves_positive_definite_systems():
    factors, right = torch.randn(2, 50, 7, 7, generator=torch.Generator().manual_seed(0))
    matrices = factors @ factors.mT + 0.1 * torch.eye(7)
    for n_right in (1, 5):
        expected = torch.linalg.solve(matrices.double(), right[..., :n_right].double())
        found = eliminate(matrices, right[..., :n_right])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_noise_and_limits(tmp_path):
    """Rows beyond what the model sees are noise there too, and as improbable."""
    rows = np.r_[np.tile(SCALED, (2, 1)), np.full((1, 13), 999.0)].astype(np.float32)
    with pytest.warns(UserWarning, match="far from all others"):
        model = small(VaDEClustering, noise_quantile=0.9).fit(rows)
    model.to_onnx(tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", rows)
    assert found["cluster"][-1] == -1
    assert 0.05 < (found["cluster"] == -1).mean() < 0.15
    np.testing.assert_array_equal(found["cluster"], model.predict(rows))
    np.testing.assert_allclose(found["log_likelihood"], model.score_samples(rows), rtol=1e-3)


def test_large_offsets_are_taken_off_before_rounding(tmp_path):
    """A column such as a year, whose differences float32 holds, and whose squares it does not."""
    rows = (SCALED + 4096.0).astype(np.float32)
    model = small(VaDEClustering).fit(rows)
    model.to_onnx(tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", rows, "probabilities")
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(rows), atol=1e-5)


def test_what_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(NotFittedError):
        to_onnx(VaDEClustering(), path)
    with pytest.raises(TypeError, match="best_estimator_"):
        to_onnx(StandardScaler(), path)
    model = small(VaDEClustering)
    for step in (QuantileTransformer(n_quantiles=10), MinMaxScaler(clip=True)):
        pipeline = make_pipeline(step, model).fit(X)
        with pytest.raises(TypeError, match=f"Step .*{type(step).__name__}.*affine steps only"):
            to_onnx(pipeline, path)
    mixed = small(VaDEClustering, categorical_features=[0]).fit(np.c_[Y, X])
    with pytest.raises(ValueError, match=r"categories.*skvade\.save"):
        mixed.to_onnx(path)
    with pytest.raises(ValueError, match="folder"):
        small(VaDEClustering).fit(SCALED).to_onnx(tmp_path)
    assert not path.exists()


@pytest.mark.filterwarnings("error:X does not have valid feature names")
def test_steps_that_give_tables_are_folded_in(tmp_path):
    frame = pd.DataFrame(X, columns=[f"c{n}" for n in range(X.shape[1])])
    steps = StandardScaler(), PCA(5, random_state=0), small(VaDEClustering)
    model = make_pipeline(*steps).set_output(transform="pandas").fit(frame)
    to_onnx(model, tmp_path / "wine.onnx")
    np.testing.assert_array_equal(run(tmp_path / "wine.onnx", X)["cluster"], model.predict(frame))
