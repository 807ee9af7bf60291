"""ClusterProfileDisplay: who is in each cluster, by the columns that tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skvade.inspection._drawing import one_axes
from skvade.inspection._fitted import Fitted
from skvade.inspection._profiles import Profile, in_short, profiles_of

MOST = 3.0  # standard deviations that have a colour of their own
MOST_WRITTEN = 160  # cells


@dataclass(eq=False, repr=False)
class ClusterProfileDisplay:
    """Typical values of clusters in the columns that tell them apart, as a heat map and as text.

    A line for each cluster and a column for each that is among the most telling of any cluster (see
    :func:`cluster_profiles`). Colours are differences from all other rows in standard deviations;
    of a category, in those of its indicator. Cells name the typical value.

    Parameters
    ----------
    profiles : sequence of Profile
        For every cluster and column, by cluster.

    Attributes
    ----------
    ax_ : matplotlib Axes
    columns_ : list
        Those that are shown.
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
    text : str
        A sentence for each cluster, of the columns that tell most of it.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skvade import VaDEClustering
    >>> from skvade.inspection import ClusterProfileDisplay
    >>> X, _ = load_wine(return_X_y=True, as_frame=True)
    >>> model = make_pipeline(StandardScaler(), VaDEClustering(3, random_state=0)).fit(X)
    >>> display = ClusterProfileDisplay.from_estimator(model, X)
    >>> "proline" in display.columns_
    True
    """

    profiles: Sequence[Profile]

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, ax: Any = None, **kwargs: Any) -> Any:
        """Show the clusters of rows.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator of skvade, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Rows as the estimator takes them; a pipeline's columns are those before any step.
        ax : matplotlib Axes or None, default=None
            See `plot`.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        ClusterProfileDisplay
        """
        return cls(profiles_of(Fitted(estimator, cls.__name__), X)).plot(ax, **kwargs)

    @property
    def text(self) -> str:
        """A sentence for each cluster."""
        return "\n".join(self._sentences(n_columns=3))

    def plot(self, ax: Any = None, *, n_columns: int = 12, **kwargs: Any) -> ClusterProfileDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        n_columns : int, default=12
            Columns that are shown: those that tell most of any cluster.
        **kwargs : dict
            Further options of matplotlib's `imshow`.

        Returns
        -------
        ClusterProfileDisplay
        """
        telling: dict[Any, float] = {}
        for profile in self.profiles:
            best = telling.get(profile.column, -np.inf)
            telling[profile.column] = max(best, profile.information)
        self.columns_ = sorted(telling, key=lambda column: -telling[column])[:n_columns]
        clusters = list({profile.cluster: profile.size for profile in self.profiles}.items())
        cells = {(profile.cluster, profile.column): profile for profile in self.profiles}
        grid = [[cells[cluster, column] for column in self.columns_] for cluster, _ in clusters]
        shades = np.array([[cell.standardized for cell in line] for line in grid])
        size = (2.5 + 0.85 * len(self.columns_), 2.4 + 0.42 * len(grid))
        ax = one_axes(type(self).__name__, ax, size)
        given = {"cmap": "RdBu_r", "vmin": -MOST, "vmax": MOST, "aspect": "auto", **kwargs}
        self.image_ = ax.imshow(shades, **given)
        ax.set_xticks(range(len(self.columns_)), [str(c) for c in self.columns_], rotation=45)
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(grid)), [f"{name} ({n} rows)" for name, n in clusters])
        ax.tick_params(length=0)
        if shades.size <= MOST_WRITTEN:
            self._write(ax, grid)
        label = "sd from others"
        ax.figure.colorbar(self.image_, ax=ax, label=label, extend="both")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _write(self, ax: Any, grid: list[list[Profile]]) -> None:
        for y, line in enumerate(grid):
            for x, cell in enumerate(line):
                is_number = cell.unit != "share"
                text = in_short(cell.typical, 3)[:10] if is_number else str(cell.typical)[:10]
                color = "white" if abs(cell.standardized) > 0.6 * MOST else "black"
                ax.text(x, y, text, ha="center", va="center", fontsize=8, color=color)

    def _sentences(self, n_columns: int) -> list[str]:
        by_cluster: dict[Any, list[Profile]] = {}
        for profile in self.profiles:
            by_cluster.setdefault(profile.cluster, []).append(profile)
        return [
            f"Cluster {name} ({own[0].size} rows): {'; '.join(map(str, own[:n_columns]))}."
            for name, own in by_cluster.items()
        ]
