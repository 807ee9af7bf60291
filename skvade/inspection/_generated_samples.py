"""GeneratedSamplesDisplay: what the model makes of each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_scalar

from skvade.estimators.docstrings import inherit_docs
from skvade.inspection._fitted import Fitted
from skvade.inspection._rows import RowsDisplay


@inherit_docs
@dataclass(eq=False, repr=False)
class GeneratedSamplesDisplay(RowsDisplay):
    """New rows of each cluster: a line of images, or a heat map of features.

    The decoded middle of a cluster comes first, if it is there.

    Parameters
    ----------
    samples : ndarray of shape (n_clusters, n_samples, n_features)
        Generated rows.
    centers : ndarray of shape (n_clusters, n_features) or None, default=None
        The decoded middle of each cluster.
    cluster_names : array-like of shape (n_clusters,) or None, default=None
        None stands for integers from 0.

    Attributes
    ----------
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvade import VaDEClustering
    >>> from skvade.inspection import GeneratedSamplesDisplay
    >>> X = load_iris(as_frame=True).data
    >>> model = VaDEClustering(3, hidden_layer_sizes=(16,), latent_dim=2, random_state=0).fit(X)
    >>> display = GeneratedSamplesDisplay.from_estimator(model, n_samples=20)
    >>> display.samples.shape
    (3, 20, 4)
    """

    samples: np.ndarray
    centers: np.ndarray | None = None
    cluster_names: Any = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_samples: int = 12,
        clusters: int | Sequence[int] | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> GeneratedSamplesDisplay:
        """Generate rows and show them.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator with a method `sample`, or a pipeline or search that ends in one.
        n_samples : int, default=12
            Rows for each cluster.
        clusters : int, sequence of int or None, default=None
            Clusters to show; of a classifier, places in `classes_`. None for all.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, 3) of rows that are images.
        random_state : int, RandomState instance or None, default=0
            Of the samples. An int draws the same noise for every cluster, and the same styles where
            codes are styles; None stands for the estimator's own.
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        GeneratedSamplesDisplay
        """
        fitted = Fitted(estimator, cls.__name__)
        fitted.need(
            "sample",
            cure="use VaDEClustering, GMVAEClustering, M2Clustering or a classifier like them",
        )
        check_scalar(n_samples, "n_samples", int, min_val=1)
        chosen = fitted.clusters(clusters)
        samples = np.stack([fitted.sample(n_samples, c, random_state) for c in chosen])
        display = cls(
            samples,
            fitted.centers[chosen],
            fitted.cluster_names[chosen],
            **fitted.row_options(image_shape),
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> GeneratedSamplesDisplay:
        """Draw a line of images, or a heat map, for each cluster.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        **kwargs : dict
            Further options of matplotlib's `imshow`.

        Returns
        -------
        GeneratedSamplesDisplay
        """
        rows, (n_clusters, n_samples, _) = self.samples, self.samples.shape
        names = range(n_clusters) if self.cluster_names is None else self.cluster_names
        items, title = [""] * n_samples, "Generated from each cluster"
        if self.centers is not None:
            rows = np.concatenate([self.centers[:, None], rows], 1)
            items = ["middle", *items]
            title += "" if self.image_shape else "\n(first line: its decoded middle)"
        apart = self.centers is not None
        self.ax_ = self._plot(ax, rows, names, items, apart=apart, **kwargs)
        self.ax_.set(title=title, ylabel="cluster")
        return self
