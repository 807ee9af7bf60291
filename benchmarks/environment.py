"""Environments of Python that benchmarks make for what they compare with."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path


def environment(folder: Path, packages: Sequence[str]) -> Path:
    """The Python of an environment with the packages; made if it is not there as a whole."""
    python, done = folder / "bin" / "python", folder / "packages.txt"
    wanted = "\n".join(packages) + "\n"
    if not done.exists() or done.read_text() != wanted:
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "-c", "constraints.txt"]
        subprocess.run([*install, *packages], check=True)
        done.write_text(wanted)
    return python
