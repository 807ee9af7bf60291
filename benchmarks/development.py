"""The development sets: what the library may be tuned on and compared on, by name.

`load` gives the rows of a set and its classes. Pixels are in [0, 1], counts are counts, texts
are tf-idf, and the columns of tables have mean 0 and variance 1. Everything but scikit-learn's own
data is read from the folder that the environment variable `SKVADE_DATA` names. Sets of a battery
have its name before their own, as in "fcps/atom"; rows of class -1 are noise there, and scores
leave them out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from skvade.datasets import fetch_benchmark

CLASSICS = ("iris", "wine", "breast_cancer")
SEVEN = ("digits", "mnist", "usps", "har", "pendigits", "reuters21578", "sc_worm_neuron")
TEXTS = ("rcv1_dev4",)
TABLES = (
    *("balance", "banknote", "breast_tissue", "cardiotocography", "crabs", "dermatology"),
    *("ecoli", "glass", "haberman", "leaf", "new_thyroid", "page_blocks", "segment", "sonar"),
    *("user_knowledge", "vehicle", "vowel", "waveform40", "wholesale", "yeast", "zoo"),
)
_BATTERIES = {
    "fcps": "atom lsun target tetra twodiamonds wingnut",
    "graves": "dense fuzzyx line parabolic zigzag zigzag_noisy zigzag_outliers",
    "sipu": "aggregation compound d31 flame jain pathbased r15 s1 s2 s3 s4",
    "wut": "circles cross labirynth mk1 mk2 mk3 mk4 trapped_lovers windows x1 x2 x3 z1 z2 z3",
}
BATTERIES = tuple(f"{name}/{one}" for name, sets in _BATTERIES.items() for one in sets.split())
ALL = (*CLASSICS, *SEVEN, "mnist-10k", *TEXTS, *TABLES, *BATTERIES)

_LIKELIHOODS = {
    **dict.fromkeys(("digits", "mnist", "mnist-10k", "usps"), "bernoulli"),
    **dict.fromkeys(("reuters21578", "rcv1_dev4"), "bernoulli"),
    "sc_worm_neuron": "negative_binomial",
}


def likelihood(name: str) -> str:
    """What likelihood="auto" takes for a set; it leaves counts to the user."""
    return _LIKELIHOODS.get(name, "gaussian")


def load(name: str, *, subset: str = "all") -> tuple[Any, np.ndarray]:
    """Rows, sparse for `TEXTS`, and classes from 0; `subset` is for MNIST-10k and `SEVEN` only."""
    if name in SEVEN:
        return fetch_benchmark(name, subset=subset)
    if name == "mnist-10k":
        X, y = fetch_benchmark("mnist", subset=subset)
        rows = np.random.RandomState(0).permutation(len(X))[:10_000]
        return X[rows], y[rows]
    if subset != "all" or name not in ALL:
        raise ValueError(f"There is no {subset!r} of {name!r}; the sets are {', '.join(ALL)}.")
    if name in TEXTS:
        path = _path(name)
        return sp.load_npz(path).tocsr(), np.load(path)["y"]
    X, y = _table(name)
    return StandardScaler().fit_transform(X).astype(np.float32), y


def log_normalised(counts: np.ndarray) -> np.ndarray:
    """Logarithms of counts at equal totals, for methods that have no likelihood of counts."""
    totals = counts.sum(1, keepdims=True).clip(1)
    return np.log1p(counts / totals * np.median(totals))


def _table(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name in CLASSICS:
        return getattr(datasets, f"load_{name}")(return_X_y=True)
    file, _, one = name.partition("/")
    with np.load(_path(file)) as arrays:
        prefix = f"{one}_" if one else ""
        return arrays[f"{prefix}X"], arrays[f"{prefix}y"]


def _path(name: str) -> Path:
    path = Path(os.environ.get("SKVADE_DATA", "")) / "tables" / f"{name}.npz"
    if "SKVADE_DATA" not in os.environ or not path.is_file():
        raise FileNotFoundError(
            f"{name!r} is read from tables/{name}.npz in the folder that the environment variable "
            "SKVADE_DATA names."
        )
    return path
