"""The formats by name: those of this package, and those that other packages bring.

Invariant: a format of another package is loaded from the entry points `trsr_lite.imports` and never replaces one of
this package. Exactly one format is guessed for a file, or none.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from trsr_lite.errors import DataError, SettingsError
from trsr_lite.imports import generic
from trsr_lite.imports.format import Format
from trsr_lite.imports.source import Source
from trsr_lite.options import nearest

GROUP = "trsr_lite.imports"
MODULES = (
    *("bibtex", "bookmarks", "feed", "github", "goodreads", "imdb", "instapaper", "kindle", "letterboxd", "opml"),
    *("pocket", "raindrop", "reader", "readwise", "spotify", "steam", "storygraph", "youtube", "zotero"),
)
logger = logging.getLogger(__name__)


@cache
def formats() -> Mapping[str, Format]:
    """Every format by its name, sorted."""
    found: dict[str, Format] = {}
    for name in MODULES:
        one = importlib.import_module(f"trsr_lite.imports.{name}").FORMAT
        found[one.name] = one
    for point in entry_points(group=GROUP):
        one = point.load()
        if not isinstance(one, Format):
            raise SettingsError(f"{point.value}: the entry point of {GROUP} is no `Format`")
        if one.name in found:
            logger.warning("%s: there is a format %r already; this one is not used", point.value, one.name)
            continue
        found[one.name] = one
    return {**dict(sorted(found.items())), generic.FORMAT.name: generic.FORMAT}  # the last guess


def named(name: str) -> Format:
    """The format of this name; raises `SettingsError` that suggests the nearest."""
    known = formats()
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean `{near}`?" if near else f"choose from {', '.join(known)}"
        raise SettingsError(f"there is no format {name!r}", hint=hint)
    return known[name]


def guess(source: Source) -> Format:
    """The format that a file looks like; raises `DataError` where it looks like none."""
    found = likely(source)
    if found is None:
        table = "name a column of titles: `--map title=Headline`"
        hint = (
            table
            if len(source.columns) > 1 and source.head[:1] != "{"
            else "`trsr-lite import --list` shows what can be read"
        )
        raise DataError(f"{source.name}: {what_it_is(source)}", hint=hint)
    return found


def likely(source: Source) -> Format | None:
    """The first format that a file looks like."""
    return next((one for one in formats().values() if one.looks(source)), None)


def check(one: Format, source: Source) -> None:
    """Raise `DataError` where a file is not of this format; it says which one it looks like."""
    if one.looks(source) or (one is generic.FORMAT and reads_columns(source)):
        return
    other = likely(source)
    if other is None:
        raise DataError(
            f"{source.name}: this is no {one.program}: {what_it_is(source)}", hint=f"get it at: {one.about}"
        )
    raise DataError(
        f"{source.name}: this is no {one.program}; it looks like: {other.program}",
        hint=f"trsr-lite import {other.name} {source.name}",
    )


def reads_columns(source: Source) -> bool:
    """Whether a file may be a table whose columns somebody names."""
    return len(source.columns) > 1 or source.head.lstrip()[:1] in ("[", "{")


def what_it_is(source: Source) -> str:
    """What a file seems to be that no format is for."""
    head = source.head.strip()
    if not head:
        return "it is empty"
    if head.startswith("PK\x03\x04"):
        return "it is a zip archive: unpack it, and give the files in it"
    if "\x00" in head[:1000]:
        return "it is no text"
    if head[0] == "{" and '"history"' in head:
        return "it is a user file already: give it to `--user`"
    if head[0] in "[{":
        return "it is JSON of an unknown kind"
    if head[0] == "<":
        return "it is XML or HTML of an unknown kind"
    if len(source.columns) > 1:
        names = ", ".join(source.columns)[:100]
        return f"it is a table with the columns {names}, which no known program writes"
    return "it is a text of an unknown kind"
