"""Probabilities are as sure as neighbours agree."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs

from skvade import VaDEClassifier, VaDEClustering, load
from skvade.training.calibration import Calibrate
from tests.conftest import FAMILY, posteriors, small

pytestmark = pytest.mark.usefixtures("quiet")
X, Y = make_blobs(300, n_features=5, centers=3, cluster_std=4.0, random_state=0)
X = X.astype(np.float32)
DIGITS = load_digits().data[:500] / 16
SOME = np.where(np.arange(300) % 10 == 0, Y, -1)


@pytest.fixture
def graphs(monkeypatch):
    """Those by which fits are calibrated."""
    seen, run = [], Calibrate.run

    def noted(self, of, seed):
        seen.append(of.handover.graph)
        run(self, of, seed)

    monkeypatch.setattr(Calibrate, "run", noted)
    return seen


@pytest.mark.parametrize("cls", FAMILY)
def test_the_mean_confidence_is_the_share_of_neighbours_in_the_same_cluster(cls, graphs):
    model = small(cls).fit(X, SOME)
    (graph,) = graphs
    labels = model.predict(X)
    near = graph.neighbours.numpy()[:, :10]  # a tenth of 300 / 3 rows
    kept = np.mean([(labels[near[i]] == labels[i]).mean() for i in range(300)])
    rows = torch.from_numpy(model._units.to_model(X)).float()
    with torch.inference_mode():
        q = model.module_.assign(rows).numpy()
    own, confidence = (p.max(1).mean(dtype=float) for p in (q, model.predict_proba(X)))
    assert confidence == pytest.approx(min(kept, own), abs=1e-5)
    assert (model.doubt_ > 0) == (kept < own)
    doubted = (1 - model.doubt_) * q + model.doubt_ / 3
    np.testing.assert_allclose(model.predict_proba(X), doubted, atol=1e-5)


@pytest.fixture(scope="module")
def doubtful():
    model = small(VaDEClustering, 10, max_iter=20, pretrain_iter=20).fit(DIGITS)
    assert 0.01 < model.doubt_ < 0.9
    return model


def test_doubt_changes_no_label(doubtful):
    proba = doubtful.predict_proba(DIGITS)
    assert np.array_equal(proba.argmax(1), doubtful.labels_)
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-6)
    assert proba.min() >= 0.999 * doubtful.doubt_ / 10


def test_files_keep_it(doubtful, tmp_path):
    doubtful.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.doubt_ == doubtful.doubt_
    np.testing.assert_array_equal(again.predict_proba(DIGITS), doubtful.predict_proba(DIGITS))


def test_the_report_says_both(doubtful):
    mean = doubtful.predict_proba(DIGITS).max(1).mean()
    line = doubtful.report().lines["confidence"]
    assert line.startswith(f"{mean:.1%}, the mean probability")
    assert f"by the model alone (doubt_={doubtful.doubt_:.3f})" in line


def test_an_onnx_file_has_it(doubtful, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    doubtful.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(["probabilities"], {"X": DIGITS.astype(np.float32)})
    np.testing.assert_allclose(found, doubtful.predict_proba(DIGITS), atol=1e-5)


def test_pickles_of_older_versions_have_none(doubtful, tmp_path):
    older = copy.deepcopy(doubtful)
    del older.doubt_
    assert "by the model alone" not in older.report().lines["confidence"]
    older.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").doubt_ == 0
    np.testing.assert_array_equal(older.predict_proba(DIGITS), posteriors(older, DIGITS))
    assert older.partial_fit(DIGITS[:20]).doubt_ == 0


@pytest.mark.parametrize(
    "parameters", [{"neighbor_weight": 0}, {"n_clusters": 1}, {"latent_dim": 1, "n_clusters": 1}]
)
def test_nothing_is_doubted_without_neighbours_or_with_one_cluster(parameters):
    model = small(VaDEClustering, **parameters).fit(X)
    assert model.doubt_ == 0
    np.testing.assert_array_equal(model.predict_proba(X), posteriors(model, X))


def test_rows_that_are_held_out_are_not_asked(graphs):
    model = small(VaDEClustering, early_stopping=True, validation_fraction=0.2).fit(DIGITS)
    (graph,) = graphs
    assert len(graph.neighbours) == 400
    assert 0 <= model.doubt_ < 1


def test_more_rows_leave_it_and_warm_starts_have_no_less(graphs):
    model = small(VaDEClustering, 10, warm_start=True, max_iter=20, pretrain_iter=20).fit(DIGITS)
    first = model.doubt_
    assert model.partial_fit(DIGITS[:20]).doubt_ == first
    assert len(graphs) == 1
    assert model.fit(DIGITS).doubt_ >= first  # of codes that were drawn together
    assert len(graphs) == 2
    assert model.set_params(neighbor_weight=0).fit(DIGITS).doubt_ >= first


def test_warm_starts_that_seek_no_neighbours_leave_it():
    model = small(VaDEClassifier, adversarial_iter=2, warm_start=True).fit(X, SOME)
    first = model.doubt_
    assert first > 0
    assert model.fit(X, SOME).doubt_ == first
