import numpy as np
import pytest
from matplotlib.colors import to_hex

from skvade.inspection import TrainingCurvesDisplay


def test_lines_are_the_history(models):
    model = models["VaDEClustering"]
    display = TrainingCurvesDisplay.from_estimator(model)
    phases = ["pretrain", "neighbours", "hold", "train"]
    assert [panel.get_title() for panel in display.axes_] == list(display.lines_) == phases
    for panel, (phase, lines) in zip(display.axes_, display.lines_.items(), strict=True):
        records = [record for record in model.history_ if record["phase"] == phase]
        terms = set(records[0]) - {"phase", "epoch", "steps", "changed"}
        assert set(lines) == terms
        for term, line in lines.items():
            assert line.axes is panel
            np.testing.assert_array_equal(line.get_xdata(), [r["steps"] for r in records])
            np.testing.assert_array_equal(line.get_ydata(), [r[term] for r in records])
    legend = display.axes_[-1].get_legend().get_texts()
    assert [text.get_text() for text in legend][:2] == ["loss", "reconstruction"]


def test_a_term_has_one_colour_in_all_phases(models):
    lines = TrainingCurvesDisplay.from_estimator(models["GMVAEClustering"]).lines_
    colors = {}
    for phase in lines.values():
        for term, line in phase.items():
            color = to_hex(line.get_color())
            assert colors.setdefault(term, color) == color
    assert len(set(colors.values())) == len(colors)


def test_terms_of_choice(models):
    display = TrainingCurvesDisplay.from_estimator(models["VaDEClustering"], terms=["kl"])
    lines = {phase: list(lines) for phase, lines in display.lines_.items()}
    assert lines == {"hold": ["kl"], "train": ["kl"]}
    for terms in (["accuracy", "kl"], []):
        with pytest.raises(ValueError, match=r"must be some of loss, reconstruction, .* got \["):
            TrainingCurvesDisplay.from_estimator(models["VaDEClustering"], terms=terms)


def test_scales():
    def curves(lowest):
        return {"train": {"steps": np.array([1, 2]), "loss": np.array([100.0, lowest])}}

    assert TrainingCurvesDisplay(curves(0.1)).plot().axes_[0].get_yscale() == "log"
    assert TrainingCurvesDisplay(curves(-0.1)).plot().axes_[0].get_yscale() == "linear"
    assert TrainingCurvesDisplay(curves(10.1)).plot().axes_[0].get_yscale() == "linear"
    display = TrainingCurvesDisplay(curves(0.1)).plot(yscale="linear", linewidth=5)
    assert display.axes_[0].get_yscale() == "linear"
    assert display.lines_["train"]["loss"].get_linewidth() == 5


def test_ticks_between_the_decades(models):
    display = TrainingCurvesDisplay({"train": {"steps": np.arange(2), "loss": np.array([3, 40])}})
    display.plot().figure_.canvas.draw()
    names = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    assert {"5", "10", "20"} <= set(names)
