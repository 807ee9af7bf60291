"""Phases that several methods have in common, trained once for each seed.

The autoencoder and the neighbour phase are the same for most methods and all ablations: the same
rows, seed, networks and steps leave the same weights, bit for bit. So the first method to get there
puts them on a shelf, with the seconds and the memory that they took, and the others take them from
it; their records count those seconds and that memory as their own.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import library_digest, peak_memory_mb
from skvade.training.neighbours import NeighbourGraph
from skvade.training.phases import InitialiseMixture, Optimise, Phase
from skvade.training.trainer import Run

PARTS = ("encoder", "decoder", "likelihood")


class Shelf:
    """A folder of what phases left, for one data set and split.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    name : str
        Of the rows.

    Attributes
    ----------
    spared_seconds : float
        What the phases that were taken from the shelf took when they were run.
    spared_memory_mb : float
        The peak memory of the processes that ran them.
    """

    def __init__(self, folder: Path | None = None, name: str = ""):
        self.folder = folder
        self.name = name
        self.spared_seconds = 0.0
        self.spared_memory_mb = 0.0

    def share(self, phases: Sequence[Phase]) -> list[Phase]:
        """The same phases; those before the mixture are taken from the shelf, or put on it."""
        if self.folder is None:
            return list(phases)
        starts = (i for i, phase in enumerate(phases) if isinstance(phase, InitialiseMixture))
        n_shared = next(starts, len(phases))
        return [*(Shelved(phase, self) for phase in phases[:n_shared]), *phases[n_shared:]]


@dataclass(frozen=True)
class Shelved(Phase):
    """A phase whose outcome is kept: weights, history, graph."""

    phase: Phase
    shelf: Shelf

    def run(self, run: Run, seed: int) -> None:
        path = self._path(run)
        if path.exists():
            self._take(run, torch.load(path, weights_only=False))
            return
        start, n_records, n_rescues = time.perf_counter(), len(run.history), run.n_rescues
        self.phase.run(run, seed)
        graph = run.memory.get("graph")
        left = {
            "seconds": time.perf_counter() - start,
            "memory_mb": peak_memory_mb(),
            "parts": {part: getattr(run.model, part).state_dict() for part in PARTS},
            "history": run.history[n_records:],
            "n_rescues": run.n_rescues - n_rescues,
            "graph": graph and (graph.neighbours, graph.cumulative),
            "scale": run.memory.get("scale"),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(left, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def _path(self, run: Run) -> Path:
        """Named after all that the outcome depends on, the phases before included."""
        story = run.memory.setdefault("story", [self.shelf.name, library_digest(), run.seed])
        story.append(_describe(self.phase, run))
        digest = hashlib.sha256(json.dumps(story).encode()).hexdigest()
        return self.shelf.folder / f"{digest[:16]}.pt"

    def _take(self, run: Run, left: dict[str, Any]) -> None:
        self.shelf.spared_seconds += left["seconds"]
        self.shelf.spared_memory_mb = max(self.shelf.spared_memory_mb, left["memory_mb"])
        for part in PARTS:
            getattr(run.model, part).load_state_dict(left["parts"][part])
        run.history.extend(left["history"])
        run.n_rescues += left["n_rescues"]
        if left["graph"] is not None:
            run.memory.update(graph=NeighbourGraph(run.rows, *left["graph"]), scale=left["scale"])


def _describe(phase: Phase, run: Run) -> str:
    """What a phase does, as far as the methods of the benchmark differ in it."""
    if not isinstance(phase, Optimise):
        return repr(phase)
    objective = phase.objective(run)
    settings = {n: v for n, v in vars(objective).items() if isinstance(v, int | float)}
    parts = [type(part).__name__ for part in (objective, *vars(objective).values())]
    return (
        f"{phase.name} {phase.n_steps} {phase.batch_size} {phase.learning_rate} {parts} {settings}"
    )
