"""Probabilistic principal components of rows with holes, with which these are filled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skvade.nn.filling import Filling
from skvade.training.units import row_slices

N_COMPONENTS = 20
N_ITERATIONS = 60
FLOOR = 1e-6  # of the noise, in parts of the mean variance


@dataclass(frozen=True)
class LinearModel:
    """x = mu + W z + noise, z ~ N(0, I).

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    loadings : ndarray of shape (n_features, n_components)
    noise : float
        The variance of the noise.
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: float

    def filling(self, device: torch.device) -> Filling:
        """What fills holes by it."""
        filling = Filling(*self.loadings.shape)
        values = (np.asarray(value, np.float32) for value in (self.mean, self.loadings, self.noise))
        filling.start_(*(torch.from_numpy(value) for value in values))
        return filling.to(device)


def n_filled_by(n_features: int) -> int:
    """How many components fill holes."""
    return min(N_COMPONENTS, n_features // 2)


def linear_model(sample: np.ndarray) -> LinearModel:
    """By expectation and maximisation over the observed entries (Ilin and Raiko 2010).

    It begins at the components of the rows with holes at the mean. After every step the loadings
    take over the spread of z, without which the scale is found slowly (Liu, Rubin and Wu 1998).

    Parameters
    ----------
    sample : ndarray of shape (n_samples, n_features)
        With NaN where a value is missing; every feature has one.
    """
    X = sample.astype(np.float64)
    n_features = X.shape[1]
    k = n_filled_by(n_features)
    observed = ~np.isnan(X)
    counts, weights = observed.sum(0), observed.astype(np.float64)
    X = np.where(observed, X, 0.0)
    mean = X.sum(0) / np.maximum(counts, 1)
    centred = np.where(observed, X - mean, 0.0)
    size = max(np.square(centred).sum() / max(1, counts.sum()), 1e-30)
    variances, axes = _leading(centred, k)
    left = np.square(centred).sum() / len(X) - variances.sum()
    noise = max(left / max(1, n_features - k), FLOOR * size)
    W = axes * np.sqrt(np.maximum(variances - noise, FLOOR * size))
    complete = bool(observed.all())
    for _ in range(0 if complete or not k else N_ITERATIONS):
        products = (W[:, :, None] * W[:, None, :]).reshape(n_features, -1)
        gram = (weights @ products).reshape(-1, k, k) + noise * np.eye(k)
        inverse = np.linalg.inv(gram)
        z = (inverse @ (centred @ W)[:, :, None])[:, :, 0]
        second = (noise * inverse + z[:, :, None] * z[:, None, :]).reshape(len(X), -1)  # E[z z']
        mean = np.where(observed, X - z @ W.T, 0.0).sum(0) / np.maximum(counts, 1)
        centred = np.where(observed, X - mean, 0.0)
        moments = (weights.T @ second).reshape(n_features, k, k) + FLOOR * np.eye(k)
        W = np.linalg.solve(moments, (centred.T @ z)[:, :, None])[:, :, 0]
        products = (W[:, :, None] * W[:, None, :]).reshape(n_features, -1)
        explained = 2 * (centred * (z @ W.T)).sum() - (weights * (second @ products.T)).sum()
        noise = max((np.square(centred).sum() - explained) / counts.sum(), FLOOR * size)
        spread = second.mean(0).reshape(k, k)  # of z, which the loadings take over: z is N(0, I)
        W = W @ np.linalg.cholesky(spread + FLOOR * np.eye(k))
    return LinearModel(mean, W, float(noise))


def _leading(centred: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest variances, 0 where there are fewer, and their axes: (k,), (n_features, k)."""
    _, scales, axes = np.linalg.svd(centred, full_matrices=False)
    variances, directions = np.zeros(k), np.zeros((centred.shape[1], k))
    found = min(k, len(scales))
    variances[:found] = scales[:found] ** 2 / len(centred)
    directions[:, :found] = axes[:found].T
    return variances, directions


def linear_model_of(
    mean: np.ndarray, components: np.ndarray, variances: np.ndarray, complete: np.ndarray
) -> LinearModel:
    """That of rows without holes, given their principal components (Tipping and Bishop 1999).

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
    components : ndarray of shape (n_components, n_features)
    variances : ndarray of shape (n_components,)
    complete : ndarray of shape (n_samples, n_features)
        The rows.
    """
    n_features = complete.shape[1]
    k = min(n_filled_by(n_features), len(components))
    leading = variances[:k].astype(np.float64)
    columns = row_slices(n_features, len(complete))
    whole = sum(complete[:, part].var(0, ddof=1, dtype=np.float64).sum() for part in columns)
    left = (whole - leading.sum()) / max(1, n_features - k)
    noise = max(left, FLOOR * leading.max(initial=1.0))
    scales = np.sqrt(np.maximum(leading - noise, 0.0))
    return LinearModel(mean, components[:k].T * scales, float(noise))
