"""Mutated model files: every one must load to an equal model or raise ValueError.

    python -m benchmarks.fuzz_files                  # 10,000 files, a summary in one line
    python -m benchmarks.fuzz_files --number 500 --seed 1
    python -m benchmarks.fuzz_files --pipelines --number 3000

With `--pipelines` files are those of pipelines, which `skvade.save` writes.
Half of the mutations are of bytes, which the digest finds; the others give the file a new digest,
so that what lies behind it is tested as well. A file of the latter kind may hold another model,
with which everything must work or raise ValueError. Loading may take twice the file's size and ROOM
for Python's own objects, and must execute, import and start nothing. On Linux the whole process is
held to that memory and SLACK besides.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
import sys
import tempfile
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch._dynamo  # which dispatch modes import when they are first needed
import torch._subclasses.schema_check_mode
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PowerTransformer, StandardScaler
from torch.utils._python_dispatch import TorchDispatchMode

import skvade
from skvade.persistence.container import NO_DIGEST
from skvade.persistence.model_file import contents_of
from skvade.persistence.packing import METADATA, SIZES

ROOM = 2**20
SLACK = 2**27
FORBIDDEN = ("import", "compile", "exec", "os.", "subprocess.", "ctypes.", "socket.", "pickle.")

# ------------------------------------------------------------------------------- mutations


def mutate(data: bytes, rng: random.Random) -> tuple[bytes, bool]:
    """The bytes of another file, and whether its digest is right."""
    signed = rng.random() < 0.5
    change = rng.choice(SIGNED if signed else RAW)
    return change(data, rng), signed


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes of the tensors."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def join(header: dict[str, Any], body: bytes, signed: bool = True) -> bytes:
    """The inverse of `split`, with a digest that is right if it is to be."""
    metadata = header.get(METADATA)
    if signed and isinstance(metadata, dict):
        metadata["sha256"] = NO_DIGEST
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    if signed:
        digest = hashlib.sha256(head + body).hexdigest()
        head = head.replace(NO_DIGEST.encode(), digest.encode(), 1)
    return head + body


def flip(data: bytes, rng: random.Random) -> bytes:
    """Change some bits, half of the time in the header."""
    changed = bytearray(data)
    end = 8 + int.from_bytes(data[:8], "little") if rng.random() < 0.5 else len(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return data[: rng.choice((rng.randrange(len(data)), rng.randrange(300), len(data) - 1))]


def insert(data: bytes, rng: random.Random) -> bytes:
    """Put bytes in between."""
    place = rng.choice((rng.randrange(len(data)), rng.randrange(3000), len(data)))
    return data[:place] + rng.randbytes(rng.choice((1, 8, 100))) + data[place:]


def remove(data: bytes, rng: random.Random) -> bytes:
    """Take bytes out."""
    place = rng.choice((rng.randrange(len(data)), rng.randrange(3000)))
    return data[:place] + data[place + rng.choice((1, 8, 100)) :]


def swap(data: bytes, rng: random.Random) -> bytes:
    """Exchange two stretches."""
    n = rng.choice((1, 8, 64))
    a, b = sorted(rng.sample(range(0, len(data) - n, n), 2))
    return data[:a] + data[b : b + n] + data[a + n : b] + data[a : a + n] + data[b + n :]


def resize_header(data: bytes, rng: random.Random) -> bytes:
    """Claim another length of the header."""
    size = rng.choice((0, 1, 2**16, 2**31, 2**40, 2**63, 2**64 - 1, rng.randrange(2 * len(data))))
    return size.to_bytes(8, "little") + data[8:]


def edit_header(data: bytes, rng: random.Random) -> bytes:
    """Change something in the header and leave the digest."""
    header, body = split(data)
    edit(header, rng)
    return join(header, body, signed=False)


def edit_entry(data: bytes, rng: random.Random) -> bytes:
    """Change what the header says of a tensor."""
    header, body = split(data)
    name = rng.choice([name for name in header if name != METADATA])
    entry = header[name]
    kind = rng.randrange(5)
    if kind == 0:
        entry["dtype"] = rng.choice(sorted(SIZES))
    elif kind == 1:
        entry["shape"] = rng.choice((entry["shape"][::-1], [-1], [1, *entry["shape"]], [2**40]))
    elif kind == 2:
        other = header[rng.choice([name for name in header if name != METADATA])]
        entry["shape"], other["shape"] = other["shape"], entry["shape"]
        entry["data_offsets"], other["data_offsets"] = other["data_offsets"], entry["data_offsets"]
    elif kind == 3:
        header[rng.choice((name + "_", "", "__class__"))] = header.pop(name)
    else:
        edit(entry, rng)
    return join(header, body)


def edit_content(data: bytes, rng: random.Random) -> bytes:
    """Change values."""
    header, body = split(data)
    content = json.loads(header[METADATA]["content"])
    for _ in range(rng.choice((1, 1, 3))):
        edit(content, rng)
    header[METADATA]["content"] = json.dumps(content)
    return join(header, body)


def edit_metadata(data: bytes, rng: random.Random) -> bytes:
    """Change what the file says of itself."""
    header, body = split(data)
    edit(header[METADATA], rng)
    return join(header, body)


def edit_body(data: bytes, rng: random.Random) -> bytes:
    """Change the bytes of tensors."""
    header, body = split(data)
    n = rng.choice((1, 8, 1000))
    place = rng.randrange(len(body) - n)
    return join(header, body[:place] + rng.randbytes(n) + body[place + n :])


HOSTILE = (
    *(None, True, False, 0, 1, -1, 3, 10**6, 10**9, 10**18, 2**70, 1e308, 0.5, -0.0),
    *("", "x", "os.system", "VaDEClustering", "DCNClustering", "poisson", "tied", "a" * 5000),
    *([], {}, [[]], ["list"], ["tuple"], ["list", 1], ["tuple", ["list"]], ["int", "0xff"]),
    *(["float", "nan"], ["float", "1e5"], ["array", "nowhere", "<f8"], ["tensor", "x", "float32"]),
    *(["array", "fitted.means_", "|O8"], ["scalar", 3], ["numbers", 3], ["dicts", {"a": 1}]),
    *(["list", 10**9], ["list", -5, "x"], ["list", *[1] * 400], {"a": {"b": None}}),
)


def edit(value: Any, rng: random.Random) -> None:
    """Change, remove or rename something somewhere in a structure of dicts and lists."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = value[key]
        if not (isinstance(inner, dict | list) and inner and rng.random() < 0.85):
            break
        value = inner
    kind = rng.randrange(8)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[rng.choice(("x", "__class__", "predict", key + "_"))] = value.pop(key)
    elif kind == 2 and len(keys) > 1:
        other = rng.choice(keys)
        value[key], value[other] = value[other], value[key]
    elif kind == 3 and type(inner) in (int, float):
        value[key] = inner + rng.choice((1, -1, 0.5))
    else:
        value[key] = json.loads(json.dumps(rng.choice(HOSTILE)))


