"""LatentTraversalDisplay: z moved within a cluster, or a style moved to other clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_scalar

from skvade.estimators.docstrings import inherit_docs
from skvade.inspection._fitted import Fitted, choose_rows
from skvade.inspection._rows import RowsDisplay

DIRECTIONS = ("principal", "latent")


@inherit_docs
@dataclass(eq=False, repr=False)
class LatentTraversalDisplay(RowsDisplay):
    """What a direction of the latent space means, or what a style looks like in other clusters.

    Parameters
    ----------
    rows : ndarray of shape (n_lines, n_items, n_features)
        Decoded rows.
    line_names, item_names : array-like of shape (n_lines,) and (n_items,)
        Of the lines, and of the places along them.
    line_label, item_label : str
        What lines are, and what changes along them.
    inputs : ndarray of shape (n_lines, n_features) or None, default=None
        Rows of data whose styles the lines have, shown first.

    Attributes
    ----------
    ax_ : matplotlib Axes

    Examples
    --------
    Steps along the first axis of style, in every cluster; and the styles of four rows in all:

    >>> from sklearn.datasets import load_iris
    >>> from skvade import M2Clustering
    >>> from skvade.inspection import LatentTraversalDisplay
    >>> X = load_iris().data
    >>> model = M2Clustering(3, hidden_layer_sizes=(16,), latent_dim=2, random_state=0).fit(X)
    >>> LatentTraversalDisplay.from_estimator(model, X, n_steps=5).rows.shape
    (3, 5, 4)
    >>> LatentTraversalDisplay.from_styles(model, X, n_samples=4).rows.shape
    (4, 3, 4)
    """

    rows: np.ndarray
    line_names: Any
    item_names: Any
    line_label: str
    item_label: str
    inputs: np.ndarray | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        clusters: int | Sequence[int] | None = None,
        direction: str = "principal",
        index: int | Sequence[int] = 0,
        n_std: float = 2.0,
        n_steps: int = 9,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> LatentTraversalDisplay:
        """Fix the cluster, and move z along a direction through its centre.

        A line has z = mu_c + t s v for t from `-n_std` to `n_std`, with the direction v and the
        standard deviation s of the cluster's codes in it.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator of skvade, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features) or None, \
default=None
            Rows whose codes tell the spread, for estimators without `covariances_`. Where codes are
            styles, they are those of all clusters, and None stands for the standard normal
            distribution.
        clusters : int, sequence of int or None, default=None
            Clusters to show; of a classifier, places in `classes_`. None for all.
        direction : {"principal", "latent"}, default="principal"
            Principal axes of the cluster, the longest first, or the axes of the latent space.
        index : int or sequence of int, default=0
            Which of these, from 0; each has a line.
        n_std : float, default=2.0
            Standard deviations from the centre to the ends.
        n_steps : int, default=9
            Rows in a line.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, 3) of rows that are images.
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        LatentTraversalDisplay
        """
        fitted = Fitted(estimator, cls.__name__)
        check_scalar(n_steps, "n_steps", int, min_val=2)
        chosen = fitted.clusters(clusters)
        means, covariances = _spreads(fitted, X)
        axes = _directions(covariances[chosen], direction, index)  # (clusters, indices, L)
        steps = np.linspace(-n_std, n_std, n_steps)
        rows, names = [], []
        which = np.atleast_1d(index)
        for cluster, vectors in zip(chosen, axes, strict=True):
            codes = means[cluster] + steps[:, None] * vectors[:, None]
            rows.append(fitted.decode(codes, cluster))
            name = fitted.cluster_names[cluster]
            names += [name] if len(which) == 1 else [f"{name}, axis {i}" for i in which]
        display = cls(
            np.concatenate(rows),
            names,
            [f"{step:g}" for step in steps],
            "cluster" if len(which) == 1 else "cluster and axis",
            f"Standard deviations along {direction} axis"
            + (f" {which[0]}" if len(which) == 1 else ""),
            **fitted.row_options(image_shape, X),
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_styles(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_samples: int = 10,
        clusters: int | Sequence[int] | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> LatentTraversalDisplay:
        """Keep the style z of a row, and change the cluster.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator whose codes are styles, M2Clustering, M2Classifier or
            ADGMClassifier, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix, sparse array} of shape (n_rows, n_features)
            Rows to choose from.
        n_samples : int, default=10
            Rows to show at most, taken at random from clusters in turn.
        clusters : int, sequence of int or None, default=None
            Clusters to draw them in; of a classifier, places in `classes_`. None for all.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, 3) of rows that are images.
        random_state : int, RandomState instance or None, default=0
            Of the choice.
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        LatentTraversalDisplay
        """
        fitted = Fitted(estimator, cls.__name__)
        check_scalar(n_samples, "n_samples", int, min_val=1)
        if not fitted.has_styles:
            raise ValueError(
                f"estimator must have styles that are apart from the cluster, got {fitted.name}; "
                "use M2Clustering, M2Classifier or ADGMClassifier, or from_estimator to move z "
                "within a cluster."
            )
        chosen = fitted.clusters(clusters)
        rows, labels = choose_rows(X, fitted.proba(X).argmax(1), n_samples, random_state)
        styles = fitted.codes(rows)
        display = cls(
            np.stack([fitted.decode(styles, c) for c in chosen], axis=1),
            fitted.cluster_names[labels],
            fitted.cluster_names[chosen],
            "cluster of the row",
            "The style of a row in every cluster",
            fitted.rows(rows),
            **fitted.row_options(image_shape, X),
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> LatentTraversalDisplay:
        """Draw a line of images, or a heat map, for each line of rows.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        **kwargs : dict
            Further options of matplotlib's `imshow`.

        Returns
        -------
        LatentTraversalDisplay
        """
        rows, items = self.rows, list(self.item_names)
        if self.inputs is not None:
            rows = np.concatenate([self.inputs[:, None], rows], 1)
            items = ["row", *items]
        apart = self.inputs is not None
        self.ax_ = self._plot(ax, rows, self.line_names, items, apart=apart, **kwargs)
        title = self.item_label
        if not self.image_shape:
            first = "the row, then " if apart else ""
            title += f"\n(downwards: {first}{self.item_names[0]} to {self.item_names[-1]})"
        self.ax_.set(title=title, ylabel=self.line_label)
        return self


def _spreads(fitted: Fitted, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances of each cluster's codes."""
    covariances = fitted.covariances
    if covariances is not None:
        return fitted.means, covariances
    n_clusters, latent_dim = fitted.means.shape
    if fitted.has_styles:
        styles = (
            np.eye(latent_dim) if X is None else np.cov(fitted.codes(X).T).reshape(latent_dim, -1)
        )
        return np.zeros_like(fitted.means), np.broadcast_to(styles, (n_clusters, *styles.shape))
    if X is None:
        raise ValueError(
            f"X must be given for {fitted.name}, which has no covariances_: the spread of each "
            "cluster is that of its rows' codes."
        )
    codes, labels = fitted.codes(X), fitted.proba(X).argmax(1)
    centered = codes - fitted.means[labels]
    members = (centered[labels == c] for c in range(n_clusters))
    return fitted.means, np.stack([part.T @ part / max(1, len(part)) for part in members])


def _directions(covariances: np.ndarray, direction: str, index: Any) -> np.ndarray:
    """Vectors of one standard deviation, of shape (n_clusters, n_indices, latent_dim)."""
    if direction not in DIRECTIONS:
        raise ValueError(f'direction must be "principal" or "latent", got {direction!r}.')
    latent_dim, which = covariances.shape[-1], np.atleast_1d(index)
    if which.dtype.kind not in "iu" or which.min() < 0 or which.max() >= latent_dim:
        raise ValueError(
            f"index must hold integers from 0 to latent_dim - 1 = {latent_dim - 1}, got {index!r}."
        )
    if direction == "latent":
        deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        return (deviations[:, None] * np.eye(latent_dim))[:, which]
    variances, vectors = np.linalg.eigh(covariances)
    vectors = vectors * np.sqrt(variances.clip(min=0))[:, None]
    vectors = np.swapaxes(vectors, 1, 2)[:, ::-1][:, which]
    # An axis has no sign of its own: its largest entry is taken positive.
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(-1)[..., None], -1)
    return np.where(largest < 0, -vectors, vectors)
