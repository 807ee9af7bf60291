"""scikit-learn's callbacks (`set_callbacks`, from version 1.9 on), told of a fit's tasks.

The tasks of a fit are its restarts, those of a restart its gradient phases, by name, and those of a
phase its epochs. A callback that returns True at the end of an epoch ends the phase; elsewhere True
has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from skvade.training.events import GradientStep, Listener, Record, Running, Step

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9 has nobody to tell

    class _Silence:
        def subcontext(self, **_: Any) -> _Silence:
            return self

        def call_on_fit_task_begin(self, **_: Any) -> _Silence:
            return self

        def call_on_fit_task_end(self, **_: Any) -> bool:
            return False

    class CallbackSupportMixin:
        """Stands for scikit-learn's."""

        def _init_callback_context(self, **_: Any) -> _Silence:
            return _Silence()

    def with_callbacks(method: Callable) -> Callable:
        """The method itself."""
        return method


@dataclass
class Callbacks(Listener):
    """Tells the callbacks of an estimator of its fit.

    Parameters
    ----------
    context : CallbackContext
        Of the whole fit.
    told : dict
        What callbacks hear of every task: the estimator, X and y.
    fitted : callable
        Takes the run to the attributes that the estimator would have if the fit ended now.
    """

    context: Any
    told: dict[str, Any]
    fitted: Callable[[Any], dict[str, Any]]

    def on_run_begin(self, run: Running, phases: Sequence[Step]) -> None:
        n_tasks = sum(phase.has_epochs for phase in phases)
        self.restart = self._begin(self.context, "restart", n_tasks)

    def on_phase_begin(self, run: Running, phase: GradientStep, n_epochs: int) -> None:
        self.phase = self._begin(self.restart, phase.name, n_epochs)

    def on_epoch_begin(self, run: Running, phase: GradientStep) -> None:
        self.epoch = self._begin(self.phase, "epoch")

    def on_epoch_end(self, run: Running, phase: GradientStep, record: Record) -> bool:
        return self._end(self.epoch, run)

    def on_phase_end(self, run: Running, phase: GradientStep) -> None:
        self._end(self.phase, run)

    def on_run_end(self, run: Running) -> None:
        self._end(self.restart, run)

    def _begin(self, parent: Any, name: str, n_tasks: int = 0) -> Any:
        context = parent.subcontext(task_name=name, max_subtasks=n_tasks)
        return context.call_on_fit_task_begin(**self.told)

    def _end(self, context: Any, run: Running) -> bool:
        attributes = partial(self.fitted, run)
        return context.call_on_fit_task_end(**self.told, reconstruction_attributes=attributes)
