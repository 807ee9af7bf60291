"""Whether a fit may go on from the one before it."""

from __future__ import annotations

from typing import Any

from skvade.estimators.column_kinds import asked_otherwise
from skvade.persistence.fingerprint import networks_of


def check_warm(
    estimator: Any,
    caller: str = "warm_start=True",
    anew: str = "set warm_start=False to start anew",
) -> None:
    """What shaped the fitted model must be as it was, networks of the user's own included.

    Parameters
    ----------
    estimator : BaseDeepModel
    caller, anew : str
        What goes on with the model, and what would not, for messages.

    Raises
    ------
    ValueError
        With what has changed, and how to go on.
    """
    _check_networks(estimator, caller, anew)
    _check_columns(estimator, caller, anew)
    now = {"likelihood": estimator.likelihood, **estimator._shape_parameters()}
    fitted = {"likelihood": estimator.likelihood_, **estimator._shaped_by}
    if estimator.likelihood == "auto" or estimator._columns_in_use is not None:
        now["likelihood"] = estimator.likelihood_
    changed = [name for name in fitted if now[name] != fitted[name]]
    if changed:
        was = ", ".join(f"{name}={fitted[name]!r}" for name in changed)
        new = ", ".join(f"{name}={now[name]!r}" for name in changed)
        raise ValueError(
            f"{caller} goes on with the fitted model's {was}, got {new}; set them back, or {anew}."
        )


def _check_columns(estimator: Any, caller: str, anew: str) -> None:
    changed = asked_otherwise(estimator, estimator._columns_in_use)
    if changed:
        shown = ", ".join(map(repr, changed[:5])) + (", ..." if len(changed) > 5 else "")
        raise ValueError(
            f"{caller} goes on with the fitted model's columns, and categorical_features or "
            f"likelihood ask for another kind of {shown} than that fit had; set them back, or "
            f"{anew}."
        )


def _check_networks(estimator: Any, caller: str, anew: str) -> None:
    now, fitted = networks_of(estimator), getattr(estimator, "_templates", None)
    if fitted is None:  # a pickle of an older version
        fitted = {name: now.get(name, "") for name in estimator._supplied}
    changed = [name for name in ("encoder", "decoder") if now.get(name) != fitted.get(name)]
    if changed:
        names = " and ".join(changed)
        raise ValueError(
            f"{caller} goes on with the networks that were fitted, and {names} differs from what "
            f"it was then, by an attribute, a parameter or altogether; set it back, or {anew}."
        )
