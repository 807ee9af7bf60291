"""Copies and pickles of estimators."""

from __future__ import annotations

from typing import Any

import torch

from skvade.estimators.predictor import snapshot
from skvade.nn.networks import copied, unpicklable


class PicklingMixin:
    """For estimators whose modules torch does not copy or pickle in every state."""

    def __copy__(self) -> Any:
        return snapshot(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        other = snapshot(self)
        memo[id(self)] = other
        other.__dict__ = {name: copied(value, memo) for name, value in vars(self).items()}
        return other

    def __reduce_ex__(self, protocol: Any) -> Any:
        for name, module in vars(self).items():
            if isinstance(module, torch.nn.Module) and (kind := unpicklable(module)):
                raise TypeError(
                    f"{type(self).__name__} cannot be pickled: torch does not pickle networks with "
                    f"{kind}, such as those in {name}; use save, or a network without them."
                )
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "module_" in state:
            # A model that was trained on a GPU must load where there is none.
            state = {**state, "module_": copied(state["module_"]).cpu()}
        return state
