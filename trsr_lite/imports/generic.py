"""Tables of anybody: CSV, TSV, JSON, JSON Lines or Parquet, whose columns are named or guessed.

Invariant: a column that is taken for the title, the time, a rating or the id without being called so is said. What no
column is for stays an attribute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trsr_lite.errors import DataError, SettingsError
from trsr_lite.imports import dates, json_items, ratings, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.source import Source
from trsr_lite.io import parquet, values
from trsr_lite.io.fields import LIKE_TIME
from trsr_lite.options import nearest

MAGIC = "PAR1"
BATCH = 1000  # rows of a Parquet file that are in memory at once
ROLES: Mapping[str, tuple[str, ...]] = {
    "title": (
        *("title", "name", "headline", "itemtitle", "productname", "producttitle", "product", "item", "booktitle"),
        *("movie", "film", "videotitle", "track", "trackname", "song", "episode", "recipe", "game", "subject", "text"),
    ),
    "time": (
        *("time", "date", *(re.sub(r"[\W_]+", "", name) for name in sorted(LIKE_TIME))),
        *("dateadded", "dateread", "added", "readat", "watchedat", "watcheddate", "visited", "lastvisited", "when"),
        *("purchasedate", "orderdate", "purchased", "day"),
    ),
    "rating": ("rating", "myrating", "yourrating", "userrating", "stars", "starrating", "grade", "vote"),
    "feedback": ("feedback", "liked", "like", "thumbs", "reaction"),
    "id": ("id", "itemid", "productid", "asin", "sku", "isbn", "isbn13", "url", "link", "uri", "key"),
    "user": ("userid", "user"),
}
"""What columns are called, in small letters without spaces and signs; what stands first is taken first."""


def columns_of(names: Iterable[str], asked: Mapping[str, str], where: str) -> dict[str, str]:
    """The column of each role: those that are asked for, and guesses for the rest. Raises `SettingsError`."""
    there = list(names)
    lower = {name.strip().lower(): name for name in there}
    found: dict[str, str] = {}
    for role, name in asked.items():
        if name.strip().lower() not in lower:
            near = nearest(name, there)
            hint = f"did you mean `{near}`?" if near else f"there are {', '.join(there)[:200]}"
            raise SettingsError(f"{where}: no column is called {name!r}", hint=hint)
        found[role] = lower[name.strip().lower()]
    plain = {re.sub(r"[\W_]+", "", name.lower()): name for name in reversed(there)}
    for role, known in ROLES.items():
        guess = next((plain[name] for name in known if name in plain and plain[name] not in found.values()), None)
        if role not in found and guess is not None:
            found[role] = guess
    return found


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    chosen: dict[str, str] | None = None
    users: set[str] = set()
    for where, row in _rows(source, reading):
        if chosen is None:
            chosen = columns_of(row, reading.columns, source.name)
            _say(chosen, source, reading)
        user = _text(row.get(chosen["user"])) if "user" in chosen else ""
        if reading.user_id is not None and user != reading.user_id:
            continue
        users.add(user)
        if len(users) > 1:
            raise DataError(f"{where}: a second user; one is expected", hint="choose with `--user-id`")
        yield _entry(row, chosen, where)
    if reading.user_id is not None and not users:
        raise DataError(f"{source.name}: no user called {reading.user_id!r}")


def _say(chosen: Mapping[str, str], source: Source, reading: Reading) -> None:
    if "title" not in chosen:
        raise DataError(f"{source.name}: no column is a title", hint="name one, such as `--map title=Headline`")
    named = {role: name for role, name in chosen.items() if role != "user" and role not in reading.columns}
    if guessed := [f"{name!r} for the {role}" for role, name in named.items() if name.strip().lower() != role]:
        reading.notes.say(f"columns are guessed: {', '.join(guessed)}; `--map` names others", source.name)


def _entry(row: Mapping[str, Any], chosen: Mapping[str, str], where: str) -> Entry:
    def cell(role: str) -> str:
        return _text(row.get(chosen[role])) if role in chosen else ""

    taken = {name for role, name in chosen.items() if role in ROLES}
    renamed = {name: role for role, name in chosen.items() if role not in ROLES}
    attributes = {renamed.get(name, name): value for name, value in row.items() if name not in taken}
    number, name = _text(row.get(chosen["id"])) if "id" in chosen else "", cell("title")
    return Entry(
        name,
        where,
        dates.seconds(cell("time")),
        number,
        {label: value for label, value in attributes.items() if not values.INDEX.fullmatch(label)},
        ratings.stars(cell("rating")),
        ratings.feedback(cell("feedback")),
    )


def _text(value: Any) -> str:
    try:
        return values.text(value).strip()
    except values.Unusable:
        return ""


def _rows(source: Source, reading: Reading) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if source.head.startswith(MAGIC):
        return _parquet(source, reading)
    start = source.head.lstrip()[:1]
    if start in ("[", "{"):
        return json_items.objects(source, reading, "item" if start == "[" else "")
    return ((row.where, row.cells) for row in table.rows(source, reading))


def _parquet(source: Source, reading: Reading) -> Iterator[tuple[str, Mapping[str, Any]]]:
    module, lib = (parquet.module(f"pyarrow.{name}", f"{source.name}: Parquet") for name in ("parquet", "lib"))
    number = 0
    try:
        file = module.ParquetFile(source.binary(), buffer_size=parquet.BUFFER)
        for batch in file.iter_batches(batch_size=BATCH):
            for row, reason in parquet.rows(batch):
                number += 1
                where = f"{source.name}: row {number}"
                if row is None:
                    reading.notes.add(f"row left out: {reason}", where)
                else:
                    yield where, row
    except (lib.ArrowException, OSError) as error:
        raise DataError(f"{source.name}: cannot be read as Parquet: {error}") from error


def _looks(source: Source) -> bool:
    if source.head.startswith(MAGIC):
        return True
    if source.head.lstrip()[:1] in ("[", "{"):
        names = set(re.findall(r'"([^"\\]{1,60})"\s*:', source.head))
        return not {"history", "candidates", "items"} & names and _has_title(names)
    return "<" not in source.head[:1] and _has_title(source.columns)


def _has_title(names: Iterable[str]) -> bool:
    return any(re.sub(r"[\W_]+", "", name.lower()) in ROLES["title"] for name in names)


FORMAT = Format(
    "table",
    "table",
    "item",
    "any CSV, TSV, JSON, JSON Lines or Parquet with a column of titles",
    _looks,
    _read,
)
