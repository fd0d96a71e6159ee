"""Feed readers: articles that were starred or saved, in the JSON form of Google Reader (FreshRSS, Inoreader, The Old
Reader, Miniflux by way of it).

Invariant: an article is history, because its reader kept it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trsr_lite.imports import address, dates, json_items, markup
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.json_items import has, text
from trsr_lite.imports.source import Source

_SUMMARY = 600  # characters


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for where, one in json_items.objects(source, reading, "items.item"):
        page = _link(one)
        origin = one.get("origin")
        summary = one.get("summary") or one.get("content")
        about = markup.plain(text(summary.get("content")))[:_SUMMARY] if isinstance(summary, dict) else ""
        when = one.get("starred", one.get("published", one.get("crawlTimeMsec")))
        labels = one.get("categories")
        named = [text(label).rpartition("/label/")[2] for label in labels or () if "/label/" in text(label)]
        yield Entry(
            markup.plain(text(one.get("title"))) or about[:80],
            where,
            dates.seconds(str(when)) if when else None,
            page or text(one.get("id")),
            {
                "label": named,
                "author": text(one.get("author")),
                "feed": text(origin.get("title")) if isinstance(origin, dict) else "",
                "description": about,
            },
        )


def _link(one: dict[str, Any]) -> str:
    for name in ("canonical", "alternate"):
        for link in one.get(name) or ():
            if isinstance(link, dict) and (page := address.clean(text(link.get("href")))):
                return page
    return ""


FORMAT = Format(
    "reader",
    "starred articles of a feed reader",
    "news",
    "FreshRSS, Inoreader and others: export of starred or saved articles as JSON",
    lambda source: has(source, "items", "title") and (has(source, "origin") or has(source, "crawlTimeMsec")),
    _read,
    newest_first=True,
)
