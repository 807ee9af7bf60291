"""What estimators share whose model generates rows: draws, likelihoods, the lower bound."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from skvade.estimators.candidate import Candidate
from skvade.estimators.predictor import of_one_fit
from skvade.training.units import observed_in_rows

N_SCORE_DRAWS = 32
N_CALIBRATED = 2_000


class GenerativeMixin:
    """For estimators with a model of p(x).

    Attributes
    ----------
    weights_ : ndarray of shape (n_clusters,)
        Mixture weights pi.
    lower_bound_ : float
        Evidence lower bound per training row, in nats, in the units of X, by one draw of z for
        each row, or 4,000 in all if that is more. Terms of neighbours and labels are not part of
        it; where a label is known, q(c|x) is held at it.
    """

    _n_calibrated: int | None = N_CALIBRATED  # rows with which outlier scores compare; None for all

    def _publish(self, X: Any, candidates: list[Candidate], rng: np.random.RandomState) -> None:
        super()._publish(X, candidates, rng)
        self._noise = rng.standard_normal((N_SCORE_DRAWS, self.latent_dim_))
        n_rows, peers = X.shape[0], candidates[0].run.runtime.peers
        change = self._units.log_scale_of_whole(X.shape[1])
        if candidates[0].run.model.likelihood.has_holes:
            change = peers.total(float(self._units.log_scale(X).sum())) / peers.total(n_rows)
        # Change of variables: x_model = (x - shift) / scale in each value that is observed.
        self.lower_bound_ = float(candidates[0].run.handover.bound - change)
        if self._n_calibrated is not None:
            n_compared = peers.share(self._n_calibrated, n_rows)
            if n_compared < n_rows:
                X = X[np.linspace(0, n_rows - 1, n_compared).astype(int)]
        self._ordinary = np.sort(peers.concatenate(self._whole_densities(X)))

    @of_one_fit
    def score_samples(self, X: Any) -> np.ndarray:
        """Log-likelihood of each row, an importance-weighted estimate from below.

        `log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x)` with S = 32 draws z_s of q(z|x) that are fixed at
        fit and shared by all rows, so that the scores are deterministic. Where q(z|x, c) depends on
        the cluster, z is drawn for the most probable one; where x does, estimates of p(x, c) are
        summed, by all draws for the most probable cluster and a share of them for the others. Where
        a row lies beyond what the model sees, as sentinel values do, the score falls with the
        square of that distance, by the variance of the noise.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            In nats; densities are with respect to the units of X.

        Raises
        ------
        ValueError
            If X lies outside the support of the likelihood.

        References
        ----------
        Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016.
        """
        return self._log_densities(self._check_new(X))

    def _log_densities(self, X: Any) -> np.ndarray:
        def log_evidence(module: Any, x: torch.Tensor) -> torch.Tensor:
            return module.log_evidence(x, torch.from_numpy(self._noise).to(x))

        scores = self._predictor.of_rows(X, log_evidence, n_draws=len(self._noise))
        scores = scores - self._predictor.excess(X)
        return scores - self._units.log_scale(X).astype(scores.dtype)  # change of variables

    @of_one_fit
    def outlier_scores(self, X: Any) -> np.ndarray:
        """How unusual each row is: the share of training rows that are more probable.

        Rows are compared by `score_samples` with the training rows, or with 2,000 of them that are
        evenly spaced, so that scores of rows like these are uniform between 0 and 1. Of rows with
        missing values the density is taken to be as high, per value, as that of what is observed.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            From 0, for the most probable rows, to 1, for those less probable than all of training.

        Raises
        ------
        AttributeError
            If the model was saved before there were these scores.
        """
        if not hasattr(self, "_ordinary"):
            raise AttributeError(
                f"This {type(self).__name__} was saved by a version of skvade without outlier "
                "scores, so that it does not know those of its training rows; fit it again."
            )
        return self._outlier_scores(self._check_new(X))

    def _outlier_scores(self, X: Any) -> np.ndarray:
        n_rows = len(self._ordinary)
        no_more = np.searchsorted(self._ordinary, self._whole_densities(X), side="right")
        return (n_rows - no_more) / n_rows

    def _whole_densities(self, X: Any) -> np.ndarray:
        """Log densities; of a row with holes, as if these were as probable as what is observed.

        So that rows compare whatever is missing of them, and in whatever units. A row without any
        value is ordinary.
        """
        scores, n_values = self._log_densities(X), observed_in_rows(self._one_of_each(X))
        part = n_values < self.n_features_in_
        if part.any():
            in_model_units = scores + self._units.log_scale(X)
            each = in_model_units / np.maximum(n_values, 1)
            whole = each * self.n_features_in_ - self._units.log_scale_of_whole(X.shape[1])
            scores = np.where(part, np.where(n_values > 0, whole, np.inf), scores)
        return scores

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-likelihood of the rows; higher is better.

        It compares models of one likelihood, and tells little of the number of clusters: a decoder
        explains a row from its code, whatever clusters there are.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
        y : Ignored
            Present for API consistency by convention.

        Returns
        -------
        float
            The mean of `score_samples`, in nats per row.
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    @of_one_fit
    def sample(
        self, n_samples: int = 1, *, cluster: int | None = None, random_state: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Generate new rows: a cluster c, a latent z, and x ~ p(x|z) or p(x|z, c).

        Parameters
        ----------
        n_samples : int, default=1
        cluster : int or None, default=None
            Generate from this cluster only; of a classifier, the one at this place in `classes_`.
        random_state : int, RandomState instance or None, default=None
            None stands for the estimator's own `random_state`.

        Returns
        -------
        X : {ndarray, DataFrame} of shape (n_samples, n_features)
            Grey values, that is Bernoulli data strictly between 0 and 1, come as means. Where the
            model was fitted to a table with categories, a table like that.
        y : ndarray of shape (n_samples,)
            The cluster of each row, int64; of a classifier, its class.

        Raises
        ------
        ValueError
            If `n_samples` is not a positive integer or `cluster` does not exist.
        """
        n_clusters = len(self.weights_)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples!r}.")
        if cluster is not None:
            self._check_cluster(cluster)
        state = self.random_state if random_state is None else random_state
        rng = np.random.RandomState() if state is None else check_random_state(state)
        weights = self.weights_ if cluster is None else np.eye(n_clusters)[cluster]
        labels = rng.choice(n_clusters, n_samples, p=weights / weights.sum())
        rows = self._predictor.sample(labels, seed=int(rng.randint(2**31)))
        return self._given_back(rows), self._named(labels)

    def _check_cluster(self, cluster: Any) -> None:
        n_clusters = len(self.weights_)
        names_one = isinstance(cluster, Integral) and not isinstance(cluster, bool)
        if not (names_one and 0 <= cluster < n_clusters):
            raise ValueError(
                f"cluster must be None or an integer from 0 to {n_clusters - 1}, got {cluster!r}; "
                "of a classifier it is the place in classes_."
            )

    def _named(self, clusters: np.ndarray) -> np.ndarray:
        """Clusters by the names under which `predict` gives them."""
        return clusters
