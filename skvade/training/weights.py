"""The parameters that a phase learns, as one vector, and copies in the precision of products."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from skvade.training.peers import ALONE, Peers


class Weights:
    """What the optimiser moves, and what the model multiplies with.

    The optimiser moves one float32 vector, so that its step is a few passes over memory instead of
    several calls for each parameter. Casting every weight in every step, and every gradient back,
    costs about as much as a third of the products; so the model holds those of `low` in `dtype`
    while a phase lasts. Its other parameters are parts of the vector itself.

    Of several processes each moves a part of the vector, and takes the others' from them: the same
    bytes as for the gradient of all, and a share of the passes over memory (ZeRO's first stage;
    Rajbhandari, Rasley, Ruwase, He 2020, arXiv:1910.02054).

    Parameters
    ----------
    model : Module
    parameters : list of Parameter
        What is learned, all on one device; those that need no gradient are left alone.
    low : iterable of Parameter
        Those that the model needs for products only.
    dtype : torch.dtype or None
        None leaves all in float32.
    peers : Peers

    Attributes
    ----------
    master : Tensor of shape (n_entries,)
        Every learned parameter in full precision.
    own : Tensor of shape (n_own,)
        The part of it that this process moves, with its gradient after `collect_gradients`.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Sequence[nn.Parameter],
        low: Iterable[nn.Parameter] = (),
        dtype: torch.dtype | None = None,
        peers: Peers = ALONE,
    ):
        self._peers = peers
        self.model = model
        chosen = set(low) if dtype is not None else set()
        learned = [p for p in parameters if p.requires_grad]
        copied = [p for p in learned if p in chosen]
        parameters = [*copied, *(p for p in learned if p not in chosen)]
        self.master = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.own = self.master[peers.part(len(self.master))]
        self._gradient = torch.zeros_like(self.master)
        self._gradients = _views(self._gradient, parameters)
        views = _views(self.master, parameters)
        self._masters: dict[Tensor, Tensor] = dict(zip(parameters, views, strict=True))
        for parameter, master in self._masters.items():
            parameter.data = master
        self._copied = self.master[: sum(p.numel() for p in copied)]
        self._copies = self._copied.to(dtype or torch.float32)
        for parameter, copy in zip(copied, _views(self._copies, copied), strict=True):
            parameter.data = copy
            parameter.grad = None

    def clear_gradients(self) -> None:
        """Forget the gradients of the step before."""
        for parameter in self._masters:
            parameter.grad = None

    @torch.no_grad()
    def collect_gradients(self, max_norm: float) -> None:
        """Give the own part the mean of the gradients, shortened to at most `max_norm`."""
        for parameter, gradient in zip(self._masters, self._gradients, strict=True):
            if parameter.grad is None:
                gradient.zero_()
            else:
                gradient.copy_(parameter.grad)
        gradient = self.own.grad = self._peers.average_part(self._gradient)
        squares = torch.dot(gradient, gradient)  # faster than vector_norm
        norm = self._peers.add_up(squares).sqrt()
        share = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        # Asking a GPU for the share would make it wait; a CPU can save the pass over memory.
        if share.device.type != "cpu" or share != 1:
            gradient.mul_(share)

    @torch.no_grad()
    def publish(self) -> None:
        """Let the model follow what all processes moved."""
        self._peers.join_parts_(self.master)
        self._copies.copy_(self._copied)

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
        """Give the model its masters for good, each in memory of its own."""
        self.clear_gradients()
        for parameter, master in self._masters.items():
            parameter.data = master.clone()
        self._masters = {}

    def _named(self) -> dict[str, Tensor]:
        return self.model.state_dict(keep_vars=True)

    def _full(self, tensor: Tensor) -> Tensor:
        return self._masters.get(tensor, tensor)


def _views(vector: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """The vector's parts in the shapes of the parameters, one after the other."""
    parts = vector.split([p.numel() for p in parameters])
    return [part.view(p.shape) for part, p in zip(parts, parameters, strict=True)]
