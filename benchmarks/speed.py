"""How near to the hardware's limit: training steps, predictions, memory, import.

    SKVADE_DATA=<folder> python -m benchmarks.speed
    SKVADE_DATA=<folder> python -m benchmarks.speed phases search million

`step` times gradient steps of the default network on MNIST rows against their matrix products
alone: the same shapes in the same precision, forward, for the weights and for the inputs, without
those that a phase does not need. Results stay in memory until the step is over, as they must in
training. Both are timed in turn, several times, and the share is the median of the pairs' ratios:
the machine may be noisy. `pretrain` is the autoencoder's step, `bound` the bound's without
neighbours, and `neighbours` and `train` are the phases of a default fit.

`predict` does the same for `predict` on 10,000 float32 rows and gives the milliseconds of one row.
`phases` fits all of MNIST by default, and gives the seconds of each phase.
`memory` gives the greatest growth of the process's own memory (Linux), each in a new process.
`import` compares `import skvade` with `import torch, sklearn`, and `search` a grid search in two
processes with the same in one. `million` fits a million rows by default, and `map` ten million of a
memory map, which it makes and removes (800 MB), and predicts them. A table is printed at the end;
records are, unless `--dry`, added to `benchmarks/results/speed/`, one file for each word.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV

from benchmarks.development import load
from benchmarks.machine import anonymous_growth, versions
from benchmarks.usage import peak_memory_mb
from skvade import VaDEClustering
from skvade.datasets import fetch_benchmark
from skvade.metrics import clustering_accuracy
from skvade.objectives.vade import NegativeELBO
from skvade.training.phases import Initialise
from skvade.training.run import Phase, Run
from skvade.training.runtime import resolve_device, resolve_runtime
from skvade.training.trainer import Optimise

RESULTS = Path(__file__).parent / "results" / "speed"
N_PAIRS = 3
DEVICE = resolve_device("auto" if torch.cuda.is_available() else "cpu")
N_ROWS, ROWS_TIMED = (70_000, 100_000) if DEVICE.type == "cuda" else (10_240, 8_192)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Products:
    """The matrix products of one pass of rows through dense layers.

    Attributes
    ----------
    sizes : sequence of int
        Widths, from the input on.
    n_rows : int
    weights, inputs : bool
        Whether the gradients of the weights, and those of the layers' inputs, are needed.
    first : bool
        Whether the gradient of the first layer's input is needed, too.
    full : bool
        Whether they are in float32 whatever the precision of the others.
    """

    sizes: Sequence[int]
    n_rows: int
    weights: bool = True
    inputs: bool = True
    first: bool = False
    full: bool = False

    def prepare(self, dtype: torch.dtype) -> Callable[[], list[torch.Tensor]]:
        """Tensors of these shapes, and a function that multiplies them."""
        dtype = torch.float32 if self.full else dtype
        random = partial(torch.randn, dtype=dtype, device=DEVICE)
        layers = []
        for number, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            x, y = (random(self.n_rows, n) for n in (n_in, n_out))
            layers.append((x, random(n_out, n_in), y, number > 0 or self.first))

        def multiply() -> list[torch.Tensor]:
            kept = [x @ w.t() for x, w, _, _ in layers]
            for x, w, y, wants_input in reversed(layers):
                kept += [y.t() @ x] if self.weights else []
                kept += [y @ w] if self.inputs and wants_input else []
            return kept

        return multiply


def seconds(function: Callable[[], Any]) -> float:
    """What one call takes, from an idle device until the device has done it."""
    wait = torch.cuda.synchronize if DEVICE.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - start


def compare(work: Callable[[], Any], limit: Callable[[], Any]) -> dict[str, float]:
    """Both in turn: milliseconds of each, and the median of the limit's share."""
    work(), limit()
    pairs = [(seconds(work), seconds(limit)) for _ in range(N_PAIRS)]
    shares = [b / a for a, b in pairs]
    return {
        "ms": round(1e3 * statistics.median(a for a, _ in pairs), 3),
        "limit_ms": round(1e3 * statistics.median(b for _, b in pairs), 3),
        "share": round(statistics.median(shares), 3),
        "share_min": round(min(shares), 3),
        "share_max": round(max(shares), 3),
        "n_pairs": N_PAIRS,
    }


