"""Other estimators with the attributes of one: as they are at a moment, copied, or pickled."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted

from skvade.nn.networks import copied, unpicklable


def snapshot(estimator: Any) -> Any:
    """Another estimator with the attributes that this one has now; nothing of them is copied."""
    other = object.__new__(type(estimator))
    other.__dict__ = dict(vars(estimator))  # at once, whatever another thread sets meanwhile
    return other


def of_one_fit(method: Callable[..., Any]) -> Callable[..., Any]:
    """Run a method of a fitted estimator on its attributes as they are when it is called.

    Another thread may fit the estimator anew meanwhile. What the method sets is lost.
    """

    @wraps(method)
    def on_snapshot(self: Any, *args: Any, **kwargs: Any) -> Any:
        check_is_fitted(self)
        return method(snapshot(self), *args, **kwargs)

    return on_snapshot


class SnapshotMixin:
    """Copies and pickles of estimators, whose modules torch does not take in every state."""

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
