"""The steps of a method, as data: a method is a list of phases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from skvade.objectives.base import Objective
from skvade.training.batches import Rows
from skvade.training.events import Listener
from skvade.training.initialiser import Initialiser
from skvade.training.neighbours import (
    beside,
    cumulative_weights,
    nearest_neighbours,
    principal_components,
    signal_share,
)
from skvade.training.schedules import WarmUp, cosine
from skvade.training.trainer import Run, optimise


class Phase(ABC):
    """One step of a method."""

    @abstractmethod
    def run(self, run: Run, seed: int) -> None:
        """Change the model, and leave in `run.memory`, as plain data, what later phases need."""

    @property
    def has_epochs(self) -> bool:
        """Whether it takes gradient steps, of which listeners hear."""
        return False


def all_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Everything the model can learn."""
    return list(model.parameters())


def autoencoder_parameters(model: Any) -> list[nn.Parameter]:
    """The two networks, without the log-variance head, which a plain autoencoder does not use."""
    unused = set(model.encoder.log_variance_head.parameters())
    networks = [*model.encoder.parameters(), *model.decoder.parameters()]
    return [parameter for parameter in networks if parameter not in unused]


@dataclass(frozen=True)
class Optimise(Phase):
    """Gradient steps on an objective.

    Attributes
    ----------
    name : str
        As it appears in the history.
    objective : callable
        Takes the run and returns the objective, so that it may use what earlier phases left.
    n_steps, batch_size : int
    learning_rate : float
        Of Adam, at its highest.
    schedule : callable
        Takes the progress, from 0 to 1, to a factor of the learning rate.
    parameters : callable
        Takes the model to the list of what this phase learns.
    listeners : sequence of Listener
        Hear this phase only.
    max_grad_norm : float
    """

    name: str
    objective: Callable[[Run], Objective]
    n_steps: int
    batch_size: int
    learning_rate: float
    schedule: Callable[[float], float] = field(default_factory=lambda: WarmUp(cosine))
    parameters: Callable[[Any], list[nn.Parameter]] = all_parameters
    listeners: Sequence[Listener] = ()
    max_grad_norm: float = 100.0

    def run(self, run: Run, seed: int) -> None:
        if self.has_epochs:
            optimise(run, self, seed)

    @property
    def has_epochs(self) -> bool:
        return self.n_steps > 0


@dataclass(frozen=True)
class FindNeighbours(Phase):
    """Find every row's nearest neighbours, and give the latent space their scale.

    Neighbours are near in the codes and in the leading principal components of what the encoder
    sees. Afterwards the median distance between the codes of a row and of the last of its
    neighbours is one. Leaves `graph` and `scale`, the units of the embedding in those of the codes,
    in `run.memory`.

    Attributes
    ----------
    n_neighbors : int
        At most the number of other rows is used.
    n_components : int
        Principal components beside the codes.
    rescale : bool
        False leaves the latent space, and the scale that is known already, as they are.
    """

    n_neighbors: int
    n_components: int = 40
    rescale: bool = True

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        codes = _codes(run).cpu().numpy()
        n_neighbors = min(self.n_neighbors, len(codes) - 1)
        components = principal_components(run.rows, run.model.view, self.n_components, seed)
        places = codes if components is None else beside(codes, run.rows, components)
        neighbours, distances = nearest_neighbours(places, n_neighbors, seed)
        cumulative = torch.from_numpy(cumulative_weights(distances))
        signal = 1.0 if components is None else signal_share(run.rows, neighbours, components, seed)
        device = run.rows.device
        run.memory["graph"] = {
            "neighbours": torch.from_numpy(neighbours).to(device),
            "cumulative": cumulative.to(device),
            "signal": signal,
        }
        if self.rescale:
            reach = float(np.median(np.linalg.norm(codes - codes[neighbours[:, -1]], axis=1)))
            run.model.rescale_latent_(reach if reach > 1e-6 else 1.0)
            run.memory["scale"] = 1.0


@dataclass(frozen=True)
class Initialise(Phase):
    """Cluster the codes, give the latent space unit scale, and start the model's clusters there.

    The latent scale is not identified by an autoencoder; afterwards the pooled standard deviation
    within clusters is one. Leaves `partition` (a tensor of labels) and `agreement` (between
    restarts) in `run.memory`, and keeps `scale` true.

    Attributes
    ----------
    initialiser : Initialiser
    """

    initialiser: Initialiser

    @torch.no_grad()
    def run(self, run: Run, seed: int) -> None:
        model, codes = run.model, _codes(run)
        graph = run.memory.get("graph")
        neighbours = None if graph is None else graph["neighbours"].cpu().numpy()
        partition = self.initialiser(codes.cpu().double().numpy(), seed, neighbours)
        labels = torch.from_numpy(partition.labels).to(codes.device)

        scale = self._scale(codes, labels)
        model.rescale_latent_(scale)
        _calibrate(model, run.rows)
        model.take_partition_(codes / scale, labels)
        run.memory.update(partition=labels, agreement=partition.agreement)
        run.memory["scale"] = scale * run.memory.get("scale", 1.0)

    def _scale(self, codes: torch.Tensor, labels: torch.Tensor) -> float:
        within = sum(
            float((codes[labels == c] - codes[labels == c].mean(0)).square().sum())
            for c in labels.unique()
        )
        std = (within / codes.numel()) ** 0.5
        return std if std > 1e-6 else 1.0


def _codes(run: Run) -> torch.Tensor:
    run.model.eval()
    return run.rows.map(run.model.code, row_bytes=1 << 14).to(run.rows.device)


def _calibrate(model: Any, rows: Rows) -> None:
    moments = torch.zeros(3, rows.n_features, dtype=torch.float64)
    for x in rows.blocks(row_bytes=1 << 14):
        mean = model.likelihood.expectation(x, model.reconstruct(model.code(x)))
        parts = ((x - mean).square(), mean, mean.square())
        moments += torch.stack([part.sum(0) for part in parts]).cpu().double()
    model.likelihood.calibrate_(*(moments / len(rows)).float())
