"""One fit of `benchmarks.peers`, in a process of its own: prints a line of JSON.

CPU seconds are the whole process's, the system's and those of its children among them, by what they
went to: `import` (the interpreter and what the method needs), `load`, `compile` (a first call of
UMAP, on at most 200 of the rows, by the search for neighbours that all of them will get, and what
the fit itself compiles nevertheless) and `fit`. Numba keeps a part of what UMAP needs on disk: the
first import in an environment takes far more than the others. Theirs import neither torch nor
skvade before the peak of memory is read.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import version
from typing import Any

from benchmarks.compiling import compiling
from benchmarks.usage import cpu_seconds, peak_memory_mb

PACKAGES = ("scikit-learn", "umap-learn", "pynndescent", "numba", "torch", "numpy", "scipy")
EXACT = 4096  # UMAP compares all rows below this number of them, and searches by descent from it on


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


# What each needs, by module, so that importing it is told from fitting.
METHODS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "skvade": (skvade, ("skvade",)),
    "umap+gmm": (umap_mixture, ("umap", "sklearn.mixture")),
    "umap+hdbscan": (umap_hdbscan, ("umap", "sklearn.cluster")),
    "pca+gmm": (pca_mixture, ("sklearn.decomposition", "sklearn.mixture")),
    "kmeans": (kmeans, ("sklearn.cluster",)),
    "svd+kmeans": (svd_kmeans, ("sklearn.decomposition", "sklearn.cluster")),
}


def measure(file: str, method: str, seed: int, likelihood: str, precision: str) -> dict[str, Any]:
    """Fit once and return what a record says of it."""
    fit, needed = METHODS[method]
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
        "versions": {package: version(package) for package in PACKAGES},
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
    from sklearn.metrics import normalized_mutual_info_score

    from skvade.metrics import clustering_accuracy

    known = y >= 0
    return {
        "acc": round(clustering_accuracy(y[known], labels[known]), 4),
        "nmi": round(normalized_mutual_info_score(y[known], labels[known]), 4),
        "found_clusters": len(set(labels[labels >= 0].tolist())),
        "noise": round(float((labels < 0).mean()), 4),
    }


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
