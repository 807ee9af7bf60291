"""Training by several processes at once, each with its own rows."""

from skvade.distributed._group import Group, PeerError, group
from skvade.distributed._rows import load_rows

__all__ = ["Group", "PeerError", "group", "load_rows"]
