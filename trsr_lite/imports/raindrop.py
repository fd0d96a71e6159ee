"""Raindrop.io: *Settings → Backups*, a CSV of bookmarks.

Invariant: each bookmark is history; its folder, tags, note and excerpt are what is known of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import saved, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source

_GENERAL = "unsorted"


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for row in table.rows(source, reading):
        about = {
            "folder": "" if row["folder"].lower() == _GENERAL else row["folder"],
            "tags": row["tags"],
            "description": row["excerpt"] or row["note"],
        }
        yield from saved.page(row, reading, row["url"], row["title"], row["created"], about, wanted=False)


FORMAT = Format(
    "raindrop",
    "Raindrop.io backup",
    "item",
    "Settings, Backups, CSV",
    with_columns("title", "url", "folder", "created", "excerpt"),
    _read,
)
