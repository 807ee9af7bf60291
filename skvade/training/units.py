"""What a table is like, read a block at a time: its range, its moments, and units to train in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skvade.nn.summary import DataSummary

BLOCK_BYTES = 32 * 2**20
MAX_QUANTILE_VALUES = 1 << 22
FAR = 1e6  # in the model's units; beyond, float32 does not hold the squares of codes
FENCE = 3.0  # Tukey's outer fences, in distances of the quartiles
RARE = (0.25, 0.05, 0.01)
GAP = 10.0  # times as far from the middle as the fences: nothing lies between, or little
ORDINARY = 1e100  # squares of what is larger, or of its inverse, do not fit into float64


@dataclass(frozen=True)
class Units:
    """The affine map between the data's units and the model's: x_model = (x - shift) / scale.

    One scale for all features, so that the geometry of the data is kept. Values beyond a feature's
    limits count as these, and none is farther than 1e6 from the middle in the model's units.

    Attributes
    ----------
    shift : ndarray of shape (n_features,) or float
    scale : float
    low, high : ndarray of shape (n_features,) or None
        Limits, infinite where a feature has none; None where no feature has any.
    """

    shift: np.ndarray | float = 0.0
    scale: float = 1.0
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @property
    def identical(self) -> bool:
        """Whether the map does nothing."""
        return self.scale == 1.0 and not np.any(self.shift)

    def to_model(self, x: np.ndarray) -> np.ndarray:
        """Data units to model units; same shape."""
        if self.identical:
            return x
        if self.low is not None and self.high is not None:
            x = np.clip(x, self.low, self.high)
        with np.errstate(over="ignore"):
            moved = (x - self.shift) / self.scale
        return np.clip(moved, -FAR, FAR, out=moved)

    def to_data(self, x: np.ndarray) -> np.ndarray:
        """Model units to data units; same shape."""
        return x if self.identical else x * self.scale + self.shift


def row_slices(n_rows: int, n_features: int, row_bytes: int = 0) -> Iterator[slice]:
    """Slices that cut rows into blocks of about BLOCK_BYTES."""
    size = max(1, BLOCK_BYTES // (8 * n_features + row_bytes))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def summarize(X: Any) -> DataSummary:
    """What a likelihood needs to know of X, in one pass over blocks."""
    minimum, maximum, binary = np.inf, -np.inf, True
    totals = np.empty(X.shape[0])
    for part, block in _blocks(X):
        minimum, maximum = min(minimum, block.min()), max(maximum, block.max())
        binary = binary and bool(np.isin(block, (0.0, 1.0)).all())
        totals[part] = block.sum(1)
    return DataSummary(
        n_samples=X.shape[0],
        n_features=X.shape[1],
        minimum=float(minimum),
        maximum=float(maximum),
        binary=binary,
        median_total=float(np.median(totals)),
    )


def extent(X: Any) -> tuple[float, float]:
    """The smallest and the largest entry of X; X is not touched, as `min` of sparse formats may."""
    blocks = (_dense(X[part]) for part in row_slices(*X.shape))
    lows, highs = zip(*((block.min(), block.max()) for block in blocks), strict=True)
    return float(min(lows)), float(max(highs))


@dataclass(frozen=True)
class Values:
    """What kind of numbers a table holds.

    Attributes
    ----------
    whole : bool
        Whether all are whole numbers.
    largest_share : float
        Of the largest value among those above zero: scales that end somewhere have many.
    spread : float
        sum_d var_d / sum_d mean_d (1 - mean_d): of values in [0, 1], 1 if they are 0 or 1.
    """

    whole: bool
    largest_share: float
    spread: float


def look_at(X: Any, largest: float) -> Values:
    """What kind of numbers there are, whose largest is known, in one pass over blocks."""
    whole, n_largest, n_above = True, 0, 0
    sums, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for _, block in _blocks(X):
        whole = whole and bool((block == np.round(block)).all())
        n_largest, n_above = n_largest + (block == largest).sum(), n_above + (block > 0).sum()
        with np.errstate(over="ignore"):
            sums, squares = sums + block.sum(0), squares + np.square(block).sum(0)
    means = sums / X.shape[0]
    with np.errstate(all="ignore"):
        spread = (squares / X.shape[0] - means**2).sum() / (means * (1 - means)).sum()
    return Values(whole, n_largest / max(1, n_above), float(spread))


@dataclass(frozen=True)
class Measured:
    """The units of a table, and how its variance lies in its features.

    Attributes
    ----------
    units : Units
    shares : ndarray of shape (n_features,)
        Of the variance, within the limits.
    beyond : ndarray of shape (n_features,)
        Values that lie beyond the limits.
    """

    units: Units
    shares: np.ndarray
    beyond: np.ndarray


def measure_units(X: Any) -> Measured:
    """The shift to zero means and the scale to a mean feature variance of one.

    A feature gets limits, its extreme values within Tukey's outer fences, if most of what lies
    beyond these lies at least ten times as far, behind a gap: a few sentinel values would else be
    the scale of all features. Long tails, which have no gap, are left alone.
    """
    low, high = extent(X)
    largest = max(-low, high)
    ordinary = largest == 0 or 1 / ORDINARY < largest < ORDINARY
    exponent = 0 if ordinary else min(-int(np.frexp(largest)[1]), 1_000)
    unit = 2.0**exponent  # by a power of two nothing is rounded
    moments = _Moments(X, unit)
    n_beyond = np.zeros(X.shape[1], int)
    fences = _fences(X, unit)
    if ((moments.low < fences[0]) | (moments.high > fences[1])).any():
        tails = _Tails(X, unit, fences)
        chosen = (tails.n_behind > 0) & (2 * tails.n_behind >= tails.n_beyond)
        if chosen.any():
            limits = np.where(chosen, tails.within, np.array([[-np.inf], [np.inf]]))
            moments, n_beyond = _Moments(X, unit, limits), np.where(chosen, tails.n_beyond, 0)
    return Measured(moments.units(), moments.shares(), n_beyond)


class _Moments:
    """Means, sums of squares and extremes of X * unit, with values beyond limits set to these."""

    def __init__(self, X: Any, unit: float, limits: np.ndarray | None = None):
        n_rows, n_features = X.shape
        self.shape, self.unit, self.limits = X.shape, unit, limits
        self.shift = sum(self._within(block).sum(0) for _, block in _blocks(X)) / n_rows
        self.squares, self.total = np.zeros(n_features), 0.0
        self.low, self.high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
        for _, block in _blocks(X):
            within = self._within(block)
            squares = np.square(within - self.shift)
            self.squares, self.total = self.squares + squares.sum(0), self.total + squares.sum()
            self.low = np.minimum(self.low, within.min(0))
            self.high = np.maximum(self.high, within.max(0))

    def units(self) -> Units:
        """The shift and the scale, in the data's own units."""
        n_rows, n_features = self.shape
        scale = float(np.sqrt(self.total / (n_rows * n_features))) / self.unit
        limits = () if self.limits is None else (limit / self.unit for limit in self.limits)
        return Units(self.shift / self.unit, scale if scale > 0 else 1.0, *limits)

    def shares(self) -> np.ndarray:
        """Each feature's share of the variance."""
        return self.squares / self.total if self.total > 0 else self.squares

    def _within(self, block: np.ndarray) -> np.ndarray:
        scaled = block if self.unit == 1 else block * self.unit
        return scaled if self.limits is None else np.clip(scaled, *self.limits)