RAW = (flip, flip, truncate, insert, remove, swap, resize_header, edit_header)
SIGNED = (edit_entry, edit_content, edit_content, edit_content, edit_metadata, edit_body)

# ------------------------------------------------------------------------------- judgement


def identical(a: Any, b: Any) -> bool:
    """Whether two nested values are of the same types and the same to the last bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        fits = a.dtype == b.dtype and a.shape == b.shape
        return fits and bool(torch.equal(_bits(a), _bits(b)))
    if isinstance(a, np.ndarray):
        fits = a.dtype == b.dtype and a.shape == b.shape
        return fits and (a.tolist() == b.tolist() if a.dtype.hasobject else _same_memory(a, b))
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and _same_memory(np.asarray(a), np.asarray(b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    return repr(a) == repr(b) if isinstance(a, float) else a == b


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().resolve_conj().contiguous().reshape(-1).view(torch.uint8)


def _same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


class TensorMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that are made, whether or not they are freed again."""

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self._seen:
                    self._seen.add(storage.data_ptr())
                    self.n_bytes += storage.nbytes()
        return result


class Watch:
    """Notes what the interpreter is asked to do inside the block, beside reading the file."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._on = False
        sys.addaudithook(self._note)

    def __enter__(self) -> None:
        self._on = True

    def __exit__(self, *error: Any) -> None:
        self._on = False

    def _note(self, event: str, args: Any) -> None:
        if self._on and event.startswith(FORBIDDEN):
            self.events.append(f"{event} {str(args[:1])[:60]}")


class Victim:
    """A model file, and what becomes of its mutations."""

    watch = Watch()

    def __init__(self, model: Any, X: Any, folder: Path):
        self.path = folder / "victim.safetensors"
        skvade.save(model, self.path)
        self.data = self.path.read_bytes()
        self.contents = self.contents_of(model)
        self.X = X
        skvade.load(self.path, "cpu")  # what it imports once, for any file

    def contents_of(self, model: Any) -> Any:
        """All that tells a model from another."""
        return contents_of(model)

    def judge(self, data: bytes, signed: bool) -> tuple[str, int]:
        """What came of a file, "equal", "refused" or "other", and the memory it took.

        Raises
        ------
        AssertionError
            If it is none of these, or took too much.
        """
        self.path.write_bytes(data)
        tracemalloc.start()
        memory = TensorMemory()
        model, message = None, ""
        try:
            with memory, self.watch:
                model = skvade.load(self.path, "cpu")
        except ValueError as error:
            message = str(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1] + memory.n_bytes
            tracemalloc.stop()
        assert not self.watch.events, self.watch.events[:9]
        assert peak <= 2 * len(data) + ROOM, f"{peak} bytes for a file of {len(data)}"
        if model is None:
            assert message.startswith(str(self.path)), message
            return "refused", peak
        outcome = "equal" if identical(self.contents_of(model), self.contents) else "other"
        assert outcome == "equal" or signed, "an altered file was loaded"
        self.use(model)
        return outcome, peak

    def use(self, model: Any) -> None:
        """Everything that a model of any class can do must work, or say why not."""
        for method in ("predict_proba", "transform", "predict", "score_samples"):
            if hasattr(model, method):
                with contextlib.suppress(ValueError):
                    getattr(model, method)(self.X)
        str(getattr(model, "steps", [("", model)])[-1][1].report())
        model.get_params()


class PipelineVictim(Victim):
    """The same of a pipeline."""

    def contents_of(self, model: Any) -> Any:
        """The file of it, but for the digest."""
        with tempfile.TemporaryDirectory() as folder:
            skvade.save(model, Path(folder) / "again")
            header, body = split((Path(folder) / "again").read_bytes())
        header[METADATA].pop("sha256")
        return header, body


def victims(folder: Path) -> list[Victim]:
    """Files of several classes, with names, classes that are strings, and counts."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 40)) + 6 * np.eye(3, 40)[np.arange(90) % 3]
    names = np.array(["ant", "bee", "cat"])[np.arange(90) % 3]
    small = {"hidden_layer_sizes": (256, 256), "latent_dim": 4, "random_state": 0}
    short = {"pretrain_iter": 20, "max_iter": 4}
    models = [
        skvade.VaDEClustering(3, **small, **short),
        skvade.M2Classifier(**small, **short, likelihood="poisson"),
        skvade.DECClustering(3, **small, **short),
    ]
    data = [X, np.abs(X).round(), X]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            Victim(model.fit(rows, names), rows, folder)
            for model, rows in zip(models, data, strict=True)
        ]


