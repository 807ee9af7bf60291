"""Where and in what precision training runs, and what it may do to the process around it.

scikit-learn's k-means and its search for neighbours set BLAS to one thread, and afterwards back to
what they found. Two at once, in threads, can each find the other's setting, and leave it behind for
good; so ours take turns (`alone`), whatever thread they are in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

from skvade.nn.autoencoder import Autoencoder
from skvade.training.batches import Rows
from skvade.training.peers import ALONE, Peers
from skvade.training.resident import make_resident, resident_dtype
from skvade.training.weights import Weights


@dataclass(frozen=True)
class Runtime:
    """A device, a precision, and who else trains the same model.

    Attributes
    ----------
    device : torch.device
    compute_dtype : torch.dtype or None
        Precision of the networks in training; None keeps that of the parameters, float32.
    peers : Peers
    """

    device: torch.device
    compute_dtype: torch.dtype | None = None
    peers: Peers = ALONE

    def prepare(self, model: Autoencoder) -> Autoencoder:
        """Move the model to where it is trained, as the main process has it."""
        model = model.to(self.device)
        self.peers.agree_(model)
        return model

    def weights(self, model: Autoencoder, parameters: list[nn.Parameter]) -> Weights:
        """What the optimiser moves, with copies in `compute_dtype` for the model's products."""
        if self.compute_dtype is None:
            return Weights(model, parameters, peers=self.peers)
        low = model.product_weights()
        return Weights(model, parameters, low, self.compute_dtype, self.peers)

    def place(self, rows: Rows) -> Rows:
        """Rows where training reads them: on the GPU, if they fill at most a third of what is free.

        There they wait for no copy from the host in every step. All processes must have the room:
        rows that they give each other are of one kind.
        """
        has_room = self.device.type == "cuda"
        if has_room:
            free, _ = torch.cuda.mem_get_info(self.device)
            has_room = len(rows) * rows.n_features * resident_dtype(rows).itemsize <= free / 3
        return make_resident(rows) if all(self.peers.collect(has_room)) else rows

    def reduce(self, value: Tensor) -> Tensor:
        """The mean of a value over processes."""
        return self.peers.total(value) / self.peers.size if self.peers.size > 1 else value

    def generator(self, seed: int) -> torch.Generator:
        """A random generator on the device; torch's global one is not touched.

        Each process draws for its own rows.
        """
        return torch.Generator(self.device).manual_seed(seed + 7919 * self.peers.rank)


@contextmanager
def in_full_precision(model: Autoencoder) -> Iterator[None]:
    """The model as `predict` will see it."""
    dtype, model.compute_dtype = model.compute_dtype, None
    try:
        yield
    finally:
        model.compute_dtype = dtype


def resolve_runtime(device: str, precision: str, peers: Peers = ALONE) -> Runtime:
    """The runtime that `device` and `precision` name, "auto" included.

    Where processors differ, all multiply in float32.

    Raises
    ------
    ValueError
        If the device or the precision is unknown or absent here.
    """
    resolved = resolve_device(device)
    compute_dtype = _resolve_precision(precision, resolved)
    of_all = peers.collect((compute_dtype, resolved.type))
    if any(other != compute_dtype for other, _ in of_all):
        compute_dtype = None
    if any(other != resolved.type for _, other in of_all):
        peers.keep_apart()
    return Runtime(resolved, compute_dtype, peers)


def resolve_device(device: str | torch.device) -> torch.device:
    """A torch device that exists; "auto" is the first of cuda, mps and cpu that does."""
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if _n_devices(name))
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not a device; use 'auto', 'cpu', 'cuda', 'cuda:<index>' or "
            "'mps'."
        ) from error
    if (resolved.index or 0) >= _n_devices(resolved.type):
        present = [name for name in ("cuda", "mps", "cpu") if _n_devices(name)]
        raise ValueError(
            f"device={str(device)!r} is not available here (found {_n_devices(resolved.type)} "
            f"{resolved.type} device(s)); use 'auto' or one of {present}."
        )
    return resolved


def _n_devices(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return int(kind == "cpu")


def _resolve_precision(precision: str, device: torch.device) -> torch.dtype | None:
    if precision == "float32" or (precision == "auto" and not _multiplies_bfloat16(device)):
        return None
    if device.type == "mps":
        raise ValueError(
            "precision='bfloat16' is not supported on device 'mps'; use precision='auto' or "
            "'float32'."
        )
    return torch.bfloat16


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has bfloat16 products of its own, not emulated ones."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        features = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name, bool)() for name in features)
    return False


_lock = threading.RLock()


def _renew() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # a fork in the middle of another thread's call
    os.register_at_fork(after_in_child=_renew)


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other thread of ours is in such a block."""
    with _lock:
        yield


@contextmanager
def on_one_blas_thread() -> Iterator[None]:
    """Alone, with BLAS limited to one thread for the time of the block.

    Small products lose more than half of their time to a second thread (12 mixtures on 10,000
    codes: 1.0 against 2.7 s).
    """
    with _lock, _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    """The process's libraries; to look for them takes longer than a small mixture."""
    return ThreadpoolController()


def n_distinct(rows: np.ndarray, at_most: int) -> int:
    """How many different rows there are, counting no further than `at_most`.

    k-means warns if it is asked for more clusters than that, and a warning can only be kept from
    the user by filters, which all threads share.
    """
    seen: set[bytes] = set()
    for row in rows:
        seen.add((row + 0.0).tobytes())  # -0.0 and 0.0 are one
        if len(seen) == at_most:
            break
    return len(seen)
