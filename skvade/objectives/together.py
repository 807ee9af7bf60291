"""Several objectives at once, each with its weight."""

from __future__ import annotations

from collections.abc import Sequence

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
