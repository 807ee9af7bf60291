import numpy as np
import pytest
import scipy.sparse as sp

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


def test_unknown_subsets_are_refused():
    with pytest.raises(ValueError, match="subset must be"):
        fetch_benchmark("digits", subset="validation")


def test_train_and_test_are_a_partition():
    parts = {name: fetch_benchmark("digits", subset=name) for name in ("all", "train", "test")}
    X, y = parts["all"]
    assert len(parts["train"][1]) + len(parts["test"][1]) == len(y) == 1797
    both = np.vstack([parts["train"][0], parts["test"][0]])
    np.testing.assert_array_equal(np.sort(both.sum(1)), np.sort(X.sum(1)))


def test_official_parts(tmp_path, monkeypatch):
    monkeypatch.setenv("SKVADE_DATA", str(tmp_path))
    X = np.arange(7_300.0)[:, None]
    np.savez(tmp_path / "usps.npz", X=X, y=np.arange(7_300) % 2)
    assert fetch_benchmark("usps", subset="test")[0].min() == np.float32(7_291 / 255)
    np.savez(tmp_path / "har.npz", X=X[:4], y=[0, 1, 0, 1], subject=[1, 2, 3, 4])
    assert fetch_benchmark("har", subset="test")[0].ravel().tolist() == [1, 3]


def test_sparse_files(tmp_path, monkeypatch):
    monkeypatch.setenv("SKVADE_DATA", str(tmp_path))
    counts = sp.csr_matrix(np.random.default_rng(0).poisson(2, (20, 6)) * [[1, 1, 1, 1, 1, 0]])
    for name in ("reuters21578", "sc_worm_neuron"):
        sp.save_npz(tmp_path / f"{name}.npz", counts)
        with np.load(tmp_path / f"{name}.npz") as file:
            np.savez(tmp_path / f"{name}.npz", **file, y=np.arange(20))
    np.testing.assert_array_equal(fetch_benchmark("reuters21578")[0], counts.toarray())
    # Genes in fewer than three cells are left out; the others keep their counts.
    np.testing.assert_array_equal(fetch_benchmark("sc_worm_neuron")[0], counts.toarray()[:, :5])


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SKVADE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"SKVADE_DATA to a folder with reuters21578\.npz"):
        fetch_benchmark("reuters21578")
