"""YouTube: the watch history of Google Takeout, as JSON or as HTML, in whatever language it was exported.

Invariant: a file of any size is streamed. The word for *watched* around each title is found by what all titles have in
common, so that it needs no list of languages. Advertisements, removed videos and music are counted, not read.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

from trsr_lite.imports import dates, json_items
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.json_items import text
from trsr_lite.imports.source import CHUNK, Source

SAMPLE = 200  # titles that show which words stand around all of them
_LONGEST = 40  # characters of such words
_ENOUGH = 5  # titles that can show it at all
_MOST = 0.8  # of the titles: posts and games have other words
_ENGLISH = "Watched "
_OPENING, _CLOSING = ' „“«"：「『', ' “”»"」』'
_CELL = "content-cell"
_BODY = "mdl-typography--body-1"


def _json(source: Source, reading: Reading) -> Iterator[Entry]:
    found = json_items.objects(source, reading)
    first = list(itertools.islice(found, SAMPLE))
    before, after = _around([text(one.get("title")) for _, one in first if text(one.get("titleUrl"))])
    for where, one in itertools.chain(first, found):
        title, page = text(one.get("title")), text(one.get("titleUrl"))
        if _is_advertisement(one):
            reading.notes.add("video left out: an advertisement", where)
            continue
        title = title[len(before) :] if before and title.startswith(before) else title
        title = title[: -len(after)] if after and title.endswith(after) else title
        channel = next((text(c.get("name")) for c in one.get("subtitles") or () if isinstance(c, dict)), "")
        yield from _entry(where, title.strip(), page, channel, text(one.get("time")), reading)


def _entry(where: str, title: str, page: str, channel: str, when: str, reading: Reading) -> Iterator[Entry]:
    if not page or title.startswith(("http://", "https://")):
        reading.notes.add("video left out: removed, or private, so that it has no title", where)
        return
    parts = urlsplit(page)
    video = next(iter(parse_qs(parts.query).get("v", ())), "")
    if "music.youtube." in page:
        reading.notes.add("video left out: music, of YouTube Music", where)
        return
    if not video:
        reading.notes.add("entry left out: no video, but a post or a game", where)
        return
    yield Entry(title, where, dates.seconds(when), f"youtube:{video}", {"channel": channel})


def _is_advertisement(one: dict[str, Any]) -> bool:
    return any("Google Ads" in text(part.get("name")) for part in one.get("details") or () if isinstance(part, dict))


def _around(titles: list[str]) -> tuple[str, str]:
    """The words before and behind nearly every title, such as `Watched `, or `„` and `“ angesehen`."""
    if not titles or sum(title.startswith(_ENGLISH) for title in titles) >= _MOST * len(titles):
        return _ENGLISH, ""
    if len(titles) < _ENOUGH:
        return "", ""
    before = _shared([title[:_LONGEST] for title in titles], _OPENING)
    after = _shared([title[: -_LONGEST - 1 : -1] for title in titles], _CLOSING)[::-1]
    return before, after


def _shared(beginnings: list[str], marks: str) -> str:
    """The longest beginning that ends with a mark and that nearly all have."""
    counts = Counter(one[: place + 1] for one in beginnings for place, letter in enumerate(one) if letter in marks)
    wide = [beginning for beginning, count in counts.items() if count >= _MOST * len(beginnings)]
    return max(wide, key=len, default="")


class _Page(HTMLParser):
    """The cells of the HTML form: each has a link to the video, one to the channel, and a date behind them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.done: list[dict[str, Any]] = []
        self._cell: dict[str, Any] | None = None
        self._held: dict[str, Any] | None = None  # until what is said below it is known
        self._depth = 0
        self._link: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A cell, or what stands in one."""
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        if tag == "div":
            if self._cell is not None:
                self._depth += 1
            elif "outer-cell" in classes:
                self.finish()
            elif _CELL in classes and _BODY in classes and "mdl-typography--text-right" not in classes:
                self._cell, self._depth = {"links": [], "texts": [""], "line": self.getpos()[0]}, 0
        elif self._cell is not None and tag == "a":
            self._link = [given.get("href") or "", ""]
        elif self._cell is not None and tag == "br":
            self._cell["texts"].append("")

    def handle_endtag(self, tag: str) -> None:
        """The end of a cell or of a link."""
        if self._cell is None:
            return
        if tag == "a" and self._link is not None:
            self._cell["links"].append(tuple(self._link))
            self._link = None
        elif tag == "div":
            if self._depth == 0:
                self._held, self._cell = self._held or self._cell, None
            else:
                self._depth -= 1

    def handle_data(self, data: str) -> None:
        """Text of a link, or around links."""
        if self._link is not None:
            self._link[1] += data
        elif self._cell is not None:
            self._cell["texts"][-1] += data
        elif self._held is not None and "Google Ads" in data:
            self._held["advertisement"] = True

    def finish(self) -> None:
        """The cell that was held is complete: another one begins, or the file ends."""
        if self._held is not None:
            self.done.append(self._held)
        self._held = None


def _html(source: Source, reading: Reading) -> Iterator[Entry]:
    page = _Page()
    with source.text(reading.notes) as stream:
        while chunk := stream.read(CHUNK):
            page.feed(chunk)
            yield from _cells(page, source, reading)
    page.close()
    page.finish()
    yield from _cells(page, source, reading)


def _cells(page: _Page, source: Source, reading: Reading) -> Iterator[Entry]:
    for cell in page.done:
        where, links = f"{source.name}:{cell['line']}", cell["links"]
        if cell.get("advertisement"):
            reading.notes.add("video left out: an advertisement", where)
        elif not links:
            reading.notes.add("video left out: removed, or private, so that it has no title", where)
        else:
            when = next((text for text in reversed(cell["texts"]) if text.strip()), "")
            channel = links[1][1].strip() if len(links) > 1 else ""
            yield from _entry(where, links[0][1].strip(), links[0][0], channel, when, reading)
    page.done.clear()


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    return _json(source, reading) if source.head.lstrip()[:1] == "[" else _html(source, reading)


def _looks(source: Source) -> bool:
    if json_items.has(source, "header", "title", "time"):
        return re.search(r'"header"\s*:\s*"YouTube', source.head) is not None
    return source.head.lstrip()[:1] == "<" and _CELL in source.head and "youtube.com/" in source.head


FORMAT = Format(
    "youtube",
    "YouTube watch history",
    "video",
    "Google Takeout, YouTube, History (watch-history.json or .html)",
    _looks,
    _read,
    newest_first=True,
)
