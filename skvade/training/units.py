"""What a table is like, read a block at a time: its range, its moments, and units to train in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from skvade.nn.summary import DataSummary
from skvade.training.peers import ALONE, Peers

BLOCK_BYTES = 32 * 2**20
MAX_QUANTILE_VALUES = 1 << 22
FAR = 1e6  # in the model's units; beyond, float32 does not hold the squares of codes
FARTHEST = 1e15  # beyond FAR, of what can be told apart; float32 holds its square
FENCE = 3.0  # Tukey's outer fences, in distances of the quartiles
FEW = 0.125  # of rows: a quarter could be all that differs from the rest
GAP = 10.0  # times as far from the middle as the fences: nothing lies between, or little
MANY, MOSTLY = 5e-3, 0.8
ORDINARY = 1e100  # squares of what is larger, or of its inverse, do not fit into float64


@dataclass(frozen=True)
class Units:
    """The affine map between the data's units and the model's: x_model = (x - shift) / scale.

    One scale for all features, so that the geometry of the data is kept, unless features are of
    several kinds. Values beyond a feature's limits count as these, and none is farther than 1e6
    from the middle in the model's units.

    Attributes
    ----------
    shift : ndarray of shape (n_features,) or float
    scale : ndarray of shape (n_features,) or float
    low, high : ndarray of shape (n_features,) or None
        Limits, infinite where a feature has none; None where no feature has any.
    """

    shift: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @property
    def identical(self) -> bool:
        """Whether the map does nothing."""
        return bool(np.all(self.scale == 1.0)) and not np.any(self.shift) and self.low is None

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
        with np.errstate(over="ignore"):
            return x if self.identical else x * self.scale + self.shift

    def beyond(self, x: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """How far rows lie beyond what the model sees of them, squared: (n, D) to (n,).

        In units of a variance, which all features share or each has its own; 0 where the model sees
        all of a row.
        """
        if self.identical:
            return np.zeros(len(x))
        with np.errstate(over="ignore"):
            moved = (np.asarray(x, np.float64) - self.shift) / self.scale
        excess = np.abs(moved - self.to_model(np.asarray(x, np.float64)))
        return np.nansum(np.square(np.minimum(excess, FARTHEST)) / variance, axis=1)

    def log_scale(self, X: Any) -> np.ndarray:
        """sum_d log(scale_d) over what is observed of each row: (n_samples,)."""
        if np.ndim(self.scale) == 0:
            return observed_in_rows(X) * math.log(self.scale)
        return _of_rows(X, lambda block: ~np.isnan(block) @ np.log(self.scale))

    def log_scale_of_whole(self, n_features: int) -> float:
        """The same of a row without holes."""
        if np.ndim(self.scale) == 0:
            return n_features * math.log(self.scale)
        return float(np.log(self.scale).sum())


def row_slices(n_rows: int, n_features: int, row_bytes: int = 0) -> Iterator[slice]:
    """Slices that cut rows into blocks of about BLOCK_BYTES."""
    size = max(1, BLOCK_BYTES // max(1, 8 * n_features + row_bytes))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def total_variance(values: np.ndarray, peers: Peers = ALONE) -> float:
    """Of all columns together, over the rows of all processes.

    It is summed a block at a time, since all differences would take as much as the values.
    """
    parts, n_rows = list(row_slices(*values.shape)), peers.total(len(values))
    mean = peers.total(sum(values[part].sum(0, dtype=np.float64) for part in parts)) / n_rows
    squares = sum(np.square(values[part] - mean).sum() for part in parts)
    return float(peers.total(squares) / n_rows)


def summarize(X: Any, peers: Peers = ALONE) -> DataSummary:
    """What a likelihood needs to know of X and of what peers have, in one pass over blocks."""
    minimum, maximum, binary, has_holes = np.inf, -np.inf, True, False
    totals = np.empty(X.shape[0])
    for part, block in _blocks(X):
        absent = np.isnan(block)
        has_holes = has_holes or bool(absent.any())
        low, high = _extremes(block)
        minimum, maximum = np.fmin(minimum, low), np.fmax(maximum, high)
        binary = binary and bool((np.isin(block, (0.0, 1.0)) | absent).all())
        with np.errstate(over="ignore", invalid="ignore"):
            # Of a row with holes, what the sum would be if the others were like those observed.
            share = 1 - absent.mean(1) if has_holes else 1.0
            totals[part] = (np.nansum(block, axis=1) if has_holes else block.sum(1)) / share
    return DataSummary(
        n_samples=peers.total(X.shape[0]),
        n_features=X.shape[1],
        minimum=min(peers.collect(float(minimum))),
        maximum=max(peers.collect(float(maximum))),
        binary=all(peers.collect(binary)),
        median_total=float(np.nanmedian(peers.concatenate(totals))),
        has_holes=any(peers.collect(has_holes)),
    )


def n_observed(X: Any, peers: Peers = ALONE) -> np.ndarray:
    """How many entries of each feature are there, with those that peers have: (n_features,)."""
    return peers.total(sum((~np.isnan(block)).sum(0) for _, block in _blocks(X)))


def has_holes(X: Any) -> bool:
    """Whether any entry is missing."""
    return any(bool(np.isnan(block).any()) for _, block in _blocks(X))


def observed_in_rows(X: Any) -> np.ndarray:
    """How many entries of each row are there: (n_samples,)."""
    return _of_rows(X, lambda block: (~np.isnan(block)).sum(1))


def _extremes(block: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest entry; NaN if there is none."""
    return np.fmin.reduce(block, axis=None), np.fmax.reduce(block, axis=None)


