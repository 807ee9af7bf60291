"""Nested values as JSON and tensors, and back, to the last bit.

A JSON object is a dict, and a JSON array begins with the name of its type: any other value is
itself. Arrays and tensors are referred to by name, and so are long texts and sequences.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

METADATA = "__metadata__"  # not the name of a tensor, in this format
LONG_TEXT = 1024  # characters from which a string is stored as a tensor
LONG_SEQUENCE = 16  # items from which a sequence of one type is
ENTRIES = ("|b1", "<i8", "<f8")  # types of such sequences

SIZES = {
    **{"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1},
    **{"I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4},
    **{"F64": 8, "I64": 8, "U64": 8},
}
ARRAY_TYPES = {
    **{"|b1": "BOOL", "|u1": "U8", "|i1": "I8", "<i2": "I16", "<u2": "U16", "<f2": "F16"},
    **{"<i4": "I32", "<u4": "U32", "<f4": "F32", "<i8": "I64", "<u8": "U64", "<f8": "F64"},
}
TENSOR_TYPES = {
    **{"bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16"},
    **{"int32": "I32", "uint32": "U32", "int64": "I64", "uint64": "U64", "float16": "F16"},
    **{"bfloat16": "BF16", "float32": "F32", "float64": "F64"},
    **{"float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3"},
    # The format has no names for these: they are stored as bytes.
    **{"complex32": "", "complex64": "", "complex128": ""},
}
ARRAY_DTYPE = re.compile(r"[<>|][biufcSU][1-9][0-9]{0,8}")


class Packed:
    """Values on their way into a file.

    Attributes
    ----------
    tensors : list of (name, dtype, shape, value)
        What has been met on the way, with the format's names of types.
    n_rows : int
        Dicts that are stored as rows of tables.
    """

    def __init__(self) -> None:
        self.tensors: list[tuple[str, str, list[int], Any]] = []
        self.n_rows = 0
        self._names = {METADATA}

    def node(self, value: Any, place: str) -> Any:
        """The JSON of a value; `place` names its tensors, and itself if it cannot be stored."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if _is_int64(value) else ["int", hex(value)]
        if kind is float:
            return value if math.isfinite(value) else ["float", repr(value)]
        if kind is str:
            return value if len(value) < LONG_TEXT else ["text", *self._text([value], place)]
        if kind is list:
            return self._list(value, place)
        if kind is tuple:
            return ["tuple", self._list(list(value), place)]
        if kind is dict:
            return self._dict(value, place)
        if isinstance(value, torch.Tensor):
            return self._tensor(value, place)
        if kind in (np.ndarray, np.memmap):
            return self._array(value, place)
        if isinstance(value, np.generic):
            return ["scalar", self._array(np.asarray(value), place)]
        raise _cannot_store(value, place)

    def _dict(self, value: dict[str, Any], place: str) -> dict[str, Any]:
        for key in value:
            if type(key) is not str:
                raise TypeError(
                    f"{place or 'content'} has the key {key!r} of type {type(key).__name__}, which "
                    "cannot be stored; use keys of type str."
                )
        return {
            key: self.node(item, f"{place}.{key}" if place else key) for key, item in value.items()
        }

    def _list(self, value: list[Any], place: str) -> list[Any]:
        kinds = set(map(type, value)) if len(value) >= LONG_SEQUENCE else set()
        if kinds in ({bool}, {float}) or (kinds == {int} and all(map(_is_int64, value))):
            dtype = np.int64 if kinds == {int} else kinds.pop()
            return ["numbers", self._array(np.array(value, dtype), place)]
        if kinds == {str}:
            return ["texts", *self._text(value, place)]
        if kinds == {dict} and all(value):
            return self._dicts(value, place)
        return ["list", *(self.node(item, f"{place}.{i}") for i, item in enumerate(value))]

    def _dicts(self, value: list[dict[str, Any]], place: str) -> list[Any]:
        """A table for each set of keys, with a column for every key, and of which each row is."""
        self.n_rows += len(value)
        rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in value:
            rows.setdefault(tuple(row), []).append(row)
        tables = [{key: [row[key] for row in some] for key in keys} for keys, some in rows.items()]
        nodes = [self._dict(table, f"{place}.{i}") for i, table in enumerate(tables)]
        if len(rows) == len([*itertools.groupby(value, key=tuple)]):
            return ["dicts", *nodes]
        number = {keys: i for i, keys in enumerate(rows)}
        order = np.array([number[tuple(row)] for row in value], np.int64)
        return ["mingled", self._array(order, f"{place}.order"), *nodes]

    def _text(self, texts: Any, place: str) -> list[Any]:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = np.array([len(text) for text in encoded], np.int64)
        text = np.frombuffer(b"".join(encoded), np.uint8)
        return [self._array(text, place), self._array(lengths, f"{place}.lengths")]

    def _array(self, value: np.ndarray, place: str) -> list[Any]:
        dtype = value.dtype
        if dtype.kind == "O" and all(isinstance(item, str) for item in value.flat):
            return ["objects", list(value.shape), *self._text(map(str, value.flat), place)]
        if not ARRAY_DTYPE.fullmatch(dtype.str):
            raise _cannot_store(value, place)
        known = ARRAY_TYPES.get(dtype.str)
        name = self._add(known, value.shape, dtype.itemsize, value, place)
        return ["array", name, dtype.str]

    def _tensor(self, value: torch.Tensor, place: str) -> list[Any]:
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in TENSOR_TYPES or value.layout != torch.strided or value.is_meta:
            raise _cannot_store(value, place)
        name = self._add(TENSOR_TYPES[dtype], value.shape, value.itemsize, value, place)
        return ["tensor", name, dtype]

    def _add(self, dtype: str | None, shape: Any, itemsize: int, value: Any, place: str) -> str:
        """Take a tensor on; types without a name in the format are bytes, in a last dimension."""
        name = place
        while name in self._names:
            name += "_"
        self._names.add(name)
        shape = [*shape] if dtype else [*shape, itemsize]
        self.tensors.append((name, dtype or "U8", shape, value))
        return name


