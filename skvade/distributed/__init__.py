"""Training by several processes at once, each with its own rows."""

from skvade.distributed._group import Group, PeerError, group

__all__ = ["Group", "PeerError", "group"]