def extent(X: Any) -> tuple[float, float]:
    """The smallest and the largest entry of X; X is not touched, as `min` of sparse formats may."""
    blocks = (dense(X[part]) for part in row_slices(*X.shape))
    lows, highs = zip(*map(_extremes, blocks), strict=True)
    return float(np.fmin.reduce(lows)), float(np.fmax.reduce(highs))


@dataclass(frozen=True)
class Values:
    """What kind of numbers a table holds, beside its range.

    Attributes
    ----------
    whole : bool
        Whether all are whole numbers.
    spread : float
        sum_d var_d / sum_d mean_d (1 - mean_d): of values in [0, 1], 1 if they are 0 or 1.
    like_counts : bool
        Whether they are distributed as whole counts may be: features have zeros, vary by their mean
        or more, as Poisson's do, and have no end at which values gather, as scales have.
    """

    whole: bool
    spread: float
    like_counts: bool


def look_at(X: Any, largest: float, peers: Peers = ALONE) -> Values:
    """What kind of numbers there are, whose largest is known, in one pass over blocks."""
    n_features = X.shape[1]
    whole, n_largest, n_above = True, 0, 0
    sums, squares, zeros, counts = np.zeros((4, n_features))
    for _, block in _blocks(X):
        whole = whole and bool(((block == np.round(block)) | np.isnan(block)).all())
        n_largest, n_above = n_largest + (block == largest).sum(), n_above + (block > 0).sum()
        zeros += (block == 0).sum(0)
        counts += (~np.isnan(block)).sum(0)
        with np.errstate(over="ignore"):
            sums, squares = sums + _sum(block), squares + _sum(np.square(block))
    whole, n_rows = all(peers.collect(whole)), np.maximum(1, peers.total(counts))
    n_largest, n_above = peers.total(n_largest), peers.total(n_above)
    sums, squares, zeros = peers.total(np.stack([sums, squares, zeros]))
    means = sums / n_rows
    with np.errstate(all="ignore"):
        variances = squares / n_rows - means**2
        spread = variances.sum() / (means * (1 - means)).sum()
        dispersion = np.median((variances / means)[means > 0]) if (means > 0).any() else 0.0
    gathered = n_largest / max(1, n_above) >= MANY
    have_zeros = (zeros > 0).mean() >= MOSTLY
    like_counts = whole and bool(have_zeros and dispersion >= MOSTLY and not gathered)
    return Values(whole, float(spread), like_counts)


