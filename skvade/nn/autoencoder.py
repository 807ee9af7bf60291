"""What every model here is built on: an encoder, a decoder and a likelihood."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skvade.nn.dense import Dense
from skvade.nn.draws import Draws
from skvade.nn.filling import N_DRAWS, Filling
from skvade.nn.layers import Layered, Layers, Noise, unchanged
from skvade.nn.likelihoods import Likelihood
from skvade.nn.networks import Decoder, GaussianEncoder

LAYERS = (Dense, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Networks(NamedTuple):
    """What every model is built of.

    Attributes
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
    likelihood : Likelihood
    """

    encoder: GaussianEncoder
    decoder: Decoder
    likelihood: Likelihood


class Encoding(NamedTuple):
    """What one pass of the encoder gives.

    Attributes
    ----------
    code : Tensor of shape (n_samples, latent_dim)
        m(x).
    log_variance : Tensor of shape (n_samples, latent_dim)
        log s2(x).
    hidden : Tensor of shape (n_samples, n_hidden)
        The body's features, of which further heads may make something.
    """

    code: Tensor
    log_variance: Tensor
    hidden: Tensor


class Autoencoder(nn.Module, ABC):
    """Codes of rows, rows of codes, and K clusters among the codes.

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
    likelihood : Likelihood

    Attributes
    ----------
    compute_dtype : torch.dtype or None
        Precision in which the two networks are multiplied; None for that of the parameters.
        Densities always keep the precision of the parameters.
    draws : Draws or None
        From which the two networks draw, if they do; None for torch's own generator.
    """

    def __init__(self, encoder: GaussianEncoder, decoder: Decoder, likelihood: Likelihood):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.compute_dtype: torch.dtype | None = None
        self.draws: Draws | None = None

    @abstractmethod
    def category_logits(self, encoding: Encoding) -> Tensor:
        """log q(c|x) up to a constant of each row, of shape (n_samples, n_clusters)."""

    def tailed_logits(self, code: Tensor) -> Tensor:
        """The same with heavy tails, of a code alone, in models whose clusters have such.

        They grow with the logarithm of a code's distance from the clusters, not with its square.
        """
        raise NotImplementedError

    @abstractmethod
    def take_partition_(self, codes: Tensor, labels: Tensor) -> None:
        """Start the clusters at a partition of the codes, whose pooled std within is one."""

    @abstractmethod
    def permute_(self, order: Tensor) -> None:
        """Reorder the clusters: the new cluster i is the old cluster order[i]."""

    @abstractmethod
    def centers(self) -> Tensor:
        """The clusters' places among the codes, of shape (n_clusters, latent_dim)."""

    def view(self, x: Tensor) -> Tensor:
        """What the encoder sees of x, holes filled; same shape."""
        view, filling = self.likelihood.encoder_input(x), self.encoder.filling
        return view if filling is None or not self.likelihood.misses(x) else filling(view)

    def code(self, x: Tensor) -> Tensor:
        """The mean code m(x): (n_samples, n_features) to (n_samples, latent_dim)."""
        return self.code_of(self.view(x))

    def code_of(self, view: Tensor) -> Tensor:
        """The mean code of what the encoder sees; shapes as in `code`."""
        return self.encoder.mean(self._hidden(view))

    def encode(self, x: Tensor) -> Encoding:
        """Everything that one pass of the encoder gives."""
        return self._encode(self.view(x))

    def _encode(self, view: Tensor) -> Encoding:
        hidden = self._hidden(view)
        code, log_variance = self.encoder(hidden)
        return Encoding(code, log_variance, hidden)

    @property
    def has_layers(self) -> bool:
        """Whether both networks tell their layers, as those of ours do."""
        return isinstance(self.encoder.body, Layered) and isinstance(self.decoder.body, Layered)

    def encode_through(self, view: Tensor, noise: Noise = unchanged) -> tuple[Encoding, Layers]:
        """The encoding of what the encoder sees, and the layers that lead to it."""
        with self._surroundings(view):
            layers = self.encoder.layers(view, noise)
        code, log_variance = self.encoder(layers.output)
        return Encoding(code, log_variance, layers.output), layers

    def decode_through(self, encoding: Encoding) -> Layers:
        """The likelihood's parameters for an encoding without draws, and what leads to them."""
        seen = self.decoded_from(encoding)
        with self._surroundings(seen):
            hidden, outputs = self.decoder.layers(seen)
        return Layers(hidden, outputs.to(seen.dtype))

    def decoded_from(self, encoding: Encoding) -> Tensor:
        """What the decoder sees of an encoding, without draws."""
        return encoding.code

    def decode(self, z: Tensor) -> Tensor:
        """The likelihood's parameters f(z): (..., latent_dim) to (..., n_features)."""
        flat = z.reshape(-1, z.shape[-1])
        with self._surroundings(z):
            outputs = self.decoder(flat)
        return outputs.to(z.dtype).view(*z.shape[:-1], -1)

    def reconstruct(self, code: Tensor) -> Tensor:
        """The likelihood's parameters for a code, as a plain autoencoder has them."""
        return self.decode(code)

    def expected_rows(self, x: Tensor) -> Tensor:
        """E[x|z] at each row's own code, holes included; same shape as x."""
        return self.likelihood.expectation(x, self.decode(self.decoded_from(self.encode(x))))

    def embed(self, x: Tensor) -> Tensor:
        """What `transform` gives: the code."""
        return self.code(x)

    def expect(self, z: Tensor) -> Tensor:
        """E[x|z], what `inverse_transform` gives: (n_samples, latent_dim) to rows."""
        return self.likelihood.mean(self.decode(z))

    def statistics(self) -> dict[str, Tensor]:
        """What is known of the clusters, by the names of fitted attributes."""
        return {"means": self.centers()}

    def decode_centers(self) -> Tensor:
        """The likelihood's parameters at the middle of each cluster: (n_clusters, n_features)."""
        return self.decode(self.centers())

    def assign(self, x: Tensor) -> Tensor:
        """q(c|x), of shape (n_samples, n_clusters); of rows with holes E[q(c|x)], by draws."""
        filling = self.encoder.filling
        if filling is None or not self.likelihood.misses(x):
            return self.memberships_of(self.view(x))
        if filling.in_graph:
            return self._expected_memberships(x, filling)
        (holed,) = x.isnan().any(1).nonzero(as_tuple=True)
        drawn = self._expected_memberships(x[holed], filling)
        return self.memberships_of(self.view(x)).index_copy(0, holed, drawn)

    def _expected_memberships(self, x: Tensor, filling: Filling) -> Tensor:
        view, which = self.likelihood.encoder_input(x), self.likelihood.are_drawn
        of_columns = None if which is None else torch.tensor(which, device=x.device)
        drawn = [self.memberships_of(v) for v in filling.draws(view, of_columns)]
        while len(drawn) > 1:  # in pairs: equal ones have themselves for a mean, to the last bit
            drawn = [one + other for one, other in zip(drawn[::2], drawn[1::2], strict=True)]
        return drawn[0] / N_DRAWS

    def memberships_of(self, view: Tensor) -> Tensor:
        """q(c|x) of what the encoder sees, of shape (n_samples, n_clusters)."""
        return self.category_logits(self._encode(view)).softmax(-1)

    def row_bytes(self, n_features: int) -> int:
        """Room for what a row takes in a pass, generously.

        That is the activations of networks a few times as wide as the data, and what there is of
        every cluster in every latent dimension.
        """
        return 8 * (max(4096, 4 * n_features) + 4 * self.centers().numel())

    def product_weights(self) -> list[nn.Parameter]:
        """Weights of dense and convolutional layers, of which `compute_dtype` speaks.

        Those that a hook makes of others, as spectral normalisation does, are left out.
        """
        bodies = (self.encoder.body, self.decoder.body)
        layers = [layer for body in bodies for layer in body.modules() if type(layer) in LAYERS]
        plain = [layer for layer in layers if not layer._forward_pre_hooks]
        return [parameter for layer in plain for parameter in layer.parameters(recurse=False)]

    @torch.no_grad()
    def rescale_latent_(self, factor: float) -> None:
        """Divide the latent space by `factor` without changing what is reconstructed."""
        self.encoder.rescale_(factor)
        self.decoder.rescale_(factor)

    def _hidden(self, view: Tensor) -> Tensor:
        with self._surroundings(view):
            return self.encoder.hidden(view)

    @contextmanager
    def _surroundings(self, x: Tensor) -> Iterator[None]:
        """The precision in which networks are multiplied, and where they draw from."""
        dtype = self.compute_dtype
        precision = nullcontext() if dtype is None else torch.autocast(x.device.type, dtype=dtype)
        with precision, nullcontext() if self.draws is None else self.draws():
            yield


def draw(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """z = m + s * noise, the reparametrised draw of N(m, diag s2); all (n_samples, latent_dim)."""
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + (0.5 * log_variance).exp() * noise


def entropy(log_variance: Tensor) -> Tensor:
    """H[N(m, diag s2)] = 1/2 sum_l (1 + log 2 pi + log s2_l): (..., L) to (...)."""
    return 0.5 * (1 + math.log(2 * math.pi) + log_variance).sum(-1)
