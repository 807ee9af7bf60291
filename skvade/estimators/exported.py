"""A fitted model as an ONNX graph: rows in, clusters, probabilities, codes and densities out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skvade.estimators.predictor import doubted, in_precision
from skvade.nn.filling import N_DRAWS, standard_normal
from skvade.nn.networks import copied
from skvade.persistence.files import regular, replacing
from skvade.training.units import FAR, FARTHEST, Units

NAMES = ("cluster", "probabilities", "code", "log_likelihood")
CPU = torch.device("cpu")
DOUBLE = 11  # of ONNX's numbers of types


@dataclass(frozen=True)
class Affine:
    """x -> A x + b, with a factor for each column or a matrix.

    Attributes
    ----------
    factor : ndarray of shape (n_in,) or (n_in, n_out)
    shift : ndarray of shape (n_out,)
    """

    factor: np.ndarray
    shift: np.ndarray


class Exported(nn.Module):
    """What an ONNX file computes.

    Parameters
    ----------
    module : Autoencoder
    before : sequence of Affine
        Steps before the model.
    units : Units
    n_features : int
        That the model sees.
    has_holes : bool
        Whether rows that it was fitted to had missing values.
    noise : ndarray of shape (n_draws, latent_dim) or None
        Of the density; None for models without one.
    least : float or None
        The density below which rows are noise.
    doubt : float
        What share of every row's probability is spread evenly over the clusters.
    """

    def __init__(
        self,
        module: nn.Module,
        before: Sequence[Affine],
        units: Units,
        n_features: int,
        has_holes: bool,
        noise: np.ndarray | None,
        least: float | None,
        doubt: float,
    ):
        super().__init__()
        self.module = copied(in_precision(module, torch.float32, CPU)).eval()
        self.has_holes = has_holes
        self.module.likelihood.misses = lambda x: has_holes  # a graph does not ask the rows
        if self.module.encoder.filling is not None:
            self.module.encoder.filling.solve = eliminate
            self.module.encoder.filling.in_graph = True
            standard_normal(sum(self.module.encoder.filling.loadings.shape), N_DRAWS)  # a constant
        self.module.draws = None
        self.least = least
        self.doubt = doubt
        self.scaled = not units.identical
        self.n_steps = len(before)
        for number, step in enumerate(before):
            self._keep(f"factor_{number}", step.factor)
            self._keep(f"shift_{number}", step.shift)
        self.limited = units.low is not None
        whole = (units.low, units.high) if self.limited else (0.0, 0.0)
        for name, value in zip(
            ("shift", "scale", "low", "high"), (units.shift, units.scale, *whole), strict=True
        ):
            self._keep(name, np.broadcast_to(value, n_features))
        self._keep("log_scale", np.log(np.broadcast_to(units.scale, n_features)))
        self.has_density = noise is not None
        if noise is not None:
            self.register_buffer("noise", torch.from_numpy(noise).float())
        if self.scaled:
            variance = self.module.likelihood.variance.detach().double()
            self.register_buffer("variance", variance)

    def _keep(self, name: str, value: Any) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(value, np.float64)))

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Rows (n_samples, n_features), float32, to what `NAMES` says."""
        x, beyond = self._in_units(rows)
        proba = self.module.assign(x)
        cluster, code = proba.argmax(-1), self.module.embed(x)
        proba = doubted(proba, self.doubt)
        if not self.has_density:
            return cluster, proba, code
        log_p, whole = self._densities(x, beyond)
        if self.least is not None:
            cluster = torch.where(whole < self.least, -1, cluster)
        return cluster, proba, code, log_p

    def _densities(self, x: Tensor, beyond: Tensor | float) -> tuple[Tensor, Tensor]:
        """Log densities, and those if what is missing were as probable as what is observed."""
        in_units = self.module.log_evidence(x, self.noise) - beyond
        whole = in_units - self.log_scale.sum()
        if not self.has_holes:
            return whole, whole
        observed = (~x.isnan()).double()
        n_observed = observed.sum(-1).to(in_units)
        each = in_units / n_observed.clamp(min=1)
        whole = each * len(self.log_scale) - self.log_scale.sum()
        log_p = in_units - (observed @ self.log_scale).to(in_units)
        return log_p, torch.where(n_observed > 0, whole, math.inf)

    def _in_units(self, rows: Tensor) -> tuple[Tensor, Tensor | float]:
        """Rows as the model sees them, and what they lose by lying beyond that, in nats."""
        if not self.n_steps and not self.scaled:
            return rows, 0.0
        x = rows.double()  # before any rounding
        for number in range(self.n_steps):
            factor, shift = getattr(self, f"factor_{number}"), getattr(self, f"shift_{number}")
            x = (x @ factor if factor.ndim == 2 else x * factor) + shift
        if not self.scaled:
            return x.float(), 0.0
        absent = x.isnan()
        x = torch.where(absent, self.shift, x)  # runtimes differ in the bounds of NaN
        moved = (x - self.shift) / self.scale
        if self.limited:
            x = torch.minimum(torch.maximum(x, self.low), self.high)
        seen = ((x - self.shift) / self.scale).clamp(-FAR, FAR)
        excess = torch.where(absent, 0.0, (moved - seen).abs().clamp(max=FARTHEST))
        beyond = (excess.square() / (2 * self.variance)).sum(-1)
        return torch.where(absent, math.nan, seen).float(), beyond.float()


