"""LatentSpaceDisplay: the codes, and the clusters among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from sklearn.utils import check_consistent_length, column_or_1d

from skvade.estimators.density import NOISE
from skvade.inspection._drawing import colors, one_axes
from skvade.inspection._fitted import Fitted, make_rng

MOST_IN_LEGEND = 20
GREY = (0.6, 0.6, 0.6, 1.0)  # of noise


@dataclass(eq=False, repr=False)
class LatentSpaceDisplay:
    """The latent space in two dimensions: codes of rows, and the clusters' centres and spreads.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        The points.
    labels : ndarray of shape (n_samples,)
        What the points are coloured by: integers, places in `label_names`; -1 is noise, which is
        grey.
    label_names : ndarray of shape (n_labels,)
        All labels that there may be, in the order of the colours.
    means : ndarray of shape (n_clusters, 2) or None, default=None
        The clusters' centres.
    covariances : ndarray of shape (n_clusters, 2, 2) or None, default=None
        The clusters' covariances.
    cluster_names : ndarray of shape (n_clusters,) or None, default=None
        Written at the centres; None stands for integers from 0.
    axis_names : tuple of str, default=("z[0]", "z[1]")
        What the two dimensions are.
    label_kind : str, default="cluster"
        What the labels are.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
    points_ : matplotlib PathCollection
    ellipses_ : list of matplotlib Ellipse
        Empty without covariances.
    texts_ : list of matplotlib Text
        The names at the centres; empty without centres.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import VaDEClustering
    >>> from skvade.inspection import LatentSpaceDisplay
    >>> X, _ = make_blobs(200, centers=3, random_state=0)
    >>> model = VaDEClustering(3, hidden_layer_sizes=(16,), latent_dim=4, random_state=0).fit(X)
    >>> display = LatentSpaceDisplay.from_estimator(model, X)
    >>> len(display.ellipses_)
    3
    >>> display.ax_.get_xlabel()[:30]
    'discriminant 1 of the clusters'
    """

    codes: np.ndarray
    labels: np.ndarray
    label_names: np.ndarray
    means: np.ndarray | None = None
    covariances: np.ndarray | None = None
    cluster_names: np.ndarray | None = None
    axis_names: tuple[str, str] = ("z[0]", "z[1]")
    label_kind: str = "cluster"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        projection: Any = "lda",
        max_points: int | None = 3_000,
        random_state: Any = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> LatentSpaceDisplay:
        """Show the codes of rows.

        Codes of two dimensions are shown as they are. Others are projected by a linear map P, and
        the clusters with them: N(mu, Sigma) becomes N(P mu, P Sigma P'), so that the ellipses are
        those of the model in any view.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator of skvade, or a pipeline or search that ends in one. Without
            covariances, centres are shown alone; where codes are styles, which are the same for
            all clusters, neither.
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Rows to show.
        y : array-like of shape (n_samples,) or None, default=None
            Labels to colour points by; None stands for the clusters, with noise in grey.
        projection : {"lda", "pca"} or array-like of shape (2, latent_dim), default="lda"
            The two linear discriminants along which the clusters of X differ most, in units of the
            standard deviation within clusters; or the two leading principal components of the
            codes, on which clusters can lie on top of each other; or directions of your own:
            ``np.eye(latent_dim)[[0, 3]]`` shows two of the latent axes. With fewer than three
            clusters, or with styles, "lda" is "pca".
        max_points : int or None, default=3000
            Points that are drawn at most, at random; None for all. The projection is of all rows.
        random_state : int, RandomState instance or None, default=0
            Of the points that are drawn, and of the order in which they are.
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        LatentSpaceDisplay
        """
        fitted = Fitted(estimator, cls.__name__)
        codes, kind = fitted.codes(X), "cluster"
        found = None if y is not None and fitted.has_styles else fitted.proba(X).argmax(1)
        if y is None:
            labels, names = np.where(fitted.noise(X), NOISE, found), fitted.cluster_names
        else:
            check_consistent_length(codes, y)
            y = column_or_1d(y)
            # Strings beside -1, as classifiers take them, have an order as strings only.
            y = y.astype(str) if y.dtype.kind == "O" else y
            names, labels = np.unique(y, return_inverse=True)
            kind = "label"
        by = None if fitted.has_styles else found
        origin, directions, axis_names = _view(codes, projection, by)
        means = covariances = None
        if not fitted.has_styles:
            means, covariances = (fitted.means - origin) @ directions.T, fitted.covariances
        if covariances is not None:
            covariances = directions @ covariances @ directions.T
        shown = make_rng(random_state).permutation(len(codes))[:max_points]
        display = cls(
            (codes[shown] - origin) @ directions.T,
            labels[shown],
            names,
            means,
            covariances,
            fitted.cluster_names,
            axis_names,
            kind,
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, n_std: float = 2.0, **kwargs: Any) -> LatentSpaceDisplay:
        """Draw the points, the ellipses and the names.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        n_std : float, default=2.0
            Half-axes of the ellipses in standard deviations; 2 hold 86 % of a Gaussian.
        **kwargs : dict
            Further options of matplotlib's `scatter`.

        Returns
        -------
        LatentSpaceDisplay
        """
        ax = one_axes(type(self).__name__, ax, (6.4, 5.4))
        palette = colors(len(self.label_names))
        of_points = np.where(self.labels[:, None] == NOISE, GREY, palette[self.labels])
        style = {"c": of_points, "s": 9, "alpha": 0.6, "linewidth": 0}
        self.points_ = ax.scatter(*self.codes.T, **{**style, **kwargs})

        by_cluster = self.label_kind == "cluster"
        n_clusters = 0 if self.means is None else len(self.means)
        edges = palette if by_cluster else np.tile([0.2, 0.2, 0.2, 1.0], (n_clusters, 1))
        self.ellipses_ = [] if self.covariances is None else self._plot_ellipses(ax, edges, n_std)
        self.texts_ = [] if self.means is None else self._plot_names(ax, edges)
        if len(palette) <= MOST_IN_LEGEND and not (by_cluster and self.texts_):
            self._add_legend(ax, palette)
        title = f"Latent space, coloured by {self.label_kind}"
        if self.ellipses_:
            title += f"\n(ellipses: standard deviation of each cluster x {n_std:g})"
        ax.set(title=title, xlabel=self.axis_names[0], ylabel=self.axis_names[1])
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_ellipses(self, ax: Any, edges: np.ndarray, n_std: float) -> list[Any]:
        from matplotlib.patches import Ellipse

        ellipses = []
        for mean, covariance, edge in zip(self.means, self.covariances, edges, strict=True):
            variances, axes = np.linalg.eigh(covariance)
            width, height = 2 * n_std * np.sqrt(variances.clip(min=0))
            angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
            ellipse = Ellipse(mean, width, height, angle=angle, fill=False, ec=edge, lw=1.5)
            ellipses.append(ax.add_patch(ellipse))
        ax.autoscale_view()
        return ellipses

    def _plot_names(self, ax: Any, edges: np.ndarray) -> list[Any]:
        names = np.arange(len(self.means)) if self.cluster_names is None else self.cluster_names
        size = 10 if len(names) <= 10 else 8
        style = {"ha": "center", "va": "center", "fontsize": size, "fontweight": "bold"}
        box = {"boxstyle": "round,pad=0.2", "fc": "white", "alpha": 0.85}
        return [
            ax.text(*mean, str(name), bbox={**box, "ec": edge}, **style)
            for mean, name, edge in zip(self.means, names, edges, strict=True)
        ]

    def _add_legend(self, ax: Any, palette: np.ndarray) -> None:
        from matplotlib.lines import Line2D

        dots = [
            Line2D([], [], marker="o", linestyle="", color=color, label=str(name))
            for name, color in zip(self.label_names, palette, strict=True)
        ]
        ax.legend(handles=dots, title=self.label_kind, bbox_to_anchor=(1, 1), loc="upper left")


def _view(
    codes: np.ndarray, projection: Any, clusters: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """An origin, two directions, and what to call them."""
    latent_dim = codes.shape[1]
    if latent_dim < 2:
        raise ValueError(
            f"The latent space must have two dimensions or more, got latent_dim={latent_dim}; draw "
            "a histogram of transform(X)."
        )
    if not isinstance(projection, str):
        directions = np.asarray(projection, dtype=float)
        if directions.shape != (2, latent_dim):
            raise ValueError(
                f'projection must be "lda", "pca" or two directions of latent_dim={latent_dim} '
                f"numbers, got an array of shape {directions.shape}."
            )
        return np.zeros(latent_dim), directions, ("direction 1", "direction 2")
    if projection not in ("lda", "pca"):
        raise ValueError(f'projection must be "lda", "pca" or two directions, got {projection!r}.')
    if latent_dim == 2:
        return np.zeros(2), np.eye(2), ("z[0]", "z[1]")
    if projection == "lda" and clusters is not None and len(np.unique(clusters)) > 2:
        return _discriminants(codes, clusters)
    pca = PCA(2, svd_solver="full").fit(codes)
    names = tuple(
        f"principal component {number} of the codes ({share:.0%} of their variance)"
        for number, share in enumerate(pca.explained_variance_ratio_, 1)
    )
    return pca.mean_, pca.components_, names


def _discriminants(
    codes: np.ndarray, clusters: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """The two directions with most variance between clusters beside that within."""
    origin = codes.mean(0)
    names, labels = np.unique(clusters, return_inverse=True)
    means = np.stack([codes[labels == c].mean(0) for c in range(len(names))])
    apart = codes - means[labels]
    within = apart.T @ apart / len(codes)
    within += 1e-6 * (np.trace(within) + 1e-12) * np.eye(len(within))  # codes may be all equal
    between = (means - origin).T * np.bincount(labels) @ (means - origin) / len(codes)
    variances, directions = eigh(between, within)  # scaled to a variance of one within
    order = variances.argsort()[::-1][:2]
    shares = variances[order] / variances.sum() if variances.sum() > 0 else np.zeros(2)
    axis_names = tuple(
        f"discriminant {number} of the clusters ({share:.0%} of what parts them)"
        for number, share in enumerate(shares, 1)
    )
    return origin, directions[:, order].T, axis_names
