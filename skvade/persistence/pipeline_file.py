"""Pipelines as plain values: steps of scikit-learn's, from a fixed list, around a model of ours.

A transformer is stored as the name of its class and the values of its attributes, and built again
without its code being asked: whatever else a file says is refused.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import sklearn
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline
from torch.nn import Module

from skvade.persistence import container
from skvade.persistence.model_file import contents_of

PREPROCESSING = (
    *("Binarizer", "KBinsDiscretizer", "MaxAbsScaler", "MinMaxScaler", "Normalizer"),
    *("OneHotEncoder", "OrdinalEncoder", "PolynomialFeatures", "PowerTransformer"),
    *("QuantileTransformer", "RobustScaler", "StandardScaler"),
    "FunctionTransformer",  # without a function, as ColumnTransformer has it for what passes
)
MODULES = {
    "sklearn.preprocessing": PREPROCESSING,
    "sklearn.decomposition": ("PCA", "TruncatedSVD"),
    "sklearn.impute": ("KNNImputer", "MissingIndicator", "SimpleImputer"),
    "sklearn.feature_selection": ("VarianceThreshold",),
    "sklearn.feature_extraction.text": ("TfidfTransformer",),
    "sklearn.compose": ("ColumnTransformer",),
    "sklearn.pipeline": ("FeatureUnion", "Pipeline"),
}
KNOWN = {name: module for module, names in MODULES.items() for name in names}
PIPELINE = "Pipeline"
TYPES = ("float64", "float32", "float16", "int64", "int32", "int8", "uint8", "bool", "object")
LEFT_OUT = ("_metadata_request",)


def write_pipeline(pipeline: Pipeline, path: Any) -> None:
    """Write a fitted pipeline that ends in a model of ours."""
    contents = {"class": PIPELINE, "sklearn": sklearn.__version__, **_encoded(pipeline, PIPELINE)}
    container.write(path, "model", contents)


def _encoded(value: Any, place: str) -> Any:
    """The value as the container stores it; what is none of these it refuses itself."""
    name = type(value).__name__
    if type(value).__module__.startswith("skvade.") and hasattr(value, "module_"):
        return {"kind": "model", "model": contents_of(value)}
    if name in KNOWN and type(value) is _class_of(name):
        state = {n: v for n, v in vars(value).items() if n not in LEFT_OUT}
        if state.get("memory") is not None:
            raise TypeError(
                f"{place} has a memory, whose files hold code; set_params(memory=None) before."
            )
        whole = {n: _encoded(v, f"{place}.{n}") for n, v in state.items()}
        return {"kind": "estimator", "name": name, "state": whole}
    if type(value).__module__.startswith("pandas") and getattr(value, "ndim", 0) == 1:
        return _encoded(value.tolist(), place)  # an Index of columns
    if isinstance(value, list | tuple):
        items = [_encoded(item, f"{place}.{number}") for number, item in enumerate(value)]
        return {"kind": type(value).__name__, "items": items}
    if isinstance(value, dict):
        parts = [_encoded(list(part), place) for part in (value.keys(), value.values())]
        return {"kind": "dict", "keys": parts[0], "values": parts[1]}
    if isinstance(value, slice):
        return {"kind": "slice", "items": [value.start, value.stop, value.step]}
    if isinstance(value, np.dtype) and value.name in TYPES:
        return {"kind": "dtype", "name": value.name}
    if isinstance(value, type) and value.__name__ in TYPES and value is _type(value.__name__):
        return {"kind": "type", "name": value.__name__}
    if sp.issparse(value) and value.format in ("csr", "dia"):
        diagonal = value.tocsr().diagonal()
        if (value.tocsr() - sp.diags_array(diagonal, format="csr")).nnz == 0:
            return {"kind": "diagonal", "values": diagonal}
    if isinstance(value, np.ndarray) and value.dtype == object:
        items = [_encoded(item, place) for item in value.ravel().tolist()]
        return {"kind": "objects", "shape": list(value.shape), "items": items}
    if isinstance(value, np.ndarray) and value.flags.f_contiguous and not value.flags.c_contiguous:
        return {"kind": "transposed", "value": value.T}  # products depend on the order in memory
    try:
        container.check(value, place)
    except TypeError as error:
        raise TypeError(
            f"{place} is a {type(value).__module__}.{name}, which a file without code cannot hold; "
            "pass a number, a string or a list there, or save the last step alone. Steps may be "
            f"{', '.join(sorted(KNOWN))}."
        ) from error
    return {"kind": "value", "value": value}


def pipeline_from(
    contents: dict[str, Any], load_model: Callable[[Mapping[str, Any]], Any]
) -> Pipeline:
    """The pipeline of a file's contents, whose models `load_model` makes.

    Raises
    ------
    ValueError
        If the contents are not those of a pipeline.
    """
    if contents["sklearn"] != sklearn.__version__:
        warnings.warn(
            InconsistentVersionWarning(
                estimator_name=PIPELINE,
                current_sklearn_version=sklearn.__version__,
                original_sklearn_version=str(contents["sklearn"])[:40],
            ),
            stacklevel=4,
        )
    pipeline = _decoded(contents, load_model)
    steps = getattr(pipeline, "steps", [])
    pairs = all(type(s) is tuple and len(s) == 2 and type(s[0]) is str for s in steps)
    ends = bool(steps) and pairs and isinstance(getattr(steps[-1][1], "module_", None), Module)
    if type(pipeline) is not Pipeline or not ends or type(steps[-1][1]).__name__ in KNOWN:
        raise ValueError("its steps are no pairs of names and steps that end in a model.")
    return pipeline


def _decoded(node: Any, load_model: Callable[[Mapping[str, Any]], Any]) -> Any:
    kind = node["kind"]
    if kind == "value":
        return node["value"]
    if kind == "transposed":
        return node["value"].T
    if kind == "model":
        return load_model(node["model"])
    if kind == "estimator":
        return _estimator(node["name"], node["state"], load_model)
    if kind in ("dtype", "type"):
        if node["name"] not in TYPES:
            raise ValueError(f"it has a type {str(node['name'])[:40]!r}, which is none of numpy's.")
        return np.dtype(node["name"]) if kind == "dtype" else _type(node["name"])
    if kind == "dict":
        keys, values = (_decoded(node[part], load_model) for part in ("keys", "values"))
        return dict(zip(keys, values, strict=True))
    if kind == "slice":
        return slice(*node["items"])
    if kind == "diagonal":
        return sp.diags_array(node["values"], format="csr")
    items = [_decoded(item, load_model) for item in node["items"]]
    if kind == "objects":
        array = np.empty(len(items), object)
        array[:] = items
        return array.reshape(node["shape"])
    if kind not in ("list", "tuple"):
        raise ValueError(f"it has a value of a kind {str(kind)[:40]!r}, which is not known.")
    return items if kind == "list" else tuple(items)


def _estimator(name: Any, state: Any, load_model: Callable[[Mapping[str, Any]], Any]) -> Any:
    """One of the list, with these attributes; none of its code is run."""
    if name not in KNOWN:
        raise ValueError(f"it has a step of the class {str(name)[:100]!r}, which is not known.")
    cls = _class_of(name)
    attributes = {n: _decoded(v, load_model) for n, v in state.items()}
    if attributes.get("memory") is not None:
        raise ValueError(f"its {name} has a memory, whose files could hold code.")
    missing = {parameter for parameter in cls._get_param_names() if parameter not in attributes}
    if missing:
        raise ValueError(f"its {name} has no {', '.join(sorted(missing))}.")
    for attribute in attributes:
        if not attribute.isidentifier() or attribute.startswith("__") or hasattr(cls, attribute):
            raise ValueError(f"its {name} has an attribute {attribute[:100]!r}, which none has.")
    estimator = cls.__new__(cls)
    vars(estimator).update(attributes)
    return estimator


def _class_of(name: str) -> Any:
    return getattr(importlib.import_module(KNOWN[name]), name)


def _type(name: str) -> Any:
    return {"bool": bool, "object": object}.get(name) or getattr(np, name)
