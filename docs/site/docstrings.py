"""Docstrings as the site reads them: this project's lists become sections, and an option has its help for a docstring.

Attributes
----------
    rank: from 1.

Invariant: only the form changes; a help and a default are those of the field. A list is lines of `name: text`; deeper
lines go on with the one before.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import MISSING
from typing import Any

from griffe import Docstring, Extension

from trsr_lite import options

SECTION = re.compile(r"^(Attributes|Parameters|Keywords)\n-{3,}\n((?:.+\n?)+)", re.MULTILINE)
TITLES = {"Keywords": "Parameters"}


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
        return f"{TITLES.get(found[1], found[1])}:\n" + "\n".join(lines)

    return SECTION.sub(section, text)


def option_of(path: str) -> tuple[str, str | None]:
    """The help and the default of the option `package.module.Class.field`."""
    place, name = path.rsplit(".", 1)
    module, kind = place.rsplit(".", 1)
    known = options.known_options(getattr(importlib.import_module(module), kind))[name]
    one = options.of(known)
    choices = f" One of {', '.join(one.choices)}." if one.choices else ""
    unset = f" None: {one.unset}." if one.unset and known.default is None else ""
    return f"{one.help}{choices}{unset}", None if known.default is MISSING else repr(known.default)


class Docstrings(Extension):
    """Rewrites each docstring as it is found, and writes those of options."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for every module, class, function and attribute."""
        if obj.is_attribute and str(obj.value).startswith(("option(", "again(")):
            text, obj.value = option_of(obj.path)
            obj.docstring = Docstring(text, parent=obj)
        elif obj.docstring:
            obj.docstring.value = as_sections(obj.docstring.value)
