"""What a fit depends on, as short texts that can be compared in another process."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
import scipy
import sklearn
import torch

from skvade._version import __version__
from skvade.persistence.digest import digest_of

DIGEST = "#"
INDIFFERENT = ("verbose", "device")  # parameters that may differ from one call to the next
VERSIONS = {
    "skvade": __version__,
    "torch": torch.__version__,
    "scikit-learn": sklearn.__version__,
    "numpy": np.__version__,
    "scipy": scipy.__version__,
}


def identity_of(estimator: Any, X: Any, y: Any, warm: Any, runtime: Any) -> dict[str, str]:
    """All that decides how a fit goes: itself where it is short, or a digest.

    That is the class, the parameters, the data, the labels, the model that a warm start goes on
    from, versions, the type of device, and the precision. Of modules, wherever they are, it is the
    classes, all attributes, parameters, buffers and hooks; functions count by their names, and the
    code of functions and methods does not.

    Raises
    ------
    TypeError
        If a parameter cannot be told from another in a later process.
    """
    given = {"device": runtime.device.type, "dtype of products": str(runtime.compute_dtype)}
    given |= {"X": X, "y": y, "the model that it goes on from": warm}
    texts = {name: _text(name, value) for name, value in given.items()}
    return {**parameters_of(estimator), **texts}


def parameters_of(estimator: Any, without: Container[str] = ()) -> dict[str, str]:
    """The class, the parameters that decide how a fit goes, and versions."""
    parameters = estimator.get_params(deep=False)
    left_out = {name for name in parameters if name in INDIFFERENT or name in without}
    given = {name: value for name, value in parameters.items() if name not in left_out}
    given |= {"class": type(estimator).__name__, **VERSIONS}
    return {name: _text(name, value) for name, value in given.items()}


def networks_of(estimator: Any) -> dict[str, str]:
    """Which networks of the user's own an estimator has, in texts that tell them apart.

    One that holds what nobody can tell from another in a later process is told by its class.
    """
    given = {name: getattr(estimator, name) for name in ("encoder", "decoder")}
    return {name: network_text(module) for name, module in given.items() if module is not None}


def network_text(module: Any) -> str:
    """A text that tells a network from others, in whatever process."""
    try:
        return DIGEST + digest_of(module)
    except Exception:
        return digest_of(type(module))


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """What differs, in words."""
    return [
        f"{name} {_change(before.get(name, 'unknown'), text)}"
        for name, text in now.items()
        if before.get(name) != text
    ]


def _change(before: str, now: str) -> str:
    if before.startswith(DIGEST) or now.startswith(DIGEST):
        return "differs"
    return f"was {before} and is {now}"


def _text(name: str, value: Any) -> str:
    plain = _plain(value)
    if _is_plain(plain) and len(text := repr(plain)) < 200:
        return text
    try:
        return DIGEST + digest_of(value)
    except Exception as error:
        raise TypeError(
            f"checkpoint cannot tell {name}={value!r:.1000} from another in a later process "
            f"({error}); use named functions and classes that can be pickled, or fit without a "
            "checkpoint."
        ) from error


def _plain(value: Any) -> Any:
    """Numbers without their numpy types, and sequences as tuples."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)
