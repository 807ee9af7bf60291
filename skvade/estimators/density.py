"""What clusterers have that know a density: noise, if it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from skvade.estimators.candidate import Candidate
from skvade.estimators.clusterer import ClustererMixin
from skvade.estimators.generative import GenerativeMixin
from skvade.estimators.parameters import ClusterParameters, parameters
from skvade.estimators.predictor import of_one_fit

NOISE = -1


@parameters
class DensityClusterParameters(ClusterParameters):
    """Of every clusterer with a model of p(x).

    Parameters
    ----------
    noise_quantile : float or None, default=None
        Rows whose `outlier_scores` reach it are noise: -1 in `labels_` and `predict`. With .95
        that is a twentieth of the training rows, those that are least probable under the model.
        Between 0 and 1; None marks no row. It changes nothing else: probabilities and
        `cluster_sizes_` count noise in its most probable cluster. Set it where you know about what
        share of the rows belongs to no cluster; the score of every training row is computed then.
    """

    noise_quantile: float | None = None


class DensityClustererMixin(ClustererMixin, GenerativeMixin):
    """A clusterer whose model tells ordinary rows from noise."""

    @property
    def _n_calibrated(self) -> int | None:
        return super()._n_calibrated if self.noise_quantile is None else None

    def _publish(self, X: Any, candidates: list[Candidate], rng: np.random.RandomState) -> None:
        super()._publish(X, candidates, rng)
        vars(self).pop("_noise_from", None)  # of an earlier fit
        if self.noise_quantile is not None:
            self._noise_from = float(self.noise_quantile)
        self.labels_ = self._without_noise(X, self.labels_)

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """The most probable cluster of each row, or -1 for noise.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), int64
            Clusters from 0, the largest in training first. With `noise_quantile` set, -1 for rows
            whose `outlier_scores` reach it. Of rows between two training rows, of which one is
            noise and the other is not, those that are nearer to the first.
        """
        rows = self._check_new(X)
        return self._without_noise(rows, self._predictor.labels(rows))

    def _without_noise(self, X: Any, labels: np.ndarray) -> np.ndarray:
        if not hasattr(self, "_noise_from"):
            return labels
        densities = self._whole_densities(X).astype(np.float64)
        return np.where(densities < self._least_density, NOISE, labels)

    @property
    def _least_density(self) -> np.float64:
        """The log density below which rows are noise.

        It is half way between the least of the training rows that are no noise and the next less
        probable one, or a little below where there is none, so that rounding decides about no row.
        """
        ordinary = self._ordinary.astype(np.float64)
        scores = (len(ordinary) - np.arange(1, len(ordinary) + 1)) / len(ordinary)
        least = ordinary[(scores >= self._noise_from).sum()]
        less = ordinary[ordinary < least]
        below = less[-1] if len(less) else least - 1e-3 * (1 + abs(least))
        return (least + below) / 2 if np.isfinite(below) else least
