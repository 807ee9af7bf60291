"""What a file holds of a fitted estimator: plain values, from which another is made."""

from __future__ import annotations

import re
from dataclasses import asdict
from types import UnionType
from typing import Any

import numpy as np
import torch
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.mixed import MIXED
from skvade.nn.summary import DataSummary
from skvade.persistence import container
from skvade.training.units import Units

KIND = "model"
DTYPES = {"float32": np.float32, "float64": np.float64}

# What loading expects of fitted attributes: a type, or for arrays the kinds of dtype and what each
# dimension counts, A two, K clusters, L latent dimensions, D features, E columns of numbers that
# these become, N rows, T rows of the fit that counted clusters, S draws.
OF_ALL = {
    "n_features_in_": int,
    "means_": ("f", "KL"),
    "cluster_sizes_": ("i", "K"),
    "labels_": ("biufUO", "N"),
    "likelihood_": str,
    "latent_dim_": int,
    "hidden_layer_sizes_": tuple,
    "_linear_path": bool,
    "_n_filling": int | None,
    "history_": list,
    "n_iter_": int,
    "converged_": bool,
    "doubt_": float,
    "mutual_information_": float,
    "restart_agreement_": float,
    "_confidence": float,
    "_scale": float,
    "_stays": bool,
    "_codes_fixed": bool,
    "_findings": tuple,
    "_reason": str,
    "_n_runs": int,
    "_shaped_by": dict,
    "_supplied": tuple,
}
EARLIER = {  # of files that were written before there were these
    "_reason": lambda fitted: "",
    "_n_runs": lambda fitted: 1,
    "_stays": lambda fitted: False,
    "_codes_fixed": lambda fitted: False,
    "doubt_": lambda fitted: 0.0,
    "latent_dim_": lambda fitted: fitted["means_"].shape[-1],
    "hidden_layer_sizes_": lambda fitted: fitted["_shaped_by"]["hidden_layer_sizes"],
    "_linear_path": lambda fitted: False,
    "_n_filling": lambda fitted: None,
    "n_clusters_": lambda fitted: len(fitted["means_"]),
    "_comparison": lambda fitted: {},
    "_label_counts": lambda fitted: np.zeros((2, len(fitted["means_"])), int),
    "_group_sizes": lambda fitted: _sizes(fitted["_groups"], len(fitted["merge_tree_"]) + 1),
}
OF_GENERATIVE = {"weights_": ("f", "K"), "_noise": ("f", "SL"), "lower_bound_": float}
OF_CALIBRATED = {"_ordinary": ("f", "Q")}
OF_CLUSTERERS = {"n_clusters_": int, "_comparison": dict}
MAY_BE_NONE = "M"  # mergers: one group has none
OF_COUNTED = {
    "merge_tree_": ("f", "MF"),
    "cluster_evidence_": ("f", "C"),
    "_groups": ("i", "T"),
    "_group_sizes": ("i", "G"),
    "_count_is_clear": bool,
}
OF_CLASSIFIERS = {"classes_": ("biufUO", "K"), "_n_labeled": int, "_label_counts": ("i", "AK")}
OF_NAMED = {"feature_names_in_": ("O", "D")}
OF_NUMBERS = {"cluster_centers_": ("f", "KE")}
OF_COLUMNS = {"_columns": dict, "_decoded": ("f", "KE")}  # of a table of several kinds
# Not saved: what loading makes anew, and scikit-learn's own, callbacks and what a fit leaves out.
NOT_SAVED = (
    *("module_", "_templates", "_metadata_request"),
    "_replay",  # rows of the user's, which nobody expects in a file of a model
    *("_skl_callbacks", "_skl_callbacks_to_teardown"),
    *("_callback_fit_ctx", "_parent_callback_ctx"),
)


def save(estimator: Any, path: Any) -> None:
    """Write all of a fitted estimator to a file."""
    check_is_fitted(estimator)
    container.write(path, KIND, contents_of(estimator))


