"""Goodreads: *My Books → Import and export → Export library*, a CSV of every shelf.

Invariant: the shelf `to-read` is no history. An ISBN stands as `="…"` there, which is no text for people.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import dates, ratings, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source

_STARS = 5
_SHELVES = ("read", "to-read", "currently-reading")  # which say nothing about a book


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for row in table.rows(source, reading):
        shelf = row["Exclusive Shelf"]
        shelves = [name for name in map(str.strip, row["Bookshelves"].split(",")) if name and name not in _SHELVES]
        wanted = shelf == "to-read"
        yield Entry(
            row["Title"],
            row.where,
            dates.seconds(row["Date Added"] if wanted else row["Date Read"] or row["Date Added"]),
            f"goodreads:{row['Book Id']}" if row["Book Id"] else "",
            {
                "author": row["Author"],
                "shelves": shelves,
                "year": row["Original Publication Year"] or row["Year Published"],
            },
            ratings.stars(row["My Rating"], _STARS),
            wanted=wanted,
        )


FORMAT = Format(
    "goodreads",
    "Goodreads library",
    "book",
    "My Books, Import and export, Export library",
    with_columns("Book Id", "Title", "Author", "Exclusive Shelf"),
    _read,
)
