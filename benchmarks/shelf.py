"""Phases that several methods have in common, trained once for each seed.

The autoencoder and the neighbour phase are the same for most methods and all ablations: the same
rows, seed, networks and steps leave the same weights, bit for bit. So the first method to get there
puts them on a shelf, with the seconds and the memory that they took, and the others take them from
it; their records count those seconds and that memory as their own. A file is named after all that
its content depends on, so that nothing stale is taken; old files stay until the folder is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from benchmarks.machine import code_digest
from benchmarks.usage import peak_memory_mb
from skvade.training.batches import Rows
from skvade.training.phases import Initialise
from skvade.training.run import Phase, Run
from skvade.training.trainer import Optimise

PARTS = ("encoder", "decoder", "likelihood")


class Shelf:
    """A folder of what phases left.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.

    Attributes
    ----------
    spared_seconds : float
        What the phases that were taken from the shelf took when they were run.
    spared_memory_mb : float
        The peak memory of the processes that ran them.
    run : Run or None
        The one whose phases are taken or put now.
    story : list
        All that the outcome of its next phase depends on.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self.spared_seconds = 0.0
        self.spared_memory_mb = 0.0
        self.run: Run | None = None
        self.story: list[Any] = []

    def share(self, phases: Sequence[Phase]) -> list[Phase]:
        """The same phases; those before the mixture are taken from the shelf, or put on it."""
        if self.folder is None:
            return list(phases)
        starts = (i for i, phase in enumerate(phases) if isinstance(phase, Initialise))
        n_shared = next(starts, len(phases))
        return [*(Shelved(phase, self) for phase in phases[:n_shared]), *phases[n_shared:]]


@dataclass(frozen=True)
class Shelved(Phase):
    """A phase whose outcome is kept: weights, history, graph."""

    phase: Phase
    shelf: Shelf

    @property
    def has_epochs(self) -> bool:
        """As the phase itself, though none is told of when it is taken from the shelf."""
        return self.phase.has_epochs

    @property
    def name(self) -> str:
        """That of the phase itself."""
        return self.phase.name

    def run(self, run: Run, seed: int) -> None:
        path = self._path(run)
        if path.exists():
            self._take(run, torch.load(path, weights_only=False))
            return
        start, n_records, n_rescues = time.perf_counter(), len(run.history), run.n_rescues
        graph_before = run.handover.graph
        self.phase.run(run, seed)
        graph = run.handover.graph
        found = graph is not graph_before
        left = {
            "seconds": time.perf_counter() - start,
            "memory_mb": peak_memory_mb(),
            "parts": {part: getattr(run.model, part).state_dict() for part in PARTS},
            "history": run.history[n_records:],
            "n_rescues": run.n_rescues - n_rescues,
            "graph": graph if found else None,
            "scale": run.handover.scale,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        torch.save(left, unfinished)
        unfinished.rename(path)

    def _path(self, run: Run) -> Path:
        """Named after all that the outcome depends on, the phases before included."""
        if self.shelf.run is not run:
            beginning = [joblib.hash(run.rows.X), code_digest(), torch.get_num_threads(), run.seed]
            shapes = [
                list(p.shape) for part in PARTS for p in getattr(run.model, part).parameters()
            ]
            self.shelf.run, self.shelf.story = run, [*beginning, str(run.runtime), shapes]
        self.shelf.story.append(_describe(self.phase, run))
        digest = hashlib.sha256(json.dumps(self.shelf.story).encode()).hexdigest()
        return self.shelf.folder / f"{digest[:16]}.pt"

    def _take(self, run: Run, left: dict[str, Any]) -> None:
        self.shelf.spared_seconds += left["seconds"]
        self.shelf.spared_memory_mb = max(self.shelf.spared_memory_mb, left["memory_mb"])
        for part in PARTS:
            getattr(run.model, part).load_state_dict(left["parts"][part])
        run.history.extend(left["history"])
        run.n_rescues += left["n_rescues"]
        if left["graph"] is not None:
            run.handover.graph, run.handover.scale = left["graph"], left["scale"]


def _describe(phase: Phase, run: Run) -> Any:
    """All that a phase does."""
    objective = phase.objective(run) if isinstance(phase, Optimise) else None
    return [_plain(phase), _plain(objective)]


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers, names of functions and types, and what objects hold."""
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, np.ndarray | torch.Tensor | torch.nn.Module | Rows):
        return type(value).__name__
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__qualname__"):
        return value.__qualname__
    return [type(value).__name__, {name: _plain(part) for name, part in vars(value).items()}]
