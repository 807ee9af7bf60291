"""Kill a fit at random moments, take it up again, and compare it with one that was not killed.

    python -m benchmarks.kills --kills 25

Every trial is a process of its own that fits scikit-learn's digits with a checkpoint, is killed by
signal 9 after a random time, and is started anew until a fit comes to its end. The outcome must be
the same to the bit as that of a fit without a checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import skvade
from skvade.persistence import container as storage
from skvade.persistence.checkpoint import KIND


def digest(model: object, X: np.ndarray) -> str:
    """A digest of what a fit leaves."""
    left = hashlib.sha256(repr(model.history_).encode())
    for array in (model.predict_proba(X), model.transform(X), model.cluster_centers_):
        left.update(np.ascontiguousarray(array).tobytes())
    return left.hexdigest()


def fit(name: str, checkpoint: str | None) -> str:
    """The digest of one fit, which keeps its state as often as it can."""
    X, y = load_digits(return_X_y=True)
    y[np.arange(len(y)) % 20 > 0] = -1
    model = getattr(skvade, name)(hidden_layer_sizes=(128, 128), random_state=0)
    if "n_clusters" in model.get_params():
        model.set_params(n_clusters=10, n_init=2)
    model.fit(X / 16, y, checkpoint=checkpoint, checkpoint_interval=0.05)
    return digest(model, X / 16)


def seconds_to_end(command: list[str], limit: float | None) -> tuple[float, str | None]:
    """How long a process took, and what it printed; nothing if it was killed after `limit`."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            output = None
    return time.perf_counter() - start, output


def main() -> None:
    """Kill, take up, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimator", default="VaDEClustering")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(fit(given.estimator, given.checkpoint))
        return
    command = [sys.executable, "-m", "benchmarks.kills", "--one", "--estimator", given.estimator]
    whole, expected = seconds_to_end(command, None)
    rng, n_kills, same = random.Random(given.seed), 0, []
    with tempfile.TemporaryDirectory() as folder:
        while n_kills < given.kills:
            path = Path(folder) / f"fit{len(same)}"
            output = None
            while output is None:
                limit = rng.uniform(0.1, 0.5) * whole if n_kills < given.kills else None
                _, output = seconds_to_end([*command, "--checkpoint", str(path)], limit)
                # A process that was killed before it had any state to lose does not count.
                had_state = path.exists() and storage.read(path, KIND)["runs"]
                n_kills += output is None and bool(had_state)
            same.append(output == expected)
        torn = len(list(Path(folder).iterdir())) - len(same)
    print(
        json.dumps(
            {
                "estimator": given.estimator,
                "kills": n_kills,
                "fits": len(same),
                "bit_identical": sum(same),
                "files_left_by_kills": torn,
                "seconds_uninterrupted": round(whole, 1),
            }
        )
    )
    sys.exit(not all(same))


if __name__ == "__main__":
    main()
