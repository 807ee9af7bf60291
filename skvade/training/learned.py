"""Ends a phase that has taught the model a partition."""

from __future__ import annotations

from functools import partial

import torch

from skvade.training.events import GradientStep, Listener, Record, Running, memberships, watched


class Learned(Listener):
    """Ends a phase when the model has learned the first partition p.

    That is when all rows but one in a thousand are in their clusters, and -log q(p_i|x_i) is at
    most a bound in the mean, or has not fallen by a tenth in some checks: there are models whose q
    is never sure. What is left of the phase would only move other terms. Of many rows some are
    looked at.

    Parameters
    ----------
    bound : float
        In nats.
    elsewhere : float
        Share of rows that may be in another cluster.
    patience : int
        Checks.
    max_rows : int
        That are looked at, evenly spaced.
    """

    n_checks = 25
    changing = ("best", "waited")

    def __init__(
        self,
        bound: float = 0.02,
        elsewhere: float = 1e-3,
        patience: int = 5,
        max_rows: int = 4_000,
    ):
        self.bound = bound
        self.elsewhere = elsewhere
        self.patience = patience
        self.max_rows = max_rows

    def on_phase_begin(self, run: Running, phase: GradientStep, n_epochs: int) -> None:
        index = watched(run, self.max_rows)
        self.rows = run.rows.subset(index)
        partition = run.handover.need_partition().cpu()[index]
        self.partition = partition.long().to(self.rows.device)
        self.every = max(1, n_epochs // self.n_checks)
        self.best, self.waited = float("inf"), 0

    def on_epoch_end(self, run: Running, phase: GradientStep, record: Record) -> bool:
        if record["epoch"] % self.every:
            return False
        mean = partial(run.runtime.peers.mean, weight=len(run.rows))
        q = memberships(run, self.rows)
        own = q.gather(1, self.partition[:, None]).clamp(min=torch.finfo(q.dtype).tiny)
        wrong = mean(int((q.argmax(1) != self.partition).sum()) / len(q))
        record["missed"] = missed = mean(-float(own.log().mean()))
        if missed < 0.9 * self.best:
            self.best, self.waited = missed, 0
        else:
            self.waited += 1
        learned = missed <= self.bound or self.waited >= self.patience
        return learned and wrong <= self.elsewhere
