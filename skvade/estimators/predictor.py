"""A fitted estimator as it is at a moment: its module, units and dtype; rows in, results out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skvade.estimators.validation import working_dtype
from skvade.nn.autoencoder import Autoencoder
from skvade.nn.networks import copied
from skvade.training.batches import Rows
from skvade.training.units import Units, dense, row_slices

CPU = torch.device("cpu")


def snapshot(estimator: Any) -> Any:
    """Another estimator with the attributes that this one has now; nothing of them is copied."""
    other = object.__new__(type(estimator))
    other.__dict__ = dict(vars(estimator))  # at once, whatever another thread sets meanwhile
    return other


def of_one_fit(method: Callable[..., Any]) -> Callable[..., Any]:
    """Run a method of a fitted estimator on its attributes as they are when it is called.

    Another thread may fit the estimator anew meanwhile. What the method sets is lost.
    """

    @wraps(method)
    def on_snapshot(self: Any, *args: Any, **kwargs: Any) -> Any:
        check_is_fitted(self)
        return method(snapshot(self), *args, **kwargs)

    return on_snapshot


@dataclass(frozen=True)
class Predictor:
    """A fitted module in the units of the data.

    Results are computed in float64 for float64 data, and in float32 for narrower ones, on the
    module's device, a block of rows at a time.

    Attributes
    ----------
    module : Autoencoder
    units : Units
    dtype : type
        Of results that no rows are passed for.
    doubt : float
        What share of every row's probability is spread evenly over the clusters.
    """

    module: Autoencoder
    units: Units
    dtype: type
    doubt: float = 0.0

    def of_rows(
        self, X: Any, function: Callable[[Any, Tensor], Tensor], n_draws: int = 0
    ) -> np.ndarray:
        """A function of the module and of rows in its units, with a result for each row.

        `n_draws` counts the decoded draws that a row needs; with none, no decoder is converted.
        """
        dtype = working_dtype(X)
        module, precision = self._in(dtype, unused=() if n_draws else (self.module.decoder,))
        rows = Rows(X, _device(module), precision, self.units)
        with torch.inference_mode():
            room = max(1, n_draws) * self.module.row_bytes(rows.n_features)
            whole = rows.map(lambda x: function(module, x), room).numpy()
        return whole.astype(dtype, copy=False) if whole.dtype.kind == "f" else whole

    def of_codes(
        self, codes: np.ndarray, function: Callable[[Any, Tensor], Tensor], n_features: int
    ) -> np.ndarray:
        """A function of the module and of codes, with a row of the data for each."""
        module, precision = self._in(codes.dtype)
        rows = Rows(codes, _device(module), precision)
        with torch.inference_mode():
            decoded = rows.map(lambda z: function(module, z), row_bytes=8 * n_features)
        return self.units.to_data(decoded.numpy()).astype(codes.dtype, copy=False)

    def labels(self, X: Any) -> np.ndarray:
        """The most probable cluster of each row."""
        return self.of_rows(X, lambda module, x: module.assign(x).argmax(-1))

    def memberships(self, X: Any) -> np.ndarray:
        """The model's q(c|x), of shape (n_samples, n_clusters)."""
        return self.of_rows(X, lambda module, x: module.assign(x))

    def proba(self, X: Any) -> np.ndarray:
        """The probabilities of clusters: q(c|x), a share of which is spread evenly over all."""
        return self.of_rows(X, lambda module, x: doubted(module.assign(x), self.doubt))

    def excess(self, X: Any) -> np.ndarray:
        """What Gaussian noise makes of the way from rows to what the model sees of them: (n,)."""
        if self.units.identical:
            return np.zeros(X.shape[0], working_dtype(X))
        variance = self.module.likelihood.variance.detach().double().cpu().numpy()
        excess = np.empty(X.shape[0], working_dtype(X))
        for part in row_slices(*X.shape):
            excess[part] = self.units.beyond(dense(X[part]), 2 * variance)
        return excess

    @torch.no_grad()
    def statistics(self) -> dict[str, np.ndarray]:
        """What is known of the clusters, by the names of fitted attributes, in float64."""
        module = in_precision(self.module, torch.float64, CPU)
        return {name: tensor.numpy().copy() for name, tensor in module.statistics().items()}

    def centers(self) -> np.ndarray:
        """The decoded middle of each cluster, of shape (n_clusters, n_features)."""
        module, _ = self._in(self.dtype)
        with torch.inference_mode():
            centers = module.likelihood.mean(module.decode_centers()).cpu().numpy()
        return self.units.to_data(centers).astype(self.dtype, copy=False)

    def sample(self, labels: np.ndarray, seed: int) -> np.ndarray:
        """A draw of x for each label, of shape (n_samples, n_features)."""
        generator = torch.Generator().manual_seed(seed)
        module = in_precision(self.module, _torch_dtype(self.dtype), CPU)
        with torch.inference_mode():
            parts = np.array_split(labels, -(-len(labels) // 4096))
            rows = [module.sample(torch.from_numpy(part), generator).numpy() for part in parts]
        return self.units.to_data(np.concatenate(rows)).astype(self.dtype, copy=False)

    def _in(self, dtype: Any, unused: Sequence[torch.nn.Module] = ()) -> tuple[Any, type]:
        """The module in a dtype, as far as its device has it, and numpy's name of what it is in."""
        device = _device(self.module)
        wide = np.dtype(dtype) == np.float64 and device.type != "mps"
        precision = torch.float64 if wide else torch.float32
        return in_precision(self.module, precision, device, unused), (
            np.float64 if wide else np.float32
        )


def doubted(q: Tensor, doubt: float) -> Tensor:
    """(1 - doubt) q + doubt / K, of shape (n_samples, K)."""
    return q if doubt == 0 else (1 - doubt) * q + doubt / q.shape[-1]


def in_precision(
    model: Any, dtype: torch.dtype, device: torch.device, unused: Sequence[torch.nn.Module] = ()
) -> Any:
    """The model itself, or a copy whose tensors are converted, but for those of parts not used."""
    parameter = next(model.parameters())
    if (parameter.dtype, parameter.device) == (dtype, device):
        return model
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        return copied(model).to(device, dtype)  # its tensors are not Python's to exchange
    left = {id(tensor) for part in unused for tensor in (*part.parameters(), *part.buffers())}
    copies: dict[int, Any] = {id(part): part for part in unused}
    for tensor in (*model.parameters(), *model.buffers()):
        if id(tensor) not in left:
            new = tensor.detach().to(device, dtype if tensor.is_floating_point() else tensor.dtype)
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            copies[id(tensor)] = torch.nn.Parameter(new, False) if is_parameter else new
    return copied(model, copies)


def _torch_dtype(dtype: Any) -> torch.dtype:
    return torch.float64 if np.dtype(dtype) == np.float64 else torch.float32


def _device(module: torch.nn.Module) -> torch.device:
    return next(module.parameters()).device