def _cannot_store(value: Any, place: str) -> TypeError:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    dtype = f" of dtype {value.dtype}" if isinstance(value, (np.ndarray, np.generic)) else ""
    return TypeError(
        f"{place or 'content'} is of type {kind}{dtype}, which cannot be stored; use None, bool, "
        "int, float, str, list, tuple, dict, torch tensors on a device, or numpy arrays of "
        "numbers, booleans or strings."
    )


def _is_int64(value: int) -> bool:
    return -(2**63) <= value < 2**63


def n_bytes(dtype: str, shape: Any) -> int:
    """The size of a tensor, with the format's name of its type."""
    return SIZES[dtype] * math.prod(shape)


def bytes_of(value: Any) -> Any:
    """The memory of an array or tensor; a copy only where it is scattered or on another device."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        value = value.reshape(-1).view(torch.uint8).numpy()
    if value.size == 0:
        return b""
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data


def most_rows(size: int) -> int:
    """Dicts that tables may hold in a file with tensors of so many bytes.

    A dict takes many times the memory of its entries in the file, and tables may hold tables.
    """
    return 2**14 + size // 8


class Unpacked:
    """Values on their way out of a file: the inverse of `Packed`.

    Parameters
    ----------
    entries : dict
        What the header says of each tensor: `dtype` and `shape`, which fit its bytes.
    buffers : dict of str to Tensor
        Their bytes, which become the tensors' own memory.
    """

    def __init__(self, entries: dict[str, Any], buffers: dict[str, torch.Tensor]):
        self._entries = entries
        self._buffers = buffers
        self._rows_left = most_rows(sum(map(len, buffers.values())))

    def whole(self, node: dict[str, Any]) -> dict[str, Any]:
        """The value of a node that refers to every tensor."""
        value = self.value(node)
        if self._buffers:
            raise ValueError(f"{len(self._buffers)} tensors belong nowhere")
        return value

    def value(self, node: Any) -> Any:
        """The value of a node; each tensor can be referred to once."""
        match node:
            case dict():
                return {key: self.value(item) for key, item in node.items()}
            case ["list", *items]:
                return [self.value(item) for item in items]
            case ["tuple", items]:
                return tuple(self.value(items))
            case ["int", str(digits)]:
                return int(digits, 16)
            case ["float", ("nan" | "inf" | "-inf") as name]:
                return float(name)
            case ["text", text, lengths]:
                (whole,) = self._texts(text, lengths)
                return whole
            case ["numbers", array]:
                return self._entries_of(array, ENTRIES).tolist()
            case ["texts", text, lengths]:
                return self._texts(text, lengths)
            case ["dicts", *runs]:
                return [row for columns in runs for row in self._rows(columns)]
            case ["mingled", order, *tables]:
                rows = [self._rows(columns) for columns in tables]
                places = self._entries_of(order, ("<i8",)).tolist()
                return self._mingled(places, rows)
            case ["objects", shape, text, lengths]:
                return self._objects(shape, text, lengths)
            case ["scalar", array]:
                return self.value(array)[()]
            case ["array", str(name), str(dtype)]:
                return self._array(name, dtype)
            case ["tensor", str(name), str(dtype)]:
                return self._tensor(name, dtype)
            case list():
                raise ValueError(f"{str(node)[:100]} has no meaning")
        return node

    def _texts(self, text: Any, lengths: Any) -> list[str]:
        encoded = self.value(text).tobytes()
        lengths = self._entries_of(lengths, ("<i8",))
        if np.any(lengths < 0) or lengths.sum() != len(encoded):
            raise ValueError("the lengths of texts contradict them")
        ends = itertools.pairwise([0, *lengths.cumsum().tolist()])
        return [encoded[begin:end].decode("utf-8", "surrogatepass") for begin, end in ends]

    def _entries_of(self, node: Any, dtypes: tuple[str, ...]) -> np.ndarray:
        """An array of as many entries as it has room in the file: others may claim more."""
        array = self.value(node)
        if array.ndim != 1 or array.dtype.str not in dtypes:
            raise ValueError(f"a sequence is of shape {array.shape} and dtype {array.dtype}")
        return array

    def _rows(self, columns: Any) -> Iterator[dict[str, Any]]:
        columns = self.value(columns)
        for values in zip(*columns.values(), strict=True):
            self._rows_left -= 1
            if self._rows_left < 0:
                raise ValueError("its tables have too many rows for its size")
            yield dict(zip(columns, values, strict=True))

    def _mingled(self, order: list[int], tables: list[Iterator[dict[str, Any]]]) -> list[Any]:
        """The rows of tables, in an order that takes all of them."""
        end: dict[str, Any] = {}
        taken = [next(tables[place], end) if place >= 0 else end for place in order]
        left = [next(table, end) for table in tables]
        if not all(taken) or any(left):
            raise ValueError("the order of rows contradicts its tables")
        return taken

    def _objects(self, shape: Any, text: Any, lengths: Any) -> np.ndarray:
        texts = self._texts(text, lengths)
        array = np.empty(len(texts), dtype=object)
        array[:] = texts
        return array.reshape(shape)

    def _array(self, name: str, dtype: str) -> np.ndarray:
        if not ARRAY_DTYPE.fullmatch(dtype):
            raise ValueError(f"{dtype[:100]!r} is no type of arrays")
        buffer, shape = self._take(name, ARRAY_TYPES.get(dtype), np.dtype(dtype).itemsize)
        array = buffer.numpy().view(dtype).reshape(shape)
        if array.dtype.kind == "U" and array.size:
            points = array.reshape(-1).view(f"{array.dtype.str[0]}u4")
            if points.max() > sys.maxunicode:
                raise ValueError(f"{name[:100]!r} has characters that do not exist")
        return array

    def _tensor(self, name: str, dtype: str) -> torch.Tensor:
        known, kind = TENSOR_TYPES[dtype], getattr(torch, dtype)
        buffer, shape = self._take(name, known, kind.itemsize)
        return buffer.view(kind).reshape(shape)

    def _take(self, name: str, known: str | None, itemsize: int) -> tuple[torch.Tensor, list[int]]:
        entry, buffer = self._entries[name], self._buffers.pop(name)
        dtype, shape = entry["dtype"], entry["shape"]
        if dtype != (known or "U8") or (not known and shape[-1:] != [itemsize]):
            raise ValueError(f"{name[:100]!r} is not of the type that it should be")
        if dtype == "BOOL" and len(buffer) and buffer.max() > 1:
            raise ValueError(f"{name[:100]!r} has booleans that are neither true nor false")
        return buffer, shape if known else shape[:-1]
