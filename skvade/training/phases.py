"""The phases between gradient phases: a graph of the codes, and clusters among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder
from skvade.training.batches import Rows
from skvade.training.counting import Counter
from skvade.training.descent import TrainingDivergedError
from skvade.training.guests import told_apart
from skvade.training.handover import Graph
from skvade.training.initialiser import Initialiser
from skvade.training.jury import subsample
from skvade.training.neighbourhood import Neighbourhood
from skvade.training.neighbours import (
    Components,
    beside,
    beside_filled,
    cumulative_weights,
    lost_share,
    nearest_neighbours,
    signal_share,
)
from skvade.training.peers import Peers
from skvade.training.refilling import N_ROUNDS, filled_by
from skvade.training.run import Phase, Run
from skvade.training.runtime import alone, in_full_precision

MAX_CALIBRATED_ROWS = 100_000
MAX_STARTED_ROWS, FEWEST_STARTED = 100_000, 100  # of all, and of a cluster, where there are so many


@dataclass(frozen=True)
class FindNeighbours(Phase):
    """Find every row's nearest neighbours, and give the latent space their scale.

    Neighbours are near in the codes and in the leading principal components of what the encoder
    sees. Afterwards the median distance between the codes of a row and of the last of its
    neighbours is one. Leaves `graph` and `scale`.

    Attributes
    ----------
    n_neighbors : int
        At most the number of other rows is used.
    components : Components or None
        Principal components, which are beside the codes.
    rescale : bool
        False leaves the latent space, and the scale that is known already, as they are.
    """

    n_neighbors: int
    components: Components | None
    rescale: bool = True
    name: str = "graph"

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        codes, peers = _codes(run).cpu().numpy(), run.runtime.peers
        components = self.components
        places = codes if components is None else beside(codes, run.rows, components, peers)
        n_own, device = len(codes), run.rows.device
        search, n_rows = _among_all, peers.total(n_own)
        if run.model.likelihood.has_holes:
            search, n_rows = _among_own, min(peers.collect(n_own))
        n_neighbors = min(self.n_neighbors, n_rows - 1)
        with alone():
            neighbours, distances, guests = search(run, places, components, n_neighbors, seed)
        del places  # several times the codes
        cumulative = torch.from_numpy(cumulative_weights(distances)).to(device)
        graph = Graph(torch.from_numpy(neighbours).to(device), cumulative, guests=guests)
        if components is not None:
            signal = signal_share(run.rows, graph, components, seed, peers)
            graph = replace(graph, signal=signal)
        run.handover.graph = graph
        if self.rescale:
            everyone = codes
            if guests is not None:
                of_guests = peers.fetch(guests.numpy(), n_own, codes.__getitem__)
                everyone = np.concatenate([codes, *of_guests])
            reaches = np.linalg.norm(codes - everyone[neighbours[:, -1]], axis=1)
            reach = float(np.median(peers.concatenate(reaches)))
            run.model.rescale_latent_(reach if reach > 1e-6 else 1.0)
            run.handover.scale = 1.0


Found = tuple[np.ndarray, np.ndarray, Tensor | None]


def _among_all(
    run: Run, places: np.ndarray, components: Components | None, n_neighbors: int, seed: int
) -> Found:
    """Neighbours among the rows of all processes, their distances, and the guests."""
    peers, n_own = run.runtime.peers, len(places)
    neighbours, distances = nearest_neighbours(places, n_neighbors, seed, peers)
    if peers.size == 1:
        return neighbours, distances, None
    neighbours, guests = told_apart(neighbours, peers)
    run.handover.elsewhere = peers.mean(float((neighbours >= n_own).mean()), n_own)
    return neighbours, distances, torch.from_numpy(guests)


def _among_own(
    run: Run, places: np.ndarray, components: Components | None, n_neighbors: int, seed: int
) -> Found:
    """The same among this process's rows, whose holes are filled by the neighbours that it has."""
    peers = run.runtime.peers
    neighbours, distances = nearest_neighbours(places, n_neighbors, seed)
    if components is not None:
        for _ in range(N_ROUNDS):
            filled = filled_by(run.model, run.rows, neighbours)
            places = beside_filled(run.model, filled, components, peers)
            neighbours, distances = nearest_neighbours(places, n_neighbors, seed)
    if peers.size > 1:
        run.handover.elsewhere = lost_share(places, distances, peers)
    return neighbours, distances, None


