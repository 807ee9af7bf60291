import numpy as np
import pytest
from scipy.sparse import csr_array

from skvade.inspection import ReconstructionDisplay
from tests.inspection.conftest import tick_names, tiles


def test_inputs_above_their_reconstructions(fitted, digits):
    X, _ = digits
    display = ReconstructionDisplay.from_estimator(fitted, X, n_samples=20, image_shape=(8, 8))
    known = {row.tobytes() for row in X}
    assert all(row.tobytes() in known for row in display.inputs)
    expected = fitted.inverse_transform(fitted.transform(display.inputs))
    np.testing.assert_allclose(display.reconstructions, expected, rtol=1e-6)
    above, below = tiles(display.image_, 8, 8, (1, 1))
    np.testing.assert_array_equal(above, display.inputs.reshape(20, 8, 8))
    np.testing.assert_array_equal(below, display.reconstructions.reshape(20, 8, 8))
    assert tick_names(display.ax_.yaxis) == ["inputs", "reconstructions"]
    names = [int(name) for name in tick_names(display.ax_.xaxis)]
    assert names == sorted(names) == fitted.predict(display.inputs).tolist()


def test_clusters_take_turns(fitted, digits):
    X, _ = digits
    display = ReconstructionDisplay.from_estimator(fitted, X, n_samples=20)
    used = np.unique(fitted.labels_)
    assert set(display.names) == set(used)
    other = ReconstructionDisplay.from_estimator(fitted, X, n_samples=20, random_state=1)
    assert not np.array_equal(display.inputs, other.inputs)


def test_all_rows_if_there_are_fewer(models, iris):
    X, _, _ = iris
    display = ReconstructionDisplay.from_estimator(models["DCNClustering"], X, n_samples=1000)
    np.testing.assert_array_equal(np.sort(display.inputs, 0), np.sort(X, 0))


def test_styles_are_decoded_for_their_clusters(models, iris):
    X, _, _ = iris
    model = models["M2Clustering"]
    display = ReconstructionDisplay.from_estimator(model, X, n_samples=9)
    for row, cluster, decoded in zip(
        display.inputs, display.names, display.reconstructions, strict=True
    ):
        style = model.transform(row[None])
        expected = model.inverse_transform(style, cluster=int(cluster))[0]
        np.testing.assert_allclose(decoded, expected, rtol=1e-6)


def test_heat_maps_side_by_side(models, iris):
    X, frame, _ = iris
    model = models["VaDEClustering"]
    display = ReconstructionDisplay.from_estimator(model, X, n_samples=30)
    ((left, right),) = tiles(display.image_, 30, 4, (2, 1))
    np.testing.assert_allclose(left, (display.inputs - X.mean(0)) / X.std(0))
    np.testing.assert_allclose(right, (display.reconstructions - X.mean(0)) / X.std(0))
    named = ReconstructionDisplay(
        display.inputs, display.reconstructions, display.names, feature_names=frame.columns
    ).plot()
    assert tick_names(named.ax_.xaxis) == 2 * frame.columns.tolist()
    assert named.ax_.get_xticks().tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    # Clusters are named at the middle of their lines, and ruled off.
    clusters, counts = np.unique(display.names, return_counts=True)
    assert tick_names(display.ax_.yaxis) == [str(c) for c in clusters]
    edges = np.cumsum(counts)[:-1] - 0.5
    np.testing.assert_allclose([line.get_ydata()[0] for line in display.ax_.get_lines()], edges)


def test_without_names():
    rows = np.random.default_rng(0).normal(size=(5, 6))
    for shape in (None, (2, 3)):
        display = ReconstructionDisplay(rows, rows + 1, image_shape=shape).plot()
        assert "cluster" not in display.ax_.get_title()


@pytest.mark.parametrize("container", [csr_array, np.float32])
def test_containers(container, models, iris):
    X, _, _ = iris
    display = ReconstructionDisplay.from_estimator(models["VaDEClustering"], container(X))
    assert display.inputs.shape == display.reconstructions.shape == (12, 4)
