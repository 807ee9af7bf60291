"""One file for nested values, arrays and tensors, in the safetensors format.

Tensors and arrays are the file's tensors; the structure that they hang in, and all other values,
are JSON in its metadata (`packing.py`). Nothing in a file is executed or imported, and nothing is
allocated before the header has been checked against the size of the file. The format is written and
read here, not by the safetensors package, so that arrays are neither copied nor mapped, a write can
be flushed before it counts, and every defect can be named; the package reads these files as well.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import re
from importlib.metadata import version
from typing import Any, BinaryIO

import torch

from skvade._version import __version__
from skvade.persistence.files import regular, replacing
from skvade.persistence.packing import (
    METADATA,
    SIZES,
    Packed,
    Unpacked,
    bytes_of,
    most_rows,
    n_bytes,
)

FORMAT = 1
NO_DIGEST = "0" * 64

# What values of a wrong type or size lead to in plain code.
STRAYS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)


def write(path: Any, kind: str, content: dict[str, Any]) -> None:
    """Write a file that `read` takes back, or leave what was there as it was.

    Parameters
    ----------
    path : str, bytes or path-like
        Of a regular file, or of one that is not there yet.
    kind : str
        What the file is for; `read` must ask for the same.
    content : dict of str to nested values
        None, bool, int, float, str, list, tuple, dict with keys of type str, numpy arrays of
        numbers, booleans or strings, numpy scalars of these, and torch tensors. All come back as
        what they were, tensors on the CPU.

    Raises
    ------
    TypeError
        If a value is none of these; the message says where it is. Nothing has been written then,
        nor if the path is none.
    ValueError
        If the path is that of something else than a regular file.
    OSError
        If the file cannot be written; an older one is left as it was.
    """
    path = regular(path)
    packed = Packed()
    structure = packed.node(content, "")
    tensors = sorted(packed.tensors, key=lambda tensor: -SIZES[tensor[1]])  # keeps all aligned
    ends = list(itertools.accumulate((n_bytes(*tensor) for _, *tensor, _ in tensors), initial=0))
    metadata = {
        "format": str(FORMAT),
        "kind": kind,
        "versions": _to_json(_versions()),
        "sha256": NO_DIGEST,
        "content": _to_json(structure),
    }
    entries = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}
        for (name, dtype, shape, _), offsets in zip(tensors, itertools.pairwise(ends), strict=True)
    }
    header = _to_json({METADATA: metadata, **entries}).encode("ascii")
    header += b" " * (-len(header) % 8)
    n_rows, size = packed.n_rows, ends[-1]
    if _is_excessive(header, 8 + len(header) + size) or n_rows > most_rows(size):
        raise ValueError(
            f"{path} would hold too many separate values for its size; pass long "
            "sequences of numbers as arrays."
        )
    with replacing(path) as file:
        head = len(header).to_bytes(8, "little") + header
        digest = hashlib.sha256(head)
        file.write(head)
        for *_, value in tensors:
            data = bytes_of(value)
            digest.update(data)
            file.write(data)
        file.seek(head.index(f'"sha256":"{NO_DIGEST}"'.encode()) + len('"sha256":"'))
        file.write(digest.hexdigest().encode())


def read(path: Any, kind: str) -> dict[str, Any]:
    """The content that `write` was given.

    Tensors and arrays take no more memory than they have room in the file.

    Parameters
    ----------
    path : str, bytes or path-like
        Of a regular file.
    kind : str
        As given to `write`.

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is not a file of this format and kind, or of a newer version, truncated or altered,
        or no regular file; the message says which.
    TypeError
        If the path is none.
    """
    path = regular(path)
    with open(path, "rb") as file:
        try:
            return _read(file, kind)
        except _DefectError as defect:
            raise ValueError(f"{path} {defect}") from defect.__cause__


def check(value: Any, name: str) -> None:
    """Raise a TypeError that says where in `name` is something that `write` could not store."""
    Packed().node(value, name)


class _DefectError(Exception):
    """What is wrong with a file, as a sentence that goes on from its name."""


def _to_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _versions() -> dict[str, str]:
    names = ("numpy", "torch", "scikit-learn")
    own = {"skvade": __version__, "python": platform.python_version()}
    return {**own, **{name: version(name) for name in names}}


def _read(file: BinaryIO, kind: str) -> dict[str, Any]:
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or file.read(1) != b"{":
        raise _DefectError("is not a safetensors file, or its first bytes are lost.")
    if length > size - 8:
        raise _DefectError(f"is truncated: its header alone has {length} bytes, the file {size}.")
    file.seek(8)
    header = file.read(length)
    entries = _from_json(header, size)
    metadata = entries.pop(METADATA, None)
    _check_metadata(metadata, kind)
    tensors = _check_entries(entries, size - 8 - length)

    digest = hashlib.sha256(prefix)
    digest.update(header.replace(metadata["sha256"].encode(), NO_DIGEST.encode(), 1))
    buffers = {}
    for name, room in tensors.items():
        buffer = torch.empty(room, dtype=torch.uint8)  # aligned as all tensors are
        _fill(file, memoryview(buffer.numpy()))
        digest.update(buffer.numpy())
        buffers[name] = buffer
    if digest.hexdigest() != metadata["sha256"]:
        raise _DefectError("was altered after it was written: its digest is another.")
    try:
        structure = _from_json(metadata["content"].encode(), size)
        return Unpacked(entries, buffers).whole(structure)
    except STRAYS as error:
        raise _DefectError(f"was altered after it was written: {error}.") from error


def _is_excessive(header: bytes, size: int) -> bool:
    """Whether parsing the header would take much memory beside the size of the file."""
    separators = sum(map(header.count, (b",", b"[", b"{")))
    return len(header) > 2**20 + size // 32 or separators > 2**14 + size // 256


def _from_json(text: bytes, size: int) -> dict[str, Any]:
    if not text.isascii():
        raise _DefectError("was altered, or is not a safetensors file: its header is not text.")
    if _is_excessive(text, size):
        raise _DefectError("is not a file of skvade: its header holds too much for its size.")
    try:
        value = json.loads(text.decode("ascii"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _DefectError(f"was altered, or is not a safetensors file: {error}.") from error
    if type(value) is not dict:
        raise _DefectError("was altered, or is not a safetensors file: its header is no object.")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_metadata(metadata: Any, kind: str) -> None:
    names = {"format", "kind", "versions", "sha256", "content"}
    if type(metadata) is not dict or not {"format", "kind", "versions"} <= metadata.keys():
        raise _DefectError("is a safetensors file that skvade has not written.")
    if not all(type(value) is str for value in metadata.values()):
        raise _DefectError("was altered: its metadata is not text.")
    number = metadata["format"]
    if not re.fullmatch("[1-9][0-9]{0,5}", number):
        raise _DefectError("was altered: its format has no number.")
    if int(number) > FORMAT:
        raise _DefectError(
            f"is of the newer format {number}, written with {metadata['versions'][:200]}; this is "
            f"skvade {__version__}, which reads formats up to {FORMAT}: upgrade skvade."
        )
    if names != metadata.keys() or not re.fullmatch("[0-9a-f]{64}", metadata["sha256"]):
        raise _DefectError("was altered: its metadata is not complete.")
    if metadata["kind"] != kind:
        raise _DefectError(
            f"holds a {metadata['kind'][:100]!r}, not a {kind!r}: models are written by save and "
            "read by load, checkpoints are written and read by fit(X, checkpoint=path)."
        )


def _check_entries(entries: dict[str, Any], available: int) -> dict[str, int]:
    """The bytes of each tensor, in the order of the file, which they must fill."""
    places = []
    for name, entry in entries.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            numbers = [*shape, begin, end]
            fits = all(type(n) is int and 0 <= n < 2**62 for n in numbers)
            fits = fits and len(shape) <= 32 and end - begin == n_bytes(dtype, shape)
        except (LookupError, TypeError, ValueError):
            fits = False
        if not fits:
            raise _DefectError(f"was altered: the entry of {name[:100]!r} contradicts itself.")
        places.append((begin, end, name))
    places.sort()
    last = 0
    for begin, end, name in places:
        if begin != last:
            raise _DefectError(
                f"was altered: {name[:100]!r} does not begin where another tensor ends."
            )
        last = end
    if last > available:
        raise _DefectError(f"is truncated: {last - available} bytes are missing at its end.")
    if last < available:
        raise _DefectError(f"was altered: it has {available - last} bytes too many.")
    return {name: end - begin for begin, end, name in places}


def _fill(file: BinaryIO, memory: memoryview) -> None:
    while memory:
        count = file.readinto(memory)
        if not count:
            raise _DefectError("was truncated while it was read.")
        memory = memory[count:]
