"""ReconstructionDisplay: what is left of rows after the latent space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_scalar

from skvade.estimators.docstrings import inherit_docs
from skvade.inspection._fitted import Fitted, choose_rows
from skvade.inspection._rows import RowsDisplay


@inherit_docs
@dataclass(eq=False, repr=False)
class ReconstructionDisplay(RowsDisplay):
    """Rows, and beside them what the decoder makes of their codes.

    Parameters
    ----------
    inputs : ndarray of shape (n_samples, n_features)
        Rows of data.
    reconstructions : ndarray of shape (n_samples, n_features)
        Their codes, decoded.
    names : array-like of shape (n_samples,) or None, default=None
        Written at the rows, such as their clusters.

    Attributes
    ----------
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvade import VaDEClustering
    >>> from skvade.inspection import ReconstructionDisplay
    >>> X = load_iris(as_frame=True).data
    >>> model = VaDEClustering(3, hidden_layer_sizes=(16,), latent_dim=2, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(model, X, n_samples=30)
    >>> display.inputs.shape == display.reconstructions.shape == (30, 4)
    True
    """

    inputs: np.ndarray
    reconstructions: np.ndarray
    names: Any = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_samples: int = 12,
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> ReconstructionDisplay:
        """Show some rows and their reconstructions.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator of skvade, or a pipeline or search that ends in one. Where codes are
            styles, each row is decoded for its most probable cluster.
        X : {array-like, sparse matrix, sparse array} of shape (n_rows, n_features)
            Rows to choose from.
        n_samples : int, default=12
            Rows to show at most. They are taken at random from clusters in turn, so that small
            ones are seen, and stand in their order.
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
        ReconstructionDisplay
        """
        fitted = Fitted(estimator, cls.__name__)
        check_scalar(n_samples, "n_samples", int, min_val=1)
        labels = fitted.proba(X).argmax(1)
        chosen, labels = choose_rows(X, labels, n_samples, random_state)
        display = cls(
            fitted.rows(chosen),
            fitted.reconstruct(chosen, labels),
            fitted.cluster_names[labels],
            **fitted.row_options(image_shape, X),
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> ReconstructionDisplay:
        """Draw a line of inputs above one of reconstructions, or two heat maps side by side.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            None makes a figure.
        **kwargs : dict
            Further options of matplotlib's `imshow`.

        Returns
        -------
        ReconstructionDisplay
        """
        rows = np.stack([self.inputs, self.reconstructions])
        items = [""] * len(self.inputs) if self.names is None else self.names
        self.ax_ = self._plot(ax, rows, ["inputs", "reconstructions"], items, across=True, **kwargs)
        kind = "Rows" if self.names is None else "Rows by cluster"
        self.ax_.set_title(f"{kind}, and what their codes are decoded to")
        return self
