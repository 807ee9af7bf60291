import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.mixture import GaussianMixture

from skvade import VaDEClustering
from skvade.inspection import InterpolationDisplay
from tests.inspection.conftest import fit, tick_names, tiles

KINDS = ["full", "tied", "diag", "spherical"]


def sklearn_mixture(model):
    """scikit-learn's mixture with the parameters of the model's."""
    kind, covariances = model.covariance_type, model.covariances_
    mixture = GaussianMixture(len(model.means_), covariance_type=kind)
    mixture.weights_, mixture.means_, mixture.covariances_ = (
        model.weights_, model.means_, covariances
    )  # fmt: skip
    if kind in ("diag", "spherical"):
        mixture.precisions_cholesky_ = 1 / np.sqrt(covariances)
    else:
        roots = np.linalg.inv(np.linalg.cholesky(covariances))
        mixture.precisions_cholesky_ = roots.swapaxes(-1, -2)
    return mixture


@pytest.fixture(scope="module", params=KINDS)
def of_each_type(request, iris):
    return fit(VaDEClustering, iris[0], covariance_type=request.param)


def test_density_along_the_line(of_each_type):
    model, mixture = of_each_type, sklearn_mixture(of_each_type)
    display = InterpolationDisplay.from_estimator(model, clusters=(2, 1), n_steps=5)
    fractions, density = display.line_.get_data()
    start, end = model.means_[[2, 1]]
    path = start + np.outer(fractions, end - start)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    np.testing.assert_allclose(density, mixture.score_samples(path), rtol=1e-8)

    offsets = np.asarray(display.points_.get_offsets())
    np.testing.assert_allclose(offsets[:, 0], [0, 0.25, 0.5, 0.75, 1])
    codes = start + np.outer(offsets[:, 0], end - start)
    np.testing.assert_allclose(offsets[:, 1], mixture.score_samples(codes), rtol=1e-8)
    np.testing.assert_array_equal(display.components, mixture.predict(codes))
    colors = matplotlib.colormaps["tab10"](mixture.predict(codes))
    np.testing.assert_allclose(display.points_.get_facecolors(), colors)


@pytest.mark.parametrize("name", ["VaDEClustering", "GMVAEClustering", "VaDEClassifier"])
def test_rows_are_decoded_from_centre_to_centre(name, models):
    model = models[name]
    rows = InterpolationDisplay.from_estimator(model, clusters=(0, 2), n_steps=3).rows
    codes = np.stack([model.means_[0], model.means_[[0, 2]].mean(0), model.means_[2]])
    np.testing.assert_allclose(rows, model.inverse_transform(codes), rtol=1e-6)
    np.testing.assert_allclose(rows[[0, 2]], model.cluster_centers_[[0, 2]], rtol=1e-5)


def test_images_stand_above_their_places(fitted):
    display = InterpolationDisplay.from_estimator(fitted, n_steps=4, image_shape=(8, 8))
    (images,) = tiles(display.image_, 8, 8, (1, 1))
    np.testing.assert_array_equal(images, display.rows.reshape(4, 8, 8))
    left, right, bottom, top = display.image_.get_extent()
    pixel = (right - left) / display.image_.get_array().shape[1]
    middles = left + pixel * (4 + 9 * np.arange(4))
    np.testing.assert_allclose(middles, display.points_.get_offsets()[:, 0], atol=1e-12)
    assert (bottom - top) / 8 == pytest.approx(pixel)  # square
    above, below = display.axes_
    assert above.get_xlim() == below.get_xlim() == pytest.approx((left, right))
    display.figure_.canvas.draw()
    boxes = [ax.get_position() for ax in display.axes_]
    assert boxes[0].x0 == pytest.approx(boxes[1].x0)
    assert boxes[0].x1 == pytest.approx(boxes[1].x1)


def test_heat_map_has_a_column_for_each_row(iris):
    _, frame, _ = iris
    model = fit(VaDEClustering, frame)
    display = InterpolationDisplay.from_estimator(model, n_steps=5)
    usual, _ = model.sample(1000, random_state=0)
    expected = (display.rows - usual.mean(0)) / usual.std(0)
    np.testing.assert_allclose(display.image_.get_array(), expected.T)
    assert tick_names(display.axes_[0].yaxis) == frame.columns.tolist()
    left, right, _, _ = display.image_.get_extent()
    np.testing.assert_allclose([left, right], [-0.125, 1.125])


def test_clusters_are_named(models):
    display = InterpolationDisplay.from_estimator(models["VaDEClassifier"], clusters=(2, 0))
    assert display.axes_[1].get_xlabel() == (
        "way from the centre of cluster virginica to that of cluster setosa"
    )
    legend = display.axes_[1].get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    classes = models["VaDEClassifier"].classes_
    assert names == [classes[c] for c in dict.fromkeys(display.components.tolist())]
    shown = {to_hex(color) for color in display.points_.get_facecolors()}
    assert len(shown) == len(names)


@pytest.mark.parametrize("name", ["M2Clustering", "DECClustering", "AuxiliaryTaskClassifier"])
def test_without_a_mixture_among_the_codes(name, models):
    with pytest.raises(ValueError, match=f"must have covariances_ .* got {name}; use VaDE"):
        InterpolationDisplay.from_estimator(models[name])


def test_errors(models):
    model = models["VaDEClustering"]
    with pytest.raises(ValueError, match=r"clusters must name two clusters, got \(0, 1, 2\)"):
        InterpolationDisplay.from_estimator(model, clusters=(0, 1, 2))
    with pytest.raises(ValueError, match="clusters must hold integers from 0 to 2, got \\(0, 3\\)"):
        InterpolationDisplay.from_estimator(model, clusters=(0, 3))
    with pytest.raises(ValueError, match="n_steps == 1, must be >= 2"):
        InterpolationDisplay.from_estimator(model, n_steps=1)
