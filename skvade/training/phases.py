"""The phases between gradient phases: a graph of the codes, and clusters among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder
from skvade.training.batches import Rows
from skvade.training.counting import Counter
from skvade.training.descent import TrainingDivergedError
from skvade.training.handover import Graph
from skvade.training.initialiser import Initialiser
from skvade.training.neighbourhood import Neighbourhood
from skvade.training.neighbours import (
    Components,
    beside,
    cumulative_weights,
    nearest_neighbours,
    signal_share,
)
from skvade.training.run import Phase, Run
from skvade.training.runtime import alone

MAX_CALIBRATED_ROWS = 100_000


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
        codes = _codes(run).cpu().numpy()
        components = self.components
        neighbours, distances = self._search(codes, run.rows, seed)
        cumulative = torch.from_numpy(cumulative_weights(distances))
        signal = 1.0 if components is None else signal_share(run.rows, neighbours, components, seed)
        device = run.rows.device
        run.handover.graph = Graph(
            torch.from_numpy(neighbours).to(device), cumulative.to(device), signal
        )
        if self.rescale:
            reach = float(np.median(np.linalg.norm(codes - codes[neighbours[:, -1]], axis=1)))
            run.model.rescale_latent_(reach if reach > 1e-6 else 1.0)
            run.handover.scale = 1.0

    def _search(self, codes: np.ndarray, rows: Rows, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Neighbours and distances; the places, several times the codes, are left behind."""
        n_neighbors = min(self.n_neighbors, len(codes) - 1)
        places = codes if self.components is None else beside(codes, rows, self.components)
        with alone():
            return nearest_neighbours(places, n_neighbors, seed)


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
        neighbours = Neighbourhood.of(run.handover.need_graph())
        run.handover.count = self.counter(_codes(run).cpu().double().numpy(), neighbours, seed)


@dataclass(frozen=True)
class Initialise(Phase):
    """Cluster the codes, give the latent space unit scale, and start the model's clusters there.

    The latent scale is not identified by an autoencoder; afterwards the pooled standard deviation
    within clusters is one. Leaves `partition` and `agreement`, and keeps `scale` true.

    Attributes
    ----------
    initialiser : Initialiser
    """

    initialiser: Initialiser
    name: str = "clusters"

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        model, codes = run.model, _codes(run)
        graph = run.handover.graph
        neighbours = None if graph is None else Neighbourhood.of(graph)
        partition = self.initialiser(codes.cpu().double().numpy(), seed, neighbours)
        labels = torch.from_numpy(partition.labels).to(codes.device)

        scale = self._scale(codes, labels)
        model.rescale_latent_(scale)
        _calibrate(model, run.rows)
        model.take_partition_(codes / scale, labels)
        run.handover.partition, run.handover.agreement = labels, partition.agreement
        run.handover.scale *= scale

    def _scale(self, codes: Tensor, labels: Tensor) -> float:
        within = sum(
            float((codes[labels == c] - codes[labels == c].mean(0)).square().sum())
            for c in labels.unique()
        )
        std = (within / codes.numel()) ** 0.5
        return std if std > 1e-6 else 1.0


def _codes(run: Run) -> Tensor:
    run.model.eval()
    codes = run.rows.map(run.model.code, row_bytes=1 << 14)
    (lost,) = (~codes.isfinite().all(1)).nonzero(as_tuple=True)
    if len(lost):
        raise TrainingDivergedError(
            f"The encoder takes {len(lost)} of {len(codes)} rows, row {int(lost[0])} of those that "
            "are trained on the first of them, to codes that are not finite. Mend the encoder, if "
            "it is your own; else standardise the data, or lower learning_rate."
        )
    return codes.to(run.rows.device)


def _calibrate(model: Autoencoder, rows: Rows) -> None:
    """Start the likelihood's dispersion at what is left; of many rows, evenly spaced ones do."""
    stride = -(-len(rows) // MAX_CALIBRATED_ROWS)
    rows = rows if stride == 1 else rows.subset(np.arange(0, len(rows), stride))
    moments = torch.zeros(3, rows.n_features, dtype=torch.float64)
    for x in rows.blocks(row_bytes=1 << 14):
        mean = model.likelihood.expectation(x, model.reconstruct(model.code(x)))
        parts = ((x - mean).square(), mean, mean.square())
        moments += torch.stack([part.sum(0) for part in parts]).cpu().double()
    model.likelihood.calibrate_(*(moments / len(rows)).float())
