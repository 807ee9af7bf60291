"""What "auto" stands for in the sizes of networks and codes, chosen on all development sets."""

from __future__ import annotations

from skvade.training.neighbours import Components

CARRIED = 1e-6  # of the largest variance: what is below is rounding


def auto_latent_dim(components: Components | None, small: bool) -> int:
    """Ten, and twenty for small tables; but at most as many as there are directions in the data.

    A small table is hardly moved from its principal components, so that what these leave out would
    be lost.
    """
    if components is None:
        return 1
    carried = int((components.variances > CARRIED * components.variances[0]).sum())
    return min(20 if small else 10, carried)


def auto_hidden_layer_sizes(small: bool) -> tuple[int, ...]:
    """Three layers of 256, and two for small tables.

    Depth counts for more than width: with the linear path three narrow layers do on most seeds what
    takes the paper's 500, 500 and 2,000 five times the products; seeds agree less. On few rows a
    single layer bends too little for long clusters.
    """
    return (256, 256) if small else (256, 256, 256)