def ready_to_train(
    X: np.ndarray, precision: str, batch: int, **parameters: Any
) -> tuple[Run, dict[str, Optimise]]:
    """A run whose phases before the bound are done, if shortly, and its gradient phases by name."""
    given = {"hidden_layer_sizes": (500, 500, 2000), **parameters}  # comparable with older records
    model = VaDEClustering(10, precision=precision, batch_size=batch, random_state=0, **given)
    runtime = resolve_runtime(model.device, precision)
    facts, rows = model._prepare(X, runtime, False, np.random.RandomState(0), 10)
    phases = model._make_phases(facts)
    networks = model._make_networks(facts.shape, rows, 0)
    run = Run(model._make_model(networks, facts.shape), rows, runtime, seed=0)
    short = [replace(p, n_steps=30) if isinstance(p, Optimise) else p for p in phases]
    start = next(i for i, phase in enumerate(phases) if isinstance(phase, Initialise))
    run.go(short[: start + 1])
    n_timed = max(1, ROWS_TIMED // batch)
    named = {p.name: replace(p, n_steps=n_timed) for p in phases if isinstance(p, Optimise)}
    named["bound"] = replace(named["train"], batch_size=batch, objective=lambda run: NegativeELBO())
    return run, {name: replace(phase, listeners=()) for name, phase in named.items()}


def measure_step(batch: int, precision: str) -> Iterator[dict[str, Any]]:
    """Gradient steps of each kind against their products."""
    X, _ = fetch_benchmark("mnist")
    X = X[:N_ROWS]
    sizes = (X.shape[1], 500, 500, 2000)

    def encoder(n_rows: int, n_heads: int = 1, **wanted: bool) -> list[Products]:
        head = Products((sizes[-1], 10), n_rows, full=True, **{**wanted, "first": True})
        return [Products(sizes, n_rows, **wanted), *[head] * n_heads]

    def decoder(n_rows: int) -> list[Products]:
        return [Products((10, *sizes[::-1]), n_rows, first=True)]

    pairs = batch // 2
    push = encoder(pairs, weights=False, first=True)
    brought = [*push, *encoder(pairs), *decoder(pairs)]
    work = {
        "pretrain": [*encoder(batch), *decoder(batch)],
        "bound": [*encoder(batch, n_heads=2), *decoder(batch)],
        "neighbours": [*encoder(pairs), *brought],
        "train": [*encoder(pairs, n_heads=2), *brought],
    }
    run, phases = ready_to_train(X, precision, batch)
    for name, products in work.items():
        prepared = [p.prepare(PRECISIONS[precision]) for p in products]

        n_steps = phases[name].n_steps

        def limit(prepared: list[Callable[[], Any]] = prepared, n_steps: int = n_steps) -> None:
            for _ in range(n_steps):
                _ = [multiply() for multiply in prepared]

        found = compare(lambda name=name: run.go([phases[name]]), limit)
        found |= {key: round(found[key] / n_steps, 3) for key in ("ms", "limit_ms")}
        rate = round(batch / found["ms"] * 1e3)
        yield {"what": f"step {name}", "batch": batch, "precision": precision, **found} | {
            "rows_a_second": rate
        }


@dataclass(frozen=True)
class Timed(Phase):
    """A phase that notes what it takes."""

    phase: Phase
    notes: dict[str, float]

    @property
    def has_epochs(self) -> bool:
        """As the phase itself."""
        return self.phase.has_epochs

    @property
    def name(self) -> str:
        """That of the phase itself."""
        return self.phase.name

    def run(self, run: Run, seed: int) -> None:
        self.notes[self.name] = round(seconds(lambda: self.phase.run(run, seed)), 2)
        print(f"{self.name}: {self.notes[self.name]} s", file=sys.stderr, flush=True)


def fit_timed(model: VaDEClustering, X: np.ndarray) -> dict[str, float]:
    """Fit, and give the seconds of each phase and of the whole."""
    notes: dict[str, float] = {}
    make_phases = model._make_phases
    model._make_phases = lambda facts: [Timed(phase, notes) for phase in make_phases(facts)]
    whole = seconds(lambda: model.fit(X))
    return {"seconds": round(whole, 1), **notes}


def measure_phases(
    names: Sequence[str] = ("iris", "digits", "usps", "mnist"),
) -> Iterator[dict[str, Any]]:
    """Default fits, from a small table to all of MNIST."""
    for data in names:
        X, y = load(data)
        model = VaDEClustering(len(np.unique(y)), random_state=0)
        found = {"what": f"phases of {data}", "n_rows": len(X), **fit_timed(model, X)}
        acc = clustering_accuracy(y, model.labels_)
        yield found | {"peak_memory_mb": round(peak_memory_mb()), "acc": round(acc, 4)}


def measure_predict() -> Iterator[dict[str, Any]]:
    """`predict` against the encoder's products, and one row at a time."""
    X, _ = fetch_benchmark("mnist")
    X = X[:10_000].astype(np.float32)
    model = VaDEClustering(
        10,
        hidden_layer_sizes=(500, 500, 2000),
        neighbor_weight=0,
        pretrain_iter=1,
        max_iter=1,
        init="k-means",
        random_state=0,
    ).fit(X[:2_000])
    products = Products((X.shape[1], 500, 500, 2000), len(X), weights=False, inputs=False)
    with torch.inference_mode():
        found = compare(lambda: model.predict(X), products.prepare(torch.float32))
    yield {"what": "predict", "n_rows": len(X), **found}
    for dtype in (np.float32, np.float64):
        row = X[:1].astype(dtype)
        times = [seconds(lambda row=row: model.predict(row)) for _ in range(1_000)]
        ms = round(1e3 * statistics.median(times), 3)
        yield {"what": "predict one row", "dtype": np.dtype(dtype).name, "ms": ms}


def _rows(n_rows: int, kind: str) -> np.ndarray:
    """MNIST's rows, and beyond their number mixtures of two."""
    X, _ = fetch_benchmark("mnist")
    rng = np.random.default_rng(0)
    made = np.empty((n_rows, X.shape[1]), kind)
    for start in range(0, n_rows, len(X)):
        block = X[: n_rows - start]
        if start:
            block = 0.9 * block + 0.1 * X[rng.permutation(len(X))[: len(block)]]
        made[start : start + len(block)] = np.round(255 * block) if kind == "uint8" else block
    return made


def _fit_grows(n_rows: int, kind: str) -> dict[str, Any]:
    """Growth in a fit that is short in steps."""
    X = _rows(n_rows, kind)
    likelihood = "gaussian" if kind == "uint8" else "bernoulli"
    short = {"pretrain_iter": 1, "max_iter": 1, "batch_size": 512}
    model = VaDEClustering(10, likelihood=likelihood, random_state=0, **short)
    with anonymous_growth() as growth:
        model.fit(X)
    found = {"what": f"memory fit {kind}", "n_rows": n_rows, "X_mb": round(X.nbytes / 2**20)}
    return found | {"mb": round(growth.mb)}


def _predict_grows(n_rows: int, kind: str) -> dict[str, Any]:
    """Growth in `predict`; "map" is a memory map of float32."""
    X = _rows(1_000, "float32")
    model = VaDEClustering(10, pretrain_iter=1, max_iter=1, random_state=0).fit(X)
    with tempfile.TemporaryDirectory() as folder:
        if kind == "map":
            path = Path(folder) / "rows.npy"
            rows = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, X.shape[1]))
            for start in range(0, n_rows, len(X)):
                rows[start : start + len(X)] = X
            del rows
            rows = np.load(path, mmap_mode="r")
        else:
            rows = _rows(n_rows, kind)
        with anonymous_growth() as growth:
            took = seconds(lambda: model.predict(rows))
    found = {"what": f"memory predict {kind}", "n_rows": n_rows, "X_mb": round(rows.nbytes / 2**20)}
    return found | {"mb": round(growth.mb), "rows_a_second": round(n_rows / took)}


