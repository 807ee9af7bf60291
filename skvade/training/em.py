"""Gaussian mixtures fitted by expectation maximisation, several to the same rows at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce

import numpy as np
import scipy.sparse as sp
from scipy.special import softmax

from skvade.training.units import row_slices

TOLERANCE = 1e-3  # gain of the log-likelihood of a row, below which EM has converged
EMPTY = 10 * np.finfo(np.float64).eps  # rows that every component has at least


@cache
def _pairs(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers i <= j of all pairs of features."""
    return np.triu_indices(d)


class Shape(ABC):
    """A kind of covariance matrix: which products of features it weighs, and how it is estimated.

    Matrices are given by their inverses P, in the terms that a log density needs: the weights of
    the products in -1/2 x' P x, P mu, and log |P|.
    """

    @abstractmethod
    def products(self, x: np.ndarray) -> np.ndarray:
        """Products of features, (n, d) to (n, n_products)."""

    @abstractmethod
    def estimate(
        self, counts: np.ndarray, means: np.ndarray, products: np.ndarray, floor: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights of the products, P mu and log |P| of components, the maximum likelihood's.

        Parameters
        ----------
        counts : ndarray of shape (n_mixtures, n_components)
        means : ndarray of shape (n_mixtures, n_components, d)
        products : ndarray of shape (n_mixtures, n_components, n_products)
            Their means over the rows of a component.
        floor : float
            Added to variances.
        """


class Full(Shape):
    """Each component has a matrix of its own."""

    def products(self, x: np.ndarray) -> np.ndarray:
        first, second = _pairs(x.shape[1])
        return x[:, first] * x[:, second]

    def estimate(
        self, counts: np.ndarray, means: np.ndarray, products: np.ndarray, floor: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d = means.shape[-1]
        first, second = _pairs(d)
        moments = np.empty((*means.shape, d))
        moments[..., first, second] = moments[..., second, first] = products
        covariances = self._shared(counts, moments - means[..., None] * means[..., None, :])
        root = np.linalg.inv(np.linalg.cholesky(covariances + floor * np.eye(d)))
        precisions = np.swapaxes(root, -1, -2) @ root
        weights = np.where(first == second, -0.5, -1.0) * precisions[..., first, second]
        log_det = 2 * np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
        weights = np.broadcast_to(weights, products.shape)
        return weights, (precisions @ means[..., None])[..., 0], log_det

    def _shared(self, counts: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        """Covariances as they are estimated: (n_mixtures, n_components or 1, d, d)."""
        return covariances


class Tied(Full):
    """All components of a mixture have one matrix."""

    def _shared(self, counts: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        shares = counts / counts.sum(1, keepdims=True)
        return np.einsum("mk,mkij->mij", shares, covariances)[:, None]


class Diagonal(Shape):
    """Features of a component are independent."""

    def products(self, x: np.ndarray) -> np.ndarray:
        return x**2

    def estimate(
        self, counts: np.ndarray, means: np.ndarray, products: np.ndarray, floor: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        precisions = 1 / (products - means**2 + floor)
        return -precisions / 2, precisions * means, np.log(precisions).sum(-1)


class Spherical(Shape):
    """All features of a component have one variance."""

    def products(self, x: np.ndarray) -> np.ndarray:
        return (x**2).sum(1, keepdims=True)

    def estimate(
        self, counts: np.ndarray, means: np.ndarray, products: np.ndarray, floor: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d = means.shape[-1]
        precisions = 1 / ((products - (means**2).sum(-1, keepdims=True)) / d + floor)
        return -precisions / 2, precisions * means, d * np.log(precisions[..., 0])


SHAPES = {"full": Full(), "tied": Tied(), "diag": Diagonal(), "spherical": Spherical()}


@dataclass(frozen=True)
class FittedMixture:
    """A mixture, whose log densities are linear in features (1, x, x x') of a row.

        log pi_c + log N(x; mu_c, P_c^-1) = w_c' (1, x, x x')

    Attributes
    ----------
    shape : Shape
    origin : ndarray of shape (d,)
        Taken from rows first: squares lose digits far from zero.
    weights : ndarray of shape (n_components, 1 + d + n_products)
        w.
    """

    shape: Shape
    origin: np.ndarray
    weights: np.ndarray

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """The probability of each component, (n, d) to (n, n_components)."""
        n_components = len(self.weights)
        proba = np.empty((len(x), n_components))
        for part, features in _features(self.shape, x, self.origin, n_components):
            proba[part] = softmax(features @ self.weights.T, axis=1)
        return proba

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable component, (n, d) to (n,)."""
        labels = np.empty(len(x), np.int64)
        for part, features in _features(self.shape, x, self.origin, len(self.weights)):
            labels[part] = (features @ self.weights.T).argmax(1)
        return labels


def fit_mixtures(
    x: np.ndarray,
    labels: np.ndarray,
    n_components: int,
    covariance_type: str,
    reg_covar: float,
    max_iter: int,
) -> list[FittedMixture]:
    """Fit a mixture from each of several partitions of the same rows.

    The mixtures are those of :class:`~sklearn.mixture.GaussianMixture` from these partitions. All
    go on together, a step being two matrix products, one for the probabilities of components and
    one for the sums that they weigh; one after the other, a component at a time, a few hundred rows
    take several times as long. A mixture stays as it is once a row's log-likelihood changes by less
    than 1e-3. (A component that loses all rows goes to their mean, and has next to no weight.)

    Parameters
    ----------
    x : ndarray of shape (n, d)
    labels : ndarray of shape (n_mixtures, n)
    n_components : int
    covariance_type : {"full", "tied", "diag", "spherical"}
    reg_covar : float
        Added to variances.
    max_iter : int
    """
    shape, origin, d = SHAPES[covariance_type], x.mean(0, dtype=np.float64), x.shape[1]
    fitted = []
    for some in row_slices(len(labels), n_components * d**2):
        sums = _sums_of_partitions(shape, x, origin, labels[some], n_components)
        weights = _maximise(shape, sums, d, reg_covar)
        likelihoods, going = np.full(len(weights), -np.inf), np.arange(len(weights))
        for _ in range(max_iter):
            found, sums = _expect(shape, x, origin, weights[going])
            weights[going] = _maximise(shape, sums, d, reg_covar)
            gains = found - likelihoods[going]
            likelihoods[going] = found
            going = going[np.abs(gains) >= TOLERANCE]
            if not len(going):
                break
        fitted += [FittedMixture(shape, origin, each) for each in weights]
    return fitted


def _features(
    shape: Shape, x: np.ndarray, origin: np.ndarray, n_columns: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """(1, x, x x') of blocks of rows, for products with n_columns columns."""
    n_products = shape.products(x[:1]).shape[1]
    for part in row_slices(len(x), 1 + x.shape[1] + n_products, 24 * n_columns):
        block = x[part] - origin
        yield part, np.column_stack([np.ones(len(block)), block, shape.products(block)])


def _sums_of_partitions(
    shape: Shape, x: np.ndarray, origin: np.ndarray, labels: np.ndarray, n_components: int
) -> np.ndarray:
    """Sums of the features of each component's rows: (n_mixtures, n_components, n_features)."""
    blocks = _features(shape, x, origin, n_columns=len(labels))
    sums = (_sums_of_clusters(features, labels[:, part], n_components) for part, features in blocks)
    return reduce(np.add, sums)


def _sums_of_clusters(features: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Sums of features (n, n_features) over the rows of each cluster, by partitions (n_runs, n).

    By a sparse product: a dense one would take as many times longer as there are clusters.

    Returns
    -------
    ndarray of shape (n_runs, n_clusters, n_features)
    """
    n_runs, n = labels.shape
    clusters = (labels + n_clusters * np.arange(n_runs)[:, None]).T.ravel()
    starts = np.arange(0, labels.size + 1, n_runs)
    shape = (n_runs * n_clusters, n)
    belongs = sp.csc_array((np.ones(labels.size), clusters, starts), shape=shape)
    return (belongs @ features).reshape(n_runs, n_clusters, -1)


def _expect(
    shape: Shape, x: np.ndarray, origin: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The log-likelihood of a row by mixture, and sums of the features that components weigh."""
    flat = weights.reshape(-1, weights.shape[-1])
    sums, likelihoods = np.zeros_like(flat), np.zeros(len(weights))
    for _, features in _features(shape, x, origin, len(flat)):
        log_joint = (features @ flat.T).reshape(len(features), *weights.shape[:2])
        top = log_joint.max(2, keepdims=True)
        proba = np.exp(log_joint - top, out=log_joint)
        total = proba.sum(2, keepdims=True)
        proba /= total
        likelihoods += (top + np.log(total)).sum((0, 2))
        sums += proba.reshape(len(features), -1).T @ features
    return likelihoods / len(x), sums.reshape(weights.shape)


def _maximise(shape: Shape, sums: np.ndarray, d: int, floor: float) -> np.ndarray:
    """The weights w of the most likely components, from their sums; same shape."""
    counts = sums[..., 0] + EMPTY
    averages = sums / counts[..., None]
    means = averages[..., 1 : 1 + d]
    products, linear, log_det = shape.estimate(counts, means, averages[..., 1 + d :], floor)
    # log pi_c + log N(0; mu, P^-1) = log pi_c + 1/2 (log |P| - d log 2 pi - mu' P mu)
    at_origin = (log_det - d * np.log(2 * np.pi) - (linear * means).sum(-1)) / 2
    constant = np.log(counts / counts.sum(-1, keepdims=True)) + at_origin
    return np.concatenate([constant[..., None], linear, products], axis=-1)