def contents_of(estimator: Any) -> dict[str, Any]:
    """A fitted estimator as values that can be stored, all of one fit.

    Raises
    ------
    TypeError
        If the estimator is of another's class, or a parameter cannot be stored.
    """
    cls = type(estimator)
    if not cls.__module__.startswith("skvade."):
        raise TypeError(
            f"{cls.__name__} cannot be saved: files hold no code, and only skvade's own classes "
            "are known where they are loaded; pickle it, or fit the class that it derives from."
        )
    state = dict(vars(estimator))  # at once: another thread may fit it meanwhile
    parameters = {name: state[name] for name in estimator.get_params(deep=False)}
    modules = [name for name, value in parameters.items() if isinstance(value, torch.nn.Module)]
    parameters.update(dict.fromkeys(modules))
    random_state = None
    if isinstance(parameters["random_state"], np.random.RandomState):
        random_state = parameters["random_state"].get_state(legacy=False)
        if random_state["bit_generator"] == "MT19937":
            parameters["random_state"] = None
    if isinstance(parameters["likelihood"], dict):  # whose keys may be numbers of columns
        parameters["likelihood"] = list(parameters["likelihood"].items())
    for name, value in parameters.items():
        _check_parameter(cls, name, value)
    fitted = {n: v for n, v in state.items() if n not in parameters and n not in NOT_SAVED}
    fitted["_units"] = asdict(state["_units"])
    fitted["_summary"] = asdict(state["_summary"])
    fitted["_dtype"] = np.dtype(state["_dtype"]).name
    if "_columns" in state:
        fitted["_columns"] = asdict(state["_columns"])
        del fitted["cluster_centers_"]  # in the user's columns, which can be made again
    return {
        "class": cls.__name__,
        "parameters": parameters,
        "modules": modules,
        "random_state": random_state,
        "requests": _requests(estimator) if "_metadata_request" in state else {},
        "fitted": fitted,
        "module": dict(state["module_"].state_dict()),
    }


def _requests(estimator: Any) -> dict[str, Any]:
    """What the estimator asks scikit-learn's routing of metadata for, by the names of methods."""
    routing = estimator.get_metadata_routing()
    return {method: dict(getattr(routing, method).requests) for method in routed(type(estimator))}


def routed(cls: Any) -> list[str]:
    """The methods of a class that can ask for metadata."""
    setters = (re.fullmatch("set_([a-z_]+)_request", name) for name in dir(cls))
    return [setter[1] for setter in setters if setter]


def _check_parameter(cls: Any, name: str, value: Any) -> None:
    try:
        container.check(value, name)
    except TypeError as error:
        default = cls().get_params(deep=False)[name]
        raise TypeError(
            f"{cls.__name__} cannot be saved with {name}={value!r}, which could not be "
            "loaded without executing code; what is fitted does not need it: call "
            f"set_params({name}={default!r}) first, or set it to plain values or an array."
        ) from error


def parameters_from(contents: dict[str, Any], cls: Any) -> dict[str, Any]:
    """The constructor's parameters but for modules, of which files hold tensors only."""
    parameters, state = contents["parameters"], contents["random_state"]
    unknown = parameters.keys() - cls().get_params(deep=False).keys()
    if unknown:
        raise ValueError(f"{cls.__name__} has no parameters {str(sorted(unknown))[:200]}.")
    if isinstance(parameters.get("likelihood"), list):
        parameters["likelihood"] = dict(parameters["likelihood"])
    if state is not None:
        key, position = state["state"]["key"], state["state"]["pos"]
        # numpy would read beyond the key.
        if key.dtype != np.uint32 or key.shape != (624,) or not 0 <= position <= 624:
            raise ValueError("random_state is not a state of MT19937.")
        parameters["random_state"] = np.random.RandomState()
        parameters["random_state"].set_state(state)
    return parameters


def request_metadata(estimator: Any, requests: dict[str, Any]) -> None:
    """Let a loaded estimator ask for what the saved one asked for."""
    for method, asked in requests.items():
        plain = all(value is None or isinstance(value, bool | str) for value in asked.values())
        if method not in routed(type(estimator)) or not plain:
            raise ValueError("its requests of metadata are none of its class.")
        with config_context(enable_metadata_routing=True):  # in this thread, and for this call
            getattr(estimator, f"set_{method}_request")(**asked)


