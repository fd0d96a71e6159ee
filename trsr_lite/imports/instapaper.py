"""Instapaper: *Settings → Export → Download .CSV file*.

Invariant: what is in the folder `Unread` is still to be read.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import saved, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source

_FOLDERS = ("unread", "archive", "starred")  # which say nothing about a page


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for row in table.rows(source, reading):
        folder = row["Folder"]
        about = {
            "folder": "" if folder.lower() in _FOLDERS else folder,
            "tags": "" if row["Tags"] == "[]" else row["Tags"].strip("[]").replace('"', ""),
            "description": row["Selection"],
        }
        unread = folder.lower() == "unread"
        yield from saved.page(row, reading, row["URL"], row["Title"], row["Timestamp"], about, wanted=unread)


FORMAT = Format(
    "instapaper",
    "Instapaper export",
    "news",
    "Settings, Export, Download .CSV file",
    with_columns("URL", "Title", "Selection", "Folder"),
    _read,
)
