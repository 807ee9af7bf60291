"""Random draws of networks that a user supplies, from a generator of ours.

Layers such as dropout draw from torch's global generator, which all threads of a process share. A
dispatch mode, which torch keeps for each thread, sees every operation that draws, and gives it
another generator.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
_lock = threading.Lock()


def _renew() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # a fork while another thread holds it
    os.register_at_fork(after_in_child=_renew)


class Draws:
    """A source of random numbers, one generator for each device.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int):
        self.seed = seed
        self._generators: dict[str, torch.Generator] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Draws:
        """Itself: copies of what draws share the source."""
        return self

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Let what draws inside the block, in this thread, draw from here."""
        with _Redirected(self):
            yield

    def generator(self, device: torch.device) -> torch.Generator:
        """The generator of a device, begun at the seed."""
        name = str(device)
        if name not in self._generators:
            self._generators[name] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[name]

    def state(self) -> dict[str, Tensor]:
        """Where the generators are."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""
        for name, position in state.items():
            self.generator(torch.device(name)).set_state(position.cpu())


class _Redirected(TorchDispatchMode):
    """Gives every operation that draws a generator."""

    def __init__(self, draws: Draws):
        super().__init__()
        self.draws = draws

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        device = _device(args, kwargs)
        if torch.Tag.nondeterministic_seeded not in func.tags or device.type == "meta":
            return func(*args, **kwargs)
        generator = self.draws.generator(device)
        if any(argument.name == "generator" for argument in func._schema.arguments):
            return func(*args, **{**kwargs, "generator": generator})
        if hasattr(func.overloadpacket, "generator"):  # of torch.rand and its like
            return func.overloadpacket.generator(*args, generator=generator, **kwargs)
        if func in WITHOUT_GENERATOR:
            return WITHOUT_GENERATOR[func](generator, *args, **kwargs)
        return _from_the_global(func, generator, args, kwargs)


def _rand_like(generator: torch.Generator, like: Tensor, **kwargs: Any) -> Tensor:
    return torch.empty_like(like, **kwargs).uniform_(generator=generator)


def _randn_like(generator: torch.Generator, like: Tensor, **kwargs: Any) -> Tensor:
    return torch.empty_like(like, **kwargs).normal_(generator=generator)


def _native_dropout(
    generator: torch.Generator, x: Tensor, p: float, train: bool | None
) -> tuple[Tensor, Tensor]:
    if train is False or p == 0:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    kept = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p, generator=generator)
    return x * kept * (0.0 if p == 1 else 1 / (1 - p)), kept


WITHOUT_GENERATOR: dict[Any, Callable[..., Any]] = {
    aten.rand_like.default: _rand_like,
    aten.randn_like.default: _randn_like,
    aten.native_dropout.default: _native_dropout,
}


def _from_the_global(func: Any, generator: torch.Generator, args: Any, kwargs: Any) -> Any:
    """An operation that takes no generator: from the global one, which is put back at once.

    Until then another thread that draws from it gets our numbers; torch leaves no other way.
    """
    device = generator.device
    seed = int(torch.randint(2**31, (), generator=generator, device=device))
    with _lock, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)
        return func(*args, **kwargs)


def _device(args: Any, kwargs: dict[str, Any]) -> torch.device:
    """Where an operation works."""
    tensors = (value for value in args if isinstance(value, Tensor))
    first = next(tensors, None)
    if first is not None:
        return first.device
    return torch.device(kwargs.get("device") or "cpu")
