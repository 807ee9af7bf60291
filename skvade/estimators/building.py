"""How an estimator's networks come about: their sizes, their start, and the user's own."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

import torch

from skvade.estimators.sizes import auto_hidden_layer_sizes, auto_latent_dim
from skvade.nn.autoencoder import Autoencoder, Networks
from skvade.nn.filling import Filling
from skvade.nn.mixed import FAMILIES
from skvade.nn.networks import (
    example_codes,
    make_decoder,
    make_encoder,
    start_linear_paths_,
    try_training,
)
from skvade.nn.summary import ModelShape
from skvade.training.batches import Rows
from skvade.training.neighbours import Components


class BuildingMixin(ABC):
    """Networks of a shape, for the model that a subclass makes of them."""

    @abstractmethod
    def _make_model(self, networks: Networks, shape: ModelShape) -> Autoencoder:
        """Build the model around the given networks and likelihood."""

    def _n_decoded(self, shape: ModelShape) -> int:
        """Columns of what the decoder takes."""
        return shape.latent_dim

    def _make_networks(self, shape: ModelShape, rows: Rows, seed: int) -> Networks:
        generator = torch.Generator().manual_seed(seed)
        likelihood = FAMILIES[shape.likelihood](shape.summary)
        sizes = shape.hidden_layer_sizes
        shared = (self.activation, generator, shape.linear_path)
        example = rows.take(slice(0, 2)).cpu().nan_to_num()  # of its shape is what encoders see
        n_decoded = self._n_decoded(shape)
        encoder = make_encoder(self.encoder, example, sizes, shape.latent_dim, *shared)
        if shape.n_filling is not None:
            encoder.filling = Filling(rows.n_features, shape.n_filling)
        return Networks(
            encoder,
            make_decoder(self.decoder, rows.n_features, sizes, n_decoded, *shared),
            likelihood,
        )

    def _start_at_components(self, networks: Networks, components: Components | None) -> None:
        if components is not None:
            mean, axes = components.mean.cpu(), components.axes.cpu()
            start = networks.likelihood.linear_start(mean)
            start_linear_paths_(networks.encoder, networks.decoder, mean, axes, *start)
            networks.encoder.filling = copy.deepcopy(components.filling).cpu()

    def _check_trainable(
        self, networks: Networks, shape: ModelShape, rows: Rows, n_rows: int
    ) -> None:
        """Try networks of the user's own on a batch as small as training has."""
        n_rows = min(n_rows, len(rows))
        view = networks.likelihood.encoder_input(rows.take(slice(0, n_rows)).cpu().nan_to_num())
        if self.encoder is not None:
            try_training("encoder", networks.encoder.body, view)
        if self.decoder is not None:
            codes = example_codes(n_rows, self._n_decoded(shape))
            try_training("decoder", networks.decoder.body, codes)

    def _sizes(self, components: Components | None, small: bool) -> dict[str, Any]:
        """What networks and codes the data get, as `ModelShape` has it."""
        own = self.encoder is not None or self.decoder is not None
        latent_dim, sizes = self.latent_dim, self.hidden_layer_sizes
        if isinstance(latent_dim, str):
            latent_dim = auto_latent_dim(components, small)
        if isinstance(sizes, str):
            sizes = auto_hidden_layer_sizes(small)
        return {
            "latent_dim": int(latent_dim),
            "hidden_layer_sizes": tuple(int(size) for size in sizes),
            "linear_path": bool(self.linear_path) and not own,
            "n_filling": 0 if components is None else components.filling.loadings.shape[1],
        }

    def _fitted_sizes(self) -> dict[str, Any]:
        """Those of the earlier fit that a warm start goes on with."""
        return {
            "latent_dim": self.latent_dim_,
            "hidden_layer_sizes": self.hidden_layer_sizes_,
            "linear_path": self._linear_path,
            "n_filling": self._n_filling,
        }

    def _shape_parameters(self) -> dict[str, Any]:
        blocks = (cls.__dict__.get("_shaping", ()) for cls in type(self).__mro__)
        shape = {name: getattr(self, name) for names in blocks for name in names}
        sizes = self.hidden_layer_sizes
        return {**shape, "hidden_layer_sizes": sizes if isinstance(sizes, str) else tuple(sizes)}
