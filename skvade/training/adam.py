"""Adam on one vector.

`torch.optim` would do; but its optimisers import torch's compiler when the first is made, which
takes a process over a second of CPU time, several times what a fit of a small table takes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Moves a vector against its gradient (Kingma and Ba 2015, arXiv:1412.6980).

    Parameters
    ----------
    vector : Tensor of shape (n_entries,)
        Changed in place; its gradient is where torch keeps it.

    Attributes
    ----------
    state : dict of str to Tensor
        Running means of the gradient and of its square, and the number of steps.
    """

    def __init__(self, vector: Tensor):
        self.vector = vector
        self.state = {
            "step": torch.zeros((), dtype=torch.float32, device=vector.device),
            "exp_avg": torch.zeros_like(vector),
            "exp_avg_sq": torch.zeros_like(vector),
        }

    @torch.no_grad()
    def step(self, rate: float | Tensor, *, fused: bool | None = None) -> None:
        """One step of at most about `rate` in every entry; fused where torch can, if not said.

        A rate that is a tensor, on the vector's device, is read when the device takes the step.
        """
        gradient, (step, mean, square) = self.vector.grad, self.state.values()
        if gradient is None:
            return
        step += 1
        if self.vector.device.type in ("cpu", "cuda") if fused is None else fused:
            # In one pass over memory.
            torch._fused_adam_(
                [self.vector],
                [gradient],
                [mean],
                [square],
                [],
                [step],
                lr=rate,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=0.0,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
            return
        mean.lerp_(gradient, 1 - BETAS[0])
        square.lerp_(gradient.square(), 1 - BETAS[1])
        # 1 - beta^t, without cancellation in float32
        unbiased, unbiased_square = (-torch.expm1(step * math.log(beta)) for beta in BETAS)
        scale = (square / unbiased_square).sqrt_().add_(EPSILON)
        self.vector.sub_(rate / unbiased * mean / scale)
