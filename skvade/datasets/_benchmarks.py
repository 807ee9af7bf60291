"""The data sets that the benchmarks use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml, load_digits


@dataclass(frozen=True)
class _Benchmark:
    """Name and version on OpenML, and the divisor that brings raw values to the model's scale."""

    openml_name: str
    version: int
    divisor: float


BENCHMARKS = {
    "mnist": _Benchmark("mnist_784", 1, 255.0),
    "usps": _Benchmark("USPS", 1, 255.0),
    "har": _Benchmark("har", 1, 1.0),
    "pendigits": _Benchmark("pendigits", 1, 1.0),
}


def fetch_benchmark(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and true classes of a benchmark data set.

    A file `<name>.npz` with arrays `X` and `y` in the folder that the environment variable
    `SKVADE_DATA` names is used if there is one; otherwise the data come from OpenML. "digits"
    ships with scikit-learn.

    Parameters
    ----------
    name : {"digits", "mnist", "usps", "har", "pendigits"}

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float32
        Pixels between 0 and 1, other features as they are.
    y : ndarray of shape (n_samples,), int64
        Classes from 0.

    Raises
    ------
    ValueError
        If there is no such data set.

    Examples
    --------
    >>> from skvade.datasets import fetch_benchmark
    >>> X, y = fetch_benchmark("digits")
    >>> X.shape, float(X.max())
    ((1797, 64), 1.0)
    """
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return (X / 16).astype(np.float32), y.astype(np.int64)
    if name not in BENCHMARKS:
        raise ValueError(f"name must be one of {['digits', *BENCHMARKS]}, got {name!r}.")
    benchmark = BENCHMARKS[name]
    path = Path(os.environ.get("SKVADE_DATA", "")) / f"{name}.npz"
    if "SKVADE_DATA" in os.environ and path.is_file():
        with np.load(path) as file:
            X, y = file["X"], file["y"]
        X = X.astype(np.float32) / np.float32(benchmark.divisor)
    else:
        X, y = fetch_openml(
            benchmark.openml_name,
            version=benchmark.version,
            return_X_y=True,
            as_frame=False,
            parser="liac-arff",
        )
        X = X.astype(np.float32)
        X = (X - min(X.min(), 0)) / (X.max() - min(X.min(), 0)) if benchmark.divisor > 1 else X
    return X, np.unique(y, return_inverse=True)[1].astype(np.int64)
