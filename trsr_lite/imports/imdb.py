"""IMDb: *Your ratings* and *Watchlist → Export*, CSV files.

Invariant: a watchlist has positions; what its person has rated all the same was watched.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import dates, ratings, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source

_MOST = 10


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    listed = "position" in {name.lower() for name in source.columns}
    for row in table.rows(source, reading):
        rating, title, year = ratings.stars(row["Your Rating"], _MOST), row["Title"], row["Year"]
        yield Entry(
            f"{title} ({year})" if title and year else title,
            row.where,
            dates.seconds(row["Date Rated"] or row["Created"]),
            f"imdb:{row['Const']}" if row["Const"] else "",
            {"type": row["Title Type"], "genres": row["Genres"], "directors": row["Directors"]},
            rating,
            wanted=listed and rating is None,
        )


FORMAT = Format(
    "imdb",
    "IMDb list",
    "film",
    "Your ratings or Your watchlist, Export",
    with_columns("Const", "Title", "Title Type"),
    _read,
)
