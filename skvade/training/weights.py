"""The parameters that a phase learns, and copies of them in the precision of the products."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Weights:
    """What the optimiser moves, and what the model multiplies with.

    Casting every weight in every step, and every gradient back, costs about as much as a third of
    the products. So those of `low` are held by the model in `dtype` while a phase lasts, and Adam
    moves float32 masters of them. Without a dtype the model's parameters are the masters.

    Parameters
    ----------
    model : Module
    parameters : list of Parameter
        What is learned.
    low : iterable of Parameter
        Those that the model needs for products only.
    dtype : torch.dtype or None

    Attributes
    ----------
    masters : list of Tensor
        In the order of `parameters`, with their gradients after `collect_gradients`.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        low: Iterable[nn.Parameter] = (),
        dtype: torch.dtype | None = None,
    ):
        self.model = model
        self._parameters = parameters
        chosen = set(low) if dtype is not None else set()
        self._masters = {p: p.detach().clone() for p in parameters if p in chosen}
        self.masters = [self._masters.get(p, p) for p in parameters]
        for copy, master in self._masters.items():
            copy.data = master.to(dtype)
            copy.grad = None

    def clear_gradients(self) -> None:
        """Forget the gradients of the step before."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def collect_gradients(self, max_norm: float) -> None:
        """Give the masters the gradients of their copies, shortened to at most `max_norm`."""
        for copy, master in self._masters.items():
            if copy.grad is None or master.grad is None:
                master.grad = None if copy.grad is None else copy.grad.to(master.dtype)
            else:
                master.grad.copy_(copy.grad)  # memory that is touched anew costs page faults
        gradients = [master.grad for master in self.masters if master.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
        share = (max_norm / (torch.linalg.vector_norm(norms) + 1e-6)).clamp(max=1.0)
        # Asking a GPU for the share would make it wait; a CPU can save the pass over memory.
        if share.device.type != "cpu" or share != 1:
            for gradient in gradients:
                gradient.mul_(share)

    @torch.no_grad()
    def publish(self) -> None:
        """Let the copies follow their masters."""
        for copy, master in self._masters.items():
            copy.copy_(master)

    def state(self) -> dict[str, Tensor]:
        """A copy of the model's state, in full precision."""
        return {name: self._full(t).detach().clone() for name, t in self._named().items()}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self.model.load_state_dict(state)
        for name, tensor in self._named().items():
            self._full(tensor).copy_(state[name])

    def close(self) -> None:
        """Give the model its masters for good."""
        for copy, master in self._masters.items():
            copy.grad = None
            copy.data = master
            master.grad = None
        self.clear_gradients()
        self._masters = {}

    def _named(self) -> dict[str, Tensor]:
        return self.model.state_dict(keep_vars=True)

    def _full(self, tensor: Tensor) -> Tensor:
        return self._masters.get(tensor, tensor)
