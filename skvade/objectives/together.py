"""Several objectives at once, each with its weight."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch

from skvade.nn.autoencoder import Encoding
from skvade.objectives.base import Batch, EncodedObjective, ModelT, Terms, joined


class Together(EncodedObjective[ModelT]):
    """The weighted terms of several objectives, whose names differ, from one encoding.

    Parameters
    ----------
    parts : EncodedObjective or (float, EncodedObjective)
        An objective alone has weight 1.
    """

    def __init__(self, *parts: EncodedObjective[ModelT] | tuple[float, EncodedObjective[ModelT]]):
        weighted = [part if isinstance(part, tuple) else (1.0, part) for part in parts]
        self.weights = [weight for weight, _ in weighted]
        self.objectives = [objective for _, objective in weighted]

    def parts(self) -> Sequence[EncodedObjective[ModelT]]:
        return self.objectives

    def terms(
        self, model: ModelT, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        found = [part.terms(model, batch, encoding, generator) for part in self.objectives]
        return joined(
            *(
                {name: weight * term for name, term in terms.items()}
                for weight, terms in zip(self.weights, found, strict=True)
            )
        )


class Beside(EncodedObjective[ModelT]):
    """Another objective's terms, and further ones of training rows, which are no part of its bound.

    Parameters
    ----------
    objective : EncodedObjective
    weight : float
        Of the further terms.
    """

    def __init__(self, objective: EncodedObjective[ModelT], weight: float):
        self.objective = objective
        self.weight = weight

    def parts(self) -> Sequence[EncodedObjective[ModelT]]:
        return [self.objective]

    def bound_terms(self) -> Mapping[str, float]:
        return self.objective.bound_terms()

    def terms(
        self, model: ModelT, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        terms = self.objective.terms(model, batch, encoding, generator)
        if batch.index is None or not self.weight:
            return terms
        further = self.further(model, batch, generator)
        return joined(terms, {name: self.weight * term for name, term in further.items()})

    @abstractmethod
    def further(self, model: ModelT, batch: Batch, generator: torch.Generator) -> Terms:
        """The further terms, without their weight."""
