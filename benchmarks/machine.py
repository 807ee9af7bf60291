"""What a record says of the machine, the process and the code that made it."""

from __future__ import annotations

import hashlib
import platform
import resource
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import scipy
import sklearn
import torch

import skvade


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def versions() -> dict[str, str]:
    """Of what the figures depend on; `commit` is the last that changed the library."""
    return {
        "skvade": skvade.__version__,
        "commit": _commit(),
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


@cache
def code_digest() -> str:
    """Of the source of the library and of the methods, committed or not, and of the versions."""
    digest = hashlib.sha256(repr((versions(), np.__version__, scipy.__version__)).encode())
    methods = Path(__file__).with_name("methods.py")
    for path in [*sorted(Path(skvade.__file__).parent.rglob("*.py")), methods]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _commit() -> str:
    command = ["git", "log", "-1", "--format=%h", "--", "skvade"]
    folder = Path(__file__).parent.parent
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
