import numpy as np
import pytest

from skvade.inspection import AssignmentDisplay
from tests.conftest import posteriors
from tests.inspection.conftest import tick_names


def test_an_assignment_by_hand():
    proba = np.array([[0.95, 0.05, 0.0], [0.6, 0.4, 0.0], [0.0, 0.4, 0.6], [0.45, 0.1, 0.45]])
    display = AssignmentDisplay.from_predictions(proba)
    assert [bar.get_width() for bar in display.size_bars_] == [3, 0, 1]
    below, low, high, highest = (
        [bar.get_width() for bar in bars] for bars in display.confidence_bars_
    )
    np.testing.assert_allclose(below, [1 / 3, 0, 0])
    np.testing.assert_allclose(low, [1 / 3, 0, 1])
    np.testing.assert_allclose(high, [1 / 3, 0, 0])
    np.testing.assert_allclose(highest, [0, 0, 0])
    starts = [[bar.get_x() for bar in bars] for bars in display.confidence_bars_]
    np.testing.assert_allclose(starts, [3 * [0], below, np.add(below, low), [1, 0, 1]])
    expected = np.array([[2.0, 0.55, 0.45], 3 * [np.nan], [0.0, 1.2, 1.8]]) / 3
    np.testing.assert_allclose(display.confusion, expected)
    shown = np.ma.filled(display.image_.get_array(), np.nan)
    np.testing.assert_allclose(shown, np.where(expected == 0, 1e-3, expected))
    written = {text.get_position(): text.get_text() for text in display.axes_[2].texts}
    assert written == {(0, 0): ".67", (1, 0): ".18", (2, 0): ".15", (1, 2): ".40", (2, 2): ".60"}


def test_of_an_estimator(models, iris):
    X, _, _ = iris
    model = models["VaDEClustering"]
    display = AssignmentDisplay.from_estimator(model, X)
    sizes, confusions, image = display.axes_[0], display.confusion, display.image_
    assert [bar.get_width() for bar in display.size_bars_] == model.cluster_sizes_.tolist()
    proba, labels = posteriors(model, X), model.predict(X)
    for c in range(3):
        np.testing.assert_allclose(confusions[c], proba[labels == c].mean(0))
        total = sum(bars[c].get_width() for bars in display.confidence_bars_)
        assert total == pytest.approx(1)
        ends = [bars[c].get_x() + bars[c].get_width() for bars in display.confidence_bars_]
        share = np.mean(proba[labels == c].max(1) < 0.9)
        assert ends[1] == pytest.approx(share)
    assert image.get_clim() == (1e-3, 1)
    assert sizes.yaxis_inverted()  # the first cluster stands on top
    assert [text.get_text() for text in display.axes_[1].get_legend().get_texts()] == [
        "below 0.5",
        "0.5 to 0.9",
        "0.9 to 0.99",
        "0.99 and more",
    ]


def test_levels_and_colours_of_choice():
    proba = [[0.7, 0.3], [0.9, 0.1]]
    display = AssignmentDisplay.from_predictions(proba, levels=(0.8,), cmap="Greens")
    widths = [[bar.get_width() for bar in bars] for bars in display.confidence_bars_]
    assert widths == [[0.5, 0], [0.5, 0]]
    assert display.image_.get_cmap().name == "Greens"


def test_axes_of_choice_line_up(plt):
    _, axes = plt.subplots(3)
    AssignmentDisplay.from_predictions(np.eye(4), ax=axes)
    for ax in axes:
        assert ax.get_ylim() == (3.5, -0.5)
        assert tick_names(ax.yaxis) == ["0", "1", "2", "3"]


def test_classes_by_name(models, iris):
    display = AssignmentDisplay.from_estimator(models["M2Classifier"], iris[0])
    names = ["setosa", "versicolor", "virginica"]
    assert tick_names(display.axes_[0].yaxis) == tick_names(display.axes_[2].xaxis) == names


def test_many_clusters_have_no_numbers_written():
    display = AssignmentDisplay.from_predictions(np.eye(50))
    assert not display.axes_[2].texts
    assert len(display.size_bars_) == 50


def test_errors():
    for proba, message in [
        ([[0.5, 0.6]], "sums from 1.1 to 1.1; pass what predict_proba gives"),
        ([[-0.5, 1.5]], "proba must hold probabilities .* got values from -0.5"),
        ([[0.5, np.nan]], "proba contains NaN"),
        ([0.5, 0.5], "Expected 2D array"),
    ]:
        with pytest.raises(ValueError, match=message):
            AssignmentDisplay.from_predictions(proba)
