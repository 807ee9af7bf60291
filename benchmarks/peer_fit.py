"""One fit of `benchmarks.peers`, in a process of its own: prints a line of JSON.

CPU seconds are the whole process's, the system's and those of its children among them, by what they
went to: `import` (the interpreter and what the method needs), `load`, `compile` (a first call of
UMAP, on at most 200 of the rows, by the search for neighbours that all of them will get, and what
the fit itself compiles nevertheless) and `fit`. Numba keeps a part of what UMAP needs on disk: the
first import in an environment takes far more than the others. Theirs, but for ClustPy's, import
neither torch nor skvade before the peak of memory is read.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import Any, NamedTuple

from benchmarks.compiling import compiling
from benchmarks.usage import cpu_seconds, peak_memory_mb

PACKAGES = (
    "scikit-learn",
    "umap-learn",
    "pynndescent",
    "numba",
    "clustpy",
    "torch",
    "numpy",
    "scipy",
)
EXACT = 4096  # UMAP compares all rows below this number of them, and searches by descent from it on
KEPT_LABELS = 300  # rows of which a record has the labels, so that those of two seeds compare


def skvade(X: Any, k: int, seed: int, likelihood: str, precision: str) -> Any:
    """Ours by default, on the CPU."""
    from skvade import VaDEClustering

    model = VaDEClustering(
        k, likelihood=likelihood, precision=precision, device="cpu", random_state=seed
    )
    return model.fit(X).labels_


def umap_mixture(X: Any, k: int, seed: int) -> Any:
    """Ten dimensions by UMAP, and a Gaussian mixture there."""
    return _mixture(_umap(seed).fit_transform(X), k, seed)


def umap_hdbscan(X: Any, k: int, seed: int) -> Any:
    """Ten dimensions by UMAP, and HDBSCAN there, which finds the number of clusters itself."""
    from sklearn.cluster import HDBSCAN

    return HDBSCAN(copy=True).fit_predict(_umap(seed).fit_transform(X))


def pca_mixture(X: Any, k: int, seed: int) -> Any:
    """Ten principal components at most, and a Gaussian mixture there."""
    return _mixture(_components(X, 10, seed), k, seed)


def kmeans(X: Any, k: int, seed: int) -> Any:
    """k-means with ten restarts."""
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=10, random_state=seed).fit_predict(X)


def svd_kmeans(X: Any, k: int, seed: int) -> Any:
    """k-means on fifty components."""
    return kmeans(_components(X, 50, seed), k, seed)


def gmm(X: Any, k: int, seed: int) -> Any:
    """A Gaussian mixture of the rows themselves."""
    return _mixture(X.toarray() if hasattr(X, "toarray") else X, k, seed)


def spectral(X: Any, k: int, seed: int) -> Any:
    """Spectral clustering of the graph of ten neighbours."""
    from sklearn.cluster import SpectralClustering

    return SpectralClustering(k, affinity="nearest_neighbors", random_state=seed).fit_predict(X)


def clustpy(name: str) -> Callable[..., Any]:
    """One of ClustPy's deep clusterings by default."""

    def fit(X: Any, k: int, seed: int) -> Any:
        from clustpy import deep

        return getattr(deep, name)(k, random_state=seed).fit(X.astype("float32")).labels_

    return fit


class Method(NamedTuple):
    """What to call, with the rows, the number of clusters and a seed, and what that takes.

    Attributes
    ----------
    fit : callable
    modules : tuple of str
        What it needs, so that importing is told from fitting.
    environment : str
    most_rows : float
    """

    fit: Callable[..., Any]
    modules: tuple[str, ...]
    environment: str = "peers"
    most_rows: float = inf


METHODS = {
    "skvade": Method(skvade, ("skvade",)),
    "umap+gmm": Method(umap_mixture, ("umap", "sklearn.mixture")),
    "umap+hdbscan": Method(umap_hdbscan, ("umap", "sklearn.cluster")),
    "pca+gmm": Method(pca_mixture, ("sklearn.decomposition", "sklearn.mixture")),
    "gmm": Method(gmm, ("sklearn.mixture",), most_rows=20_000),
    "spectral": Method(spectral, ("sklearn.cluster",), most_rows=20_000),
    "kmeans": Method(kmeans, ("sklearn.cluster",)),
    "svd+kmeans": Method(svd_kmeans, ("sklearn.decomposition", "sklearn.cluster")),
    **{
        f"clustpy {name.lower()}": Method(clustpy(name), ("clustpy.deep",), "clustpy")
        for name in ("VaDE", "DEC", "IDEC", "DCN")
    },
}


