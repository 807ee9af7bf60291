"""Rows of data as pictures: images where they are images, else heat maps of their features."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from skvade.inspection._drawing import one_axes

MOST_NAMES = 40
MOST_STANDARD_DEVIATIONS = 3.0


@dataclass(kw_only=True, eq=False, repr=False)
class RowsDisplay:
    """For displays that show rows of data.

    Parameters
    ----------
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, 3) of rows that are images. None draws heat maps of
        features instead, in standard deviations from each feature's mean.
    feature_names : array-like of shape (n_features,) or None, default=None
        Written below heat maps, where there are at most 40.
    reference : ndarray of shape (n_reference, n_features) or None, default=None
        Rows whose means and standard deviations are the units of heat maps; None stands for the
        rows that are shown.

    Attributes
    ----------
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
        All rows as one image, with gaps of NaN (of images in colour: transparent) between them.
    """

    image_shape: tuple[int, ...] | None = None
    feature_names: Any = None
    reference: np.ndarray | None = None

    def _plot(
        self,
        ax: Any,
        rows: np.ndarray,
        lines: Any,
        items: Any = None,
        *,
        apart: bool = False,
        across: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Draw rows of shape (n_lines, n_items, n_features), and return the axes.

        Images stand in a grid. Of a table, each line is a heat map whose lines are the items; they
        stand one below the other, or beside each other (`across`). `apart` rules the first item of
        images off.
        """
        images = self._images(rows)
        if self.image_shape is None:
            images = images[None] if across else images[:, None]
        mosaic = Mosaic(images)
        ax = one_axes(type(self).__name__, ax, self._size(images))
        self.figure_ = ax.figure
        aspect = "equal" if self.image_shape else "auto"
        self.image_ = ax.imshow(mosaic.pixels, **{"aspect": aspect, **self._shades(rows), **kwargs})
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
        ax.set_yticks([])
        if self.image_shape:
            ax.set_yticks(mosaic.middles(0), lines)
            ax.set_xticks(mosaic.middles(1) if items is not None else [], items)
            ax.xaxis.tick_top()
            if apart:
                ax.axvline(images.shape[3] - 0.5 + mosaic.gaps[1] / 2, color="black", linewidth=1)
        else:
            self._name_features(ax.xaxis, mosaic.starts(1), rotation=90)
            if across:
                top = ax.secondary_xaxis("top")
                top.set_xticks(mosaic.middles(1), lines)
                top.tick_params(length=0)
                top.spines["top"].set_visible(False)
                _name_runs(ax, items)
            else:
                ax.set_yticks(mosaic.middles(0), lines)
            self._add_colorbar(ax)
        return ax

    def _images(self, rows: np.ndarray) -> np.ndarray:
        """(..., n_items, n_features) to images, or to tables of the items' scaled features."""
        if self.image_shape is None:
            return self._scaled(rows)
        n_features = rows.shape[-1]
        shape = tuple(self.image_shape)
        if len(shape) not in (2, 3) or np.prod(shape) != n_features or shape[2:] not in ((), (3,)):
            height = max(h for h in range(1, isqrt(n_features) + 1) if n_features % h == 0)
            raise ValueError(
                f"image_shape {shape} does not hold {n_features} features; pass (height, width), "
                f"such as {(height, n_features // height)}, or (height, width, 3), whose product "
                "is their number, or None for a heat map."
            )
        images = rows.reshape(*rows.shape[:-1], *shape)
        if len(shape) == 2:
            return images
        low, high = self._range(rows)
        return ((images - low) / (high - low)).clip(0, 1)  # as matplotlib has colours

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        """Rows in standard deviations from the mean of each feature in the reference."""
        reference = rows if self.reference is None else self.reference
        reference = np.asarray(reference).reshape(-1, rows.shape[-1])
        observed = np.isfinite(reference)
        counts = np.maximum(1, observed.sum(0))
        mean = np.where(observed, reference, 0).sum(0) / counts
        spread = np.sqrt(np.where(observed, np.square(reference - mean), 0).sum(0) / counts)
        least, most = (np.where(observed, reference, end) for end in (np.inf, -np.inf))
        varies = most.max(0) > least.min(0)  # of a constant the spread is rounding
        return (rows - mean) / np.where(varies, spread, 1)

    def _shades(self, rows: np.ndarray) -> dict[str, Any]:
        if self.image_shape is None:
            most = MOST_STANDARD_DEVIATIONS
            return {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
        low, high = self._range(rows)
        return {"cmap": "gray_r", "vmin": low, "vmax": high}

    def _range(self, rows: np.ndarray) -> tuple[float, float]:
        low, high = float(np.nanmin(rows)), float(np.nanmax(rows))
        return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)

    def _size(self, images: np.ndarray) -> tuple[float, float]:
        n_rows, n_columns, height, width = images.shape[:4]
        if self.image_shape:
            return 0.8 + 0.6 * n_columns * width / height, 0.8 + 0.6 * n_rows
        features = min(max(3, 0.3 * width), 9 / n_columns)
        names = 0.08 * max(map(len, self._names_of_features()), default=4)
        return 2 + features * n_columns, 1 + names + min(max(3, 0.12 * n_rows * height), 9)

    def _names_of_features(self) -> list[str]:
        """As far as there is room for them."""
        names = [] if self.feature_names is None else list(map(str, self.feature_names))
        return names if len(names) <= MOST_NAMES else []

    def _name_features(self, axis: Any, starts: Any = (0,), **style: Any) -> None:
        if names := self._names_of_features():
            places = np.concatenate([start + np.arange(len(names)) for start in starts])
            axis.set_ticks(places, names * len(starts), **style)
        else:
            from matplotlib.ticker import AutoLocator

            axis.set_label_text("feature")
            if len(starts) > 1:
                axis.set_ticks([])
            elif isinstance(axis.get_major_locator(), AutoLocator):
                axis.get_major_locator().set_params(integer=True)

    def _add_colorbar(self, ax: Any) -> None:
        label = "standard deviations from mean"
        self.image_.figure.colorbar(self.image_, ax=ax, label=label, extend="both")


