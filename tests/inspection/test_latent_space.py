import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from skvade import DECClustering, VaDEClassifier, VaDEClustering
from skvade.inspection import AssignmentDisplay, LatentSpaceDisplay
from tests.inspection.conftest import fit

COVARIANCES = ["full", "tied", "diag", "spherical"]


def matrices(model):
    """Covariances of all components, written out by hand."""
    kind, (n_clusters, latent_dim) = model.covariance_type, model.means_.shape
    full = np.zeros((n_clusters, latent_dim, latent_dim))
    for c in range(n_clusters):
        if kind == "full":
            full[c] = model.covariances_[c]
        elif kind == "tied":
            full[c] = model.covariances_
        elif kind == "diag":
            full[c] = np.diag(model.covariances_[c])
        else:
            full[c] = model.covariances_[c] * np.eye(latent_dim)
    return full


def sort(rows):
    return rows[np.lexsort(rows.T)]


@pytest.fixture(scope="module", params=COVARIANCES)
def of_each_type(request, iris):
    return fit(VaDEClustering, iris[0], covariance_type=request.param)


@pytest.fixture(scope="module")
def flat(iris):
    return fit(VaDEClustering, iris[0], latent_dim=2)


def test_two_dimensions_as_they_are(flat, iris):
    X, _, _ = iris
    display = LatentSpaceDisplay.from_estimator(flat, X)
    codes, labels = flat.transform(X), flat.predict(X)
    offsets = np.asarray(display.points_.get_offsets())
    np.testing.assert_allclose(sort(offsets), sort(codes))
    places = [np.flatnonzero((codes == offset).all(1))[0] for offset in offsets]
    np.testing.assert_array_equal(display.labels, labels[places])
    import matplotlib

    colors = matplotlib.colormaps["tab10"](labels[places])
    np.testing.assert_allclose(display.points_.get_facecolors()[:, :3], colors[:, :3])
    np.testing.assert_allclose([text.get_position() for text in display.texts_], flat.means_)
    assert [text.get_text() for text in display.texts_] == ["0", "1", "2"]
    assert display.ax_.get_xlabel() == "z[0]"
    assert display.ax_.get_ylabel() == "z[1]"


def test_projected_on_principal_components(models, iris):
    X, _, _ = iris
    model = models["VaDEClustering"]
    display = LatentSpaceDisplay.from_estimator(model, X, projection="pca")
    codes = model.transform(X)
    centered = codes - codes.mean(0)
    _, singular, axes = np.linalg.svd(centered, full_matrices=False)
    expected = centered @ axes[:2].T
    signs = np.sign(display.means[0] / ((model.means_ - codes.mean(0)) @ axes[:2].T)[0])
    np.testing.assert_allclose(sort(display.codes), sort(expected * signs), atol=1e-9)
    share = singular[1] ** 2 / (singular**2).sum()
    assert display.ax_.get_ylabel().startswith("principal component 2 of the codes (")
    assert f"{share:.0%} of their variance" in display.ax_.get_ylabel()


def test_projected_on_the_discriminants(models, iris):
    """As scikit-learn finds them, up to sign: codes have a variance of one within clusters."""
    X, _, _ = iris
    model = models["VaDEClustering"]
    codes, labels = model.transform(X), model.predict(X)
    display = LatentSpaceDisplay.from_estimator(model, X)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(codes, labels)
    expected = (codes - codes.mean(0)) @ theirs.scalings_[:, :2]
    for axis in range(2):
        ours, other = np.sort(display.codes[:, axis]), expected[:, axis] / expected[:, axis].std()
        ours = ours / ours.std()
        distance = min(np.abs(ours - np.sort(sign * other)).max() for sign in (-1, 1))
        assert distance < 1e-3
    within = np.concatenate(
        [
            display.codes[display.labels == c] - display.codes[display.labels == c].mean(0)
            for c in range(3)
        ]
    )
    np.testing.assert_allclose(within.T @ within / len(X), np.eye(2), atol=1e-4)
    assert display.ax_.get_xlabel().startswith("discriminant 1 of the clusters (")


def test_two_clusters_and_styles_are_shown_on_principal_components(models, iris):
    two = fit(VaDEClustering, iris[0], n_clusters=2)
    for model in (two, models["M2Clustering"]):
        display = LatentSpaceDisplay.from_estimator(model, iris[0])
        assert display.ax_.get_xlabel().startswith("principal component 1")


def test_ellipses_are_the_projected_covariances(of_each_type, iris):
    # The image of the ball of n_std standard deviations has the singular values of P Sigma^1/2 as
    # half-axes, and lies where its support function says.
    X, _, _ = iris
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2, 3))
    display = LatentSpaceDisplay.from_estimator(of_each_type, X, projection=directions, n_std=1.5)
    assert len(display.ellipses_) == 3
    angles = np.linspace(0, np.pi, 7)
    views = np.stack([np.cos(angles), np.sin(angles)], -1)
    for ellipse, mean, covariance in zip(
        display.ellipses_, of_each_type.means_, matrices(of_each_type), strict=True
    ):
        root = directions @ np.linalg.cholesky(covariance)
        longest, shortest = 2 * 1.5 * np.linalg.svd(root, compute_uv=False)
        np.testing.assert_allclose(sorted([ellipse.width, ellipse.height]), [shortest, longest])
        np.testing.assert_allclose(ellipse.center, directions @ mean)
        circle = np.linspace(0, 2 * np.pi, 4001)
        circle = np.stack([np.cos(circle), np.sin(circle)], -1)
        outline = ellipse.get_patch_transform().transform(circle)
        reach = ((outline - directions @ mean) @ views.T).max(0)
        np.testing.assert_allclose(reach, 1.5 * np.linalg.norm(views @ root, axis=1), rtol=1e-5)


