"""What processes do in the tests."""

import errno
import hashlib
import math
import os
import signal
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

import skvade
from skvade import VaDEClassifier, VaDEClustering, distributed
from skvade.distributed import _board
from skvade.objectives.neighbours import embedding_losses
from skvade.persistence.shared_checkpoint import SharedCheckpoint
from skvade.training.adam import Adam
from skvade.training.batches import Rows
from skvade.training.neighbours import principal_components
from skvade.training.units import look_at, measure_units, summarize
from skvade.training.weights import Weights
from tests import conftest

X, Y = load_digits(return_X_y=True)
X, Y = X[:600] / 16, Y[:600]
small = partial(conftest.small, init="auto")  # of whose every step processes must agree


def digest(model):
    """Of all tensors."""
    tensors = model.module_.state_dict().values()
    return hashlib.md5(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


def facts(model, numbers=()):
    """What all processes should agree on, and the labels of this one's rows."""
    return {
        "digest": digest(model),
        "sizes": model.cluster_sizes_.tolist(),
        "information": model.mutual_information_,
        "history": [record["loss"] for record in model.history_],
        "bound": getattr(model, "lower_bound_", None),
        "report": str(model.report()),
        "labels": model.labels_.tolist(),
        "numbers": np.asarray(numbers).tolist(),
        "classes": getattr(model, "classes_", np.arange(0)).tolist(),
    }


def dealt(rank, size, how):
    """The numbers of a process's rows."""
    order = np.arange(len(X))
    if how == "sorted":
        order = np.argsort(Y, kind="stable")
    if how == "random":
        order = np.random.RandomState(0).permutation(len(X))
    return np.array_split(order, size)[rank]


def no_room(*args):
    """As where a container shares little memory."""
    raise OSError(errno.ENOSPC, "No space left on device")


def fit(cls, how="random", memory="shared", **parameters):
    """A fit of some estimator."""
    if memory == "none":
        _board.SHARED = Path("not there")
    elif memory == "no room":
        os.posix_fallocate = no_room
    with distributed.group() as group:
        mine = dealt(group.rank, group.size, how)
        model = small(getattr(skvade, cls), **{"n_clusters": 10, **parameters})
        if cls.endswith("Classifier"):
            model = small(getattr(skvade, cls), **parameters)
        known = np.where(np.arange(len(Y)) % 5 == 0, Y, -1)
        model.fit(X[mine], known[mine])
        again = model.predict(X[mine])
    assert not torch.distributed.is_initialized()
    return {**facts(model, mine), "predicted": again.tolist()}


def one():
    """A group of one process that was there before."""
    torch.distributed.init_process_group("gloo")
    with distributed.group() as group:
        found = {"size": group.size, "digest": digest(small(VaDEClustering).fit(X[:200]))}
    torch.distributed.destroy_process_group()
    return found


def default(how="random"):
    """A fit as users have it."""
    with distributed.group() as group:
        mine = dealt(group.rank, group.size, how)
        model = VaDEClustering(10, random_state=0, precision="float32").fit(X[mine])
    return facts(model, mine)


def summed(values):
    """As a number that JSON keeps to the bit."""
    return float(np.sum(values))


def kinds():
    """Sparse counts, a DataFrame, and a process group that was there before."""
    torch.distributed.init_process_group("gloo")
    found = {}
    with distributed.group() as group:
        mine = dealt(group.rank, group.size, "random")
        counts = sp.csr_array((X[mine] * 16).astype(np.float32))
        model = small(VaDEClustering, likelihood="poisson").fit(counts)
        found["sparse"] = digest(model)
        distinct = X[mine][:, 20:24] + 1e-4 * mine[:, None]  # equal rows are noise together
        frame = pd.DataFrame(distinct, columns=list("abcd"))
        model = small(VaDEClustering, random_state=None, noise_quantile=0.9).fit(frame)
        found["frame"] = digest(model)
        found["noise"] = int((model.labels_ == -1).sum())
        model = small(VaDEClustering, init=Y[mine], n_clusters=10).fit(X[mine])
        found["labels"] = digest(model)
        # One process never sees the category "a", and codes start at classes of all rows.
        kinds = np.array(list("abcdefghij"))[np.maximum(Y[mine], group.rank)]
        table = frame[["a", "b"]].assign(kind=kinds, odd=np.array(["no", "yes"])[Y[mine] % 2])
        model = small(VaDEClustering, categorical_features="from_dtype").fit(table)
        found["mixed"] = digest(model)
        found["categories"] = "".join(model._columns.columns[2].categories)
        few = X[mine][: 9 - 3 * group.rank]  # fewer than neighbours are asked for
        found["few"] = digest(small(VaDEClustering, n_clusters=2).fit(few))
        wide = np.tile(X[mine][: 40 - 20 * group.rank], (1, 2_000))  # columns in several blocks
        found["wide"] = summed(measure_units(wide * 9 - 3, None, group).units.shift)
    assert torch.distributed.is_initialized()
    torch.distributed.destroy_process_group()
    return found


def statistics():
    """What is known of all rows, and of this process's own."""
    found = {}
    tables = {
        "grey": X,
        "wide": np.concatenate([X * 40 - 100, np.full((600, 1), 3.0)], axis=1),
        "counts": np.round(X * 16),
        "sentinels": np.where(np.arange(600)[:, None] % 40 == 0, -999.0, X),
    }
    with distributed.group() as group:
        mine = dealt(group.rank, group.size, "random")
        for name, table in tables.items():
            summary = summarize(table[mine], group)
            measured = measure_units(table[mine], None, group)
            values = look_at(table[mine], summary.maximum, group)
            rows = Rows(table[mine], units=measured.units)
            lines = principal_components(rows, lambda x: x, 5, 0, group)
            found[name] = {
                "summary": [float(v) for name, v in vars(summary).items() if name != "blocks"],
                "shift": measured.units.shift.tolist(),
                "scale": measured.units.scale,
                "beyond": measured.beyond.tolist(),
                "values": [float(value) for value in vars(values).values()],
                "variances": lines.variances.tolist(),
            }
    return found


def gradients():
    """Of what is said of the rows of all processes, with respect to this one's codes."""
    rng = np.random.RandomState(0)
    z, near = (torch.from_numpy(rng.normal(size=(12, 2))) for _ in range(2))
    with distributed.group() as group:
        n_own = 12 // group.size
        part = slice(group.rank * n_own, (group.rank + 1) * n_own)
        own, own_near = z[part].clone().requires_grad_(), near[part].clone().requires_grad_()
        pull, push = embedding_losses(own, *group.everyone(own_near))
        ((pull + push) / group.size).backward()
        # A batch has as many rows of each, of which the first process has twice as many as others.
        weight = group.weight(200 if group.is_main else 100)
        logs = z[part].clone().requires_grad_()
        mean = group.log_mean(logs.log_softmax(-1).logsumexp(0) - math.log(n_own), weight)
        (weight * mean.square().sum() / group.size).backward()
        shared = group.collect((own.grad, own_near.grad, logs.grad))
    return {
        name: torch.cat(parts).tolist()
        for name, parts in zip("abc", zip(*shared, strict=True), strict=True)
    }


def steps(memory="shared"):
    """Parameters after some steps of Adam, and the entries of them that each process moves."""
    if memory == "none":
        _board.SHARED = Path("not there")
    found = {}
    with distributed.group() as group:
        for n_in in (1, 37):  # of the smaller network a process of four moves nothing
            torch.manual_seed(0)
            layer, rows = nn.Linear(n_in, n_in), torch.randn(12, n_in)
            weights = Weights(layer, list(layer.parameters()), peers=group)
            adam = Adam(weights.own)
            for n_done in range(4):
                weights.clear_gradients()
                layer(rows[group.rank :: group.size]).square().mean().backward()
                weights.collect_gradients(max_norm=0.1 if n_done % 2 else 1e9)
                adam.step(0.1)
                weights.publish()
            found[str(n_in)] = weights.master.tolist()
            found[f"own {n_in}"] = len(adam.state["exp_avg"])
    return found


def faults():
    """Errors that only one process makes, or in which processes differ; and a fit after them."""
    found = {}
    with distributed.group() as group:
        mine = dealt(group.rank, group.size, "random")
        odd = group.rank == 1
        holes = X[mine].copy()
        holes[3, 2] = np.inf if odd else 0.0
        own = {
            "parameter": (small(VaDEClustering, batch_size=0 if odd else "auto"), X[mine]),
            "rows": (small(VaDEClustering), holes),
            "columns": (small(VaDEClustering), X[mine][:, : 60 + odd]),
            "dtype": (small(VaDEClustering), X[mine].astype(np.float32 if odd else np.float64)),
            "different": (small(VaDEClustering, tol=0.1 if odd else 0.2), X[mine]),
            "class": (small(VaDEClustering if odd else skvade.DECClustering), X[mine]),
            "labels": (small(VaDEClustering, init=np.zeros(3 if odd else len(mine), int)), X[mine]),
            "y": (small(VaDEClassifier), X[mine]),
            "few": (small(VaDEClassifier, n_classes=2), X[mine]),
            "loss": (small(VaDEClustering, encoder=Ends("loss")), X[mine]),
        }
        for name, (model, rows) in own.items():
            y = None if name == "y" and odd else Y[mine]
            try:
                model.fit(rows, y)
            except (ValueError, TypeError, FloatingPointError) as error:
                found[name] = f"{type(error).__name__}: {error}"
        try:
            small(VaDEClustering).fit(X[mine], checkpoint="/no/such/folder/fit")
        except OSError as error:
            found["checkpoint"] = f"{type(error).__name__}: {error}"
        start = make_pipeline(FunctionTransformer(lambda codes: codes), KMeans(3, random_state=0))
        small(VaDEClustering, init=start).fit(X[mine])  # what no checkpoint could tell trains, too
        found["after"] = digest(small(VaDEClustering).fit(X[mine]))
    return found


def uneven():
    """Processes of which one has five times as many rows as the other."""
    with distributed.group() as group:
        mine = np.arange(500) if group.is_main else np.arange(500, 600)
        mean = group.total(group.weight(len(mine)) * X[mine].mean()) / group.size
        shares = group.collect(group.share(60, len(mine)))
        model = small(VaDEClustering, n_clusters="auto", max_clusters=8, neighbor_weight=0)
        model.fit(X[mine])
        labels = group.concatenate(model.labels_at(4))
    return {"mean": float(mean), "shares": shares, "sizes": np.bincount(labels).tolist()}


class Ends(nn.Module):
    """An encoder that ends its process, fails, or loses all values, after some batches."""

    def __init__(self, how):
        super().__init__()
        self.layer, self.how, self.n_seen = nn.Linear(64, 8), how, 0

    def forward(self, x):
        self.n_seen += 1
        if self.n_seen == 20 and self.how != "loss" and os.environ["RANK"] == "1":
            if self.how == "kill":
                os._exit(9)
            kind = ValueError if self.how == "value" else KeyError
            raise kind("a mistake of the encoder's")
        return self.layer(x) * (np.nan if self.how == "loss" and self.n_seen > 20 else 1.0)


def ends(how):
    """One process ends in the middle of training; the others are told."""
    warnings.simplefilter("ignore")
    begun = time.monotonic()
    try:
        with distributed.group() as group:
            mine = dealt(group.rank, group.size, "random")
            small(VaDEClustering, encoder=Ends(how), max_iter=50).fit(X[mine])
    except (distributed.PeerError, KeyError, ValueError) as error:
        kind = type(error).__name__
        return {"kind": kind, "message": str(error), "seconds": time.monotonic() - begun}
    return {}


def resumed(path, end=0, interval=0.0, how="random", more=0):
    """A fit with a checkpoint; the last process is killed after the state number `end`."""
    kept = 0
    keep = SharedCheckpoint.keep

    def counted(self, *args, **kwargs):
        nonlocal kept
        keep(self, *args, **kwargs)
        kept += 1
        if kept == end and self.peers.rank == self.peers.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    SharedCheckpoint.keep = counted
    try:
        with distributed.group() as group:
            mine = dealt(group.rank, group.size, how)
            model = small(VaDEClustering, n_clusters=10, max_iter=6 + more)
            model.fit(X[mine], checkpoint=path, checkpoint_interval=interval)
    except (distributed.PeerError, ValueError) as error:
        return {"kind": type(error).__name__, "message": str(error), "kept": kept}
    return {**facts(model, mine), "kept": kept}


def outside():
    """Beside a launcher's variables, but in no group: a fit of one's own."""
    blobs, _ = make_blobs(200, centers=3, random_state=int(os.environ["RANK"]))
    return {"digest": digest(small(VaDEClustering).fit(blobs))}


CASES = {
    case.__name__: case
    for case in (
        fit,
        one,
        default,
        kinds,
        statistics,
        gradients,
        steps,
        faults,
        uneven,
        ends,
        resumed,
        outside,
    )
}


def run(case, options):
    """A case by its name, in a process of its own."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    return CASES[case](**options)
