"""Exports of other programs, read: the one door of this package.

Invariant: each file is of the format that was named, or of the one that it looks like; files of several formats become
one user. Nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trsr_lite.errors import SettingsError
from trsr_lite.imports import collect, generic, registry
from trsr_lite.imports.collect import Collected
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.source import Source, opened
from trsr_lite.options import check, option
from trsr_lite.results import OnProgress, Progress

STEP = 500  # entries between two reports of progress
KINDS = ("history", "candidates")


def columns(text: str) -> dict[str, str]:
    """`title=Headline,time=Date added` as names by role; a comma within a name stays one. Raises `SettingsError`."""
    found: dict[str, str] = {}
    for part in re.split(r",(?=[^,=]+=)", text):
        role, equals, name = part.partition("=")
        if not equals or not role.strip() or not name.strip():
            raise SettingsError(
                f"--map {part!r} is not ROLE=NAME", hint="such as `--map title=Headline,time=Published`"
            )
        found[role.strip().lower()] = name.strip().strip("\"'")
    return found


@dataclass(frozen=True)
class ImportOptions:
    """How exports are read."""

    newest: int = option(
        "Most items of the history; older ones are left out. 0 keeps all.", default=200, at_least=0, metavar="N"
    )
    read_as: str | None = option(
        "Take everything as history, or as candidates.",
        default=None,
        choices=KINDS,
        unset="as the file says",
        flag="as",
    )
    dates: str | None = option(
        "What comes first in dates such as 05/06/2026.",
        default=None,
        choices=("day-first", "month-first"),
        unset="as all dates of the file tell",
    )
    columns: Mapping[str, Any] | None = option(
        "Columns of a table: title, time, rating, id, or any attribute.",
        default=None,
        unset="by their names",
        metavar="ROLE=NAME,…",
        flag="map",
        parse=columns,
    )
    private: bool = option("Keep what is marked as private.", default=False)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Recognised:
    """One file, its format, and whether that was guessed."""

    path: str
    format: Format
    guessed: bool


@dataclass(frozen=True)
class Import:
    """What was read of which files."""

    found: Collected
    files: tuple[Recognised, ...]


def read(
    paths: Sequence[str | Path],
    name: str | None = None,
    options: ImportOptions | None = None,
    progress: OnProgress | None = None,
    *,
    user_id: str | None = None,
) -> Import:
    """One user of one or several exports: of the format `name`, or each of the one that it looks like.

    Columns that are named make it a table. `user_id` is whose rows of a table count.

    Raises `SettingsError` for a format that there is not, and `DataError` for a file of another kind, or where nothing
    can be used.
    """
    options = options or ImportOptions()
    asked = registry.named(name or generic.FORMAT.name) if name or options.columns else None
    reading = Reading(private=options.private, columns=options.columns or {}, user_id=user_id)
    files, entries = list[Recognised](), list[Entry]()
    for number, path in enumerate(paths):
        with opened(path) as source:
            if asked:
                registry.check(asked, source)
            one = asked or registry.guess(source)
            files.append(Recognised(source.name, one, asked is None))
            found = _followed(one.read(source, reading), source, (number, len(paths)), progress)
            entries += collect.ordered(
                _as_asked(found, options),
                reading.notes,
                newest_first=one.newest_first,
                where=source.name,
                day_first=None if options.dates is None else options.dates == "day-first",
            )
    done = collect.collect(entries, reading.notes, newest=options.newest)
    collect.refuse_empty(done, ", ".join(one.path for one in files))
    domains = {one.format.domain for one in files}
    done.domain = domains.pop() if len(domains) == 1 else "item"
    return Import(done, tuple(files))


def _as_asked(entries: Iterator[Entry], options: ImportOptions) -> Iterator[Entry]:
    for entry in entries:
        one = entry
        if options.read_as is not None:
            one = replace(one, wanted=options.read_as == "candidates")
        yield one


def _followed(
    entries: Iterator[Entry], source: Source, part: tuple[int, int], progress: OnProgress | None
) -> Iterator[Entry]:
    number, count = part
    for index, entry in enumerate(entries):
        if progress and index % STEP == 0:
            progress(Progress("read", (number + source.fraction) / count))
        yield entry
