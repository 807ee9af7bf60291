"""What displays have in common on the side of matplotlib, which is imported only here and late."""

from __future__ import annotations

from typing import Any

import numpy as np


def import_pyplot(caller: str) -> Any:
    """matplotlib.pyplot, or a message that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f'{caller}.plot needs matplotlib, which is not installed: pip install "skvade[plot]"'
        ) from error
    return plt


def one_axes(caller: str, ax: Any, size: tuple[float, float]) -> Any:
    """The given axes, or those of a new figure of this size in inches."""
    plt = import_pyplot(caller)
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def panels(
    caller: str, ax: Any, shape: tuple[int, int], size: tuple[float, float], **options: Any
) -> np.ndarray:
    """A one-dimensional array of axes, in rows and columns of this shape.

    Parameters
    ----------
    caller : str
    ax : Axes, array-like of Axes or None
        One is divided; None stands for a new figure of this size; several are used as they are.
    shape : tuple of int
    size : tuple of float
        In inches.
    **options : dict
        `sharex`, `sharey`, `width_ratios` and `height_ratios`.
    """
    plt = import_pyplot(caller)
    ratios = {
        name: options.pop(name) for name in ("width_ratios", "height_ratios") if name in options
    }
    if ax is None:
        grid = plt.figure(figsize=size, layout="constrained").add_gridspec(*shape, **ratios)
    elif isinstance(ax, plt.Axes):
        ax.set_axis_off()
        place = ax.get_subplotspec()
        if place is None:
            (left, bottom), (right, top) = ax.get_position().get_points()
            edges = {"left": left, "bottom": bottom, "right": right, "top": top}
            grid = ax.figure.add_gridspec(*shape, **edges, **ratios)
        else:
            grid = place.subgridspec(*shape, **ratios)
    else:
        axes = np.ravel(ax)
        if len(axes) != np.prod(shape):
            raise ValueError(
                f"ax must be one Axes, {np.prod(shape)} of them or None for {caller}, got "
                f"{len(axes)}; make them with plt.subplots{shape}."
            )
        return axes
    return grid.subplots(squeeze=False, **options).ravel()


def colors(n: int) -> np.ndarray:
    """Colours that can be told apart as far as possible, of shape (n, 4)."""
    import matplotlib

    if n <= 20:
        return matplotlib.colormaps["tab10" if n <= 10 else "tab20"](np.arange(n))
    return matplotlib.colormaps["turbo"](np.linspace(0, 1, n))


def name_decades(axis: Any) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times powers of ten, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
