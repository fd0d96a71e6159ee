"""Pocket: *Export*, a CSV of saved pages with their status.

Invariant: what was not archived is still to be read.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import saved, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for row in table.rows(source, reading):
        tags = row["tags"].replace("|", ", ")
        yield from saved.page(
            row, reading, row["url"], row["title"], row["time_added"], {"tags": tags}, wanted=row["status"] == "unread"
        )


FORMAT = Format(
    "pocket",
    "Pocket export",
    "news",
    "Pocket's export of saved pages (part_000000.csv)",
    with_columns("title", "url", "time_added", "status"),
    _read,
)
