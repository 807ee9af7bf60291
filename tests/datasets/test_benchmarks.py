import numpy as np
import pytest

from skvade.datasets import fetch_benchmark


def test_local_files_come_first(tmp_path, monkeypatch):
    X = np.array([[0, 255], [51, 0]], dtype=np.uint8)
    np.savez(tmp_path / "mnist.npz", X=X, y=np.array(["7", "3"]))
    monkeypatch.setenv("SKVADE_DATA", str(tmp_path))
    rows, y = fetch_benchmark("mnist")
    np.testing.assert_allclose(rows, [[0, 1], [0.2, 0]], rtol=1e-6)
    assert y.tolist() == [1, 0]


def test_openml_is_asked_otherwise(tmp_path, monkeypatch):
    asked = {}

    def fetch(name, **kwargs):
        asked.update(kwargs, name=name)
        return np.array([[0.0, 255.0]]), np.array(["5"])

    monkeypatch.setenv("SKVADE_DATA", str(tmp_path))
    monkeypatch.setattr("skvade.datasets._benchmarks.fetch_openml", fetch)
    rows, _ = fetch_benchmark("mnist")
    assert asked["name"] == "mnist_784"
    assert rows.max() == 1.0


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="name must be one of"):
        fetch_benchmark("imagenet")
