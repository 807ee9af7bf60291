"""Clusters that do not change between a row and what is near it: virtual adversarial training.

With t(c|x) a heavy-tailed q(c|x) of the clusters as they are (`Autoencoder.tailed_logits`),

    mean_i KL(t(c|x_i) || t(c|x_i + r_i)) + w_H mean_i H(t(c|x_i)) + w_S KL(s || mean_i t(c|x_i))
        + w_P mean_i -log t(p_i|x_i) + w_L mean_labelled -log t(c_i|x_i)

r_i points where the divergence grows fastest, and is as long as a share of the distance from x_i
to one of its neighbours (Miyato et al. 2018; Hu et al. 2017). The second term moves boundaries to
where there are few rows, and the third keeps the shares s that clusters had: without it all rows
would be one cluster's. The fourth holds the clusters p_i where they were, with a weight w_P that
falls from 1 to 0. Without it the first term, which is large at first, pulls clusters apart before
borders are where they should be, and what comes back are other clusters, or one too few.

The q(c|x) of a Gaussian mixture grows with the square of a code's distance from the clusters, so
that codes run away under these terms; tails make it grow with the logarithm.

References
----------
Miyato, Maeda, Koyama, Ishii, "Virtual adversarial training: a regularization method for supervised
and semi-supervised learning", TPAMI 2018, arXiv:1704.03976.
Hu, Miyato, Tokui, Matsumoto, Sugiyama, "Learning discrete representations via information
maximizing self-augmented training", ICML 2017, arXiv:1702.08720.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import kl_div, nll_loss, normalize

from skvade.nn.autoencoder import Autoencoder
from skvade.objectives.base import Batch, Objective, Terms
from skvade.objectives.labels import MAX_LABELED, LabeledRows

REACH = 0.25  # of the distance to a neighbour, as in Hu et al.
FIRST_REACH = 0.02  # of it, at which the direction is sought
CERTAINTY_WEIGHT, SHARES_WEIGHT, LABEL_WEIGHT = 0.4, 0.4, 3.0


class VirtualAdversary(Objective[Autoencoder]):
    """The loss above.

    Parameters
    ----------
    neighbours : callable
        Takes row numbers and a generator to a batch of one neighbour each.
    partition : Tensor of shape (n_samples,)
        p, int64.
    shares : Tensor of shape (n_clusters,)
        s.
    n_held : int
        Steps after which w_P is 0.
    labeled : LabeledRows or None
        Rows whose cluster is known.
    of_all : callable
        Takes the logarithm of mean_i t(c|x_i) in this process's batch to that of all processes.
    """

    changing = ("n_taken",)

    def __init__(
        self,
        neighbours: Callable[[Tensor, torch.Generator], Batch],
        partition: Tensor,
        shares: Tensor,
        n_held: int,
        labeled: LabeledRows | None = None,
        of_all: Callable[[Tensor], Tensor] = lambda log_mean: log_mean,
    ):
        self.neighbours = neighbours
        self.partition = partition
        self.shares = shares
        self.n_held = n_held
        self.labeled = labeled
        self.of_all = of_all
        self.n_taken = 0

    def __call__(self, model: Autoencoder, batch: Batch, generator: torch.Generator) -> Terms:
        def log_t(view: Tensor) -> Tensor:
            return model.tailed_logits(model.code_of(view)).log_softmax(-1)

        view = model.view(batch.x)
        near = view  # of rows outside the training data, which stay where they are
        if batch.index is not None:
            near = model.view(self.neighbours(batch.index, generator).x)
        reach = torch.linalg.vector_norm(near - view, dim=1, keepdim=True)
        with torch.no_grad():
            target = log_t(view)
        noise = torch.randn(view.shape, generator=generator, dtype=view.dtype, device=view.device)
        moved = view + REACH * reach * steepest(
            lambda x: divergence(target, log_t(x)), view, FIRST_REACH * reach * normalize(noise)
        )
        log_p, log_moved = log_t(torch.cat([view, moved])).chunk(2)
        log_mean = log_p.logsumexp(0) - math.log(len(log_p))
        if batch.index is not None:
            log_mean = self.of_all(log_mean)
        terms = {
            "smoothness": divergence(target, log_moved),
            "uncertainty": CERTAINTY_WEIGHT * -(log_p.exp() * log_p).sum(-1).mean(),
            "shares": SHARES_WEIGHT * kl_div(log_mean, self.shares, reduction="sum"),
        }
        if batch.index is not None:
            weight = max(0.0, 1 - self.n_taken / self.n_held)
            terms["partition"] = weight * nll_loss(log_p, self.partition[batch.index])
            self.n_taken += 1
        if self.labeled is not None:
            x, labels = self.labeled.draw(MAX_LABELED, generator)
            terms["labels"] = LABEL_WEIGHT * nll_loss(log_t(model.view(x)), labels)
        return terms


def divergence(log_q: Tensor, log_p: Tensor) -> Tensor:
    """mean_i KL(q_i || p_i), both (n_rows, n_clusters)."""
    return kl_div(log_p, log_q, reduction="batchmean", log_target=True)


def steepest(function: Callable[[Tensor], Tensor], x: Tensor, start: Tensor) -> Tensor:
    """The unit vector of each row in which the function grows fastest at x + start; 0 if nowhere.

    Shapes are (n_rows, n_features).
    """
    leaf = (x + start).detach().requires_grad_()
    value = function(leaf.clone())  # an encoder may work in place
    if not value.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
    if gradient is None:
        return torch.zeros_like(x)
    # Where clusters are sure, squares of the gradient would be lost to underflow.
    largest = gradient.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return normalize(gradient / largest)
