"""What numba compiles while a block runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.usage import cpu_seconds


@contextmanager
def compiling() -> Iterator[list[float]]:
    """CPU seconds of each compilation, of the outermost where one needs others."""
    from numba.core import event

    spent: list[float] = []

    class Compilations(event.Listener):
        def __init__(self) -> None:
            self.starts: list[float] = []

        def on_start(self, event: Any) -> None:
            self.starts.append(cpu_seconds())

        def on_end(self, event: Any) -> None:
            start = self.starts.pop()
            if not self.starts:
                spent.append(cpu_seconds() - start)

    with event.install_listener("numba:compile", Compilations()):
        yield spent
