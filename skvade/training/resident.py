"""Rows that wait on the device, so that no step asks the host for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from skvade.training.batches import Rows
from skvade.training.units import row_slices

NARROW = (np.uint8, np.int8, np.bool_, np.float16, np.float32)  # float32 holds them exactly


@dataclass(frozen=True)
class ResidentRows(Rows):
    """Rows that lie on the device already.

    Attributes
    ----------
    X : Tensor of shape (n_samples, n_features)
        On `device`, in the model's units.
    """

    @property
    def index_device(self) -> torch.device:
        return self.device

    def take(self, index: Tensor | np.ndarray | slice) -> Tensor:
        """The rows at `index` as a new tensor of shape (n_rows, n_features)."""
        if isinstance(index, np.ndarray):
            index = torch.from_numpy(index).to(self.device)
        dtype = _torch_dtype(self.dtype)
        return self.X[index].to(dtype, copy=isinstance(index, slice))

    def raw(self, index: np.ndarray | slice) -> Any:
        """The rows at `index` as they lie on the device, but on the host."""
        where = index if isinstance(index, slice) else torch.from_numpy(index).to(self.device)
        return self.X[where].cpu().numpy()

    def of_raw(self, tables: list[Any]) -> Rows:
        """Rows of the same kind, of tables that `raw` has given."""
        X = torch.from_numpy(np.concatenate(tables)).to(self.device)
        return replace(self, X=X)

    def subset(self, index: np.ndarray) -> Rows:
        """A copy of the rows at `index`."""
        return replace(self, X=self.X[torch.from_numpy(index).to(self.device)])


def resident_dtype(rows: Rows) -> torch.dtype:
    """In which rows can lie on a device: their own if it is narrow, else that of their tensors."""
    narrow = rows.units.identical and not sp.issparse(rows.X) and rows.X.dtype in NARROW
    return _torch_dtype(rows.X.dtype if narrow else rows.dtype)


def make_resident(rows: Rows) -> ResidentRows:
    """The same rows on their device, copied a block at a time."""
    X = torch.empty(len(rows), rows.n_features, dtype=resident_dtype(rows), device=rows.device)
    for part in row_slices(*X.shape):
        X[part] = rows.take(part).to(X.dtype)
    return ResidentRows(X, rows.device, rows.dtype)


def _torch_dtype(dtype: Any) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
