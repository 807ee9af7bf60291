"""Ours against what users would take instead: UMAP, PCA, mixtures, HDBSCAN, k-means.

    SKVADE_DATA=<folder> python -m benchmarks.peers --data iris,digits --seeds 0:3
    SKVADE_DATA=<folder> python -m benchmarks.peers --data tables,batteries --seeds 0:3
    SKVADE_DATA=<folder> python -m benchmarks.peers --isa avx2
    python -m benchmarks.peers --table

The script makes environments of its own, `build/peers` and, for ClustPy, `build/clustpy`. Every fit
has a process of its own on one thread, and the methods of a seed go in turn, ours first. CPU
seconds are whole processes', medians over the seeds that `umap+gmm` has, too, since others may be
of another day; `peer_fit.py` says what they are split into. What UMAP compiles, anew
in every process, is stated apart and is not in `fit`; its peak of memory has it.

- `skvade`: VaDEClustering by default, with the likelihood that suits the data.
- `umap+gmm`, `umap+hdbscan`: UMAP to ten dimensions with 20 neighbours and min_dist 0, then a
  GaussianMixture with n_init=5, or HDBSCAN by default. Noise counts as one more cluster.
- `pca+gmm`: ten principal components (TruncatedSVD where rows are sparse), then such a mixture.
- `gmm`: such a mixture of the rows themselves, and `spectral`: SpectralClustering of the graph of
  neighbours; both up to 20,000 rows.
- `kmeans`: n_init=10. `svd+kmeans`, for sparse rows only: the same on 50 components.
- `clustpy vade`, `dec`, `idec`, `dcn`: ClustPy's by default, where `--methods` names them.

All get the same rows (`development.py`), except that counts are log-normalised for theirs. With
`--isa avx2` libraries are told to use no vector instructions beyond AVX2, and ours trains in
float32, since "auto" asks the processor itself: a machine without bfloat16 units. A record of each
fit is added to `benchmarks/results/peers.jsonl`, unless `--dry`. Fits that the file has for the
same code, processor and instructions are not repeated, so that an interrupted run goes on; only
for our own fits is the library part of the code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from itertools import combinations, groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

import skvade
from benchmarks import clustpy, development
from benchmarks.environment import environment
from benchmarks.machine import processor, versions
from benchmarks.peer_fit import METHODS
from benchmarks.records import put, read

FOLDER = Path("build/peers")
RESULTS = Path(__file__).parent / "results" / "peers.jsonl"
PACKAGES = ["-e", ".", "torch==2.13.0", "umap-learn==0.5.12", "pynndescent==0.7.0", "numba==0.68.1"]
DATA = "iris,wine,breast_cancer,digits,pendigits,usps,har,rcv1_dev4,reuters21578,sc_worm_neuron"
DATA += ",mnist-10k,mnist"
GROUPS = {"tables": development.TABLES, "batteries": development.BATTERIES}
BY_DEFAULT = ",".join(name for name, method in METHODS.items() if method.environment == "peers")
PYTHONS: dict[str, Callable[[], Path]] = {
    "peers": lambda: environment(FOLDER, PACKAGES),
    "clustpy": clustpy.python_with_clustpy,
}
REFERENCE = "umap+gmm"
COLUMNS = (
    *("data", "method", "seeds", "CPU s", f"to {REFERENCE}", "import", "compile"),
    *("ACC", "worst", "NMI", "ARI", "seeds agree", "clusters", "MB"),
)
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
}
# Seen to have effect, all but MKL's on a processor of AMD: its float32 products take as long either
# way, and it does not say which instructions it uses.
ISA = {
    "native": {},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "",  # else numba adds the host's
    },
}
PRECISION = {"native": "auto", "avx2": "float32"}


@cache
def code(method: str) -> str:
    """Digest of the methods and of what is installed for them; of ours, of the library too."""
    here = Path(__file__).parent
    sources = sorted(Path(skvade.__file__).parent.rglob("*.py")) if method == "skvade" else []
    sources += [Path("constraints.txt")]
    sources += [here / f"{name}.py" for name in ("peer_fit", "compiling", "usage", "development")]
    digest = sha256(repr(PACKAGES).encode())
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def machine(record: dict[str, Any]) -> tuple[str, str, str]:
    """The processor's name and bfloat16 units, and the instructions."""
    units = ", ".join(record["processor"]["bfloat16"]) or "none"
    return record["processor"]["name"], units, record["isa"]


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    """What tells a record from others."""
    return (*machine(record), record["data"], record["method"], record["seed"])


