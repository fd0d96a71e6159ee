"""OPML: the list of feeds that a feed reader exports, each with its title and folder.

Invariant: a feed is an item, with its name, folder and description; a folder is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import address, dates, xml
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.source import Source


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    folders: list[str] = []  # those around, "" for a feed
    number = 0
    for event, element in xml.elements(source):
        if xml.local(element.tag).lower() != "outline":
            continue
        given = {name.lower(): value for name, value in element.attrib.items()}
        title = (given.get("title") or given.get("text") or "").strip()
        if event == "end":
            if folders.pop() and not len(element):
                reading.notes.add("outline left out: no feed is in it", f"{source.name}: outline {number}")
            element.clear()
            continue
        feed, number = given.get("xmlurl", ""), number + 1
        if feed:
            page = address.clean(feed)
            around = " / ".join(name for name in folders if name) or given.get("category", "").strip("/")
            site = address.site(address.clean(given.get("htmlurl", "")) or page)
            yield Entry(
                title or site,
                f"{source.name}: outline {number}",
                dates.seconds(given.get("created", "")),
                page or feed,
                {"folder": around, "description": given.get("description", ""), "site": site},
            )
        folders.append("" if feed else title)


FORMAT = Format(
    "opml",
    "OPML list of feeds",
    "news",
    "your feed reader, Export OPML",
    lambda source: xml.root(source) == "opml",
    _read,
)
