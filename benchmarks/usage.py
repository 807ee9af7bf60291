"""What the process has used so far; light to import, so as not to be what is measured."""

from __future__ import annotations

import resource
from pathlib import Path


def cpu_seconds() -> float:
    """Of this process and of its children, the system's among them."""
    uses = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def peak_memory_mb() -> float:
    """Largest resident size of this process, in MB.

    `ru_maxrss` is not less than that of the process which started this one, so that Linux is asked
    for the peak of the program itself.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
