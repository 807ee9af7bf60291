"""AssignmentDisplay: how many rows clusters have, how surely, and which they share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.utils import check_array

from skvade.inspection._drawing import panels
from skvade.inspection._fitted import Fitted
from skvade.metrics._assignment import check_probabilities

MOST_NAMED, MOST_WRITTEN = 40, 16
LEAST_SHADED, LEAST_WRITTEN = 1e-3, 5e-3


@dataclass(eq=False, repr=False)
class AssignmentDisplay:
    """Sizes of clusters, confidence of the assignment, and confusions between clusters.

    Rows belong to the cluster with the largest q(c|x), and that largest value is their confidence.
    In the third panel, line a and column b is the mean of q(b|x) over rows of cluster a. Of an
    estimator q is the model's own, without the `doubt_` that `predict_proba` spreads over all.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        The cluster of each row, integers from 0.
    confidence : ndarray of shape (n_samples,)
        The largest q(c|x) of each row.
    confusion : ndarray of shape (n_clusters, n_clusters)
        Mean q(c|x) of the rows of each cluster; NaN in the lines of empty ones.
    cluster_names : array-like of shape (n_clusters,) or None, default=None
        None stands for integers from 0.

    Attributes
    ----------
    axes_ : ndarray of three matplotlib Axes
    figure_ : matplotlib Figure
    size_bars_ : matplotlib BarContainer
        As wide as the clusters are large.
    confidence_bars_ : list of matplotlib BarContainer
        For each range of confidence, the share of each cluster's rows.
    image_ : matplotlib AxesImage
        Of the confusions.

    Examples
    --------
    >>> from skvade.inspection import AssignmentDisplay
    >>> display = AssignmentDisplay.from_predictions([[0.9, 0.1], [0.7, 0.3], [0.0, 1.0]])
    >>> [bar.get_width() for bar in display.size_bars_]
    [np.int64(2), np.int64(1)]
    >>> display.confusion.round(1)
    array([[0.8, 0.2],
           [0. , 1. ]])
    """

    labels: np.ndarray
    confidence: np.ndarray
    confusion: np.ndarray
    cluster_names: Any = None

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, ax: Any = None, **kwargs: Any
    ) -> AssignmentDisplay:
        """Show the assignment of rows.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator of skvade, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Rows to assign. Those that a `noise_quantile` makes noise are left out.
        ax : matplotlib Axes, array-like of three Axes or None, default=None
            See `plot`.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        AssignmentDisplay
        """
        fitted = Fitted(estimator, cls.__name__)
        names = fitted.cluster_names
        proba = fitted.proba(X)[~fitted.noise(X)]
        return cls.from_predictions(proba, cluster_names=names, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls, proba: Any, *, cluster_names: Any = None, ax: Any = None, **kwargs: Any
    ) -> AssignmentDisplay:
        """Show an assignment that is known already, of any method.

        Parameters
        ----------
        proba : array-like of shape (n_samples, n_clusters)
            Probabilities of the clusters, as `predict_proba` gives them.
        cluster_names : array-like of shape (n_clusters,) or None, default=None
            None stands for integers from 0.
        ax : matplotlib Axes, array-like of three Axes or None, default=None
            See `plot`.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        AssignmentDisplay
        """
        proba = check_array(proba, dtype=float, input_name="proba")
        check_probabilities(proba)
        labels, n_clusters = proba.argmax(1), proba.shape[1]
        members = np.eye(n_clusters)[labels]
        sizes = members.sum(0)[:, None]
        mean = np.divide(
            members.T @ proba, sizes, where=sizes > 0, out=np.full((n_clusters,) * 2, np.nan)
        )
        return cls(labels, proba.max(1), mean, cluster_names).plot(ax, **kwargs)

    def plot(
        self, ax: Any = None, *, levels: tuple[float, ...] = (0.5, 0.9, 0.99), cmap: Any = "Blues"
    ) -> AssignmentDisplay:
        """Draw bars of sizes, bars of confidence, and the confusions.

        Parameters
        ----------
        ax : matplotlib Axes, array-like of three Axes or None, default=None
            One is divided; None makes a figure.
        levels : tuple of float, default=(0.5, 0.9, 0.99)
            Bounds between the ranges of confidence, increasing.
        cmap : str or matplotlib Colormap, default="Blues"
            Of the confusions, in a logarithmic scale from .001.

        Returns
        -------
        AssignmentDisplay
        """
        side = min(max(2.4, 0.42 * len(self.confusion)), 9)
        axes = panels(
            type(self).__name__,
            ax,
            (1, 3),
            (5.6 + side, 1.4 + side),
            width_ratios=(2, 2, side),
            sharey=True,
        )
        places = np.arange(len(self.confusion))
        sizes = np.bincount(self.labels, minlength=len(places))
        self.size_bars_ = axes[0].barh(places, sizes, color="tab:blue")
        axes[0].set(title="size", xlabel="rows", ylabel="cluster")
        self._plot_confidence(axes[1], sizes, levels)
        self._plot_confusion(axes[2], cmap)
        names = places if self.cluster_names is None else self.cluster_names
        for panel in axes:
            panel.set_ylim(len(places) - 0.5, -0.5)
            if len(places) <= MOST_NAMED:
                panel.set_yticks(places, names)
        if len(places) <= MOST_NAMED:
            rotation = 90 if max(len(str(name)) for name in names) > 2 else 0
            axes[2].set_xticks(places, names, rotation=rotation)
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _plot_confidence(self, ax: Any, sizes: np.ndarray, levels: tuple[float, ...]) -> None:
        import matplotlib

        names = [
            f"below {levels[0]:g}",
            *(f"{low:g} to {high:g}" for low, high in pairwise(levels)),
            f"{levels[-1]:g} and more",
        ]
        ranges = np.digitize(self.confidence, levels)
        shades = matplotlib.colormaps["cividis"](np.linspace(1, 0.1, len(names)))
        left = np.zeros(len(sizes))
        self.confidence_bars_ = []
        for place, (name, shade) in enumerate(zip(names, shades, strict=True)):
            counts = np.bincount(self.labels[ranges == place], minlength=len(sizes))
            shares = counts / np.maximum(sizes, 1)
            bars = ax.barh(np.arange(len(sizes)), shares, left=left, color=shade, label=name)
            self.confidence_bars_.append(bars)
            left += shares
        ax.set(title="confidence", xlabel="share of rows by max q(c|x)", xlim=(0, 1))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=5, ncols=2, fontsize=8)

    def _plot_confusion(self, ax: Any, cmap: Any) -> None:
        from matplotlib.colors import LogNorm

        shown = self.confusion.clip(min=LEAST_SHADED)
        self.image_ = ax.imshow(shown, cmap=cmap, norm=LogNorm(LEAST_SHADED, 1), aspect="auto")
        ax.set(title="confusion", xlabel="cluster c")
        ax.figure.colorbar(self.image_, ax=ax, extend="min", label="mean q(c|x) of a line's rows")
        if len(shown) <= MOST_WRITTEN:
            for (line, column), value in np.ndenumerate(self.confusion):
                if value >= LEAST_WRITTEN:
                    text = "1" if value >= 0.995 else f"{value:.2f}".lstrip("0")
                    style = {"ha": "center", "va": "center", "fontsize": 8}
                    ax.text(column, line, text, color="white" if value > 0.1 else "black", **style)
