"""The sizes of networks and codes that "auto" stands for."""

from __future__ import annotations

from skvade.training.neighbours import Components

LATENT_DIM = 10
CARRIED = 1e-6  # of the largest variance: what is below is rounding


def auto_latent_dim(components: Components | None) -> int:
    """Ten, or as many as the data have directions in which they vary, where these are fewer."""
    if components is None:
        return 1
    carried = components.variances > CARRIED * components.variances[0]
    return min(LATENT_DIM, int(carried.sum()))


def auto_hidden_layer_sizes(n_rows: int, n_features: int) -> tuple[int, ...]:
    """Widths that grow with the rows."""
    return (64, 64)
