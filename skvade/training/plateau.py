"""Ends a phase whose loss has stopped falling."""

from __future__ import annotations

from statistics import fmean

from skvade.training.events import GradientStep, Listener, Record, Running


class Plateau(Listener):
    """Ends a phase when its loss falls no more, by the means of passes over the data.

    The phase ends when its last window of passes is lower than the one before by less than a share
    of all that the loss has fallen since the first. A window is a tenth of the phase, and no phase
    ends in its first half: noise would end it.

    Parameters
    ----------
    share : float
        Of the fall of the loss since the first window.
    """

    changing = ("losses",)

    def __init__(self, share: float = 2e-3):
        self.share = share

    def on_phase_begin(self, run: Running, phase: GradientStep, n_epochs: int) -> None:
        self.losses: list[float] = []
        self.window, self.earliest = max(1, n_epochs // 10), n_epochs / 2

    def on_epoch_end(self, run: Running, phase: GradientStep, record: Record) -> bool:
        self.losses.append(record["loss"])
        if len(self.losses) < max(3 * self.window, self.earliest):
            return False
        windows = self.losses[: self.window], self.losses[-2 * self.window :][: self.window]
        first, before = (fmean(window) for window in windows)
        last = fmean(self.losses[-self.window :])
        return before - last <= self.share * max(0.0, first - last)