@dataclass(frozen=True)
class CountClusters(Phase):
    """Count the clusters of the codes. Leaves `count`.

    Attributes
    ----------
    counter : Counter
    """

    counter: Counter
    name: str = "count"

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        peers = run.runtime.peers
        neighbours = Neighbourhood.of(run.handover.need_graph(), peers=peers)
        codes = _codes(run).cpu().numpy()
        run.handover.count = self.counter(codes, neighbours, seed, peers)


@dataclass(frozen=True)
class Initialise(Phase):
    """Cluster the codes, give the latent space unit scale, and start the model's clusters there.

    The latent scale is not identified by an autoencoder; afterwards the pooled standard deviation
    within clusters is one; of very many rows a sample says how far codes are from their clusters'
    middles, and where the model's clusters start. Leaves `partition`, `stays` and
    `agreement`, and keeps `scale` true.

    Attributes
    ----------
    initialiser : Initialiser
    components : Components or None
        The leading ones, among which clusters may be sought too; None where only codes are
        clustered.
    """

    initialiser: Initialiser
    components: Components | None = None
    name: str = "clusters"

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        codes, peers = _codes(run), run.runtime.peers
        graph, neighbours = run.handover.graph, None
        if graph is not None:
            places = self._places(run, codes.shape[1])
            neighbours = Neighbourhood.of(graph, places, peers)
        found = self.initialiser.among(peers, codes.cpu().numpy(), seed, neighbours)
        del neighbours
        _start_clusters(run, codes, found.labels, seed)
        run.handover.stays = found.stays
        run.handover.agreement = found.agreement

    def _places(self, run: Run, n_places: int) -> np.ndarray | None:
        """Rows along the leading components, at most as many as codes have dimensions."""
        if self.components is None:
            return None
        if run.model.likelihood.has_holes:
            filled = filled_by(
                run.model, run.rows, run.handover.need_graph().neighbours.cpu().numpy()
            )
            along = self.components.along
            return filled.map(lambda view: along(view)[:, :n_places]).numpy()
        components = self.components
        return run.rows.map(lambda x: components(x)[:, :n_places], row_bytes=1 << 14).numpy()


@dataclass(frozen=True)
class RestartClusters(Phase):
    """Start the model's clusters anew where codes are that have moved, and keep their scale true.

    Each begins with the rows that it has by `tailed_logits`, and those that are known to be its.
    Codes are to stay as they are after it. Leaves `partition` and `codes_fixed`.

    Attributes
    ----------
    when : callable
        Takes the run and says whether the phase is needed, by what earlier phases left.
    labels : ndarray of shape (n_samples,) or None
        Known clusters, -1 where none is known.
    """

    when: Callable[[Run], bool]
    labels: np.ndarray | None = None
    name: str = "clusters"

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        if not self.when(run):
            return
        model, rows = run.model.eval(), run.rows
        with in_full_precision(model):
            labels = rows.map(
                lambda x: model.tailed_logits(model.code(x)).argmax(-1),
                model.row_bytes(rows.n_features),
            ).numpy()
        _start_clusters(run, _codes(run), _unless_known(labels, self.labels), seed)
        run.handover.codes_fixed = True


@dataclass(frozen=True)
class KeepClusters(Phase):
    """Let the clusters of a fitted model be the partition that later phases are taught.

    Leaves `partition`, `stays` and `codes_fixed`.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,) or None
        Known clusters, -1 where none is known, which count more than the model's. Where that has
        one of them in another cluster, its partition is not what codes are to keep.
    codes_fixed : bool
        Whether codes are to stay as they are, and not to keep the partition as they move.
    """

    labels: np.ndarray | None = None
    codes_fixed: bool = False
    name: str = "clusters"

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        model, rows = run.model.eval(), run.rows
        with in_full_precision(model):
            of_model = rows.map(
                lambda x: model.assign(x).argmax(-1), model.row_bytes(rows.n_features)
            ).numpy()
        partition = _unless_known(of_model, self.labels)
        n_wrong = run.runtime.peers.total(int((partition != of_model).sum()))
        run.handover.partition = torch.from_numpy(partition).to(rows.device)
        run.handover.stays = not self.codes_fixed and n_wrong == 0
        run.handover.codes_fixed = self.codes_fixed