@dataclass(frozen=True)
class Measured:
    """The units of a table, and how its variance lies in its features.

    Attributes
    ----------
    units : Units
    shares : ndarray of shape (n_features,)
        Of the variance, within the limits.
    beyond : ndarray of shape (n_features,)
        How many values lie beyond the limits.
    farthest : ndarray of shape (n_features,)
        The value that is farthest from the middle.
    """

    units: Units
    shares: np.ndarray
    beyond: np.ndarray
    farthest: np.ndarray


def measure_units(
    X: Any,
    extremes: tuple[float, float] | None = None,
    peers: Peers = ALONE,
    scale_each: bool = False,
) -> Measured:
    """The shift to zero means and the scale to a mean feature variance of one.

    A feature gets Tukey's outer fences as limits if a few values lie beyond them, most of these at
    least ten times as far, behind a gap: sentinel values would else be the scale of all features.
    Long tails, which have no gap, are left alone, and so is what more than an eighth of rows share.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    extremes : tuple of float or None
        The smallest and the largest entry, where they are known.
    peers : Peers
        Who has the other rows.
    scale_each : bool
        Whether each feature gets a scale of its own, and so a variance of one.
    """
    low, high = extremes or _extent_of_all(X, peers)
    largest = max(-low, high)
    ordinary = largest == 0 or 1 / ORDINARY < largest < ORDINARY
    exponent = 0 if ordinary else min(-int(np.frexp(largest)[1]), 1_000)
    unit = 2.0**exponent  # by a power of two nothing is rounded
    moments = _Moments(X, unit, peers)
    farther_up = moments.high - moments.shift > moments.shift - moments.low
    farthest = np.where(farther_up, moments.high, moments.low) / unit
    n_beyond = np.zeros(X.shape[1], int)
    fences = _fences(X, unit, peers)
    if ((moments.low < fences[0]) | (moments.high > fences[1])).any():
        n_beyond, n_behind = peers.total(_tails(X, unit, fences))
        few = n_beyond <= FEW * moments.counts
        chosen = few & (n_behind > 0) & (2 * n_behind >= n_beyond)
        n_beyond = np.where(chosen, n_beyond, 0)
        if chosen.any():
            limits = np.where(chosen, fences, np.array([[-np.inf], [np.inf]]))
            moments = _Moments(X, unit, peers, limits)
    units = moments.units(scale_each)
    return Measured(units, moments.shares(), n_beyond, farthest)


def _extent_of_all(X: Any, peers: Peers) -> tuple[float, float]:
    lows, highs = zip(*peers.collect(extent(X)), strict=True)
    return float(np.fmin.reduce(lows)), float(np.fmax.reduce(highs))


class _Moments:
    """Means, sums of squares and extremes of X * unit, with values beyond limits set to these."""

    def __init__(self, X: Any, unit: float, peers: Peers, limits: np.ndarray | None = None):
        self.n_rows, n_features = peers.total(X.shape[0]), X.shape[1]
        self.unit, self.limits = unit, limits
        sums, counts = np.zeros((2, n_features))
        for _, block in _blocks(X):
            sums, counts = sums + _sum(self._within(block)), counts + (~np.isnan(block)).sum(0)
        self.counts = np.maximum(1, peers.total(counts))
        self.shift = peers.total(sums) / self.counts
        self.squares, self.total = np.zeros(n_features), 0.0
        self.low, self.high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
        for _, block in _blocks(X):
            within = self._within(block)
            squares = np.square(within - self.shift)
            squares[np.isnan(squares)] = 0.0
            self.squares, self.total = self.squares + squares.sum(0), self.total + squares.sum()
            self.low = np.fmin(self.low, np.fmin.reduce(within))
            self.high = np.fmax(self.high, np.fmax.reduce(within))
        self.squares, self.total = peers.total(self.squares), peers.total(self.total)
        self.low = np.min(peers.collect(self.low), axis=0)
        self.high = np.max(peers.collect(self.high), axis=0)
        # What is left of a constant's deviations is the rounding of its mean.
        rounding = 8 * np.finfo(np.float64).eps * np.maximum(np.abs(self.low), np.abs(self.high))
        varies = self.high - self.low > rounding
        self.squares = np.where(varies, self.squares, 0.0)
        self.total = self.total if varies.any() else 0.0

    def units(self, scale_each: bool) -> Units:
        """The shift and the scale, in the data's own units."""
        limits = () if self.limits is None else (limit / self.unit for limit in self.limits)
        if scale_each:
            scales = np.sqrt(self.squares / self.counts) / self.unit
            return Units(self.shift / self.unit, np.where(scales > 0, scales, 1.0), *limits)
        scale = float(np.sqrt(self.total / self.counts.sum())) / self.unit
        return Units(self.shift / self.unit, scale if scale > 0 else 1.0, *limits)

    def shares(self) -> np.ndarray:
        """Each feature's share of the variance."""
        variances = self.squares * (self.n_rows / self.counts)
        return variances / variances.sum() if self.total > 0 else variances

    def _within(self, block: np.ndarray) -> np.ndarray:
        scaled = block if self.unit == 1 else block * self.unit
        return scaled if self.limits is None else np.clip(scaled, *self.limits)


