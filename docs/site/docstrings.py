"""Docstrings as the site reads them: this project's lists of attributes become sections.

Attributes
----------
    rank: from 1.

Invariant: only the form changes. A list is lines of `name: text`; deeper lines go on with the one before.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

SECTION = re.compile(r"^(Attributes|Parameters)\n-{3,}\n((?:.+\n?)+)", re.MULTILINE)


def as_sections(text: str) -> str:
    """The text with each list as a section that griffe knows; several names before one colon get the same text."""

    def section(found: re.Match[str]) -> str:
        lines = []
        for line in found[2].rstrip("\n").split("\n"):
            names, colon, rest = line.partition(": ")
            if colon and not line.startswith(" "):
                lines += [f"    {name}: {rest}" for name in names.split(", ")]
            else:
                lines.append(f"    {line}")
        return f"{found[1]}:\n" + "\n".join(lines)

    return SECTION.sub(section, text)


class Docstrings(Extension):
    """Rewrites each docstring as it is found."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = as_sections(obj.docstring.value)
