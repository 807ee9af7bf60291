"""What a model needs to know before it is built: of the data, and of its own shape."""

from __future__ import annotations

from dataclasses import dataclass


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
    median_total : float
        Median over rows of the row sum: the typical library size of counts.
    has_holes : bool
        Whether any entry is missing. The others speak of what is observed.
    """

    n_samples: int
    n_features: int
    minimum: float
    maximum: float
    binary: bool
    median_total: float
    has_holes: bool = False


@dataclass(frozen=True)
class ModelShape:
    """What decides a model's tensors, beside the constructor's parameters.

    Attributes
    ----------
    n_clusters : int
    likelihood : str
        A key of `LIKELIHOODS`.
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
