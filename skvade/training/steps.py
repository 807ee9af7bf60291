"""Gradient steps, asked for one by one, or on a GPU recorded once and then played again.

A step of such networks is some four hundred kernels of a few microseconds each. A GPU waits for the
host to ask for every one of them, and works a tenth of the time; a CUDA graph asks for all at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder
from skvade.objectives.base import Batch, Objective, Terms
from skvade.training.adam import Adam
from skvade.training.descent import Guard

N_FIRST = 3  # asked for one by one, so that all memory that lasts has been taken


class Steps:
    """Steps on one batch after the other.

    Parameters
    ----------
    objective : Objective
    model : Autoencoder
    guard : Guard
    generator : torch.Generator
    weight : float
        What the mean over this process's batch counts in the mean over processes.
    """

    def __init__(
        self,
        objective: Objective,
        model: Autoencoder,
        guard: Guard,
        generator: torch.Generator,
        weight: float = 1.0,
    ):
        self.objective = objective
        self.model = model
        self.guard = guard
        self.generator = generator
        self.weight = weight

    def __call__(self, batch: Batch, progress: float) -> Terms:
        """Take one, and return the terms of the loss, without gradients."""
        return self._take(batch, self.guard.rate_at(progress))

    def _take(self, batch: Batch, rate: float | Tensor) -> Terms:
        terms = self.objective(self.model, batch, self.generator)
        if self.weight != 1:
            terms = {name: self.weight * term for name, term in terms.items()}
        self.guard.descend(torch.stack(list(terms.values())).sum(), rate)
        return {name: term.detach() for name, term in terms.items()}


class RecordedSteps(Steps):
    """The same on a GPU, as a CUDA graph, for what does the same to every batch.

    The first steps are taken as they come, then one is recorded, and played for every batch that
    follows, copied to where the recording reads it. After a rescue, which has a new optimiser, it
    is recorded anew.
    """

    _optimizer: Adam | None = None

    def __call__(self, batch: Batch, progress: float) -> Terms:
        if self._optimizer is not self.guard.optimizer:
            self._optimizer = self.guard.optimizer
            self._rate = torch.zeros((), device=batch.x.device)
            self._n_taken, self._graph = 0, None
        self._rate.fill_(self.guard.rate_at(progress))
        if self._n_taken < N_FIRST:
            self._n_taken += 1
            return self._take(batch, self._rate)
        if self._graph is None:
            self._graph = self._recorded(batch)
        self._batch.x.copy_(batch.x)
        if self._batch.index is not None and batch.index is not None:
            self._batch.index.copy_(batch.index)
        self._graph.replay()
        return self._terms

    def _recorded(self, batch: Batch) -> torch.cuda.CUDAGraph:
        index = None if batch.index is None else batch.index.clone()
        self._batch = Batch(batch.x.clone(), index)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        # Other threads of the process may go on with what they do on the same GPU.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._terms = self._take(self._batch, self._rate)
        return graph
