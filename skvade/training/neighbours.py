"""The graph of nearest neighbours, and the space in which they are sought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import Tensor

from skvade.objectives.base import Batch
from skvade.training.batches import Rows

MAX_EXACT_ROWS = 100_000
MAX_PCA_ROWS, MAX_PCA_VALUES = 4_000, 1 << 24


@dataclass(frozen=True)
class NeighbourGraph:
    """Weighted nearest neighbours of every row, from which one is drawn at a time.

    Attributes
    ----------
    rows : Rows
    neighbours : ndarray of shape (n_samples, n_neighbors)
        Row numbers, the nearest first.
    cumulative : Tensor of shape (n_samples, n_neighbors)
        Running sums of the weights, the last of each row 1.
    """

    rows: Rows
    neighbours: np.ndarray
    cumulative: Tensor

    def __call__(self, index: Tensor, generator: torch.Generator) -> Batch:
        """One neighbour of each row of `index`, drawn by weight."""
        weights = self.cumulative[index]
        uniform = torch.rand(
            (len(index), 1), generator=generator, dtype=weights.dtype, device=weights.device
        )
        last = self.neighbours.shape[1] - 1
        column = (weights < uniform).sum(1).clamp(max=last)
        chosen = self.neighbours[index.cpu().numpy(), column.cpu().numpy()]
        return Batch(self.rows.take(chosen), torch.from_numpy(chosen).to(index.device))


def beside_components(
    codes: np.ndarray,
    rows: Rows,
    view: Callable[[Tensor], Tensor],
    n_components: int,
    seed: int,
) -> np.ndarray:
    """Codes beside the data's leading principal components, both of the same total variance.

    The two err on different rows: codes bend and cut what is one, components overlap where the
    network tells apart. The components are those of at most 4,000 rows.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, latent_dim)
    rows : Rows
    view : callable
        Takes a block of rows to what their components are taken of, of the same shape.
    n_components : int
        At most the number of features, or rows, is used; 0 leaves the codes alone.
    seed : int

    Returns
    -------
    ndarray of shape (n_samples, latent_dim + n_components)
        The codes alone where the rows sampled are all equal.
    """
    if n_components == 0:
        return codes
    n_rows, latent_dim = codes.shape
    n_sampled = max(10 * n_components, MAX_PCA_VALUES // rows.n_features)
    n_sampled = min(n_rows, MAX_PCA_ROWS, n_sampled)
    n_components = min(n_components, rows.n_features, n_sampled)
    sampled = np.sort(np.random.RandomState(seed).permutation(n_rows)[:n_sampled])
    sample = view(rows.take(sampled)).cpu().numpy()
    if not np.ptp(sample, axis=0).any():
        return codes
    pca = PCA(n_components, random_state=seed).fit(sample)
    mean, axes = (
        torch.as_tensor(v.astype(rows.dtype), device=rows.device)
        for v in (pca.mean_, pca.components_.T)
    )
    places = np.empty((n_rows, latent_dim + n_components), codes.dtype)
    places[:, :latent_dim] = codes
    start = 0
    for x in rows.blocks(row_bytes=1 << 14):
        stop = start + len(x)
        places[start:stop, latent_dim:] = ((view(x) - mean) @ axes).cpu().numpy()
        start = stop
    components = places[:, latent_dim:]
    components *= np.sqrt(codes.var(0).sum() / components.var(0).sum())
    return places


def nearest_neighbours(
    places: np.ndarray, n_neighbors: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of, and distances to, the nearest others, both (n_samples, n_neighbors).

    Exact up to 100,000 rows; beyond, by pynndescent where it is installed, and else still exact, in
    time that grows with the square of the rows.
    """
    if len(places) > MAX_EXACT_ROWS:
        try:
            from pynndescent import NNDescent
        except ImportError:
            pass
        else:
            with threadpool_limits(torch.get_num_threads()):  # numba sets OpenMP's for good
                index = NNDescent(places, n_neighbors=n_neighbors + 1, random_state=seed)
                neighbours, distances = index.neighbor_graph
            return neighbours[:, 1:], distances[:, 1:]
    search = NearestNeighbors(n_neighbors=n_neighbors, n_jobs=torch.get_num_threads()).fit(places)
    distances, neighbours = search.kneighbors()
    return neighbours, distances


def membership_weights(distances: np.ndarray) -> np.ndarray:
    """UMAP's weights exp(-(d - rho) / sigma), of the same shape (n_samples, n_neighbors).

    rho is a row's distance to its first neighbour, and sigma makes the weights of a row sum to
    log2(n_neighbors).

    References
    ----------
    McInnes, Healy, Melville, "UMAP: uniform manifold approximation and projection for dimension
    reduction", 2018, arXiv:1802.03426.
    """
    excess = distances - distances[:, :1]
    target = np.log2(distances.shape[1])
    mean = np.maximum(excess.mean(1, keepdims=True), 1e-12)
    low, high = mean * 1e-3, mean * 1e3
    for _ in range(40):
        sigma = np.sqrt(low * high)
        too_wide = np.exp(-excess / sigma).sum(1, keepdims=True) > target
        low, high = np.where(too_wide, low, sigma), np.where(too_wide, sigma, high)
    return np.exp(-excess / sigma)
