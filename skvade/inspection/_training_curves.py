"""TrainingCurvesDisplay: the course of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skvade.inspection._drawing import colors, name_decades, panels
from skvade.inspection._fitted import Fitted

MOST_MARKERS = 25
NOT_TERMS = ("phase", "epoch", "steps", "changed", "missed")


@dataclass(eq=False, repr=False)
class TrainingCurvesDisplay:
    """The loss and its terms over gradient steps, a panel for each phase.

    Parameters
    ----------
    curves : dict of str to dict of str to ndarray
        For each phase, "steps" and the terms by name, one number for each pass over the data.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One for each phase.
    figure_ : matplotlib Figure
    lines_ : dict of str to dict of str to matplotlib Line2D
        By phase and term.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import VaDEClustering
    >>> from skvade.inspection import TrainingCurvesDisplay
    >>> X, _ = make_blobs(200, centers=3, random_state=0)
    >>> model = VaDEClustering(3, hidden_layer_sizes=(16,), latent_dim=2, random_state=0).fit(X)
    >>> display = TrainingCurvesDisplay.from_estimator(model, terms=["reconstruction", "kl"])
    >>> list(display.lines_)
    ['neighbours', 'hold', 'train']
    >>> list(display.lines_["train"])
    ['reconstruction', 'kl']
    """

    curves: dict[str, dict[str, np.ndarray]]

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, terms: Sequence[str] | None = None, ax: Any = None, **kwargs: Any
    ) -> TrainingCurvesDisplay:
        """Show the `history_` of a fitted estimator.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted estimator of skvade, or a pipeline or search that ends in one.
        terms : sequence of str or None, default=None
            Terms to show, of those in `history_`; None for the loss and all its terms. Phases
            without any of them are left out.
        ax : matplotlib Axes, array-like of Axes or None, default=None
            See `plot`.
        **kwargs : dict
            Further options of `plot`.

        Returns
        -------
        TrainingCurvesDisplay
        """
        history = Fitted(estimator, cls.__name__).model.history_
        known = dict.fromkeys(
            name for record in history for name in record if name not in NOT_TERMS
        )
        terms = list(known) if terms is None else list(terms)
        if not terms or not set(terms) <= set(known):
            raise ValueError(f"terms must be some of {', '.join(known)}, got {terms!r}.")
        curves: dict[str, dict[str, np.ndarray]] = {}
        for phase in dict.fromkeys(record["phase"] for record in history):
            records = [record for record in history if record["phase"] == phase]
            present = [term for term in terms if any(term in record for record in records)]
            if present:
                curves[phase] = {
                    name: np.array([record.get(name, np.nan) for record in records])
                    for name in ("steps", *present)
                }
        return cls(curves).plot(ax, **kwargs)

    def plot(
        self, ax: Any = None, *, yscale: str | None = None, **kwargs: Any
    ) -> TrainingCurvesDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, array-like of Axes or None, default=None
            One is divided into as many as there are phases; None makes a figure.
        yscale : {"log", "linear"} or None, default=None
            None is logarithmic where terms are positive and differ more than tenfold.
        **kwargs : dict
            Further options of matplotlib's `plot`.

        Returns
        -------
        TrainingCurvesDisplay
        """
        n_phases = len(self.curves)
        size = (1.4 + 2.3 * n_phases, 3.6)
        axes = panels(type(self).__name__, ax, (1, n_phases), size, sharey=True)
        styles = self._styles()
        self.lines_ = {}
        for panel, (phase, curve) in zip(axes, self.curves.items(), strict=True):
            steps = curve["steps"]
            marker = "." if len(steps) <= MOST_MARKERS else ""
            self.lines_[phase] = {
                term: panel.plot(
                    steps, curve[term], **{"label": term, "marker": marker, **style, **kwargs}
                )[0]
                for term, style in styles.items()
                if term in curve
            }
            panel.set(title=phase, xlabel="gradient steps", xlim=(0, 1.05 * panel.dataLim.xmax))
        lines = {term: line for lines in self.lines_.values() for term, line in lines.items()}
        axes[-1].legend(lines.values(), lines, bbox_to_anchor=(1, 1), loc="upper left")
        drawn = [line.get_ydata() for lines in self.lines_.values() for line in lines.values()]
        low, high = np.nanmin(np.concatenate(drawn)), np.nanmax(np.concatenate(drawn))
        for panel in axes:
            panel.set_yscale(yscale or ("log" if high > 10 * low > 0 else "linear"))
            if panel.get_yscale() == "log":
                name_decades(panel.yaxis)
        axes[0].set_ylabel("nats per row")
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _styles(self) -> dict[str, dict[str, Any]]:
        """The terms' styles, with the loss below the terms, which it may equal."""
        terms = dict.fromkeys(term for curve in self.curves.values() for term in curve)
        parts = [term for term in terms if term not in ("steps", "loss")]
        shades = zip(parts, colors(len(parts)), strict=True)
        return {
            "loss": {"color": "black", "linewidth": 3},
            **{term: {"color": shade, "linewidth": 1.5} for term, shade in shades},
        }
