"""Whether a phase is needed, by what earlier ones left."""

from __future__ import annotations

from skvade.training.events import Running


def always(run: Running) -> bool:
    """That it is needed, whatever earlier ones left."""
    return True


def partition_stays(run: Running) -> bool:
    """Whether codes are to learn the first partition, which a mixture of them would not keep."""
    return run.handover.stays


def partition_is_free(run: Running) -> bool:
    """Whether a mixture of the codes as they are does for the first partition."""
    return not run.handover.stays