def pipelines(folder: Path) -> list[Victim]:
    """Files of pipelines: numbers with holes, and columns of several kinds."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 40)) + 6 * np.eye(3, 40)[np.arange(90) % 3]
    holes = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    small = {"hidden_layer_sizes": (256, 256), "latent_dim": 4, "random_state": 0}
    last = skvade.VaDEClustering(3, **small, pretrain_iter=20, max_iter=4)
    frame = pd.DataFrame(X[:, :5], columns=list("abcde"))
    frame["kind"] = np.array(["ant", "bee", "cat"])[np.arange(90) % 3]
    columns = make_column_transformer(
        (StandardScaler(), list("abcde")),
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["kind"]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            PipelineVictim(make_pipeline(*steps, clone(last)).fit(rows), rows, folder)
            for steps, rows in [
                ((SimpleImputer(), PowerTransformer(), PCA(10)), holes),
                ((columns, MinMaxScaler()), frame),
            ]
        ]


def run(
    number: int,
    seed: int,
    folder: Path,
    limited: bool = False,
    make: Callable[[Path], list[Victim]] = victims,
) -> str:
    """Judge mutations; a summary in one line. To limit memory is for good."""
    rng = random.Random(seed)
    targets = make(folder)
    if limited:
        limit_memory(2 * max(len(victim.data) for victim in targets) + SLACK)
    counts: Counter[str] = Counter()
    worst = 0.0
    for index in range(number):
        victim = targets[index % len(targets)]
        data, signed = mutate(victim.data, rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome, peak = victim.judge(data, signed)
        except Exception as error:
            raise AssertionError(f"mutation {index} of seed {seed}: {error!r}") from error
        counts[outcome] += 1
        worst = max(worst, peak / len(victim.data))
    sizes = [len(victim.data) // 1000 for victim in targets]
    return (
        f"{number} mutations of files of {sizes} kB: {counts['equal']} equal, "
        f"{counts['refused']} refused, {counts['other']} other models with a digest of their own; "
        f"at worst {worst:.2f} times the file's size in memory"
    )


def limit_memory(n_bytes: int) -> None:
    """Hold the process to what it has, and `n_bytes` more."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + n_bytes, -1))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pipelines", action="store_true")
    options = parser.parse_args()
    make = pipelines if options.pipelines else victims
    with tempfile.TemporaryDirectory() as folder:
        print(run(options.number, options.seed, Path(folder), limited=True, make=make))


if __name__ == "__main__":
    main()
