"""A fitted model in the precision and on the device that a call needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from skvade.training.batches import Rows


def in_precision(
    model: Any, dtype: torch.dtype, device: torch.device, unused: Sequence[torch.nn.Module] = ()
) -> Any:
    """The model itself, or a copy whose tensors are converted, but for those of parts not used."""
    parameter = next(model.parameters())
    if (parameter.dtype, parameter.device) == (dtype, device):
        return model
    left = {id(tensor) for part in unused for tensor in (*part.parameters(), *part.buffers())}
    copies: dict[int, Any] = {id(part): part for part in unused}
    for tensor in (*model.parameters(), *model.buffers()):
        if id(tensor) not in left:
            new = tensor.detach().to(device, dtype if tensor.is_floating_point() else tensor.dtype)
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            copies[id(tensor)] = torch.nn.Parameter(new, False) if is_parameter else new
    return copy.deepcopy(model, copies)


def numpy_dtype(parameter: torch.Tensor) -> type:
    return np.float64 if parameter.dtype == torch.float64 else np.float32


def row_bytes(rows: Rows) -> int:
    """Room for the activations of a row, generously: a network a few times as wide as the data."""
    return 8 * max(4096, 4 * rows.n_features)
