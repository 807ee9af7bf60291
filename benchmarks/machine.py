"""What a record says of the machine, the process and the code that made it."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import scipy
import sklearn
import torch

import skvade


@dataclass
class Growth:
    """By how much a process grew, at most, while a block ran."""

    mb: float = 0.0


@contextmanager
def anonymous_growth() -> Iterator[Growth]:
    """Watch the memory that is the process's own (Linux's RssAnon; mapped files do not count).

    It is asked every five milliseconds: the peak that the system keeps would hide what stays below
    an earlier one. What was freed before is given back first, since it would be used again.
    """
    ctypes.CDLL(None).malloc_trim(0)
    growth, done, before = Growth(), Event(), _anonymous_mb()

    def look() -> None:
        growth.mb = max(growth.mb, _anonymous_mb() - before)

    def watch() -> None:
        while not done.wait(0.005):
            look()

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield growth
    finally:
        done.set()
        watcher.join()
        look()


def _anonymous_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def versions() -> dict[str, str]:
    """Of what the figures depend on; `commit` is the last that changed the library."""
    return {
        "skvade": skvade.__version__,
        "commit": _commit(),
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def processor() -> dict[str, Any]:
    """Its name, and its units for products of bfloat16, of which only Linux tells."""
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    lines = [line.partition(":") for line in text.splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in lines}
    flags = facts.get("flags", "").split()
    units = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]
    return {"name": facts.get("model name", platform.processor()), "bfloat16": units}


@cache
def code_digest() -> str:
    """Of the source of the library, the methods and the data, committed or not, and of versions."""
    digest = hashlib.sha256(repr((versions(), np.__version__, scipy.__version__)).encode())
    names = ("methods.py", "few_labels.py", "development.py")
    ours = [Path(__file__).with_name(name) for name in names]
    for path in [*sorted(Path(skvade.__file__).parent.rglob("*.py")), *ours]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _commit() -> str:
    command = ["git", "log", "-1", "--format=%h", "--", "skvade"]
    folder = Path(__file__).parent.parent
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
