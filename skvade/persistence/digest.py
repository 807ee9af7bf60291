"""What a value is made of, as a short text that is the same for equal values in another process."""

from __future__ import annotations

import copyreg
import functools
import hashlib
import sys
import types
from collections import OrderedDict
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from skvade.persistence.packing import bytes_of
from skvade.training.units import row_slices

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, functools._lru_cache_wrapper)
METHODS = (types.MethodType, types.MethodWrapperType, types.BuiltinFunctionType)
# A module's hooks are kept by numbers that count those of the process, and so are flags of theirs.
HOOKS = {
    "_forward_pre_hooks": ("_forward_pre_hooks_with_kwargs",),
    "_forward_hooks": ("_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    **dict.fromkeys(("_backward_pre_hooks", "_backward_hooks"), ()),
    **dict.fromkeys(("_state_dict_hooks", "_state_dict_pre_hooks"), ()),
    **dict.fromkeys(("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"), ()),
}
# `fit` sets the mode, and what was compiled follows from the rest.
NO_PART = ("training", "_compiled_call_impl")


def digest_of(value: Any) -> str:
    """A digest of a value with all that it holds, in 32 characters.

    Classes and functions count by their names: not by their code, nor by what a class holds. Dicts
    and sets have no order, whatever theirs is; arrays and tensors no layout in memory, and tensors
    no device.

    Parameters
    ----------
    value : object
        Numbers, texts, containers, arrays, sparse matrices, tensors, torch modules, estimators, and
        whatever else says by pickle's protocol what it is made of.

    Raises
    ------
    Exception
        Of any type, if there is something that has no name and cannot be pickled.
    """
    parts = _Parts()
    parts.add(value)
    return parts.digest.hexdigest()


class _Parts:
    """Takes a value apart; each part adds to the digest what begins with its kind and length."""

    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._met: dict[int, tuple[int, Any]] = {}

    def add(self, value: Any) -> None:
        kind = type(value)
        if kind in PLAIN:
            self._put(kind.__name__, repr(value))
        elif kind in (tuple, frozenset):
            self._add_items(value)
        elif kind is np.random.RandomState:  # its pickle also holds how it was made
            self._put("class", f"{kind.__module__}.{kind.__qualname__}")
            self.add(value.get_state(legacy=False))
        elif isinstance(value, type):
            self._put("class", f"{value.__module__}.{value.__qualname__}")
        elif isinstance(value, FUNCTIONS) and not _is_method(value):
            self._put("function", _name(value))
        elif _is_method(value):
            self._put("method", value.__name__)
            self.add(value.__self__)
        elif isinstance(value, np.generic):
            self._add_array(np.asarray(value))
        elif id(value) in self._met:  # also a tied tensor, and what holds itself
            self._put("again", str(self._met[id(value)][0]))
        else:
            self._met[id(value)] = (len(self._met), value)  # which keeps it, and its id
            self._add_new(value)

    def _put(self, kind: str, data: Any = b"") -> None:
        data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        self.digest.update(f"{kind} {len(data)} ".encode())
        self.digest.update(data)

    def _add_new(self, value: Any) -> None:
        kind = type(value)
        if kind in (list, set):
            self._add_items(value)
        elif kind is dict:
            self._add_pairs(value.items(), ordered=False)
        elif kind in (np.ndarray, np.memmap):
            self._add_array(value)
        elif sp.issparse(value):
            rows = value.tocsr()
            self._put("sparse", f"{value.format} {value.shape}")
            self._add_items((rows.data, rows.indices, rows.indptr))
        elif isinstance(value, torch.Tensor):
            self._add_tensor(value)
        elif isinstance(value, torch.nn.Module):
            self._add_module(value)
        elif kind is RemovableHandle:
            self._put("handle")
        else:
            self._add_object(value)

    def _add_items(self, value: Any) -> None:
        self._put(type(value).__name__, str(len(value)))
        if isinstance(value, set | frozenset):
            for text in sorted(map(digest_of, value)):
                self._put("item", text)
        else:
            for item in value:
                self.add(item)

    def _add_pairs(self, pairs: Any, ordered: bool) -> None:
        pairs = list(pairs) if ordered else sorted(pairs, key=lambda pair: digest_of(pair[0]))
        self._put("pairs", str(len(pairs)))
        for key, item in pairs:
            self.add(key)
            self.add(item)

    def _add_array(self, value: np.ndarray) -> None:
        self._put("array", f"{value.dtype.descr} {value.shape}")
        if value.dtype.hasobject:
            self._add_items(value.ravel().tolist())
        elif value.ndim == 2:  # a memory map is not read at once
            for part in row_slices(*value.shape):
                self.digest.update(bytes_of(value[part]))
        else:
            self.digest.update(bytes_of(value))

    def _add_tensor(self, value: torch.Tensor) -> None:
        self._put("tensor", f"{type(value).__name__} {value.dtype} {value.requires_grad}")
        if is_lazy(value):
            return
        self._put("shape", f"{value.layout} {tuple(value.shape)}")
        self.digest.update(bytes_of(value.detach().to_dense()))

    def _add_module(self, value: torch.nn.Module) -> None:
        self.add(type(value))
        if isinstance(value, torch.jit.ScriptModule):  # whose attributes are torch's own
            self._put("script", repr(value))
            self._add_pairs(value.state_dict().items(), ordered=True)
            return
        left = {name: part for name, part in vars(value).items() if name not in NO_PART}
        for name, flags in HOOKS.items():
            flagged = [left.pop(flag, {}) for flag in flags]
            hooks = left.pop(name, {}).items()
            self._add_items(tuple((hook, *(key in f for f in flagged)) for key, hook in hooks))
        for name in ("_parameters", "_buffers", "_modules"):
            self._add_pairs(left.pop(name).items(), ordered=True)
        self._add_pairs(left.items(), ordered=False)

    def _add_object(self, value: Any) -> None:
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = reduce(value) if reduce else value.__reduce_ex__(4)
        self.add(type(value))
        if isinstance(reduced, str):
            self._put("name", reduced)
            return
        function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        for part in (function, arguments, state):
            self.add(part)
        self._add_items(tuple(items or ()))
        self._add_pairs(pairs or (), ordered=isinstance(value, OrderedDict))


def _is_method(value: Any) -> bool:
    """Whether a function is bound to an object."""
    if not isinstance(value, METHODS):
        return False
    return not isinstance(value.__self__, types.ModuleType | None)


def _name(function: Any) -> str:
    """The name by which another process finds a function; those of C have one in any case."""
    name = f"{function.__module__}.{function.__qualname__}"
    found = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is not function and not isinstance(function, types.BuiltinFunctionType):
        raise TypeError(f"{name} is not found by its name")
    return name
