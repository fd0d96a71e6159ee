"""Readwise: highlights (*Export → CSV*) and the documents of its reader (*Export library*).

Invariant: a book with many highlights is one item, and the texts of highlights are not kept. A document of the reader
that is not archived is still to be read.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import dates, saved, table
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading, with_columns
from trsr_lite.imports.source import Source

_HIGHLIGHTS = with_columns("Highlight", "Book Title", "Book Author")
_DOCUMENTS = with_columns("Title", "URL", "Saved date", "Reading progress")
_LATER = ("new", "later", "shortlist", "feed", "inbox")


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for row in table.rows(source, reading):
        if "highlight" in row.cells:
            tags = row["Document tags"] or row["Tags"]
            when = dates.seconds(row["Highlighted at"])
            yield Entry(row["Book Title"], row.where, when, "", {"author": row["Book Author"], "tags": tags})
        else:
            about = {"tags": row["Document tags"].strip("[]").replace("'", "")}
            later = row["Location"].lower() in _LATER
            yield from saved.page(row, reading, row["URL"], row["Title"], row["Saved date"], about, wanted=later)


FORMAT = Format(
    "readwise",
    "Readwise export",
    "item",
    "Readwise, Export, CSV; or its reader, Export library",
    lambda source: _HIGHLIGHTS(source) or _DOCUMENTS(source),
    _read,
)
