"""StoryGraph: *Manage account → Export StoryGraph library*, a CSV of every book.

Invariant: `to-read` is no history. A book that was not finished is, and speaks against its like unless it has stars.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import dates, ratings, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source

_STARS = 5


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for row in table.rows(source, reading):
        status, isbn = row["Read Status"], row["ISBN/UID"]
        wanted, rating = status == "to-read", ratings.stars(row["Star Rating"], _STARS)
        read = row["Last Date Read"] or row["Dates Read"].rpartition("-")[2]
        yield Entry(
            row["Title"],
            row.where,
            dates.seconds((not wanted and read) or row["Date Added"]),
            f"isbn:{isbn}" if isbn.isalnum() and isbn[:1].isdigit() else "",
            {
                "author": row["Authors"],
                "moods": row["Moods"],
                "pace": row["Pace"],
                "tags": row["Tags"],
            },
            rating,
            "skip" if status == "did-not-finish" and rating is None else "",
            wanted,
        )


FORMAT = Format(
    "storygraph",
    "StoryGraph library",
    "book",
    "Manage account, Export StoryGraph library",
    with_columns("Title", "Authors", "Read Status", "Star Rating"),
    _read,
)