def keep(record: dict[str, Any], path: Path = RESULTS) -> None:
    """Add a record, in the place of an older one with the same key."""
    sets = [*DATA.split(","), *development.ALL]
    put(record, path, key, lambda r: (machine(r), sets.index(r["data"]), r["seed"]))


def write_rows(data: str, X: Any, y: np.ndarray, folder: Path) -> dict[bool, Path]:
    """Files of the rows and classes, for ours (True) and for theirs."""
    paths = {True: folder / "ours.npz", False: folder / "theirs.npz"}
    counts = development.likelihood(data) == "negative_binomial"
    for ours, path in paths.items():
        rows = development.log_normalised(X) if counts and not ours else X
        if sp.issparse(rows):
            parts = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr}
            np.savez(path, y=y, shape=rows.shape, **parts)
        else:
            np.savez(path, X=rows, y=y)
    return paths


def fit(python: Path, file: Path, data: str, method: str, seed: int, isa: str) -> dict[str, Any]:
    """What a process of its own says of one fit."""
    command = [python, "-m", "benchmarks.peer_fit", file, method, str(seed)]
    command += [development.likelihood(data), PRECISION[isa]]
    variables = {**os.environ, **ONE_THREAD, **ISA[isa]}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables)
    return json.loads(done.stdout.splitlines()[-1])


def measure(
    data: str, methods: list[str], seeds: range, isa: str, have: set[tuple[Any, ...]]
) -> Iterator[dict[str, Any]]:
    """The records of one set that are not there yet, the methods of each seed in turn."""
    X, y = development.load(data)
    methods = [method for method in methods if len(y) <= METHODS[method].most_rows]
    if not sp.issparse(X):
        methods = [method for method in methods if method != "svd+kmeans"]
    cpu = processor()
    wanted = [
        {"processor": cpu, "isa": isa, "data": data, "method": method, "seed": seed}
        for seed in seeds
        for method in methods
    ]
    wanted = [r for r in wanted if (*key(r), code(r["method"])) not in have]
    if not wanted:
        return
    with tempfile.TemporaryDirectory() as folder:
        files = write_rows(data, X, y, Path(folder))
        for record in wanted:
            method, seed = record["method"], record["seed"]
            python = PYTHONS[METHODS[method].environment]()
            found = fit(python, files[method == "skvade"], data, method, seed, isa)
            made = {name: versions()[name] for name in ("skvade", "commit", "python")}
            yield {
                **record,
                **found,
                "versions": {**made, **found["versions"]},
                "code": code(method),
            }


def table(records: list[dict[str, Any]]) -> str:
    """The records as Markdown: tables for each processor and its instructions."""
    lines: list[str] = []
    for (name, units, isa), group in groupby(records, machine):
        here = list(group)
        packages = ", ".join(f"{n} {v}" for n, v in here[-1]["versions"].items())
        lines += [f"{name} (bfloat16 units: {units}), instructions: {isa}. {packages}.", ""]
        own = [r for r in here if r["data"] in DATA.split(",")]
        lines += ["| " + " | ".join(row) + " |" for row in (COLUMNS, ["---"] * len(COLUMNS))]
        for data, runs in groupby(own, lambda r: r["data"]):
            lines += _rows(data, list(runs))
        lines.append("")
        for title, sets in GROUPS.items():
            lines += _group(title, [r for r in here if r["data"] in sets])
    return "\n".join(lines).rstrip()