def _tails(X: Any, unit: float, fences: np.ndarray) -> np.ndarray:
    """How many values of each feature of X * unit lie beyond fences, and behind a gap: (2, D)."""
    n_beyond, n_behind = np.zeros((2, X.shape[1]), int)
    low, high = fences
    with np.errstate(invalid="ignore"):  # of infinite fences there is no middle
        middle, reach = (low + high) / 2, (high - low) / 2
        for _, block in _blocks(X):
            scaled = block * unit
            n_beyond += ((scaled < low) | (scaled > high)).sum(0)
            n_behind += (np.abs(scaled - middle) > GAP * reach).sum(0)
    return np.stack([n_beyond, n_behind])


def _fences(X: Any, unit: float, peers: Peers) -> np.ndarray:
    """Tukey's outer fences of every feature, (2, n_features); infinite where quartiles are one."""
    n_rows, n_features = X.shape
    n_sampled = min(n_rows, peers.share(max(100, MAX_QUANTILE_VALUES // n_features), n_rows))
    sample = X[np.linspace(0, n_rows - 1, n_sampled).astype(int)]
    fences = np.empty((2, n_features))
    for part in row_slices(n_features, max(peers.collect(n_sampled))):  # blocks of columns
        block = peers.concatenate(dense(sample[:, part]).astype(np.float64) * unit)
        # Between two values there is none: a feature that is mostly one value has no quartiles.
        lower, upper = _quartiles(block)
        reach = np.where(upper > lower, FENCE * (upper - lower), np.inf)
        fences[:, part] = lower - reach, upper + reach
    return fences


def _quartiles(block: np.ndarray) -> np.ndarray:
    """Of what is observed of each feature: (2, n_features), NaN where that is nothing."""
    counts = (~np.isnan(block)).sum(0)
    ranks = np.ceil(np.outer((0.25, 0.75), counts)).astype(int) - 1
    return np.take_along_axis(np.sort(block, axis=0), np.maximum(ranks, 0), axis=0)  # NaN are last


def _sum(block: np.ndarray) -> np.ndarray:
    """Over rows, of what is observed."""
    sums = block.sum(0)
    return np.nansum(block, axis=0) if np.isnan(sums).any() else sums


def _blocks(X: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows, dense and in float64, and where they are."""
    for part in row_slices(*X.shape):
        yield part, dense(X[part]).astype(np.float64)


def _of_rows(X: Any, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A number for each row, by a function of blocks."""
    numbers = np.empty(X.shape[0])
    for part, block in _blocks(X):
        numbers[part] = function(block)
    return numbers


def dense(block: Any) -> np.ndarray:
    """A block of rows of any container as an array."""
    return block.toarray() if sp.issparse(block) else np.asarray(block)
