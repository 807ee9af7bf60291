"""The examples run, and say what their text says.

Two run with a tenth of their steps. The others run with a budget of a few steps and small networks,
which tests that they work and not what they find: `make docs` runs them all in full.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
ROOT = Path(__file__).parent.parent
SHORT = {"pretrain_iter": 4, "max_iter": 2}
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

# Runs the example that its argument names by a budget, and prints how many figures it has drawn.
RUNNER = """
import json, runpy, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
script, budget = sys.argv[1], json.loads(sys.argv[2])
from skvade.training import runtime
runtime._multiplies_bfloat16 = lambda device: False  # the same precision on every machine
import joblib
joblib.parallel_config(backend="sequential")  # other processes would not know of what follows
from skvade.estimators import recipe
from skvade.estimators.base import BaseDeepModel
recipe.LABEL_STEPS = 10
fit = BaseDeepModel._fit_whole
def fit_a_little(self, *args, **kwargs):
    given = {name: value for name, value in vars(self).items() if name in budget}
    vars(self).update({name: budget[name] for name in given})
    try:
        return fit(self, *args, **kwargs)
    finally:
        vars(self).update(given)
BaseDeepModel._fit_whole = fit_a_little
sys.argv = [script]
runpy.run_path(script, run_name="__main__")
print("figures:", len(plt.get_fignums()))
"""


def run_example(name, folder, budget):
    run = subprocess.run(
        [sys.executable, "-c", RUNNER, ROOT / "examples" / f"{name}.py", json.dumps(budget)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert list(folder.iterdir()) == []  # pictures are shown, not left behind
    return run.stdout


def test_a_convolutional_encoder(tmp_path):
    text = run_example("plot_convolutional", tmp_path, SHORT)
    accuracy = float(text.split("afterwards: ")[1].split()[0])
    assert accuracy > 0.6  # far above chance; the first partition decides between .75 and .85
    assert "(2, 10) to (2, 63); expected (2, 64)" in text


def test_styles(tmp_path):
    text = run_example("plot_styles", tmp_path, SHORT)
    assert re.search("clusters used +10 of 10", text)
    assert "figures: 2" in text


@pytest.mark.parametrize("name", OTHERS)
def test_an_example_runs_with_a_small_budget(name, tmp_path):
    if name == "plot_training":
        pytest.importorskip("sklearn.callback")  # scikit-learn >= 1.9
    text = run_example(name, tmp_path, TINY)
    assert int(text.split("figures: ")[1]) >= 1


def test_cells_in_an_anndata_run_with_a_small_budget(tmp_path):
    """anndata is none of the test dependencies: it needs a pandas below 3."""
    for module in ("anndata", "igraph", "leidenalg"):
        pytest.importorskip(module)
    assert int(run_example("cells_anndata", tmp_path, TINY).split("figures: ")[1]) == 1


def test_every_example_has_its_place_in_the_gallery():
    text = (ROOT / "docs" / "conf.py").read_text()
    names = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert [name for name in names if f'"{name}"' not in text] == []
