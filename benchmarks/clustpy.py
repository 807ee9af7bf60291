"""Ours against ClustPy's VaDE, on all of MNIST with the same network and batches of 256.

    SKVADE_DATA=<folder> python -m benchmarks.clustpy --rounds 3

The script makes an environment of its own with both, `build/clustpy`. Each fit has a process of its
own, and they go in turn, so that peak memory is its own and the machine's moods meet all alike.
The first three train three epochs of the autoencoder and three of the bound, without neighbours,
which is ClustPy's own objective; a second is what a phase takes, over its epochs. The last is our
default fit, and is set against a default fit of ClustPy's: its 100 and 150 epochs at the pace of
the same round, and what else its fit does. Records are printed and, unless `--dry`, added to
`benchmarks/results/speed/clustpy.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import environment
from benchmarks.speed import fit_timed, keep, seconds
from benchmarks.usage import peak_memory_mb
from skvade import VaDEClustering
from skvade.datasets import fetch_benchmark
from skvade.metrics import clustering_accuracy

BATCH, EPOCHS = 256, 3
FOLDER = Path("build/clustpy")
DEFAULT_EPOCHS = {"pretrain": 100, "vade": 150}
# Its torchvision, of which clustpy uses transforms only, may be built for another torch.
STAND_IN = """import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")
"""


def python_with_clustpy() -> Path:
    """The Python of an environment with both; made if it is not there."""
    python = environment(FOLDER, ["-e", ".", "torch", "clustpy==0.0.3"])
    if subprocess.run([python, "-c", "import clustpy.deep"], capture_output=True).returncode:
        (site,) = FOLDER.glob("lib/python3*/site-packages")
        (site / "sitecustomize.py").write_text(STAND_IN)
    return python


def clustpy() -> dict[str, float]:
    """ClustPy 0.0.3 by its defaults, but for the epochs."""
    from clustpy.deep import VaDE, vade
    from clustpy.deep.neural_networks import VariationalAutoencoder

    X, y = fetch_benchmark("mnist")
    took: dict[str, float] = {}

    def timed(name: str, fit: Callable[..., Any]) -> Callable[..., Any]:
        def fit_timed(*args: Any, **kwargs: Any) -> Any:
            out: list[Any] = []
            took[name] = seconds(lambda: out.append(fit(*args, **kwargs)))
            return out[0]

        return fit_timed

    VariationalAutoencoder.fit = timed("pretrain", VariationalAutoencoder.fit)
    vade._VaDE_Module.fit = timed("vade", vade._VaDE_Module.fit)
    model = VaDE(
        10, batch_size=BATCH, pretrain_epochs=EPOCHS, clustering_epochs=EPOCHS, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = seconds(lambda: model.fit(X.astype(np.float32)))
    default = whole + sum((DEFAULT_EPOCHS[name] / EPOCHS - 1) * s for name, s in took.items())
    epochs = {f"{name} epoch": s / EPOCHS for name, s in took.items()}
    acc = clustering_accuracy(y, model.labels_)
    return {**epochs, "whole": whole, "default fit": default, "acc": acc}


def ours(precision: str) -> dict[str, float]:
    """The same epochs without neighbours."""
    X, y = fetch_benchmark("mnist")
    model = VaDEClustering(
        10,
        neighbor_weight=0,
        pretrain_iter=EPOCHS,
        max_iter=EPOCHS,
        tol=0,
        batch_size=BATCH,
        precision=precision,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopped before it converged
        took = fit_timed(model, X)
    epochs = {"pretrain epoch": took["pretrain"] / EPOCHS, "vade epoch": took["train"] / EPOCHS}
    return {**epochs, "whole": took["seconds"], "acc": clustering_accuracy(y, model.labels_)}


def our_default() -> dict[str, float]:
    """A whole default fit."""
    X, y = fetch_benchmark("mnist")
    model = VaDEClustering(10, random_state=0)
    took = seconds(lambda: model.fit(X))
    return {"default fit": took, "acc": clustering_accuracy(y, model.labels_)}


METHODS = {
    "clustpy": clustpy,
    "skvade bfloat16": lambda: ours("bfloat16"),
    "skvade float32": lambda: ours("float32"),
    "skvade default": our_default,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure in turn, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="keep no records")
    parser.add_argument("--one", choices=list(METHODS), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        found = {name: round(value, 4) for name, value in METHODS[given.one]().items()}
        found = {"method": given.one, **found, "peak_memory_mb": round(peak_memory_mb())}
        print(json.dumps(found))
        return
    python = python_with_clustpy()
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in METHODS}
    for number in range(given.rounds):
        for name, so_far in records.items():
            command = [python, "-m", "benchmarks.clustpy", "--one", name]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            so_far.append(json.loads(output.splitlines()[-1]))
            keep("clustpy", {"round": number, **so_far[-1]}, given.dry)
    for name, found in records.items():
        for what in [key for key in found[0] if key in records["clustpy"][0] and key != "method"]:
            values = [record[what] for record in found]
            ratios = [a[what] / b[what] for a, b in zip(records["clustpy"], found, strict=True)]
            print(
                f"{name}, {what}: median {statistics.median(values):.4g}; ClustPy's is "
                f"{statistics.median(ratios):.2f} times as much "
                f"({min(ratios):.2f}-{max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