def fitted_from(contents: dict[str, Any], cls: Any) -> dict[str, Any]:
    """The fitted attributes but for the module, with types and shapes that agree."""
    fitted = dict(contents["fitted"])
    names = expected(cls, fitted)
    for name, earlier in EARLIER.items():
        if name in names and name not in fitted:
            fitted[name] = earlier(fitted)
    for name in fitted:
        if hasattr(cls, name) or not name.isidentifier():
            raise ValueError(f"it has an attribute {name[:100]!r}, which no fit sets.")
    sizes = {"D": fitted["n_features_in_"], "A": 2}
    summary = DataSummary.of(fitted["_summary"])
    if "_columns" not in fitted:
        sizes["E"] = sizes["D"]
        kinds = tuple(LIKELIHOODS)
    else:
        _check_attribute("_columns", fitted["_columns"], dict, sizes)
        columns = cls._columns_from(fitted["_columns"])
        sizes["E"] = columns.n_encoded
        kinds = (MIXED,)
        if len(columns.columns) != sizes["D"] or not columns.agree_with(summary.blocks):
            raise ValueError("its columns are not those of its blocks.")
    for name, kind in names.items():
        _check_attribute(name, fitted[name], kind, sizes)
    if "M" in sizes and sizes.get("G") != sizes["M"] + 1:
        raise ValueError("its tree has not the leaves that it knows the sizes of.")
    if "_group" in fitted:
        group = fitted["_group"]
        if "lost" in group:  # as earlier files have it
            group["elsewhere"] = group.pop("lost")
        _check_attribute("the size of a group", group["size"], int, sizes)
        _check_attribute("the share elsewhere", group["elsewhere"], float, sizes)
    if not 0 <= fitted["doubt_"] < 1:
        raise ValueError("doubt_ is no share of probability, from 0 to below 1.")
    if not 0 < fitted.get("_noise_from", 0.5) < 1:
        raise ValueError("its noise is no share of the rows.")
    if fitted.get("_comparison"):
        _check_comparison(fitted["_comparison"], len(fitted["means_"]))
    for record in fitted["history_"]:
        types = ((record["phase"], str), (record["steps"], int), (record["loss"], float))
        if not all(isinstance(value, kind) for value, kind in types):
            raise ValueError("history_ is not a list of records.")
    if fitted["likelihood_"] not in kinds:
        raise ValueError(f"{fitted['likelihood_'][:100]!r} is not a likelihood.")
    units = Units(**fitted["_units"])
    for name, value in (("shift", units.shift), ("scale", units.scale)):
        _check_attribute(name, np.asarray(value), ("f", "E"[: np.ndim(value)]), sizes)
    if (units.low is None) != (units.high is None):
        raise ValueError("its units have limits on one side only.")
    for limits in () if units.low is None else (units.low, units.high):
        _check_attribute("limits", limits, ("f", "E"), sizes)
    if summary.n_features != sizes["E"]:
        raise ValueError("its summary of the data is not of its features.")
    dtype = DTYPES[fitted["_dtype"]]
    fitted |= {"_units": units, "_summary": summary, "_dtype": dtype}
    if "_columns" in fitted:
        fitted["_columns"] = columns
        fitted["cluster_centers_"] = columns.decode(fitted["_decoded"])
    return fitted


def expected(cls: Any, fitted: dict[str, Any]) -> dict[str, Any]:
    """What the fitted attributes of a class must be."""
    attributes = dict(OF_ALL)
    if hasattr(cls, "score_samples"):
        attributes |= OF_GENERATIVE
    attributes |= OF_COLUMNS if "_columns" in fitted else OF_NUMBERS
    if "_group" in fitted:
        attributes["_group"] = dict
    if "_noise_from" in fitted:
        attributes |= {"_noise_from": float, **OF_CALIBRATED}
    if "_ordinary" in fitted:  # files that were written earlier have no outlier scores
        attributes |= OF_CALIBRATED
    attributes |= OF_CLASSIFIERS if is_classifier(cls()) else OF_CLUSTERERS
    if "merge_tree_" in fitted:
        attributes |= OF_COUNTED
    if "feature_names_in_" in fitted:
        attributes |= OF_NAMED
    return attributes


def _sizes(groups: np.ndarray, n_groups: int) -> np.ndarray:
    return np.bincount(groups[groups >= 0], minlength=n_groups)


def _check_comparison(comparison: dict[str, Any], n_clusters: int) -> None:
    """Check what `report` reads of `compare`."""
    measures = ("kept", "worst cut", "value")
    of_each = {"": (comparison, measures)}
    for name, other in comparison["others"].items():
        of_each[name] = other, (*measures, "agreement")
    for name, (measured, names) in of_each.items():
        if not all(isinstance(measured[n], float) for n in names) or not isinstance(name, str):
            raise ValueError("its comparison with simple methods has no measures.")
    if not isinstance(comparison.get("mixture and start", 0.0), float):
        raise ValueError("its comparison with simple methods has no measures.")
    least, share, to = comparison["leaving"]
    numbers = all(type(c) is int and 0 <= c < n_clusters for c in (least, to))
    if not numbers or not isinstance(share, float):
        raise ValueError("its comparison with simple methods names no cluster.")


def _check_attribute(name: str, value: Any, kind: Any, sizes: dict[str, int]) -> None:
    """Check type and shape; `sizes` collects what dimensions count."""
    if isinstance(kind, type | UnionType):
        if not isinstance(value, kind):
            raise ValueError(f"{name} is not of type {getattr(kind, '__name__', kind)}.")
        return
    kinds, axes = kind
    if type(value) is not np.ndarray or value.dtype.kind not in kinds or value.ndim != len(axes):
        raise ValueError(f"{name} is not an array of the dtype and dimensions that it should have.")
    some = (size for size, axis in zip(value.shape, axes, strict=True) if axis != MAY_BE_NONE)
    if 0 in some:  # an array without entries could claim any size of its other dimensions
        raise ValueError(f"{name} is of shape {value.shape}, which has no entries.")
    shape = tuple(sizes.setdefault(*pair) for pair in zip(axes, value.shape, strict=True))
    if shape != value.shape:
        raise ValueError(f"{name} is of shape {value.shape}, which should be {shape}.")
