"""Many fits in one process: memory, threads, open files and temporary folders must not grow.

    python -m benchmarks.soak --fits 300

Prints one JSON line; ends with status 1 if memory grew by more than five per cent between the
first fifth of the fits and the end, or if anything else was left behind.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import warnings
from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

import skvade
from benchmarks.machine import versions

NAMES = [name for name in skvade.__all__ if name.endswith(("Clustering", "Classifier"))]


def resident_mb() -> float:
    """Memory of this process in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def left_behind() -> dict[str, int]:
    """What a fit might leak, counted."""
    return {
        "python_threads": threading.active_count(),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "open_files": len(list(Path("/proc/self/fd").iterdir())),
        "temporary_files": len(list(Path(tempfile.gettempdir()).iterdir())),
    }


def main() -> None:
    """Fit, and look what is left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=300)
    fits = parser.parse_args().fits
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_iris(return_X_y=True)
    y[5:45] = y[55:95] = y[105:] = -1
    memory, before = [], {}
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # of ours alone, so that other programs' files do not count
        for number in range(fits):
            name = NAMES[number % len(NAMES)]
            parameters = {"n_clusters": 3} if name.endswith("Clustering") else {}
            model = getattr(skvade, name)(
                hidden_layer_sizes=(64,), max_iter=2, pretrain_iter=2, **parameters
            )
            model.fit(X, y).transform(X)
            path = Path(folder) / "model"
            model.save(path)
            skvade.load(path).predict(X)
            path.unlink()
            del model
            gc.collect()
            memory.append(resident_mb())
            if number == max(len(NAMES), fits // 5) - 1:
                before = left_behind()
        after = left_behind()
        tempfile.tempdir = None
    first = memory[max(len(NAMES), fits // 5) - 1]
    growth = memory[-1] / first - 1
    record = {
        "fits": fits,
        "memory_mb_after_a_fifth": round(first, 1),
        "memory_mb_at_the_end": round(memory[-1], 1),
        "growth": round(growth, 4),
        "before": before,
        "after": after,
        "versions": versions(),
    }
    print(json.dumps(record))
    sys.exit(growth > 0.05 or after != before)


if __name__ == "__main__":
    main()