class _Tails:
    """What of X * unit lies beyond fences, what behind a gap, and the extremes of the rest."""

    def __init__(self, X: Any, unit: float, fences: np.ndarray):
        n_features = X.shape[1]
        self.n_beyond, self.n_behind = np.zeros((2, n_features), int)
        self.within = np.full((2, n_features), np.array([[np.inf], [-np.inf]]))
        low, high = fences
        with np.errstate(invalid="ignore"):  # of infinite fences there is no middle
            middle, reach = (low + high) / 2, (high - low) / 2
        for _, block in _blocks(X):
            scaled = block * unit
            beyond = (scaled < low) | (scaled > high)
            self.n_beyond += beyond.sum(0)
            self.n_behind += (np.abs(scaled - middle) > GAP * reach).sum(0)
            self.within[0] = np.minimum(self.within[0], np.where(beyond, np.inf, scaled).min(0))
            self.within[1] = np.maximum(self.within[1], np.where(beyond, -np.inf, scaled).max(0))


def _fences(X: Any, unit: float) -> np.ndarray:
    """Tukey's outer fences of every feature, (2, n_features); infinite where nearly all is one."""
    n_rows, n_features = X.shape
    n_sampled = min(n_rows, max(100, MAX_QUANTILE_VALUES // n_features))
    sampled = np.linspace(0, n_rows - 1, n_sampled).astype(int)
    sample = _dense(X[sampled]).astype(np.float64) * unit
    fences = np.full((2, n_features), [[-np.inf], [np.inf]])
    for q in RARE:  # of a feature that is mostly one value, the quartiles are equal
        lower, upper = np.quantile(sample, (q, 1 - q), axis=0)
        reach = FENCE * (upper - lower)
        found = np.stack([lower - reach, upper + reach])
        fences = np.where(np.isinf(fences) & (reach > 0), found, fences)
    return fences


def _blocks(X: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows, dense and in float64, and where they are."""
    for part in row_slices(*X.shape):
        yield part, _dense(X[part]).astype(np.float64)


def _dense(block: Any) -> np.ndarray:
    return block.toarray() if sp.issparse(block) else np.asarray(block)
