"""What a likelihood needs to know of the data before training."""

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
    """

    n_samples: int
    n_features: int
    minimum: float
    maximum: float
    binary: bool
    median_total: float