MEMORY = {
    f"{verb}-{kind}-{n_rows}": partial(grows, n_rows, kind)
    for verb, grows, kind, n_rows in [
        *(("fit", _fit_grows, "float32", n) for n in (10_000, 70_000, 300_000)),
        ("fit", _fit_grows, "uint8", 70_000),
        *(("predict", _predict_grows, "float32", n) for n in (10_000, 70_000, 300_000)),
        ("predict", _predict_grows, "map", 1_000_000),
    ]
}


def measure_memory() -> Iterator[dict[str, Any]]:
    """Each in a process of its own."""
    for name in MEMORY:
        command = [sys.executable, "-m", "benchmarks.speed", "--one", name]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        yield json.loads(output.splitlines()[-1])


def measure_import() -> Iterator[dict[str, Any]]:
    """New processes in turn, each with the compiled files of the first at hand."""

    def fresh(code: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    ours, theirs = "import torch, sklearn, skvade", "import torch, sklearn"
    fresh(ours), fresh(theirs)
    ratios = [fresh(ours) / fresh(theirs) for _ in range(N_PAIRS)]
    found = {"what": "import", "ratio": round(statistics.median(ratios), 3)}
    yield found | {"ratio_min": round(min(ratios), 3), "ratio_max": round(max(ratios), 3)}


def measure_search() -> Iterator[dict[str, Any]]:
    """A grid search in two processes against the same one in this process."""
    X, _ = load_digits(return_X_y=True)
    model = VaDEClustering(10, pretrain_iter=20, max_iter=10, random_state=0)

    def search(n_jobs: int) -> float:
        grid = GridSearchCV(model, {"latent_dim": [5, 10]}, cv=3, n_jobs=n_jobs, refit=False)
        return seconds(lambda: grid.fit(X / 16))

    n_threads = torch.get_num_threads()
    pairs = [(search(1), search(2)) for _ in range(3)]
    ratios = [two / one for one, two in pairs]
    yield {
        "what": "grid search of 6 fits, n_jobs=2",
        "seconds": round(statistics.median(two for _, two in pairs), 1),
        "serial_seconds": round(statistics.median(one for one, _ in pairs), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "threads_kept": n_threads == torch.get_num_threads(),
    }


def measure_million() -> Iterator[dict[str, Any]]:
    """A default fit of a million rows of 50 features: 20 Gaussian clusters with curved noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(20, size=1_000_000)
    codes = rng.normal(0, 2, (20, 8))[labels] + rng.normal(0, 0.6, (len(labels), 8))
    X = np.tanh(codes @ rng.normal(0, 0.4, (8, 50))) + rng.normal(0, 0.1, (len(labels), 50))
    X, model = X.astype(np.float32), VaDEClustering(20, random_state=0)
    with anonymous_growth() as growth:
        found = {"what": "a million rows", **fit_timed(model, X)}
    ari = adjusted_rand_score(labels, model.labels_)
    yield found | {"X_mb": round(X.nbytes / 2**20), "mb": round(growth.mb), "ari": round(ari, 3)}


def measure_map(n_rows: int = 10_000_000) -> Iterator[dict[str, Any]]:
    """A default fit of ten million rows of 20 features (20 curved clusters), and `predict`."""
    rng = np.random.default_rng(0)
    centres, turn = rng.normal(0, 2, (20, 6)), rng.normal(0, 0.4, (6, 20))
    labels = rng.integers(20, size=n_rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        rows = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, 20))
        for start in range(0, n_rows, 100_000):
            codes = centres[labels[start : start + 100_000]]
            codes = codes + rng.normal(0, 0.4, codes.shape)
            noise = rng.normal(0, 0.1, (len(codes), 20))
            rows[start : start + len(codes)] = np.tanh(codes @ turn) + noise
        del rows
        X = np.load(path, mmap_mode="r")
        model = VaDEClustering(20, random_state=0)
        with anonymous_growth() as growth:
            found = {"what": f"a map of {n_rows:,} rows", **fit_timed(model, X)}
        with anonymous_growth() as growth_predicting:
            predicting = seconds(lambda: model.predict(X))
    ari = adjusted_rand_score(labels, model.labels_)
    found |= {"X_mb": round(X.nbytes / 2**20), "mb": round(growth.mb), "ari": round(ari, 3)}
    yield found | {"predict": round(predicting, 1), "predict_mb": round(growth_predicting.mb)}


def measure_steps() -> Iterator[dict[str, Any]]:
    """Every batch size and precision."""
    for batch in (128, 256, 512, 1024):
        for precision in PRECISIONS:
            yield from measure_step(batch, precision)


MEASURES = {
    "step": measure_steps,
    "phases": measure_phases,
    "predict": measure_predict,
    "memory": measure_memory,
    "import": measure_import,
    "search": measure_search,
    "million": measure_million,
    "map": measure_map,
}
LABELS = ("precision", "batch", "n_rows", "dtype")
LONG = ("phases", "search", "million", "map")
PHASES = ("pretrain", "graph", "neighbours", "clusters", "hold", "train", "M step")


def table_of_phases(records: Sequence[dict[str, Any]]) -> str:
    """Seconds of the phases of default fits, in Markdown."""
    phases = [name for name in records[0] if name in PHASES]
    lines = ["| " + " | ".join(["set", "rows", *phases, "whole"]) + " |"]
    lines += ["|---" * (len(phases) + 3) + "|"]
    for record in records:
        cells = [record["what"].removeprefix("phases of "), f"{record['n_rows']:,}"]
        cells += [f"{record[name]:.1f}" for name in (*phases, "seconds")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_of_memory(records: Sequence[dict[str, Any]]) -> str:
    """Megabytes beside the data, in Markdown."""
    lines = ["| what | rows of 784 columns | X, MB | beside X, MB |", "|---" * 4 + "|"]
    for record in records:
        what = record["what"].removeprefix("memory ").replace(" map", ", a memory map")
        cells = [what, f"{record['n_rows']:,}", f"{record['X_mb']:,}", f"{record['mb']:,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table(records: Sequence[dict[str, Any]]) -> str:
    """The records as lines of text: what was measured, and its figures."""
    lines = []
    for record in records:
        labels = "".join(f"{record.get(name, ''):>10}" for name in LABELS)
        rest = [f"{k} {v}" for k, v in record.items() if k not in ("what", *LABELS)]
        lines.append(f"{record['what']:<34}{labels}  {'  '.join(rest)}")
    return "\n".join(lines)


def keep(what: str, found: dict[str, Any], dry: bool) -> None:
    """Print a record, and add it to its file."""
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else DEVICE.type
    spin = {n: os.environ[n] for n in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if n in os.environ}
    machine = {"device": name, "threads": torch.get_num_threads(), **spin}
    line = json.dumps({**found, **machine, "versions": versions()})
    print(line, flush=True)
    if not dry:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{what}.jsonl").open("a") as file:
            file.write(line + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what",
        nargs="*",
        default=[name for name in MEASURES if name not in LONG],
        help=", ".join(MEASURES),
    )
    parser.add_argument("--dry", action="store_true", help="keep no records")
    parser.add_argument("--one", choices=sorted(MEMORY), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if unknown := set(given.what) - set(MEASURES):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(MEASURES)}")
    if given.one:
        print(json.dumps(MEMORY[given.one]()))
        return
    records = []
    for what in given.what:
        for found in MEASURES[what]():
            keep(what, found, dry=given.dry)
            records.append(found)
    print(table(records))


if __name__ == "__main__":
    main()
