"""The graph of nearest neighbours, and the space in which they are sought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder
from skvade.nn.filling import Filling
from skvade.objectives.base import Batch
from skvade.training.batches import Rows
from skvade.training.guests import RowsWithGuests, taken
from skvade.training.handover import Graph
from skvade.training.missing import linear_model, linear_model_of
from skvade.training.peers import ALONE, Peers
from skvade.training.refilling import FilledByNeighbours
from skvade.training.search import neighbours_in_cells
from skvade.training.units import row_slices, total_variance

MAX_EXACT_ROWS = 20_000
MAX_PCA_ROWS, MAX_PCA_VALUES = 4_000, 1 << 24


@dataclass(frozen=True)
class DrawnNeighbours:
    """Rows, of whose neighbours one is drawn at a time.

    Attributes
    ----------
    rows : Rows or RowsWithGuests
    graph : Graph
    """

    rows: Rows | RowsWithGuests
    graph: Graph

    def __call__(self, index: Tensor, generator: torch.Generator) -> Batch:
        """One neighbour of each row of `index`, drawn by weight."""
        weights = self.graph.cumulative[index]
        uniform = torch.rand(
            (len(index), 1), generator=generator, dtype=weights.dtype, device=weights.device
        )
        last = self.graph.neighbours.shape[1] - 1
        column = (weights < uniform).sum(1).clamp(max=last)
        chosen = self.graph.neighbours[index, column].long()
        return Batch(self.rows.take(chosen), chosen)


@dataclass(frozen=True)
class Components:
    """The leading principal components of what the encoder sees.

    Called with a block of rows (n_rows, n_features), gives their places along the components
    (n_rows, n_components).

    Attributes
    ----------
    view : callable
        Takes a block of rows to what their components are taken of, of the same shape.
    mean : Tensor of shape (n_features,)
    axes : Tensor of shape (n_features, n_components)
    variances : ndarray of shape (n_components,)
        Along the axes, in decreasing order.
    filling : Filling
        What fills holes in what the encoder sees.
    """

    view: Callable[[Tensor], Tensor]
    mean: Tensor
    axes: Tensor
    variances: np.ndarray
    filling: Filling

    def __call__(self, x: Tensor) -> Tensor:
        return self.along(self.view(x))

    def along(self, view: Tensor) -> Tensor:
        """The places of what the encoder sees."""
        return (view - self.mean) @ self.axes


def principal_components(
    rows: Rows,
    view: Callable[[Tensor], Tensor],
    n_components: int,
    seed: int,
    peers: Peers = ALONE,
    has_holes: bool = False,
) -> Components | None:
    """The components of at most 4,000 rows; None where these are all equal, or none is wanted.

    Holes are filled first.

    Parameters
    ----------
    rows : Rows
    view : callable
        As in `Components`; but holes are left.
    n_components : int
        At most the number of features, or rows, is used.
    seed : int
    peers : Peers
        Each gives its share of the rows.
    has_holes : bool
        Whether any process has rows with holes.
    """
    if n_components == 0:
        return None
    sampled = _sampled(rows, seed, peers, at_least=10 * n_components)
    sample = peers.concatenate(view(rows.take(sampled)).cpu().numpy())
    seen, linear = view, None
    if has_holes:
        linear = peers.tell(linear_model(sample) if peers.is_main else None)
        filling = linear.filling(rows.device)
        sample = filling(torch.from_numpy(sample).to(rows.device)).cpu().numpy()

        def seen(x: Tensor) -> Tensor:
            return filling(view(x))

    n_components = min(n_components, rows.n_features, len(sample))
    if not np.ptp(sample, axis=0).any():
        return None
    told = None
    if peers.is_main:
        pca = PCA(n_components, random_state=seed).fit(sample)
        found = (pca.mean_, pca.components_, pca.explained_variance_)
        told = (*found, linear or linear_model_of(*found, sample))
    mean, components, variances, linear = peers.tell(told)
    mean, axes = (
        torch.as_tensor(values.astype(rows.dtype), device=rows.device)
        for values in (mean, components.T)
    )
    return Components(seen, mean, axes, variances, linear.filling(rows.device))


def beside(
    codes: np.ndarray, rows: Rows, components: Components, peers: Peers = ALONE
) -> np.ndarray:
    """Codes beside the places along the components, both of the same total variance.

    The two err on different rows: codes bend and cut what is one, components overlap where the
    network tells apart.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, latent_dim)
    rows : Rows
    components : Components
    peers : Peers
        Who has the other rows.

    Returns
    -------
    ndarray of shape (n_samples, latent_dim + n_components)
    """
    n_rows, latent_dim = codes.shape
    both = np.empty((n_rows, latent_dim + components.axes.shape[1]), codes.dtype)
    both[:, :latent_dim] = codes
    start = 0
    for x in rows.blocks(row_bytes=1 << 14):
        stop = start + len(x)
        both[start:stop, latent_dim:] = components(x).cpu().numpy()
        start = stop
    return _of_equal_variance(both, latent_dim, peers)


def beside_filled(
    model: Autoencoder, filled: FilledByNeighbours, components: Components, peers: Peers
) -> np.ndarray:
    """The same of rows whose holes are filled by their neighbours."""
    both = filled.map(lambda view: torch.cat([model.code_of(view), components.along(view)], 1))
    latent_dim = both.shape[1] - components.axes.shape[1]
    return _of_equal_variance(both.numpy(), latent_dim, peers)


def _of_equal_variance(both: np.ndarray, latent_dim: int, peers: Peers) -> np.ndarray:
    """Codes and places, which are brought to the codes' variance, if these have any."""
    codes, places = both[:, :latent_dim], both[:, latent_dim:]
    if (variance := total_variance(codes, peers)) > 0:
        places *= np.sqrt(variance / total_variance(places, peers))
    return both


