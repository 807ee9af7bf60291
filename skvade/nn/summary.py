"""What a model needs to know before it is built: of the data, and of its own shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Block:
    """Neighbouring columns of one kind, in a table that has several.

    Attributes
    ----------
    likelihood : str
        A key of `PARTS` in `skvade.nn.mixed`.
    summary : DataSummary
        Of these columns.
    widths : tuple of int
        How many columns each feature fills: one for numbers, one per category for categories.
    scales : tuple of float
        Of each column, by which what the encoder sees of it is multiplied.
    """

    likelihood: str
    summary: DataSummary
    widths: tuple[int, ...]
    scales: tuple[float, ...]


@dataclass(frozen=True)
class DataSummary:
    """Facts of one pass over the data.

    Attributes
    ----------
    n_samples, n_features : int
    minimum, maximum : float
        Over all entries.
    binary : bool
        Whether every entry is 0 or 1.
    median_total : float or None
        Median over rows of the row sum: the typical library size of counts. None where columns are
        nothing that could be summed.
    has_holes : bool
        Whether any entry is missing. The others speak of what is observed.
    blocks : tuple of Block
        The kinds of columns, one beside the other; empty where all are of one kind.
    """

    n_samples: int
    n_features: int
    minimum: float
    maximum: float
    binary: bool
    median_total: float | None
    has_holes: bool = False
    blocks: tuple[Block, ...] = ()

    @classmethod
    def of(cls, values: dict[str, Any]) -> DataSummary:
        """One from the dict that `dataclasses.asdict` makes of it."""
        blocks = (
            Block(**{**block, "summary": cls.of(block["summary"])})
            for block in values.get("blocks", ())
        )
        return cls(**{**values, "blocks": tuple(blocks)})


@dataclass(frozen=True)
class ModelShape:
    """What decides a model's tensors, beside the constructor's parameters.

    Attributes
    ----------
    n_clusters : int
    likelihood : str
        A key of `FAMILIES` in `skvade.nn.mixed`.
    summary : DataSummary
    latent_dim : int
    hidden_layer_sizes : tuple of int
        Of the encoder's perceptron; the decoder's is its mirror.
    linear_path : bool
        Whether networks of ours have a linear path beside their perceptron.
    n_filling : int or None
        Components that fill holes; None in files of before there were such.
    """

    n_clusters: int
    likelihood: str
    summary: DataSummary
    latent_dim: int
    hidden_layer_sizes: tuple[int, ...]
    linear_path: bool
    n_filling: int | None = None
