"""Letterboxd: *Settings → Data → Export your data*, a zip with diary.csv, ratings.csv, watched.csv and watchlist.csv.

Invariant: only its name tells a watchlist from what was watched, because the columns are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from trsr_lite.imports import dates, ratings, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source

_STARS = 5


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    wanted = "watchlist" in PurePath(source.name).name.lower()
    for row in table.rows(source, reading):
        name, year = row["Name"], row["Year"]
        yield Entry(
            f"{name} ({year})" if name and year else name,
            row.where,
            dates.seconds(row["Watched Date"] or row["Date"]),
            f"film:{name.casefold()} ({year})",  # a diary's addresses are of its entries, not of films
            {"tags": row["Tags"], "review": row["Review"]},
            ratings.stars(row["Rating"], _STARS),
            wanted=wanted,
        )


FORMAT = Format(
    "letterboxd",
    "Letterboxd export",
    "film",
    "Settings, Data, Export your data (diary.csv, ratings.csv, watched.csv, watchlist.csv)",
    with_columns("Date", "Name", "Year", "Letterboxd URI"),
    _read,
)