def signal_share(
    rows: Rows, graph: Graph, components: Components, seed: int, peers: Peers = ALONE
) -> float:
    """Share of the distances between neighbours that lies along the components.

    The root of sum |P (x_i - x_j)|^2 / sum |x_i - x_j|^2 over at most 4,000 rows i and one
    neighbour j of each, as the encoder sees them. What neighbours differ in beside the leading
    components is mostly noise. 1 where neighbours are all equal.

    Parameters
    ----------
    rows : Rows
    graph : Graph
    components : Components
    seed : int
    peers : Peers
        Each gives its share of the rows.
    """
    sampled = _sampled(rows, seed, peers)
    columns = np.random.RandomState(seed).randint(graph.neighbours.shape[1], size=len(sampled))
    near = graph.neighbours.cpu().numpy()[sampled, columns]
    apart = components.view(rows.take(sampled)) - components.view(taken(rows, near, graph, peers))
    whole = peers.total(float(apart.square().sum()))
    along = peers.total(float((apart @ components.axes).square().sum()))
    return (along / whole) ** 0.5 if whole > 0 else 1.0


def _sampled(rows: Rows, seed: int, peers: Peers, at_least: int = 1) -> np.ndarray:
    """Numbers of a share of 4,000 rows, and of fewer where these have many features."""
    n_sampled = max(at_least, MAX_PCA_VALUES // rows.n_features)
    n_sampled = min(len(rows), peers.share(min(MAX_PCA_ROWS, n_sampled), len(rows)))
    return np.sort(np.random.RandomState(seed).permutation(len(rows))[:n_sampled])


def nearest_neighbours(
    places: np.ndarray, n_neighbors: int, seed: int, peers: Peers = ALONE
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of, and distances to, the nearest others, both (n_samples, n_neighbors).

    Numbers are among the rows of all processes, in the order of ranks. Exact up to 20,000 rows;
    beyond, in the cells around each row (`neighbours_in_cells`).
    """
    n_rows = peers.total(len(places))
    if n_rows > MAX_EXACT_ROWS:
        return neighbours_in_cells(places, n_neighbors, seed, peers)
    search = NearestNeighbors(n_neighbors=n_neighbors, n_jobs=torch.get_num_threads())
    search.fit(peers.concatenate(places))
    if peers.size == 1:
        distances, neighbours = search.kneighbors()
    else:
        distances, neighbours = search.kneighbors(places, n_neighbors + 1)
        other = neighbours != peers.first(len(places)) + np.arange(len(places))[:, np.newaxis]
        other[other.all(1), -1] = False  # among more copies of a row than are asked for
        distances, neighbours = (v[other].reshape(-1, n_neighbors) for v in (distances, neighbours))
    return neighbours.astype(sp.get_index_dtype(maxval=n_rows)), distances


def lost_share(
    places: np.ndarray, distances: np.ndarray, peers: Peers, n_asked: int = 500
) -> float:
    """Share of the nearest neighbours that were not found, because another process has them.

    Of at most 500 rows, by distances to the rows of all processes.

    Parameters
    ----------
    places : ndarray of shape (n_samples, n_dimensions)
        Of this process's rows.
    distances : ndarray of shape (n_samples, n_neighbors)
        To those that it has found among them.
    peers : Peers
    n_asked : int
    """
    n_neighbors = distances.shape[1]
    n_asked = min(len(places), peers.share(n_asked, len(places)))
    asked = np.linspace(0, len(places) - 1, n_asked).astype(int)
    nearest = []
    for rank, theirs in enumerate(peers.collect(places[asked])):
        if rank == peers.rank:
            nearest.append(distances[asked])
            continue
        search = NearestNeighbors(n_neighbors=min(n_neighbors, len(places)), algorithm="brute")
        nearest.append(search.fit(places).kneighbors(theirs)[0])
    found = [of_each[peers.rank] for of_each in peers.collect(nearest)]
    everyone = np.sort(np.concatenate(found, axis=1), axis=1)
    farthest = everyone[:, n_neighbors - 1 : n_neighbors]
    lost = float(1 - (distances[asked] <= farthest).mean())
    return peers.mean(lost, len(asked))


def cumulative_weights(distances: np.ndarray) -> np.ndarray:
    """Running sums of each row's weights, the last of them 1: float32, and shaped as distances.

    A block of rows after the other, since the search for sigma needs several times their memory.
    Distances in float32 are overwritten.
    """
    cumulative = distances.astype(np.float32, copy=False)
    for part in row_slices(*distances.shape):
        sums = membership_weights(distances[part]).cumsum(1)
        cumulative[part] = sums / sums[:, -1:]
    return cumulative


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
