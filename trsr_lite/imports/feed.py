"""Feeds: RSS and Atom files, as they were fetched by another program.

Invariant: entries of a feed are candidates: it says what there is, not what anybody read. Their markup becomes text.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from typing import Any

from trsr_lite.errors import DataError
from trsr_lite.imports import address, extra, markup, xml
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.source import Source

_ROOTS = ("rss", "feed")
_CHANNEL = "rdf"  # RSS 1.0 is RDF, as Zotero's export is: what tells them apart is the namespace
_RSS1 = 'xmlns="http://purl.org/rss/1.0/"'
_SUMMARY = 600  # characters


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    parser = extra.module("feedparser", f"{source.name}: feeds")
    xml.refuse_entities(source)
    found = parser.parse(source.binary(), sanitize_html=True, resolve_relative_uris=False)
    if found.bozo and not found.entries:
        raise DataError(f"{source.name}: not a feed that can be read: {found.get('bozo_exception')}")
    if found.bozo:
        reading.notes.say("not valid XML: read as far as it goes", source.name)
    channel = markup.plain(found.feed.get("title", ""))
    for number, one in enumerate(found.entries, 1):
        page = address.clean(one.get("link", ""))
        summary = markup.plain(one.get("summary", ""))[:_SUMMARY]
        title = markup.plain(one.get("title", ""))
        yield Entry(
            title or summary[:80],
            f"{source.name}: entry {number}",
            _time(one),
            page or str(one.get("id", "")),
            {
                "category": [markup.plain(tag.get("term") or "") for tag in one.get("tags", ())],
                "author": markup.plain(one.get("author", "")),
                "feed": channel,
                "description": summary if summary != title else "",
            },
            wanted=True,
        )


def _time(one: Any) -> float | None:
    moment = one.get("published_parsed") or one.get("updated_parsed")
    if not moment:
        return None
    try:
        return float(calendar.timegm(moment))
    except (ValueError, OverflowError):
        return None


def _looks(source: Source) -> bool:
    root = xml.root(source)
    return root in _ROOTS or (root == _CHANNEL and _RSS1 in source.head)


FORMAT = Format(
    "feed",
    "RSS or Atom feed",
    "news",
    "a feed that your feed reader or browser has saved as a file",
    _looks,
    _read,
    newest_first=True,
)
