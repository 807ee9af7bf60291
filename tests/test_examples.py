"""The examples run and say what their text says."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_example(name, folder):
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run


def test_a_convolutional_encoder(tmp_path):
    run = run_example("plot_convolutional", tmp_path)
    accuracy = float(run.stdout.split("afterwards: ")[1].split()[0])
    assert accuracy > 0.6  # far above chance; the first partition decides between .75 and .85
    assert "(2, 10) to (2, 63); expected (2, 64)" in run.stdout


def test_styles(tmp_path):
    run = run_example("plot_styles", tmp_path)
    assert "clusters used       10 of 10" in run.stdout
    assert (tmp_path / "styles.png").stat().st_size > 10_000
    assert (tmp_path / "walk.png").stat().st_size > 10_000