def measure(file: str, method: str, seed: int, likelihood: str, precision: str) -> dict[str, Any]:
    """Fit once and return what a record says of it."""
    fit, needed = METHODS[method][:2]
    for module in needed:
        import_module(module)
    spent = {"import": cpu_seconds()}
    X, y = _load(file)
    spent["load"] = cpu_seconds() - sum(spent.values())
    warnings.simplefilter("ignore")
    k = len(set(y[y >= 0].tolist()))
    if "umap" in needed:
        _compile(X)
        spent["compile"] = cpu_seconds() - sum(spent.values())
    ours = (likelihood, precision) if method == "skvade" else ()
    with compiling() if "umap" in needed else nullcontext([]) as compiled:
        labels = fit(X, k, seed, *ours)
    spent["fit"] = cpu_seconds() - sum(spent.values()) - sum(compiled)
    if compiled:
        spent["compile"] += sum(compiled)
    peak = peak_memory_mb()
    found = {
        "n_rows": X.shape[0],
        "n_features": X.shape[1],
        "n_clusters": k,
        "cpu_seconds": {name: round(value, 3) for name, value in spent.items()},
        "peak_memory_mb": round(peak),
        **_judged(y, labels),
        "vectors": _vectors(),
        "versions": _versions(),
    }
    return found | ({"precision": _resolved(precision)} if ours else {})


def _load(file: str) -> tuple[Any, Any]:
    import numpy as np

    with np.load(file) as arrays:
        y = arrays["y"]
        if "X" in arrays:
            return arrays["X"], y
        from scipy.sparse import csr_matrix

        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        return csr_matrix(parts, shape=arrays["shape"]), y


def _umap(seed: int, **parameters: Any) -> Any:
    from umap import UMAP

    return UMAP(n_components=10, n_neighbors=20, min_dist=0.0, random_state=seed, **parameters)


def _compile(X: Any) -> None:
    import numpy as np

    rows = np.random.RandomState(0).permutation(X.shape[0])[:200]
    _umap(0, force_approximation_algorithm=X.shape[0] >= EXACT).fit_transform(X[rows])


def _mixture(codes: Any, k: int, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    # In float64: a covariance of narrow clusters may not be positive definite in float32.
    return GaussianMixture(k, n_init=5, random_state=seed).fit_predict(codes.astype(float))


def _components(X: Any, n: int, seed: int) -> Any:
    from scipy.sparse import issparse
    from sklearn.decomposition import PCA, TruncatedSVD

    reduce = TruncatedSVD if issparse(X) else PCA
    return reduce(min(n, *X.shape), random_state=seed).fit_transform(X)


def _judged(y: Any, labels: Any) -> dict[str, Any]:
    """Scores of the rows with a class. HDBSCAN's noise is -1 and counts as one more cluster."""
    import numpy as np
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    from skvade.metrics import clustering_accuracy

    known = y >= 0
    kept = np.linspace(0, len(labels) - 1, min(KEPT_LABELS, len(labels))).astype(int)
    return {
        "acc": round(clustering_accuracy(y[known], labels[known]), 4),
        "nmi": round(normalized_mutual_info_score(y[known], labels[known]), 4),
        "ari": round(adjusted_rand_score(y[known], labels[known]), 4),
        "found_clusters": len(set(labels[labels >= 0].tolist())),
        "noise": round(float((labels < 0).mean()), 4),
        "labels": "".join(chr(ord("b") + label) for label in labels[kept].tolist()),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _vectors() -> dict[str, str]:
    """Which instructions the libraries say they use."""
    import torch
    from threadpoolctl import threadpool_info

    kinds = {info["architecture"] for info in threadpool_info() if "architecture" in info}
    return {"blas": ", ".join(sorted(kinds)), "torch": torch.backends.cpu.get_cpu_capability()}


def _resolved(precision: str) -> str:
    from skvade.training.runtime import resolve_runtime

    return "float32" if resolve_runtime("cpu", precision).compute_dtype is None else "bfloat16"


if __name__ == "__main__":
    file, method, seed, likelihood, precision = sys.argv[1:]
    print(json.dumps(measure(file, method, int(seed), likelihood, precision)))
