"""Encoders and decoders: multilayer perceptrons, or wrappers around modules a user supplies."""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skvade.nn.dense import dense
from skvade.nn.filling import Filling
from skvade.nn.layers import Layers, Noise, Perceptron, body_layers, unchanged
from skvade.nn.linear_path import BesideComponents, BesideLinear, LinearPath

ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

LOG_VARIANCE_RANGE = (-12.0, 6.0)


def make_activation(name: str) -> nn.Module:
    """A new layer; where the gradient follows from the output, the input is overwritten."""
    in_place = {"inplace": True} if name in ("relu", "leaky_relu", "elu") else {}
    return ACTIVATIONS[name](**in_place)


def multilayer_perceptron(
    sizes: Sequence[int], activation: str, generator: torch.Generator, n_out: int | None = None
) -> Perceptron:
    """Dense layers of the given sizes, each followed by the activation; one to `n_out` without."""
    layers: list[nn.Module] = []
    for n_from, n_to in itertools.pairwise(sizes):
        layers += [dense(n_from, n_to, generator), make_activation(activation)]
    if n_out is not None:
        layers.append(dense(sizes[-1], n_out, generator))
    return Perceptron(*layers)


class GaussianEncoder(nn.Module):
    """q(z|x) = N(m(x), diag s2(x)): a body of any shape and two linear heads.

    Parameters
    ----------
    body : Module
        Maps (n_samples, n_features) to (n_samples, n_hidden).
    n_hidden, latent_dim : int
    generator : torch.Generator
        Source of the heads' initial weights.

    Attributes
    ----------
    filling : Filling or None
        What the body sees where a value is missing.
    """

    filling: Filling | None

    def __init__(self, body: nn.Module, n_hidden: int, latent_dim: int, generator: torch.Generator):
        super().__init__()
        self.body = body
        self.filling = None
        self.mean_head = dense(n_hidden, latent_dim, generator)
        self.log_variance_head = dense(n_hidden, latent_dim, generator)
        nn.init.zeros_(self.log_variance_head.weight)

    def hidden(self, x: Tensor) -> Tensor:
        """The body's features, of shape (n_samples, n_hidden)."""
        return self.body(x)

    def layers(self, x: Tensor, noise: Noise = unchanged) -> Layers:
        """The same with what leads to it; noise is added to x and to every layer."""
        return body_layers(self.body, noise(x), noise)

    def mean(self, hidden: Tensor) -> Tensor:
        """m(x), of shape (n_samples, latent_dim)."""
        return self.mean_head(self._full(hidden))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """m(x) and log s2(x), each of shape (n_samples, latent_dim)."""
        hidden = self._full(hidden)
        return self.mean_head(hidden), self.log_variance_head(hidden).clamp(*LOG_VARIANCE_RANGE)

    def _full(self, hidden: Tensor) -> Tensor:
        # The heads keep full precision: codes rounded to eight bits would blur the clusters.
        return hidden.to(self.mean_head.weight.dtype)

    @torch.no_grad()
    def rescale_(self, factor: float) -> None:
        """Divide every code by `factor`, exactly, by folding it into the mean head."""
        self.mean_head.weight.div_(factor)
        self.mean_head.bias.div_(factor)

    @torch.no_grad()
    def set_log_variance_(self, log_variance: Tensor) -> None:
        """Make log s2(x) the constant `log_variance` of shape (latent_dim,)."""
        self.log_variance_head.weight.zero_()
        self.log_variance_head.bias.copy_(log_variance)


class Decoder(nn.Module):
    """f(z): a body of any shape behind a scale of the latent space."""

    latent_scale: Tensor

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body
        self.register_buffer("latent_scale", torch.ones(()))

    def forward(self, z: Tensor) -> Tensor:
        """Natural parameters of p(x|z), of shape (n_samples, n_features)."""
        return self.body(z * self.latent_scale)

    def layers(self, z: Tensor) -> Layers:
        """The same with what leads to it."""
        return body_layers(self.body, z * self.latent_scale)

    def rescale_(self, factor: float) -> None:
        """Undo a division of every code by `factor`."""
        self.latent_scale *= factor

    def first_layers(self) -> list[nn.Linear]:
        """The dense layers that read codes, if all that read them are dense; else none."""
        parts: list[nn.Module | None] = [self.body]
        if isinstance(self.body, BesideLinear):
            parts = [self.body.perceptron, self.body.path]
        first = [part[0] if isinstance(part, nn.Sequential) else part for part in parts]
        present = [layer for layer in first if layer is not None]
        dense_layers = [layer for layer in present if isinstance(layer, nn.Linear)]
        return dense_layers if len(dense_layers) == len(present) else []


