"""What every objective is: a map from a model and a batch to named terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder, Encoding
from skvade.objectives.stateful import Stateful

Terms = dict[str, Tensor]
ModelT = TypeVar("ModelT", bound=Autoencoder, contravariant=True)


@dataclass(frozen=True)
class Batch:
    """Rows of the data and where they stand in it.

    Attributes
    ----------
    x : Tensor of shape (n_rows, n_features)
    index : Tensor of shape (n_rows,) or None
        Row numbers in the training data, so that an objective can look up what it knows of them;
        None for rows that are not in it.
    """

    x: Tensor
    index: Tensor | None


def joined(*parts: Terms) -> Terms:
    """All terms; none may hide another of its name."""
    terms = {name: term for part in parts for name, term in part.items()}
    if len(terms) < sum(map(len, parts)):
        names = [list(part) for part in parts]
        raise ValueError(f"Two terms of a loss have the same name: {names}; rename one.")
    return terms


class Objective(Stateful, ABC, Generic[ModelT]):
    """A loss made of named terms, each a mean over the batch; their sum is minimised."""

    @abstractmethod
    def __call__(self, model: ModelT, batch: Batch, generator: torch.Generator) -> Terms:
        """Return the terms, scalars with gradients; all randomness comes from `generator`."""

    def bound_terms(self) -> Mapping[str, float]:
        """Which terms make up a negative evidence lower bound, and their weights in the loss.

        None of them, where what is minimised is no bound.
        """
        return {}

    def bound(self, means: Mapping[str, Any]) -> float:
        """The evidence lower bound, given the means of all terms.

        NaN where what is minimised is no bound, or a term of it has the weight 0.
        """
        weights = self.bound_terms()
        if not weights or not all(weights.values()):
            return float("nan")
        return -sum(means[name] / weight for name, weight in weights.items())


class EncodedObjective(Objective[ModelT]):
    """An objective whose terms follow from the encoding, so that others can share that pass."""

    def __call__(self, model: ModelT, batch: Batch, generator: torch.Generator) -> Terms:
        return self.terms(model, batch, model.encode(batch.x), generator)

    @abstractmethod
    def terms(
        self, model: ModelT, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        """The terms, given what the encoder makes of the batch."""
