"""A fitted module from its tensors: nothing is allocated before they are known to fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from skvade.nn.autoencoder import Autoencoder, Networks
from skvade.nn.draws import Draws
from skvade.nn.networks import GaussianEncoder, make_decoder, make_encoder
from skvade.nn.summary import ModelShape
from skvade.training.batches import Rows

CPU = torch.device("cpu")


class Builder(Protocol):
    """What an estimator offers to whoever builds its module."""

    def _check_parameters(self) -> None:
        """Check every parameter."""

    def _make_networks(self, shape: ModelShape, rows: Rows, seed: int) -> Networks:
        """New networks for rows like these."""

    def _make_model(self, networks: Networks, shape: ModelShape) -> Autoencoder:
        """The model around them."""

    def _n_decoded(self, shape: ModelShape) -> int:
        """Columns of what the decoder takes."""


class WithoutMemory(TorchFunctionMode):
    """New tensors have a shape and no memory, on whatever device they are asked for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if "device" in kwargs:
            kwargs["device"] = "meta"
        with torch.device("meta"):
            return func(*args, **kwargs)


def rebuild(
    cls: Any, fitted: dict[str, Any], state: dict[str, Any], given: Mapping[str, Any]
) -> Any:
    """The module of a fitted estimator.

    Parameters
    ----------
    cls : type
        The estimator's.
    fitted : dict
        Its fitted attributes but for the module.
    state : dict of str to Tensor
        The module's; these tensors become its own.
    given : dict of str to Module
        The encoder and decoder that were supplied, of which copies are made.

    Raises
    ------
    ValueError
        If tensors and attributes do not fit together.
    """
    supplied = {name: given[name] for name in fitted["_supplied"]}
    builder = _make_builder(cls, fitted)
    shape = _shape(fitted, supplied, len(state))
    rows = Rows(np.zeros((2, fitted["_summary"].n_features)), CPU)
    with WithoutMemory():
        networks = builder._make_networks(shape, rows, seed=0)
    generator = torch.Generator()
    with Draws(0)():
        if "encoder" in supplied:
            # Its heads could be of any size in an altered file: one dimension tells their input.
            example = rows.take(slice(0, 2))
            small = make_encoder(supplied["encoder"], example, (), 1, "relu", generator)
            n_hidden = small.mean_head.in_features
            with WithoutMemory():
                heads = GaussianEncoder(small.body, n_hidden, shape.latent_dim, generator)
            heads.filling = networks.encoder.filling
            networks = networks._replace(encoder=heads)
        if "decoder" in supplied:
            sizes = (rows.n_features, (), builder._n_decoded(shape))
            decoder = make_decoder(supplied["decoder"], *sizes, "relu", generator)
            networks = networks._replace(decoder=decoder)
    with WithoutMemory():
        model = builder._make_model(networks, shape)
    _check_tensors(model.state_dict(), state, supplied)
    for name in supplied:  # whose tensors may be tied, and so are copied into
        prefix, body = f"{name}.body.", getattr(model, name).body
        own = [key for key in state if key.startswith(prefix)]
        body.load_state_dict({key.removeprefix(prefix): state.pop(key) for key in own})
    model.load_state_dict(state, strict=False, assign=True)
    return model.eval()


def _make_builder(cls: Any, fitted: dict[str, Any]) -> Builder:
    """An estimator with the parameters that shaped the model, whatever has been set since."""
    names = cls().get_params(deep=False)
    builder = cls(**{name: v for name, v in fitted["_shaped_by"].items() if name in names})
    builder._check_parameters()
    return builder


def _shape(fitted: dict[str, Any], supplied: Any, n_tensors: int) -> ModelShape:
    """What decided the model's tensors, as far as it can be true of so many."""
    n_clusters, latent_dim = fitted["means_"].shape
    if fitted["latent_dim_"] != latent_dim:
        raise ValueError(f"latent_dim_={fitted['latent_dim_']} is not that of its means.")
    sizes = fitted["hidden_layer_sizes_"]
    if not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError("hidden_layer_sizes_ are not the widths of layers.")
    if len(supplied) == 2:
        sizes = (1,)  # of networks that are replaced
    if 2 * len(sizes) > n_tensors:
        raise ValueError("it has fewer tensors than hidden_layer_sizes_ asks for.")
    return ModelShape(
        n_clusters,
        fitted["likelihood_"],
        fitted["_summary"],
        latent_dim=latent_dim,
        hidden_layer_sizes=sizes,
        linear_path=fitted["_linear_path"],
        n_filling=fitted["_n_filling"],
    )


def _check_tensors(expected: dict[str, Any], state: dict[str, Any], supplied: Any) -> None:
    """Both must have the same names, and for each a tensor of the same shape and dtype."""
    lines = [
        f"{name} is {_describe(state.get(name))} in the file and {_describe(expected.get(name))} "
        "in the model"
        for name in [*expected, *(state.keys() - expected.keys())]
        if _describe(state.get(name)) != _describe(expected.get(name))
    ]
    if lines:
        cause = ""
        if supplied:
            names = " and ".join(supplied)
            cause = f"; pass a module with the architecture of the fitted one as {names}"
        more = f", and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise ValueError(f"tensors do not fit: {', '.join(lines[:3])}{more}{cause}."[:1000])


def _describe(tensor: Any) -> str:
    if isinstance(tensor, torch.Tensor):
        return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
    return "absent" if tensor is None else type(tensor).__name__
