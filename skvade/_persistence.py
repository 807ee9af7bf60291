"""Loading what `save` has written: an estimator from plain values and tensors, nothing executed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from skvade import _storage as storage
from skvade._auxiliary import AuxiliaryTaskClassifier
from skvade._dcn import DCNClustering
from skvade._dec import DECClustering, IDECClustering
from skvade._gmvae import GMVAEClustering
from skvade._m2 import M2Clustering
from skvade._m2_classifier import M2Classifier
from skvade._model_file import KIND, fitted_from, parameters_from
from skvade._rebuilding import rebuild
from skvade._vade import VaDEClustering
from skvade._vade_classifier import VaDEClassifier
from skvade.training.runtime import resolve_device

ESTIMATORS = {
    cls.__name__: cls
    for cls in (
        AuxiliaryTaskClassifier,
        DCNClustering,
        DECClustering,
        GMVAEClustering,
        IDECClustering,
        M2Classifier,
        M2Clustering,
        VaDEClassifier,
        VaDEClustering,
    )
}


def load(
    path: str | os.PathLike[str],
    device: str = "auto",
    *,
    encoder: torch.nn.Module | None = None,
    decoder: torch.nn.Module | None = None,
) -> Any:
    """A fitted estimator from a file that its `save` has written.

    Nothing in the file is executed or imported, so that files of others can be loaded: it holds
    tensors and plain values, which are checked before anything is built of them.

    Parameters
    ----------
    path : str or path-like
    device : str, default="auto"
        Where the model is put: "cpu", "cuda", "cuda:<index>" or "mps"; "auto" is the fastest that
        is present.
    encoder, decoder : torch.nn.Module or None, default=None
        Where the model was fitted with networks of your own: modules of the same architecture, of
        which copies take the tensors in the file. They become the parameters of these names.

    Returns
    -------
    estimator
        Of the class, with the parameters and all attributes of the one that was saved. On the same
        machine it gives the same numbers to the last bit.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file is not one of a model, was truncated or altered, or was written by a newer
        version; if it needs an `encoder` or `decoder`, or another than was passed; if the device
        is absent. The message says which.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import VaDEClustering, load
    >>> X, _ = make_blobs(300, centers=3, random_state=0)
    >>> model = VaDEClustering(3, hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "blobs.safetensors")
    ...     model.save(path)
    ...     again = load(path)
    >>> bool((again.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    place = resolve_device(device)
    contents = storage.read(path, KIND)
    given = {"encoder": encoder, "decoder": decoder}
    try:
        cls = _class_named(contents["class"])
        fitted = fitted_from(contents, cls)
        _check_given(contents, fitted, given)
        parameters = {
            **parameters_from(contents, cls),
            **{name: given[name] for name in contents["modules"]},
        }
        module = rebuild(cls, fitted, contents["module"], given)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} cannot be loaded: {error}") from error
    except storage.STRAYS as error:
        raise ValueError(
            f"{os.fspath(path)} was altered: it does not hold what a model needs ({error!r})."
        ) from error
    estimator = cls(**parameters)
    vars(estimator).update(fitted, module_=module.to(place))
    return estimator


def _class_named(name: Any) -> Any:
    if name not in ESTIMATORS:
        raise ValueError(
            f"it is of the class {str(name)[:100]!r}, which is none of {', '.join(ESTIMATORS)}."
        )
    return ESTIMATORS[name]


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
