"""Whether several processes are about to train the same model."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from skvade.persistence.fingerprint import parameters_of
from skvade.training.peers import Peers

# The main process's draws and networks count, and each has initial labels of its own.
OF_EACH = ("random_state", "init", "encoder", "decoder")


def check_same(estimator: Any, X: Any, checkpoint: Any, peers: Peers) -> None:
    """Parameters, columns and kinds of numbers must be the same in all processes.

    Raises
    ------
    ValueError
        In all processes, with what differs and where.
    """
    if peers.size == 1:
        return
    with peers.together():
        facts = parameters_of(estimator, without=OF_EACH)
    warm = estimator._warm_model() is not None
    names, init = getattr(estimator, "feature_names_in_", None), estimator.init
    facts |= {
        "number of columns": X.shape[1],
        "names of columns": None if names is None else names.tolist(),
        "dtype of X": np.dtype(X.dtype).name,
        "checkpoint": checkpoint is not None,
        "kind of X": "sparse" if sp.issparse(X) else "dense",
        "kind of init": init if isinstance(init, str) else type(init).__name__,
        "fit before, by warm_start": warm,
        "fit before, by its clusters that stay": warm and getattr(estimator, "_stays", False),
        **{f"tensors of {name}": _shapes(getattr(estimator, name)) for name in OF_EACH[2:]},
    }
    found = peers.collect(facts)
    with peers.alike():
        for rank, other in enumerate(found):
            for name in dict.fromkeys(["class", *found[0], *other]):  # in one order everywhere
                first, second = found[0].get(name), other.get(name)
                if first != second:
                    raise ValueError(
                        f"All processes must fit with the same {name}: process 0 has "
                        f"{str(first)[:200]}, process {rank} has {str(second)[:200]}; pass the "
                        "same."
                    )


def _shapes(network: Any) -> dict[str, tuple[int, ...]] | None:
    if network is None:
        return None
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