def eliminate(matrices: Tensor, right: Tensor) -> Tensor:
    """Solve positive definite A x = b, which ONNX cannot: (n, k, k), (n, k, m) to (n, k, m).

    By Gauss-Jordan elimination, in float64; such matrices need no pivots.
    """
    both = torch.cat([matrices, right], -1).double()
    for column in range(matrices.shape[-1]):
        row = both[:, column : column + 1] / both[:, column : column + 1, column : column + 1]
        unit = torch.eye(matrices.shape[-1], dtype=both.dtype)[:, column : column + 1]
        both = both - (both[:, :, column : column + 1] - unit) * row
    return both[:, :, matrices.shape[-1] :].to(right)


def write_onnx(estimator: Any, path: Any, before: Sequence[Affine] = (), n_in: int = 0) -> None:
    """Write a fitted estimator, behind affine steps, as an ONNX file.

    Raises
    ------
    ImportError
        If onnx or onnxscript, by which torch exports, are missing.
    TypeError, ValueError
        If the path is none, or the model is of a table of several kinds.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "to_onnx needs onnx and onnxscript, which are not installed: pip install 'skvade[onnx]'"
        ) from error
    path = regular(path)
    if estimator._columns_in_use is not None:
        raise ValueError(
            f"{type(estimator).__name__} was fitted to a table with categories or a likelihood for "
            "each column, which ONNX rows of float32 cannot be; save it with skvade.save instead."
        )
    n_features = estimator.n_features_in_
    model = Exported(
        estimator.module_,
        before,
        estimator._units,
        n_features,
        estimator._summary.has_holes,
        getattr(estimator, "_noise", None),
        estimator._least_density if hasattr(estimator, "_noise_from") else None,
        estimator._predictor.doubt,
    ).eval()
    example = torch.zeros(3, n_in or n_features)
    names = NAMES if model.has_density else NAMES[:3]
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            input_names=["X"],
            output_names=names,
            dynamic_shapes=({0: torch.export.Dim("n_samples")},),
            custom_translation_table={torch.ops.aten.lgamma.default: _log_gamma()},
            verbose=False,
        )
    proto = program.model_proto
    proto.producer_name = "skvade"
    for name, value in (("estimator", type(estimator).__name__), ("classes", _classes(estimator))):
        entry = proto.metadata_props.add()
        entry.key, entry.value = name, value
    with replacing(path) as file:
        file.write(proto.SerializeToString())


def _classes(estimator: Any) -> str:
    """What the numbers of clusters stand for, one a line."""
    names = getattr(estimator, "classes_", np.arange(len(estimator.means_)))
    return "\n".join(map(str, names.tolist()))


def _log_gamma() -> Any:
    """log G(x) for x > 0, which ONNX does not have, as an operation of onnxscript.

    Stirling's series at x + 8, where it has nine digits, less the logarithms of x to x + 7.
    """
    from onnxscript import opset18 as op

    def log_gamma(x: Any) -> Any:
        def number(value: float) -> Any:
            return op.Cast(op.Constant(value_float=value), to=DOUBLE)

        wide = op.Cast(x, to=DOUBLE)
        y = op.Add(wide, number(8.0))
        inverse = op.Reciprocal(y)
        square = op.Mul(inverse, inverse)
        # 1 / (12 y) - 1 / (360 y^3) + 1 / (1260 y^5)
        terms = op.Sub(op.Div(square, number(1260.0)), op.Div(number(1.0), number(360.0)))
        terms = op.Add(op.Mul(terms, square), op.Div(number(1.0), number(12.0)))
        series = op.Add(op.Mul(terms, inverse), op.Mul(op.Sub(y, number(0.5)), op.Log(y)))
        series = op.Sub(series, y)
        half_log_two_pi = op.Mul(number(0.5), op.Log(op.Mul(number(2.0), number(math.pi))))
        series = op.Add(series, half_log_two_pi)
        for step in range(8):
            series = op.Sub(series, op.Log(op.Add(wide, number(float(step)))))
        return op.CastLike(series, x)

    return log_gamma


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on packages that it does without."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