def test_latent_axes_of_choice(models, iris):
    X, _, _ = iris
    model = models["GMVAEClustering"]
    display = LatentSpaceDisplay.from_estimator(model, X, projection=np.eye(3)[[0, 2]])
    np.testing.assert_allclose(sort(display.codes), sort(model.transform(X)[:, [0, 2]]))
    marginal = matrices(model)[:, [[0], [2]], [0, 2]]
    np.testing.assert_allclose(display.covariances, marginal)
    assert display.ax_.get_xlabel() == "direction 1"


@pytest.mark.parametrize("name", ["DECClustering", "IDECClustering", "DCNClustering"])
def test_centres_alone_without_covariances(name, models, iris):
    model = models[name]
    display = LatentSpaceDisplay.from_estimator(model, iris[0], projection=np.eye(3)[:2])
    assert display.ellipses_ == []
    positions = [text.get_position() for text in display.texts_]
    np.testing.assert_allclose(positions, model.means_[:, :2], rtol=1e-6)
    assert display.ax_.get_legend() is None


def test_styles_have_no_centres(models, iris):
    display = LatentSpaceDisplay.from_estimator(models["M2Clustering"], iris[0])
    assert display.ellipses_ == display.texts_ == []
    legend = display.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1", "2"]
    assert legend.get_title().get_text() == "cluster"


def test_labels_of_your_own(flat, iris):
    X, _, y = iris
    display = LatentSpaceDisplay.from_estimator(flat, X, y, random_state=None, max_points=None)
    legend, points = display.ax_.get_legend(), display.points_
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["setosa", "versicolor", "virginica"]
    colors = [line.get_color() for line in legend.legend_handles]
    codes = flat.transform(X)
    for offset, color in zip(points.get_offsets(), points.get_facecolors(), strict=True):
        name = y[np.flatnonzero((codes == offset).all(1))[0]]
        assert to_hex(color) == to_hex(colors[names.index(name)])
    assert len(display.ellipses_) == len(display.texts_) == 3


def test_strings_beside_the_mark_of_no_label(flat, iris):
    X, _, y = iris
    some = np.array([name if i % 2 else -1 for i, name in enumerate(y)], dtype=object)
    display = LatentSpaceDisplay.from_estimator(flat, X, some)
    assert display.label_names.tolist() == ["-1", "setosa", "versicolor", "virginica"]


def test_classes_by_name(models, iris):
    display = LatentSpaceDisplay.from_estimator(models[VaDEClassifier.__name__], iris[0])
    assert [text.get_text() for text in display.texts_] == ["setosa", "versicolor", "virginica"]


def test_no_more_points_than_asked_for(flat, iris):
    X, _, _ = iris
    first, again, other = (
        LatentSpaceDisplay.from_estimator(flat, X, max_points=40, random_state=seed)
        for seed in (0, 0, 1)
    )
    assert len(first.points_.get_offsets()) == 40
    np.testing.assert_array_equal(first.codes, again.codes)
    assert not np.array_equal(first.codes, other.codes)
    np.testing.assert_array_equal(first.means, other.means)
    known = {tuple(code) for code in flat.transform(X)}
    assert {tuple(code) for code in first.codes} <= known


def test_noise_is_grey(iris):
    rows = iris[0]
    model = fit(VaDEClustering, rows, noise_quantile=0.9)
    display = LatentSpaceDisplay.from_estimator(model, rows, max_points=None)
    assert (display.labels == -1).sum() == (model.labels_ == -1).sum() > 0
    found = display.points_.get_facecolors()[:, :3]
    grey = (found == found[:, :1]).all(1)
    np.testing.assert_array_equal(grey, display.labels == -1)
    shown = AssignmentDisplay.from_estimator(model, rows)
    np.testing.assert_array_equal(np.sort(shown.labels), np.sort(model.labels_[model.labels_ >= 0]))


def test_many_clusters_have_no_legend_and_colours_of_their_own(models, iris):
    X, _, _ = iris
    y = np.arange(150) // 5
    display = LatentSpaceDisplay.from_estimator(models["VaDEClustering"], X, y)
    assert display.ax_.get_legend() is None
    assert len(np.unique(display.points_.get_facecolors(), axis=0)) == 30


def test_options_of_scatter(flat, iris):
    display = LatentSpaceDisplay.from_estimator(flat, iris[0], s=33, alpha=1.0)
    assert display.points_.get_sizes().tolist() == [33]


def test_errors(models, iris):
    X, _, y = iris
    model = models["VaDEClustering"]
    with pytest.raises(ValueError, match=r"of latent_dim=3 numbers, got .* shape \(2, 2\)"):
        LatentSpaceDisplay.from_estimator(model, X, projection=np.eye(2))
    with pytest.raises(ValueError, match="projection must be .* or two directions, got 'umap'"):
        LatentSpaceDisplay.from_estimator(model, X, projection="umap")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentSpaceDisplay.from_estimator(model, X, y[:-1])
    line = fit(DECClustering, load_iris().data, latent_dim=1)
    with pytest.raises(ValueError, match="two dimensions or more, got latent_dim=1; draw a histo"):
        LatentSpaceDisplay.from_estimator(line, X)
