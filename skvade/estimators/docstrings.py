"""Docstrings of siblings: what a class does not describe itself is taken from its bases."""

from __future__ import annotations

import re
from inspect import cleandoc, signature
from typing import Any

SECTIONS = ("Parameters", "Attributes")
ENTRY = re.compile(r"^(\w+(?:, \w+)*) : .*\n(?:(?:[ ].*)?\n)*", re.MULTILINE)
HEADING = re.compile(r"^(\w[\w ]*)\n-+\n", re.MULTILINE)


def inherit_docs(cls: type) -> type:
    """Complete the class's numpydoc sections by the entries of its bases.

    Parameters come in the order of the constructor, and only those that it has. Of attributes, the
    class's own come first; a base's are added where it has the section.
    """
    own = _parts(cls.__doc__)
    inherited = [_parts(base.__dict__.get("__doc__")) for base in cls.__mro__[1:]]
    for section in SECTIONS:
        entries: dict[str, str] = {}
        for parts in (own, *inherited):
            entries = {**entries, **{n: e for n, e in _entries(parts, section) if n not in entries}}
        if section == "Parameters":
            names = list(signature(cls).parameters)
            ordered = sorted(
                (name for name in entries if name.split(", ")[0] in names),
                key=lambda name: names.index(name.split(", ")[0]),
            )
            entries = {name: entries[name] for name in ordered}
        own[section] = "".join(entries.values())
    order = ["", *SECTIONS, *(name for name in own if name not in ("", *SECTIONS))]
    cls.__doc__ = "\n".join(
        f"{name}\n{'-' * len(name)}\n{own[name].rstrip()}\n" if name else own[name].rstrip() + "\n"
        for name in order
    )
    return cls


def _parts(doc: str | None) -> dict[str, str]:
    """The text before the first heading, under "", and each section's."""
    pieces = HEADING.split(cleandoc(doc or "") + "\n")
    return {"": pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}


def _entries(parts: dict[str, str], section: str) -> list[tuple[str, Any]]:
    return [(match[1], match[0]) for match in ENTRY.finditer(parts.get(section, ""))]
