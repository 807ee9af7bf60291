"""The examples run and say what their text says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["plot_convolutional"])
def test_example(name, tmp_path):
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    accuracy = float(run.stdout.split("afterwards: ")[1].split()[0])
    assert accuracy > 0.6  # far above chance; the first partition decides between .75 and .85
    assert "(2, 10) to (2, 63); expected (2, 64)" in run.stdout
