import numpy as np
import pytest

from skvade import VaDEClustering
from skvade.inspection import LatentTraversalDisplay
from tests.inspection.conftest import fit, tick_names, tiles


def test_the_middle_is_the_centre(models):
    for name in ("VaDEClustering", "GMVAEClustering", "VaDEClassifier"):
        model = models[name]
        rows = LatentTraversalDisplay.from_estimator(model, n_steps=5).rows
        np.testing.assert_allclose(rows[:, 2], model.cluster_centers_, rtol=1e-5)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_ends_lie_on_a_principal_axis(index, models):
    model = models["VaDEClustering"]
    rows = LatentTraversalDisplay.from_estimator(model, index=index, n_std=3, n_steps=2).rows
    for c in range(3):
        vectors, singular, _ = np.linalg.svd(model.covariances_[c])
        step = 3 * np.sqrt(singular[index]) * vectors[:, index]
        step *= np.sign(step[np.abs(step).argmax()])
        codes = model.means_[c] + np.stack([-step, step])
        np.testing.assert_allclose(rows[c], model.inverse_transform(codes), rtol=1e-5)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical", "tied"])
def test_latent_axes(kind, iris):
    model = fit(VaDEClustering, iris[0], covariance_type=kind)
    display = LatentTraversalDisplay.from_estimator(
        model, clusters=1, direction="latent", index=[2, 0], n_std=1, n_steps=3
    )
    variances = {
        "full": lambda: np.diag(model.covariances_[1]),
        "diag": lambda: model.covariances_[1],
        "spherical": lambda: np.full(3, model.covariances_[1]),
        "tied": lambda: np.diag(model.covariances_),
    }[kind]()
    for line, axis in zip(display.rows, [2, 0], strict=True):
        codes = np.tile(model.means_[1], (3, 1))
        codes[:, axis] += np.array([-1, 0, 1]) * np.sqrt(variances[axis])
        np.testing.assert_allclose(line, model.inverse_transform(codes), rtol=1e-5)
    assert tick_names(display.ax_.yaxis) == ["1, axis 2", "1, axis 0"]


def test_images_and_their_names(fitted):
    display = LatentTraversalDisplay.from_estimator(
        fitted, clusters=[4, 2], n_steps=3, image_shape=(8, 8)
    )
    grid = tiles(display.image_, 8, 8, (1, 1))
    np.testing.assert_array_equal(grid, display.rows.reshape(2, 3, 8, 8))
    assert tick_names(display.ax_.xaxis) == ["-2", "0", "2"]
    assert tick_names(display.ax_.yaxis) == ["4", "2"]
    assert display.ax_.get_title() == "Standard deviations along principal axis 0"


def test_heat_maps_go_downwards(models):
    model = models["VaDEClustering"]
    display = LatentTraversalDisplay.from_estimator(model, n_steps=3)
    usual, _ = model.sample(1000, random_state=0)
    for line, (block,) in zip(display.rows, tiles(display.image_, 3, 4, (1, 1)), strict=True):
        np.testing.assert_allclose(block, (line - usual.mean(0)) / usual.std(0))
    assert display.ax_.get_title().endswith("(downwards: -2 to 2)")


def test_styles_move_in_every_cluster(models, iris):
    X, _, _ = iris
    model = models["M2Clustering"]
    standard = LatentTraversalDisplay.from_estimator(model, index=1, direction="latent", n_steps=2)
    step = np.array([[0, -2.0, 0], [0, 2, 0]])
    seen = LatentTraversalDisplay.from_estimator(model, X, n_steps=2)
    styles = model.transform(X)
    _, singular, axes = np.linalg.svd(styles - styles.mean(0), full_matrices=False)
    axis = axes[0] * np.sign(axes[0][np.abs(axes[0]).argmax()]) * singular[0] / np.sqrt(149)
    for c in range(3):
        expected = model.inverse_transform(step, cluster=c)
        np.testing.assert_allclose(standard.rows[c], expected, rtol=1e-5)
        expected = model.inverse_transform(np.stack([-2 * axis, 2 * axis]), cluster=c)
        np.testing.assert_allclose(seen.rows[c], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["DECClustering", "DCNClustering", "AuxiliaryTaskClassifier"])
def test_spreads_of_rows_where_the_model_has_none(name, models, iris):
    X, _, _ = iris
    model = models[name]
    with pytest.raises(ValueError, match=f"X must be given for {name}, which has no covariances_"):
        LatentTraversalDisplay.from_estimator(model)
    rows = LatentTraversalDisplay.from_estimator(
        model, X, direction="latent", index=0, n_std=1, n_steps=2
    ).rows
    codes, labels = model.transform(X), model.predict_proba(X).argmax(1)
    for c in np.unique(labels):
        deviation = np.sqrt(np.mean((codes[labels == c, 0] - model.means_[c, 0]) ** 2))
        ends = np.tile(model.means_[c], (2, 1))
        ends[:, 0] += [-deviation, deviation]
        np.testing.assert_allclose(rows[c], model.inverse_transform(ends), rtol=1e-4)


@pytest.mark.parametrize("name", ["M2Clustering", "M2Classifier"])
def test_the_style_of_a_row_in_every_cluster(name, models, iris):
    X, _, _ = iris
    model = models[name]
    display = LatentTraversalDisplay.from_styles(model, X, n_samples=6, clusters=[2, 0])
    assert display.rows.shape == (6, 2, 4)
    styles = model.transform(display.inputs)
    for place, cluster in enumerate([2, 0]):
        expected = model.inverse_transform(styles, cluster=cluster)
        np.testing.assert_allclose(display.rows[:, place], expected, rtol=1e-6)
    np.testing.assert_array_equal(display.line_names, model.predict(display.inputs))
    names = getattr(model, "classes_", np.arange(3))[[2, 0]]
    np.testing.assert_array_equal(display.item_names, names)
    assert "(downwards: the row, then" in display.ax_.get_title()


def test_a_row_stands_before_its_drawings(models, iris):
    X, _, _ = iris
    display = LatentTraversalDisplay.from_styles(
        models["M2Clustering"], X, n_samples=4, image_shape=(2, 2)
    )
    grid = np.array(tiles(display.image_, 2, 2, (1, 1)))
    np.testing.assert_array_equal(grid[:, 0], display.inputs.reshape(4, 2, 2))
    np.testing.assert_array_equal(grid[:, 1:], display.rows.reshape(4, 3, 2, 2))
    assert tick_names(display.ax_.xaxis) == ["row", "0", "1", "2"]


def test_errors(models, iris):
    X, _, _ = iris
    model = models["VaDEClustering"]
    with pytest.raises(ValueError, match="styles .* got VaDEClustering; use M2Clustering, M2Cl"):
        LatentTraversalDisplay.from_styles(model, X)
    with pytest.raises(ValueError, match="direction must be .* got 'diagonal'"):
        LatentTraversalDisplay.from_estimator(model, direction="diagonal")
    for index in (3, -1, 0.5, [0, 3]):
        with pytest.raises(
            ValueError, match="index must hold integers from 0 to latent_dim - 1 = 2"
        ):
            LatentTraversalDisplay.from_estimator(model, index=index)
