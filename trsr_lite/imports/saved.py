"""Pages that somebody saved to read them later, as several services export them.

Invariant: a row whose address is no web page is counted, not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trsr_lite.imports import address, dates
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Reading
from trsr_lite.imports.table import Row


def page(
    row: Row, reading: Reading, link: str, title: str, when: str, attributes: Mapping[str, Any], *, wanted: bool
) -> Iterator[Entry]:
    """One saved page; one whose title is its address, or nothing, is called by what its address says."""
    clean = address.clean(link)
    if not clean:
        reading.notes.add("row left out: no web page", row.where)
        return
    name = address.words(clean) if not title or title.startswith(("http://", "https://")) else title
    about = {**attributes, "site": address.site(clean)}
    yield Entry(name, row.where, dates.seconds(when), clean, about, wanted=wanted)
