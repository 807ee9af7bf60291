"""Several objectives at once, each with its weight."""

from __future__ import annotations

from typing import Any

import torch

from skvade.nn.autoencoder import Encoding
from skvade.objectives.base import Batch, EncodedObjective, Terms


class Together(EncodedObjective):
    """The weighted terms of several objectives, whose names differ, from one encoding.

    Parameters
    ----------
    parts : EncodedObjective or (float, EncodedObjective)
        An objective alone has weight 1.
    """

    def __init__(self, *parts: EncodedObjective | tuple[float, EncodedObjective]):
        self.parts = [part if isinstance(part, tuple) else (1.0, part) for part in parts]

    def terms(
        self, model: Any, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        return {
            name: weight * term
            for weight, part in self.parts
            for name, term in part.terms(model, batch, encoding, generator).items()
        }
