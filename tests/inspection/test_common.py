"""What all displays promise."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from skvade import M2Clustering, VaDEClustering, inspection
from skvade.inspection import (
    AssignmentDisplay,
    GeneratedSamplesDisplay,
    InterpolationDisplay,
    LatentSpaceDisplay,
    LatentTraversalDisplay,
    ReconstructionDisplay,
    TrainingCurvesDisplay,
)
from skvade.inspection._fitted import choose_rows
from tests.conftest import FAMILY
from tests.inspection.conftest import fit, small

NAMES = [cls.__name__ for cls in FAMILY]
OF_ROWS = {
    "latent": LatentSpaceDisplay.from_estimator,
    "reconstruction": ReconstructionDisplay.from_estimator,
    "assignment": AssignmentDisplay.from_estimator,
    "traversal": LatentTraversalDisplay.from_estimator,
}
OF_MODELS = {
    "curves": lambda model, X, **options: TrainingCurvesDisplay.from_estimator(model, **options),
    "samples": lambda model, X, **options: GeneratedSamplesDisplay.from_estimator(model, **options),
    "interpolation": lambda model, X, **options: InterpolationDisplay.from_estimator(
        model, **options
    ),
}
ALL = OF_ROWS | OF_MODELS


def test_the_package_does_not_import_matplotlib():
    code = "import sys, skvade.inspection; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("name", ALL)
def test_a_missing_matplotlib_names_the_extra(name, models, iris, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'Display.plot needs .* pip install "skvade\[plot\]"'):
        ALL[name](models["VaDEClustering"], iris[0])


@pytest.mark.parametrize("name", ALL)
def test_given_axes_are_used(name, models, iris, plt):
    figure, (ax, other) = plt.subplots(1, 2)
    display = ALL[name](models["VaDEClustering"], iris[0], ax=ax)
    assert display.figure_ is figure
    if hasattr(display, "axes_"):
        assert not ax.axison  # divided into several, in its place
        place = ax.get_position()
        for part in display.axes_:
            topmost = part.get_subplotspec().get_topmost_subplotspec()
            assert topmost == ax.get_subplotspec()  # so that layouts know of them
            assert part.get_position().x0 >= place.x0 - 1e-6
            assert part.get_position().x1 <= place.x1 + 1e-6
    else:
        assert display.ax_ is ax
    assert not other.has_data()
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("name", ALL)
def test_a_figure_is_made_and_plot_can_be_called_again(name, models, iris, plt):
    display = ALL[name](models["VaDEClustering"], iris[0])
    first = display.figure_
    first.canvas.draw()
    assert display.plot() is display
    assert display.figure_ is not first


def test_axes_without_a_place_in_a_grid_can_be_divided(models, plt):
    ax = plt.figure().add_axes((0.1, 0.2, 0.5, 0.6))
    display = TrainingCurvesDisplay.from_estimator(models["VaDEClustering"], ax=ax)
    assert display.axes_[0].get_position().x0 == pytest.approx(0.1)
    assert display.axes_[-1].get_position().y1 == pytest.approx(0.8)


def test_several_axes_must_be_as_many_as_panels(models, plt):
    _, axes = plt.subplots(2, 2)
    display = TrainingCurvesDisplay.from_estimator(models["VaDEClustering"], ax=axes)
    assert list(display.axes_) == list(axes.flat)
    with pytest.raises(ValueError, match="ax must be one Axes, 3 of them or None .* got 4"):
        AssignmentDisplay.from_predictions([[1.0, 0.0]], ax=axes)


@pytest.mark.parametrize("cls", NAMES)
@pytest.mark.parametrize("name", [*OF_ROWS, "curves"])
def test_the_whole_family(cls, name, models, iris):
    display = ALL[name](models[cls], iris[0])
    assert all(ax.has_data() for ax in display.figure_.axes if ax.axison)


@pytest.mark.parametrize("cls", [cls.__name__ for cls in FAMILY if hasattr(cls, "sample")])
def test_all_that_generate(cls, models):
    display = GeneratedSamplesDisplay.from_estimator(models[cls], n_samples=2)
    for c, drawn in enumerate(display.samples):
        expected, _ = models[cls].sample(2, cluster=c, random_state=0)
        np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(display.centers, models[cls].cluster_centers_)


@pytest.mark.parametrize("name", ALL)
def test_other_estimators_are_refused(name, iris):
    X = iris[0]
    with pytest.raises(TypeError, match="one of skvade's, or a pipeline .* got KMeans"):
        ALL[name](KMeans(3, n_init=1).fit(X), X)
    with pytest.raises(NotFittedError):
        ALL[name](VaDEClustering(3), X)


@pytest.fixture(scope="module")
def pipeline(iris):
    X, _, _ = iris
    return fit_pipeline(StandardScaler(), X)


def fit_pipeline(step, X):
    seen = step.fit_transform(X)
    model = fit(VaDEClustering, seen)
    return make_pipeline(step, model)


def test_pipelines_show_rows_in_the_units_of_the_data(pipeline, iris):
    X, _, _ = iris
    scaler, model = pipeline
    seen = scaler.transform(X)
    back = scaler.inverse_transform

    samples = GeneratedSamplesDisplay.from_estimator(pipeline, n_samples=4)
    expected = back(model.sample(4, cluster=1, random_state=0)[0])
    np.testing.assert_allclose(samples.samples[1], expected)
    np.testing.assert_allclose(samples.centers, back(model.cluster_centers_))

    rows = ReconstructionDisplay.from_estimator(pipeline, X, n_samples=150)
    order = np.argsort(model.predict(seen), kind="stable")
    decoded = back(model.inverse_transform(model.transform(seen)))
    sizes = np.bincount(model.predict(seen), minlength=3)
    assert [list(rows.names).count(c) for c in range(3)] == sizes.tolist()
    np.testing.assert_allclose(rows.reconstructions.sum(0), decoded[order].sum(0))

    latent = LatentSpaceDisplay.from_estimator(pipeline, X, projection=np.eye(3)[:2])
    np.testing.assert_allclose(
        np.sort(latent.codes, axis=0), np.sort(model.transform(seen)[:, :2], axis=0)
    )
    assignment = AssignmentDisplay.from_estimator(pipeline, X)
    np.testing.assert_array_equal(assignment.labels, model.predict(seen))
    ends = InterpolationDisplay.from_estimator(pipeline, clusters=(2, 0)).rows[[0, -1]]
    np.testing.assert_allclose(ends, back(model.cluster_centers_)[[2, 0]], rtol=1e-5)


def test_pipelines_that_lead_nowhere_back(iris):
    from sklearn.preprocessing import Normalizer

    X, _, _ = iris
    model = fit_pipeline(Normalizer(), X)
    assert LatentSpaceDisplay.from_estimator(model, X).codes.shape == (150, 2)
    samples = GeneratedSamplesDisplay.from_estimator(model, n_samples=2)
    np.testing.assert_array_equal(samples.centers, model[-1].cluster_centers_)


def test_pipelines_show_the_columns_to_which_they_lead_back():
    """Beyond a scaler to those that a ColumnTransformer has made, by their names."""
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "age": np.where(rng.random_sample(120) < 0.1, np.nan, rng.normal(size=120)),
            "height": rng.normal(size=120),
            "town": np.array(["Rome", "Paris"], object)[rng.randint(2, size=120)],
        }
    )
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "height"]),
        (OneHotEncoder(sparse_output=False), ["town"]),
    )
    steps = make_pipeline(columns, MinMaxScaler())
    model = make_pipeline(*steps, fit(VaDEClustering, steps.fit_transform(frame)))
    names = ["age", "height", "town_Paris", "town_Rome"]
    rows = ReconstructionDisplay.from_estimator(model, frame, n_samples=120)
    assert list(rows.feature_names) == names
    made = columns.transform(frame)
    np.testing.assert_allclose(rows.inputs.sum(0), made.sum(0), atol=1e-9)
    codes = model[-1].transform(steps.transform(frame))
    decoded = steps[-1].inverse_transform(model[-1].inverse_transform(codes))
    np.testing.assert_allclose(rows.reconstructions.sum(0), decoded.sum(0), rtol=1e-5)
    for display in (GeneratedSamplesDisplay, InterpolationDisplay):
        assert list(display.from_estimator(model).feature_names) == names
    assert list(LatentTraversalDisplay.from_estimator(model, frame).feature_names) == names
    filled, numbers = make_pipeline(SimpleImputer(), StandardScaler()), frame[["age", "height"]]
    model = make_pipeline(*filled, fit(VaDEClustering, filled.fit_transform(numbers)))
    rows = ReconstructionDisplay.from_estimator(model, numbers, n_samples=120)
    assert list(rows.feature_names) == ["age", "height"]
    np.testing.assert_allclose(np.nansum(rows.inputs, axis=0), numbers.sum())
    shades = rows.image_.get_array()
    assert np.isfinite(shades).sum() > 100


def test_columns_that_steps_add_or_remove_are_not_made_up(iris):
    X, _, _ = iris
    holes = np.where(np.random.RandomState(0).random_sample(X.shape) < 0.1, np.nan, X)
    steps = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    model = make_pipeline(*steps, fit(VaDEClustering, steps.fit_transform(holes)))
    assert GeneratedSamplesDisplay.from_estimator(model, n_samples=2).samples.shape == (3, 2, 8)
    constant = np.column_stack([X, np.full(150, 7.0)])
    model = fit_pipeline(VarianceThreshold(), constant)
    assert GeneratedSamplesDisplay.from_estimator(model, n_samples=2).samples.shape == (3, 2, 4)


def test_reduced_features_come_back(iris):
    X, _, _ = iris
    model = fit_pipeline(PCA(2), X)
    assert GeneratedSamplesDisplay.from_estimator(model, n_samples=2).samples.shape == (3, 2, 4)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_searches(iris):
    X, _, _ = iris
    search = GridSearchCV(small(VaDEClustering), {"n_clusters": [2]}, cv=2).fit(X)
    display = LatentSpaceDisplay.from_estimator(search, X)
    assert len(display.means) == 2


def test_sparse_rows_frames_and_lists(iris):
    X, frame, _ = iris
    model, of_frame = fit(M2Clustering, X), fit(M2Clustering, frame)
    shown = [
        LatentTraversalDisplay.from_styles(estimator, rows, n_samples=5)
        for estimator, rows in [
            (model, X),
            (model, csr_array(X)),
            (model, X.tolist()),
            (of_frame, frame),
        ]
    ]
    assert shown[-1].feature_names.tolist() == frame.columns.tolist()
    for display in shown[1:]:
        np.testing.assert_allclose(display.rows, shown[0].rows)
        np.testing.assert_array_equal(display.inputs, shown[0].inputs)


def test_image_shapes_that_do_not_fit(models, fitted, plt):
    for shape in [(8, 9), (4, 4, 4), (64,)]:
        message = rf"image_shape \({shape[0]},.* does not hold 64 features; .* such as \(8, 8\)"
        with pytest.raises(ValueError, match=message):
            GeneratedSamplesDisplay.from_estimator(fitted, image_shape=shape)
        with pytest.raises(ValueError, match=message):
            InterpolationDisplay.from_estimator(fitted, image_shape=shape)
    assert not plt.get_fignums()


def test_counts_and_clusters_are_checked(models, iris):
    X, _, _ = iris
    model, style = models["VaDEClustering"], models["M2Clustering"]
    with pytest.raises(ValueError, match="n_samples == 0, must be >= 1"):
        GeneratedSamplesDisplay.from_estimator(model, n_samples=0)
    with pytest.raises(ValueError, match="n_samples == 0, must be >= 1"):
        ReconstructionDisplay.from_estimator(model, X, n_samples=0)
    with pytest.raises(ValueError, match="n_steps == 1, must be >= 2"):
        LatentTraversalDisplay.from_estimator(model, n_steps=1)
    for clusters in (3, -1, [0, 1.5], [], "a"):
        message = "clusters must hold integers from 0 to 2, got .*; of a classifier, pass places"
        with pytest.raises(ValueError, match=message):
            GeneratedSamplesDisplay.from_estimator(model, clusters=clusters)
        with pytest.raises(ValueError, match=message):
            LatentTraversalDisplay.from_styles(style, X, clusters=clusters)


@pytest.mark.parametrize("name", ["latent", "reconstruction", "samples"])
def test_the_global_random_state_is_left_alone(name, models, iris):
    before = np.random.get_state()[1].copy()
    ALL[name](models["VaDEClustering"], iris[0], random_state=None)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_all_displays_are_tested():
    tested = {LatentSpaceDisplay, ReconstructionDisplay, AssignmentDisplay, LatentTraversalDisplay}
    tested |= {TrainingCurvesDisplay, GeneratedSamplesDisplay, InterpolationDisplay}
    tested |= {inspection.ClusterCountDisplay, inspection.ClusterProfileDisplay}  # in their files
    names = [name for name in inspection.__all__ if name.endswith("Display")]
    assert {getattr(inspection, name) for name in names} == tested


def test_rows_of_every_table_are_chosen_as_they_are():
    """Steps that pick columns by name need a table with names."""
    polars = pytest.importorskip("polars")
    labels = np.repeat([0, 1], 20)
    frame = polars.DataFrame({"size": np.arange(40.0), "town": ["a", "b"] * 20})
    chosen, of_these = choose_rows(frame, labels, 6, 0)
    assert chosen.columns == ["size", "town"]
    assert np.array_equal(chosen["size"].to_numpy() >= 20, of_these == 1)
    rows = frame.rows()
    listed, _ = choose_rows([list(row) for row in rows], labels, 6, 0)
    assert listed[:, 0].tolist() == chosen["size"].to_list()
