"""ClusterCountDisplay: what speaks for a number of clusters, and how groups were merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import dendrogram

from skvade.inspection._drawing import panels
from skvade.inspection._fitted import Fitted


@dataclass(eq=False, repr=False)
class ClusterCountDisplay:
    """The evidence for every number of clusters, and the tree of mergers.

    The tree is cut by a dashed line where it has as many branches as clusters were found. A long
    way between two mergers is a number of clusters that is clear.

    Parameters
    ----------
    evidence : ndarray of shape (max_clusters + 1,)
        By number of clusters, NaN where it is not known.
    merge_tree : ndarray of shape (n_groups - 1, 4)
        As SciPy's hierarchies have it.
    n_clusters : int
        The number that was found.

    Attributes
    ----------
    axes_ : ndarray of two matplotlib Axes
        Of the evidence and of the tree.
    bars_ : matplotlib BarContainer
    figure_ : matplotlib Figure
    tree_ : matplotlib LineCollection

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import VaDEClustering
    >>> from skvade.inspection import ClusterCountDisplay
    >>> X, _ = make_blobs(300, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> model = VaDEClustering("auto", random_state=0).fit(X)
    >>> display = ClusterCountDisplay.from_estimator(model)
    >>> int(display.evidence[2:].argmax()) + 2
    3
    """

    evidence: np.ndarray
    merge_tree: np.ndarray
    n_clusters: int

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Any:
        """Show how a clusterer that was fitted with ``n_clusters="auto"`` counted.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted clusterer of skvade, or a pipeline or search that ends in one.
        ax : matplotlib Axes, array-like of two Axes or None, default=None
            See `plot`.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        ClusterCountDisplay
        """
        fitted = Fitted(estimator, cls.__name__)
        fitted.need("merge_tree_", "fit a clusterer with n_clusters='auto'")
        model = fitted.model
        display = cls(model.cluster_evidence_, model.merge_tree_, model.n_clusters_)
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> ClusterCountDisplay:
        """Draw evidence and tree.

        Parameters
        ----------
        ax : matplotlib Axes, array-like of two Axes or None, default=None
            One is divided; None makes a figure.
        **kwargs : dict
            Further options of matplotlib's `bar`.

        Returns
        -------
        ClusterCountDisplay
        """
        left, right = axes = panels(type(self).__name__, ax, (1, 2), (9.0, 3.6))
        numbers = np.arange(2, len(self.evidence))
        colors = np.where(numbers == self.n_clusters, "C1", "C0")
        self.bars_ = left.bar(numbers, self.evidence[2:], **{"color": colors, **kwargs})
        left.axhline(0, color="black", linewidth=0.8)
        left.set(xlabel="number of clusters", ylabel="evidence")
        self._plot_tree(right)
        self.axes_, self.figure_ = axes, left.figure
        return self

    def _plot_tree(self, ax: Any) -> None:
        from matplotlib.collections import LineCollection

        lines = []
        if len(self.merge_tree):
            tree = dendrogram(self.merge_tree, no_plot=True)
            pairs = zip(tree["icoord"], tree["dcoord"], strict=True)
            lines = [np.column_stack(pair) for pair in pairs]
        self.tree_ = ax.add_collection(LineCollection(lines, colors="C0", linewidths=1))
        ax.autoscale_view()
        ax.margins(0.02)
        heights = np.r_[0, self.merge_tree[:, 2]]
        first_merged = len(heights) - self.n_clusters
        if 0 <= first_merged < len(heights) - 1:
            cut = heights[first_merged : first_merged + 2].mean()
            ax.axhline(cut, color="C1", linestyle="--", label=f"{self.n_clusters} clusters")
            ax.legend()
        ax.set(xticks=[], xlabel="groups of rows", ylabel="-log of the share they have in common")
