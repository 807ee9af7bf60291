"""InterpolationDisplay: the way from one cluster to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.utils import check_scalar

from skvade.estimators.docstrings import inherit_docs
from skvade.inspection._drawing import colors, panels
from skvade.inspection._fitted import Fitted
from skvade.inspection._rows import Mosaic, RowsDisplay

N_FINE = 201


@inherit_docs
@dataclass(eq=False, repr=False)
class InterpolationDisplay(RowsDisplay):
    """Decoded rows on the straight line between two clusters' centres, and log p(z) below them.

    Where the density falls deeply between two clusters they are apart in the model; where it hardly
    falls they are one, or nearly.

    Parameters
    ----------
    rows : ndarray of shape (n_steps, n_features)
        Decoded codes, at even steps from one centre to the other.
    log_density : ndarray of shape (n_fine,)
        Of the mixture, log p(z), at finer steps.
    components : ndarray of shape (n_steps,)
        The cluster with the largest pi_c N(z; mu_c, Sigma_c) at each step.
    clusters : tuple of int
        Where the line begins and ends.
    cluster_names : array-like of shape (n_clusters,)

    Attributes
    ----------
    axes_ : ndarray of two matplotlib Axes
        Of the rows and of the density.
    line_ : matplotlib Line2D
        log p(z).
    points_ : matplotlib PathCollection
        log p(z) at the rows, coloured by the most probable cluster.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvade import VaDEClustering
    >>> from skvade.inspection import InterpolationDisplay
    >>> X = load_iris().data
    >>> model = VaDEClustering(3, hidden_layer_sizes=(16,), latent_dim=2, random_state=0).fit(X)
    >>> display = InterpolationDisplay.from_estimator(model, clusters=(0, 2), n_steps=7)
    >>> display.rows.shape
    (7, 4)
    """

    rows: np.ndarray
    log_density: np.ndarray
    components: np.ndarray
    clusters: tuple[int, int]
    cluster_names: Any

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        clusters: tuple[int, int] = (0, 1),
        n_steps: int = 11,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> InterpolationDisplay:
        """Go from one cluster's centre to another's.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator with a Gaussian mixture among its codes, VaDE's or GMVAE's, or a
            pipeline or search that ends in one.
        clusters : tuple of two int, default=(0, 1)
            Where to begin and to end; of a classifier, places in `classes_`.
        n_steps : int, default=11
            Rows to decode, the two centres among them.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, 3) of rows that are images.
        ax : matplotlib Axes, array-like of two Axes or None, default=None
            See `plot`.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        InterpolationDisplay
        """
        fitted = Fitted(estimator, cls.__name__)
        fitted.need("covariances_", cure="use VaDEClustering, GMVAEClustering or VaDEClassifier")
        check_scalar(n_steps, "n_steps", int, min_val=2)
        if len(fitted.means) < 2:
            raise ValueError("estimator must have two clusters or more for InterpolationDisplay.")
        ends = fitted.clusters(clusters)
        if len(ends) != 2:
            raise ValueError(f"clusters must name two clusters, got {clusters!r}.")
        start, end = fitted.means[ends]
        rows, fine = (
            start + np.linspace(0, 1, n)[:, None] * (end - start) for n in (n_steps, N_FINE)
        )
        mixture = (fitted.model.weights_, fitted.means, fitted.covariances)
        display = cls(
            fitted.decode(rows),
            logsumexp(_log_joint(fine, *mixture), axis=1),
            _log_joint(rows, *mixture).argmax(1),
            tuple(ends.tolist()),
            fitted.cluster_names,
            **fitted.row_options(image_shape),
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> InterpolationDisplay:
        """Draw the rows, and the density below them.

        Parameters
        ----------
        ax : matplotlib Axes, array-like of two Axes or None, default=None
            One is divided; None makes a figure.
        **kwargs : dict
            Further options of matplotlib's `imshow`.

        Returns
        -------
        InterpolationDisplay
        """
        n_steps, n_features = self.rows.shape
        steps = np.linspace(0, 1, n_steps)
        images = self._images(self.rows[None])
        if self.image_shape:
            mosaic = Mosaic(images)
            pixels, width = mosaic.pixels, images.shape[3]
            unit = mosaic.starts(1)[-1]  # from the first image to the last
            right, bottom = pixels.shape[1] - width / 2, pixels.shape[0]
            extent = (-width / 2 / unit, right / unit, bottom / unit, 0)
            height = 7.2 / n_steps * images.shape[2] / width + 0.2
        else:
            pixels, half = images[0].T, 0.5 / (n_steps - 1)
            extent = (-half, 1 + half, n_features - 0.5, -0.5)
            height = min(max(1.6, 0.25 * n_features), 6)
        top, below = axes = panels(
            type(self).__name__,
            ax,
            (2, 1),
            (8, 3 + height),
            height_ratios=(height, 2),
            sharex=True,
        )
        aspect = "equal" if self.image_shape else "auto"
        shades = self._shades(self.rows)
        options = {"aspect": aspect, "extent": extent, **shades, **kwargs}
        self.image_ = top.imshow(pixels, **options)
        top.set_anchor("S")
        top.set_yticks([])
        top.tick_params(length=0, labelbottom=False)
        for side in top.spines.values():
            side.set_visible(False)
        if not self.image_shape:
            self._name_features(top.yaxis)
            self._add_colorbar([top, below])

        fine = np.linspace(0, 1, len(self.log_density))
        (self.line_,) = below.plot(fine, self.log_density, color="0.3", zorder=1)
        palette = colors(len(self.cluster_names))
        for component in dict.fromkeys(self.components.tolist()):
            below.scatter([], [], color=palette[component], label=self.cluster_names[component])
        heights = np.interp(steps, fine, self.log_density)
        self.points_ = below.scatter(steps, heights, c=palette[self.components], zorder=2)
        below.legend(title="most probable cluster", ncols=4)
        start, end = (self.cluster_names[cluster] for cluster in self.clusters)
        below.set(
            xlim=extent[:2],
            xlabel=f"way from the centre of cluster {start} to that of cluster {end}",
            ylabel="log p(z)",
        )
        top.set_title(f"From cluster {start} to cluster {end}, decoded")
        self.axes_, self.figure_ = axes, top.figure
        return self


def _log_joint(
    codes: np.ndarray, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> np.ndarray:
    """log pi_c + log N(z; mu_c, Sigma_c): (n, latent_dim) to (n, n_clusters)."""
    components = zip(weights, means, covariances, strict=True)
    columns = [np.log(w) + multivariate_normal(m, c).logpdf(codes) for w, m, c in components]
    return np.stack(columns, axis=-1)
