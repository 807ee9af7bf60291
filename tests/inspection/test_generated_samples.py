import numpy as np
import pytest
from matplotlib.colors import to_rgb

from skvade import VaDEClustering
from skvade.inspection import GeneratedSamplesDisplay
from tests.inspection.conftest import fit, tick_names, tiles


def test_images_are_the_samples(fitted):
    display = GeneratedSamplesDisplay.from_estimator(
        fitted, n_samples=5, image_shape=(8, 8), random_state=3
    )
    grid = tiles(display.image_, 8, 8, (1, 1))
    assert len(grid) == 10
    for cluster, line in enumerate(grid):
        expected, _ = fitted.sample(5, cluster=cluster, random_state=3)
        center = fitted.cluster_centers_[cluster]
        np.testing.assert_array_equal(line, np.vstack([center, expected]).reshape(6, 8, 8))
    pixels = display.image_.get_array()
    assert pixels.shape == (10 * 9 - 1, 6 * 9 - 1)
    assert pixels.mask[8].all()  # the gap below the first line
    assert pixels.mask[:, 8].all()
    assert display.image_.get_clim() == (0, 1)
    assert display.ax_.get_yticks()[0] == 3.5
    assert tick_names(display.ax_.yaxis) == [str(c) for c in range(10)]
    assert tick_names(display.ax_.xaxis)[0] == "middle"


def test_clusters_of_choice(fitted):
    display = GeneratedSamplesDisplay.from_estimator(fitted, n_samples=2, clusters=[7, 3])
    np.testing.assert_array_equal(
        display.samples[0], fitted.sample(2, cluster=7, random_state=0)[0]
    )
    np.testing.assert_array_equal(display.centers, fitted.cluster_centers_[[7, 3]])
    assert tick_names(display.ax_.yaxis) == ["7", "3"]
    display = GeneratedSamplesDisplay.from_estimator(fitted, n_samples=2, clusters=4)
    assert tick_names(display.ax_.yaxis) == ["4"]


def test_heat_maps_are_in_standard_deviations(iris):
    _, frame, _ = iris
    model = fit(VaDEClustering, frame)
    display = GeneratedSamplesDisplay.from_estimator(model, n_samples=20)
    usual, _ = model.sample(1000, random_state=0)
    blocks = tiles(display.image_, 21, 4, (1, 1))
    for cluster, (block,) in enumerate(blocks):
        rows, _ = model.sample(20, cluster=cluster, random_state=0)
        shown = np.vstack([model.cluster_centers_[cluster], rows])
        np.testing.assert_allclose(block, (shown - usual.mean(0)) / usual.std(0))
    assert tick_names(display.ax_.xaxis) == frame.columns.tolist()
    assert display.ax_.get_xticks().tolist() == [0, 1, 2, 3]
    assert display.figure_.axes[-1].get_ylabel() == "standard deviations from mean"


def test_constant_features_do_not_divide_by_zero():
    samples = np.zeros((2, 3, 4))
    samples[..., 0] = np.arange(3)
    display = GeneratedSamplesDisplay(samples).plot()
    assert np.abs(display.image_.get_array()).max() < 2
    assert tick_names(display.ax_.yaxis) == ["0", "1"]


def test_images_in_colour():
    samples = np.random.default_rng(0).uniform(0, 255, (2, 3, 60))
    display = GeneratedSamplesDisplay(samples, image_shape=(4, 5, 3)).plot()
    low, high = samples.min(), samples.max()
    grid = tiles(display.image_, 4, 5, (1, 1))
    np.testing.assert_allclose(
        np.array(grid)[..., :3], (samples.reshape(2, 3, 4, 5, 3) - low) / (high - low)
    )
    assert (np.array(grid)[..., 3] == 1).all()
    assert (display.image_.get_array()[4, :, 3] == 0).all()


def test_grey_values_of_any_range():
    samples = np.linspace(-5, 20, 12).reshape(1, 2, 6)
    display = GeneratedSamplesDisplay(samples, image_shape=(2, 3)).plot(cmap="viridis", vmax=7)
    assert display.image_.get_clim() == (-5, 7)
    assert display.image_.get_cmap().name == "viridis"


def test_classes_by_name(models):
    display = GeneratedSamplesDisplay.from_estimator(models["VaDEClassifier"], clusters=[2, 0])
    assert tick_names(display.ax_.yaxis) == ["virginica", "setosa"]


def test_the_middle_is_ruled_off(fitted):
    display = GeneratedSamplesDisplay.from_estimator(fitted, n_samples=2, image_shape=(8, 8))
    (line,) = display.ax_.get_lines()
    assert line.get_xdata()[0] == 8.0  # the middle of the gap after pixels 0 to 7
    assert to_rgb(line.get_color()) == (0, 0, 0)


def test_what_cannot_generate_is_refused(models):
    with pytest.raises(ValueError, match="must have sample for .* got DECClustering; use VaDE"):
        GeneratedSamplesDisplay.from_estimator(models["DECClustering"])