def _group(title: str, records: list[dict[str, Any]]) -> list[str]:
    """Many sets in one table: median ARI of every method, then means over the sets."""
    methods = [method for method in METHODS if any(r["method"] == method for r in records)]
    if not methods:
        return []
    sets = {data: list(runs) for data, runs in groupby(records, lambda r: r["data"])}
    of = lambda runs, method: [r for r in runs if r["method"] == method]  # noqa: E731
    header = [title, *(f"{m} ({max(len(of(r, m)) for r in sets.values())})" for m in methods)]
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header))]
    medians, seconds, agreements = [], [], []
    for data, runs in sets.items():
        found = [of(runs, method) for method in methods]
        medians.append([median(r["ari"] for r in own) if own else np.nan for own in found])
        seconds.append([median(map(_fit, own)) if own else np.nan for own in found])
        agreements.append([_agreement(own) for own in found])
        best = np.nanmax(medians[-1])
        cells = [f"**{a:.3f}**" if a == best else f"{a:.3f}" for a in medians[-1]]
        lines.append("| " + " | ".join([data, *cells]) + " |")
    whole = [
        own for own in zip(medians, seconds, agreements, strict=True) if not np.isnan(own[0]).any()
    ]
    rows = (("mean ARI", 0, 3), ("mean CPU s", 1, 2), ("seeds agree", 2, 3)) if whole else ()
    for name, column, digits in rows:
        means = np.array([own[column] for own in whole]).mean(0)
        lines.append("| " + " | ".join([f"*{name}*", *(f"{m:.{digits}f}" for m in means)]) + " |")
    return [
        f"{len(sets)} {title}, ARI: the median of as many seeds as the heading says.",
        "",
        *lines,
        "",
    ]


def _agreement(runs: list[dict[str, Any]]) -> float:
    """Mean adjusted Rand index of the labels of every two seeds, NaN of one."""
    kept = [list(r["labels"]) for r in runs if "labels" in r]
    pairs = [adjusted_rand_score(a, b) for a, b in combinations(kept, 2)]
    return float(np.mean(pairs)) if pairs else np.nan


def _rows(data: str, runs: list[dict[str, Any]]) -> list[str]:
    reference = {r["seed"]: _fit(r) for r in runs if r["method"] == REFERENCE}
    lines = []
    for method in METHODS:
        mine = [r for r in runs if r["method"] == method]
        if not mine:
            continue
        pairs = [(_fit(r), reference.get(r["seed"])) for r in mine]
        ratios = [a / b for a, b in pairs if b]
        seconds = median(map(_fit, in_turn(mine, runs)))
        before = [median(r["cpu_seconds"].get(n, 0) for r in mine) for n in ("import", "compile")]
        acc = [r["acc"] for r in mine]
        found = sorted({r["found_clusters"] for r in mine})
        cells = [data, method, str(len(mine)), f"{seconds:.2f}"]
        cells += [f"{median(ratios):.2f}" if ratios else "", *(f"{b:.1f}" for b in before)]
        cells += [f"{median(acc):.3f}", f"{min(acc):.3f}", f"{median(r['nmi'] for r in mine):.3f}"]
        ari, agreement = [r["ari"] for r in mine if "ari" in r], _agreement(mine)
        cells += [
            f"{median(ari):.3f}" if ari else "",
            "" if np.isnan(agreement) else f"{agreement:.3f}",
        ]
        cells += ["-".join(map(str, (found[0], *found[1:][-1:])))]
        cells += [f"{median(r['peak_memory_mb'] for r in mine):.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def in_turn(own: list[dict[str, Any]], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of a method's fits whose seconds compare: of seeds that the reference has, too."""
    seeds = {r["seed"] for r in runs if r["method"] == REFERENCE}
    return [r for r in own if r["seed"] in seeds] or own


def _fit(record: dict[str, Any]) -> float:
    return record["cpu_seconds"]["fit"]


def main(arguments: list[str] | None = None) -> None:
    """Measure in turn, print and keep; or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=DATA, help="names, with commas between them")
    parser.add_argument("--methods", default=BY_DEFAULT, help="likewise")
    parser.add_argument("--seeds", default="0:3", help="first:last, last excluded")
    parser.add_argument("--isa", default="native", choices=list(ISA))
    parser.add_argument("--dry", action="store_true", help="keep no records, and heed none")
    parser.add_argument("--table", action="store_true", help="print the table of the records")
    given = parser.parse_args(arguments)
    if given.table:
        print(table(read(RESULTS)))
        return
    data = [one for name in given.data.split(",") for one in GROUPS.get(name, (name,))]
    methods = given.methods.split(",")
    for names, known in ((data, development.ALL), (methods, METHODS)):
        if unknown := set(names) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    have = set() if given.dry else {(*key(r), r["code"]) for r in read(RESULTS)}
    for one in data:
        for record in measure(
            one, methods, range(*map(int, given.seeds.split(":"))), given.isa, have
        ):
            print(json.dumps(record), flush=True)
            if not given.dry:
                keep(record)


if __name__ == "__main__":
    main()
