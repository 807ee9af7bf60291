"""The examples run, and say what their text says.

Two run with a tenth of their steps. The others run with a budget of a few steps and small networks,
which tests that they work and not what they find: `make docs` runs them all in full.
"""

import re
from pathlib import Path

import pytest

from tests import server

pytest.importorskip("matplotlib")
ROOT = Path(__file__).parent.parent
SHORT = {"pretrain_iter": 4, "max_iter": 2, "compare": False}
TINY = {
    "pretrain_iter": 1,
    "max_iter": 1,
    "hidden_layer_sizes": (8,),
    "n_init": 1,
    "compare": False,
}
OTHERS = sorted(
    path.stem
    for path in (ROOT / "examples").glob("plot_*.py")
    if path.stem not in ("plot_convolutional", "plot_styles")
)


def run_example(name, folder, budget):
    """What an example prints, and how many figures it draws."""
    from tests import examples

    script = ROOT / "examples" / f"{name}.py"
    ((text, n_figures),) = server.results([server.start(examples.run, script, folder, budget)])
    assert list(folder.iterdir()) == []  # pictures are shown, not left behind
    return text, n_figures


def test_a_convolutional_encoder(tmp_path):
    text, _ = run_example("plot_convolutional", tmp_path, SHORT)
    accuracy = float(text.split("afterwards: ")[1].split()[0])
    assert accuracy > 0.6  # far above chance; the first partition decides between .75 and .85
    assert "(2, 10) to (2, 63); expected (2, 64)" in text


def test_styles(tmp_path):
    text, n_figures = run_example("plot_styles", tmp_path, SHORT)
    assert re.search("clusters used +10 of 10", text)
    assert n_figures == 2


@pytest.mark.parametrize("name", OTHERS)
def test_an_example_runs_with_a_small_budget(name, tmp_path):
    if name == "plot_training":
        pytest.importorskip("sklearn.callback")  # scikit-learn >= 1.9
    _, n_figures = run_example(name, tmp_path, TINY)
    assert n_figures >= 1


def test_cells_in_an_anndata_run_with_a_small_budget(tmp_path):
    """anndata is none of the test dependencies: it needs a pandas below 3."""
    for module in ("anndata", "igraph", "leidenalg"):
        pytest.importorskip(module)
    _, n_figures = run_example("cells_anndata", tmp_path, TINY)
    assert n_figures == 1


def test_every_example_has_its_place_in_the_gallery():
    text = (ROOT / "docs" / "conf.py").read_text()
    names = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert [name for name in names if f'"{name}"' not in text] == []