@torch.no_grad()
def start_linear_paths_(
    encoder: GaussianEncoder,
    decoder: Decoder,
    mean: Tensor,
    axes: Tensor,
    bias: Tensor,
    gain: Tensor | float,
) -> None:
    """Let codes be principal components, and be decoded linearly; nothing without such paths.

    Parameters
    ----------
    encoder : GaussianEncoder
    decoder : Decoder
    mean : Tensor of shape (n_features,)
        a, of what the encoder sees.
    axes : Tensor of shape (n_features, n_components)
        V, orthonormal; the first `latent_dim` are used, and dimensions beyond them are zero.
    bias : Tensor of shape (n_features,)
        b.
    gain : Tensor of shape (n_features,) or float
        U is V, each row times this.
    """
    source, target = encoder.body, decoder.body
    if isinstance(source, BesideComponents):
        path, head = source.path, encoder.mean_head
        n_used = min(axes.shape[1], path.out_features)
        path.weight[:n_used] = axes.T[:n_used].to(path.weight)
        path.bias.copy_(-(path.weight @ mean.to(path.weight)))
        nn.init.zeros_(head.weight)
        head.weight[:, -path.out_features :].fill_diagonal_(1.0)
    if isinstance(target, BesideLinear):
        back = target.path
        n_used = min(axes.shape[1], encoder.mean_head.out_features)
        gains = torch.as_tensor(gain).to(back.weight).reshape(-1, 1)
        back.weight[:, :n_used] = gains * axes[:, :n_used].to(back.weight)
        back.bias.copy_(bias)
        if target.perceptron is not None:
            for parameter in target.perceptron[-1].parameters():
                nn.init.zeros_(parameter)


def make_encoder(
    template: nn.Module | None,
    example: Tensor,
    hidden_layer_sizes: Sequence[int],
    latent_dim: int,
    activation: str,
    generator: torch.Generator,
    linear_path: bool = False,
) -> GaussianEncoder:
    """An encoder for rows like `example`, around a copy of the template or a new perceptron.

    Raises
    ------
    ValueError
        If the template cannot take `example` to an output of shape (n_samples, n_hidden).
    """
    n_rows, n_features = example.shape
    if template is None:
        sizes = (n_features, *hidden_layer_sizes)
        perceptron = multilayer_perceptron(sizes, activation, generator)
        if not linear_path:
            return GaussianEncoder(perceptron, sizes[-1], latent_dim, generator)
        n_hidden = sizes[-1] if hidden_layer_sizes else 0
        path = LinearPath(n_features, latent_dim)
        beside = BesideComponents(perceptron if n_hidden else None, path)
        return GaussianEncoder(beside, n_hidden + latent_dim, latent_dim, generator)
    body = _own_copy("encoder", template)
    output = _probe("encoder", body, example)
    if output.ndim != 2 or len(output) != n_rows:
        raise ValueError(
            f"encoder takes an input of shape {tuple(example.shape)} to {tuple(output.shape)}; "
            f"expected ({n_rows}, n_hidden). End it with torch.nn.Flatten()."
        )
    return GaussianEncoder(body, output.shape[1], latent_dim, generator)


def make_decoder(
    template: nn.Module | None,
    n_features: int,
    hidden_layer_sizes: Sequence[int],
    latent_dim: int,
    activation: str,
    generator: torch.Generator,
    linear_path: bool = False,
) -> Decoder:
    """A decoder to `n_features`, around a copy of the template or the mirrored perceptron.

    Raises
    ------
    ValueError
        If the template cannot take (n_samples, latent_dim) to (n_samples, n_features).
    """
    if template is None:
        sizes = (latent_dim, *reversed(hidden_layer_sizes))
        perceptron = multilayer_perceptron(sizes, activation, generator, n_features)
        if not linear_path:
            return Decoder(perceptron)
        path = LinearPath(latent_dim, n_features)
        return Decoder(BesideLinear(perceptron if hidden_layer_sizes else None, path))
    body = _own_copy("decoder", template)
    codes = example_codes(2, latent_dim)
    output = _probe("decoder", body, codes)
    if output.shape != (2, n_features):
        raise ValueError(
            f"decoder takes codes of shape {tuple(codes.shape)} to {tuple(output.shape)}; "
            f"expected (2, {n_features}), one output per feature of X."
        )
    return Decoder(body)


