"""What a fit depends on, as short texts that can be compared in another process."""

from __future__ import annotations

import hashlib
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
import torch

from skvade._version import __version__
from skvade.training.units import row_slices

DIGEST = "#"
INDIFFERENT = ("verbose", "device")  # parameters that may differ from one call to the next


def identity_of(estimator: Any, X: Any, y: Any, warm: Any, runtime: Any) -> dict[str, str]:
    """All that decides how a fit goes: itself where it is short, or a digest.

    Raises
    ------
    TypeError
        If a parameter cannot be told from another in a later process.
    """
    parameters = estimator.get_params(deep=False)
    given = {name: value for name, value in parameters.items() if name not in INDIFFERENT}
    given |= {"class": type(estimator).__name__, "skvade": __version__, "torch": torch.__version__}
    given |= {"device": runtime.device.type, "dtype of products": str(runtime.compute_dtype)}
    given |= {"X": X, "y": y, "the model that it goes on from": warm}
    return {name: _text(name, value) for name, value in given.items()}


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """What differs, in words."""
    return [
        f"{name} {_change(before.get(name, ''), text)}"
        for name, text in now.items()
        if before.get(name) != text
    ]


def _change(before: str, now: str) -> str:
    if before.startswith(DIGEST) or now.startswith(DIGEST):
        return "differs"
    return f"was {before} and is {now}"


def _text(name: str, value: Any) -> str:
    plain = _plain(value)
    if len(text := repr(plain)) < 200 and _is_plain(plain):
        return text
    try:
        return DIGEST + _digest(value)
    except Exception as error:
        raise TypeError(
            f"checkpoint cannot tell {name}={value!r} from another in a later process ({error}); "
            "use named functions and classes that can be pickled, or fit without a checkpoint."
        ) from error


def _plain(value: Any) -> Any:
    """Numbers without their numpy types, and sequences as tuples."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def _digest(value: Any) -> str:
    if isinstance(value, torch.nn.Module):
        return _digest_of_parts(repr(value), *_named_bytes(value.state_dict()))
    if sp.issparse(value):
        return _digest_of_parts(value.format, str(value.shape), *map(_bytes, _triple(value)))
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "biuf":
        blocks = (value[part] for part in row_slices(*value.shape))
        return _digest_of_parts(value.dtype.str, str(value.shape), *map(_bytes, blocks))
    return joblib.hash(value, coerce_mmap=True)


def _digest_of_parts(*parts: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


def _named_bytes(tensors: dict[str, torch.Tensor]) -> list[Any]:
    found = []
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found += [f"{name} {tensor.dtype} {tuple(tensor.shape)}", _bytes(flat.view(torch.uint8))]
    return found


def _triple(X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X = X.tocsr()
    return X.data, X.indices, X.indptr


def _bytes(block: Any) -> Any:
    return memoryview(np.ascontiguousarray(block)).cast("B") if block.size else b""
