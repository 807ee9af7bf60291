"""The data sets that the benchmarks use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import fetch_openml, load_digits


@dataclass(frozen=True)
class _Benchmark:
    """Where a data set comes from and how it becomes a table.

    Attributes
    ----------
    openml : tuple of (name, version) or None
        None where OpenML does not have it in this form.
    divisor : float
        Brings raw values to the model's scale.
    n_train : int or None
        Rows from this one on are the official test part.
    test_subjects : tuple of int
        Or: rows of these subjects are.
    select : callable
        Takes the raw table to the one that is used.
    """

    openml: tuple[str, int] | None = None
    divisor: float = 1.0
    n_train: int | None = None
    test_subjects: tuple[int, ...] = ()
    select: Callable[[Any], Any] = lambda X: X


def _variable_genes(counts: sp.csr_matrix, n_genes: int = 2_000) -> np.ndarray:
    """Counts of the genes that vary most after log-normalisation; dense."""
    counts = sp.csr_matrix(counts, dtype=np.float32)
    counts = counts[:, np.asarray((counts > 0).sum(0)).ravel() >= 3]
    totals = np.asarray(counts.sum(1)).ravel()
    logs = (sp.diags(np.median(totals) / totals) @ counts).log1p()
    means = np.asarray(logs.mean(0)).ravel()
    variances = np.asarray(logs.multiply(logs).mean(0)).ravel() - means**2
    return counts[:, np.sort(np.argsort(-variances)[:n_genes])].toarray()


BENCHMARKS = {
    "mnist": _Benchmark(("mnist_784", 1), 255.0, n_train=60_000),
    "usps": _Benchmark(("USPS", 1), 255.0, n_train=7_291),
    "har": _Benchmark(("har", 1), test_subjects=(2, 4, 9, 10, 12, 13, 18, 20, 24)),
    "pendigits": _Benchmark(("pendigits", 1), n_train=7_494),
    "reuters21578": _Benchmark(select=lambda X: X.toarray()),
    "sc_worm_neuron": _Benchmark(select=_variable_genes),
}


def fetch_benchmark(name: str, *, subset: str = "all") -> tuple[np.ndarray, np.ndarray]:
    """Rows and true classes of a benchmark data set.

    A file `<name>.npz` with arrays `X` and `y`, or with a scipy sparse matrix and `y`, in the
    folder that the environment variable `SKVADE_DATA` names is used if there is one; otherwise the
    data come from OpenML. "digits" ships with scikit-learn.

    Parameters
    ----------
    name : {"digits", "mnist", "usps", "har", "pendigits", "reuters21578", "sc_worm_neuron"}
        "reuters21578" is tf-idf of the documents of one of the ten largest topics, and
        "sc_worm_neuron" the counts of the 2,000 genes that vary most after log-normalisation;
        both need a file.
    subset : {"all", "train", "test"}, default="all"
        The official parts where the data have them, a fifth of the rows, always the same, as "test"
        where not.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float32
        Pixels between 0 and 1, other features as they are.
    y : ndarray of shape (n_samples,), int64
        Classes from 0.

    Raises
    ------
    ValueError
        If there is no such data set or subset.
    FileNotFoundError
        If the data are not on OpenML and `SKVADE_DATA` names no folder with their file.

    Examples
    --------
    >>> from skvade.datasets import fetch_benchmark
    >>> X, y = fetch_benchmark("digits")
    >>> X.shape, float(X.max())
    ((1797, 64), 1.0)
    """
    if name not in BENCHMARKS and name != "digits":
        raise ValueError(f"name must be one of {['digits', *BENCHMARKS]}, got {name!r}.")
    if subset not in ("all", "train", "test"):
        raise ValueError(f"subset must be 'all', 'train' or 'test', got {subset!r}.")
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        X, is_test = X / 16, _is_test(len(X), _Benchmark())
    else:
        benchmark = BENCHMARKS[name]
        X, y, subject = _read(name, benchmark)
        X, is_test = benchmark.select(X), _is_test(len(y), benchmark, subject)
    chosen = {"all": slice(None), "train": ~is_test, "test": is_test}[subset]
    y = np.unique(y, return_inverse=True)[1].astype(np.int64)
    return X[chosen].astype(np.float32), y[chosen]


def _read(name: str, benchmark: _Benchmark) -> tuple[Any, np.ndarray, np.ndarray | None]:
    path = Path(os.environ.get("SKVADE_DATA", "")) / f"{name}.npz"
    if "SKVADE_DATA" in os.environ and path.is_file():
        with np.load(path) as file:
            y, subject = file["y"], file.get("subject")
            X = file["X"].astype(np.float32) if "X" in file else sp.load_npz(path)
        return X / np.float32(benchmark.divisor), y, subject
    if benchmark.openml is None:
        raise FileNotFoundError(
            f"{name!r} is not on OpenML in this form; set the environment variable SKVADE_DATA to "
            f"a folder with {name}.npz."
        )
    openml_name, version = benchmark.openml
    X, y = fetch_openml(
        openml_name, version=version, return_X_y=True, as_frame=False, parser="liac-arff"
    )
    X = X.astype(np.float32)
    low = min(X.min(), 0)
    return (X - low) / (X.max() - low) if benchmark.divisor > 1 else X, y, None


def _is_test(n_rows: int, benchmark: _Benchmark, subject: np.ndarray | None = None) -> np.ndarray:
    if subject is not None and benchmark.test_subjects:
        return np.isin(subject, benchmark.test_subjects)
    if benchmark.n_train is not None:
        return np.arange(n_rows) >= benchmark.n_train
    return np.isin(np.arange(n_rows), np.random.RandomState(0).permutation(n_rows)[: n_rows // 5])