def copied(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """A deep copy, also of modules that keep tensors of their last pass.

    Such tensors have a graph, and torch copies none that has. The dozen tables of hooks of each
    module, empty as a rule, are most of what `copy.deepcopy` would spend its time on.
    """
    memo = {} if memo is None else memo
    for part in value.modules() if isinstance(value, nn.Module) else ():
        for kept in vars(part).values():
            if isinstance(kept, Tensor) and not kept.is_leaf:
                memo[id(kept)] = kept.detach().clone()
            elif type(kept) in (dict, OrderedDict) and not kept:
                memo[id(kept)] = type(kept)()
    return copy.deepcopy(value, memo)


def example_codes(n_rows: int, latent_dim: int) -> Tensor:
    """Standard normal codes, always the same, of shape (n_rows, latent_dim)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n_rows, latent_dim, generator=generator, dtype=torch.float32)


def unpicklable(module: nn.Module) -> str:
    """What torch does not pickle of a module: parametrizations, or scripts; empty if it does."""
    parts = list(module.modules())
    if any(nn.utils.parametrize.is_parametrized(part) for part in parts):
        return "parametrizations"
    return "scripts" if any(isinstance(part, torch.jit.ScriptModule) for part in parts) else ""


def try_training(name: str, body: nn.Module, example: Tensor) -> None:
    """Run a copy of the body in training mode on as few rows as a batch has.

    Raises
    ------
    ValueError
        If it fails, as batch normalisation does on a single row, or returns what is not finite.
    """
    n_rows = len(example)
    try:
        output = copied(body).train()(example)
    except Exception as error:
        raise ValueError(
            f"{name} fails in training, on a batch of {n_rows} row(s): {error}. Mend it; where it "
            "needs more rows, raise batch_size (with neighbours, half of a batch are rows)."
        ) from error
    _check_finite(name, output, "in training")


def _own_copy(name: str, template: nn.Module) -> nn.Module:
    """A copy of a template that can be trained, on the CPU and in float32."""
    parameters = [p for p in template.parameters() if not nn.parameter.is_lazy(p)]
    if any(tensor.is_meta for tensor in (*parameters, *template.buffers())):
        raise ValueError(
            f"{name} has tensors on the device 'meta', which hold no numbers; build it on the CPU, "
            "or give it memory by to_empty and initialise it."
        )
    if any(parameter.is_complex() for parameter in parameters):
        raise ValueError(
            f"{name} has complex parameters, which are not trained here; use pairs of real ones."
        )
    try:
        return copied(template).cpu().float()
    except Exception as error:
        raise ValueError(
            f"{name} cannot be copied ({error}), and each fit trains a copy; keep locks, files and "
            "generators out of it, and run lazy layers once on a few rows before."
        ) from error


def _check_finite(name: str, output: Any, when: str) -> None:
    if isinstance(output, Tensor) and not output.isfinite().all():
        raise ValueError(
            f"{name} returns values that are not finite {when}; mend it, or standardise the data."
        )


@torch.no_grad()
def _probe(name: str, body: nn.Module, example: Tensor) -> Tensor:
    was_training = body.training
    body.eval()
    try:
        output = body(example)
    except Exception as error:
        columns = "n_features" if name == "encoder" else "n_codes"
        raise ValueError(
            f"{name} fails on an input of shape {tuple(example.shape)}, (n_samples, {columns}): "
            f"{error}. Build it for rows of {example.shape[1]} columns; where it needs images, let "
            "it begin with torch.nn.Unflatten."
        ) from error
    finally:
        body.train(was_training)
    if not isinstance(output, Tensor):
        raise ValueError(f"{name} must return one tensor, got {type(output).__name__}.")
    _check_finite(name, output, "for the first rows" if name == "encoder" else "for usual codes")
    return output