def _name_runs(ax: Any, names: Any) -> None:
    """Name lines of a heat map by their runs of one name, and rule these off."""
    names = np.asarray(names)
    changes = np.flatnonzero(names[1:] != names[:-1]) + 1
    edges = np.array([0, *changes, len(names)])
    ax.set_yticks((edges[:-1] + edges[1:] - 1) / 2, names[edges[:-1]])
    for change in changes:
        ax.axhline(change - 0.5, color="black", linewidth=0.8)


class Mosaic:
    """Images of one size as a single one, with gaps between them.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_columns, height, width) or (..., 3)
    """

    def __init__(self, images: np.ndarray):
        n_rows, n_columns, height, width, *channels = images.shape
        self.counts, self.sizes = (n_rows, n_columns), (height, width)
        self.gaps = tuple(max(1, round(0.06 * size)) for size in self.sizes)
        if channels:
            opaque = np.ones((*images.shape[:-1], 1))
            images = np.concatenate([images, opaque], -1)
        shape = [
            n * (size + gap) - gap
            for n, size, gap in zip(self.counts, self.sizes, self.gaps, strict=True)
        ]
        self.pixels = np.full((*shape, *images.shape[4:]), 0.0 if channels else np.nan)
        for row, top in zip(images, self.starts(0), strict=True):
            for image, left in zip(row, self.starts(1), strict=True):
                self.pixels[top : top + height, left : left + width] = image

    def starts(self, axis: int) -> np.ndarray:
        """The first pixel of each image along an axis."""
        return np.arange(self.counts[axis]) * (self.sizes[axis] + self.gaps[axis])

    def middles(self, axis: int) -> np.ndarray:
        """The middle of each image along an axis."""
        return self.starts(axis) + (self.sizes[axis] - 1) / 2
