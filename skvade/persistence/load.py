"""An estimator from plain values and tensors, nothing executed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from skvade.persistence import container
from skvade.persistence.fingerprint import network_text
from skvade.persistence.model_file import KIND, fitted_from, parameters_from, request_metadata
from skvade.persistence.pipeline_file import PIPELINE, pipeline_from
from skvade.persistence.rebuilding import rebuild
from skvade.training.runtime import resolve_device


def load_estimator(
    path: Any,
    device: str,
    given: Mapping[str, torch.nn.Module | None],
    classes: Mapping[str, Any],
) -> Any:
    """A fitted estimator of one of the classes, from a file that its `save` has written.

    Parameters
    ----------
    path : str, bytes or path-like
    device : str
        Where the module is put.
    given : dict of str to Module or None
        Modules of the user's own, by the names of parameters.
    classes : dict of str to type
        The classes that are known, by name.
    """
    place = resolve_device(device)
    contents = container.read(path, KIND)
    load_model = partial(_model_from, place=place, given=given, classes=classes)
    try:
        if contents["class"] == PIPELINE:
            return pipeline_from(contents, load_model)
        return load_model(contents)
    except ValueError as error:
        raise ValueError(f"{os.fsdecode(path)} cannot be loaded: {error}") from error
    except ImportError as error:
        raise ImportError(
            f"{os.fsdecode(path)} needs a library that is not installed here, for the tables that "
            f"its model takes, or for a step before it ({error}); pip install it."
        ) from error
    except container.STRAYS as error:
        raise ValueError(
            f"{os.fsdecode(path)} was altered: it does not hold what a model needs ({error!r})."
        ) from error


def _model_from(
    contents: Mapping[str, Any],
    place: torch.device,
    given: Mapping[str, torch.nn.Module | None],
    classes: Mapping[str, Any],
) -> Any:
    contents = dict(contents)
    cls = _class_named(contents["class"], classes)
    fitted = fitted_from(contents, cls)
    _check_given(contents, fitted, given)
    parameters = {
        **parameters_from(contents, cls),
        **{name: given[name] for name in contents["modules"]},
    }
    module = rebuild(cls, fitted, contents["module"], given)
    estimator = cls(**parameters)
    request_metadata(estimator, contents.get("requests", {}))  # older files have none
    # A warm start goes on with what was passed, which may differ in its weights from the older one.
    templates = {name: network_text(given[name]) for name in fitted["_supplied"]}
    vars(estimator).update(fitted, module_=module.to(place), _templates=templates)
    return estimator


def _class_named(name: Any, classes: Mapping[str, Any]) -> Any:
    if name not in classes:
        raise ValueError(
            f"it is of the class {str(name)[:100]!r}, which is none of {', '.join(classes)}."
        )
    return classes[name]


def _check_given(
    contents: dict[str, Any], fitted: dict[str, Any], given: Mapping[str, Any]
) -> None:
    for name, module in given.items():
        needed = name in fitted["_supplied"] or name in contents["modules"]
        if needed and module is None:
            raise ValueError(
                f"it was fitted with a module of your own as {name}, of which it holds the tensors "
                f"and not the code; pass one of the same architecture, load(path, {name}=...)."
            )
        if module is not None and not needed:
            raise ValueError(f"it was fitted without a module of your own as {name}; pass none.")
