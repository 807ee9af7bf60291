"""Loading what `save` has written."""

from __future__ import annotations

import os
from typing import Any

import torch

from skvade.estimators.adgm import ADGMClassifier
from skvade.estimators.auxiliary_task import AuxiliaryTaskClassifier
from skvade.estimators.dcn import DCNClustering
from skvade.estimators.dec import DECClustering, IDECClustering
from skvade.estimators.depict import DEPICTClustering
from skvade.estimators.gmvae import GMVAEClustering
from skvade.estimators.m2 import M2Clustering
from skvade.estimators.m2_classifier import M2Classifier
from skvade.estimators.vade import VaDEClustering
from skvade.estimators.vade_classifier import VaDEClassifier
from skvade.persistence.load import load_estimator

ESTIMATORS = {
    cls.__name__: cls
    for cls in (
        ADGMClassifier,
        AuxiliaryTaskClassifier,
        DCNClustering,
        DECClustering,
        DEPICTClustering,
        GMVAEClustering,
        IDECClustering,
        M2Classifier,
        M2Clustering,
        VaDEClassifier,
        VaDEClustering,
    )
}


def load(
    path: str | bytes | os.PathLike[Any],
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
    path : str, bytes or path-like
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
    TypeError
        If the path is none.
    ValueError
        If the path is not that of a regular file; if the file is not one of a model, was truncated
        or altered, or was written by a newer version; if it needs an `encoder` or `decoder`, or
        another than was passed; if the device is absent. The message says which.

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
    return load_estimator(path, device, {"encoder": encoder, "decoder": decoder}, ESTIMATORS)