def _unless_known(partition: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    return partition if labels is None else np.where(labels >= 0, labels, partition)


def _start_clusters(run: Run, codes: Tensor, labels: np.ndarray, seed: int) -> None:
    """Give the latent space unit scale within these clusters, and start the model's there."""
    model, peers = run.model, run.runtime.peers
    sample = _sample(labels, seed, peers)
    some = torch.from_numpy(peers.to_main(codes[sample].cpu().numpy())).to(codes.device)
    of_some = torch.from_numpy(peers.to_main(labels[sample])).to(codes.device)
    with peers.together():
        scale = _spread(some, of_some) if peers.is_main else 1.0
    scale = peers.tell(scale)
    model.rescale_latent_(scale)
    _calibrate(model, run.rows, peers)
    if peers.is_main:
        model.take_partition_(some / scale, of_some)
    peers.agree_(model)
    run.handover.partition = torch.from_numpy(labels).to(codes.device)
    run.handover.scale *= scale


def _spread(codes: Tensor, labels: Tensor) -> float:
    """The pooled standard deviation within clusters, or 1 where there is none."""
    within = sum(
        float((codes[labels == c] - codes[labels == c].mean(0)).square().sum())
        for c in labels.unique()
    )
    std = (within / codes.numel()) ** 0.5
    return std if std > 1e-6 else 1.0


def _codes(run: Run) -> Tensor:
    run.model.eval()
    graph = run.handover.graph
    if graph is None or not run.model.likelihood.has_holes:
        codes = run.rows.map(run.model.code, row_bytes=1 << 14)
    else:
        filled = filled_by(run.model, run.rows, graph.neighbours.cpu().numpy())
        codes = filled.map(run.model.code_of)
    (lost,) = (~codes.isfinite().all(1)).nonzero(as_tuple=True)
    with run.runtime.peers.together():
        if len(lost):
            raise TrainingDivergedError(
                f"The encoder takes {len(lost)} of {len(codes)} rows, row {int(lost[0])} of those "
                "that are trained on the first of them, to codes that are not finite. Mend the "
                "encoder, if it is your own; else standardise the data, or lower learning_rate."
            )
    return codes.to(run.rows.device)


def _sample(labels: np.ndarray, seed: int, peers: Peers) -> np.ndarray:
    """All of this process's rows, or some where all have very many; of every cluster enough.

    They are drawn: the order of rows may have a period.
    """
    n_own = len(labels)
    rng = np.random.RandomState((seed + 7919 * peers.rank) % 2**32)
    sample = subsample(n_own, peers.share(MAX_STARTED_ROWS, n_own), rng)
    n_clusters = max(peers.collect(int(labels.max()) + 1))
    scarce = peers.total(np.bincount(labels[sample], minlength=n_clusters)) < FEWEST_STARTED
    added = [np.flatnonzero(labels == c)[:FEWEST_STARTED] for c in np.flatnonzero(scarce)]
    return np.unique(np.concatenate([sample, *added]))


def _calibrate(model: Autoencoder, rows: Rows, peers: Peers) -> None:
    """Start the likelihood's dispersion at what is left; of many rows, evenly spaced ones do."""
    stride = -(-len(rows) // peers.share(MAX_CALIBRATED_ROWS, len(rows)))
    rows = rows if stride == 1 else rows.subset(np.arange(0, len(rows), stride))
    moments = torch.zeros(3, rows.n_features, dtype=torch.float64)
    counts = torch.zeros(rows.n_features, dtype=torch.float64)
    for x in rows.blocks(row_bytes=1 << 14):
        mean, absent = model.likelihood.expectation(x, model.reconstruct(model.code(x))), x.isnan()
        residual = (x - mean).masked_fill(absent, 0.0)
        mean = mean.masked_fill(absent, 0.0)
        parts = (residual.square(), mean, mean.square())
        moments += torch.stack([part.sum(0) for part in parts]).cpu().double()
        counts += (~absent).sum(0).cpu()
    moments = peers.total(moments) / peers.total(counts).clamp(min=1)
    model.likelihood.calibrate_(*moments.float())
