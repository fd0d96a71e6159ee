"""Bookmarks of a browser: the HTML file that Firefox, Chrome, Safari, Edge and bookmark services export.

Invariant: only web pages are items: no scripts, no data, no pages of the browser itself. What is marked as private, by
the attribute `PRIVATE` or by the name of its folder, stays out unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from trsr_lite.imports import address, dates
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.source import CHUNK, Source

_PRIVATE = frozenset(("private", "privat", "privé", "privado", "privato", "particular", "非公開", "私人"))
_GENERAL = frozenset(
    ("bookmarks", "bookmarks bar", "bookmarks toolbar", "bookmarks menu", "other bookmarks", "favorites", "favourites")
)
"""Folders that every browser has, which say nothing about a page."""
_UNREAD = frozenset(("unread", "reading list", "to read", "read later"))
_SILENT = ("script", "style")  # what stands in them is no text


class _Parser(HTMLParser):
    """Pages with the folders around them, in the order of the file; `done` holds those that are complete."""

    def __init__(self, source: Source, reading: Reading) -> None:
        super().__init__(convert_charrefs=True)
        self.done: list[Entry] = []
        self._source, self._reading = source, reading
        self._folders: list[str] = []
        self._heading = ""  # of the folder that comes next
        self._section = ""  # of an export of Pocket
        self._link: dict[str, str] | None = None
        self._line = 0
        self._texts: dict[str, str] = {}
        self._into = ""  # where text goes: `title`, `about`, `heading`, `section`, or nowhere

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """What begins here."""
        if tag == "a":
            self._finish()
            self._link, self._line = {name: value or "" for name, value in attrs}, self.getpos()[0]
            self._into = "title"
        elif tag == "dd":
            self._into = "about"
        elif tag in ("h1", "h3"):
            self._finish()
            self._into = "section" if tag == "h1" else "heading"
            self._texts.pop(self._into, None)
        elif tag == "dl":
            self._finish()
            self._folders.append(" ".join(self._texts.pop("heading", "").split()))
        elif tag == "dt" or tag in _SILENT:
            self._into = ""

    def handle_endtag(self, tag: str) -> None:
        """What ends here."""
        if tag == "dl":
            self._finish()
            if self._folders:
                self._folders.pop()
        elif tag in ("a", "h1", "h3"):
            self._into = ""

    def handle_data(self, data: str) -> None:
        """Text of what was begun."""
        if self._into and self.cdata_elem is None:
            self._texts[self._into] = self._texts.get(self._into, "") + data

    def close(self) -> None:
        """The end of the file."""
        super().close()
        self._finish()

    def _finish(self) -> None:
        """The page that was begun is complete."""
        link, title, about = self._link, self._texts.pop("title", ""), self._texts.pop("about", "")
        self._link, self._into = None, ""
        if link is None:
            return
        where, notes = f"{self._source.name}:{self._line}", self._reading.notes
        page = address.clean(link.get("href", ""))
        if not page:
            notes.add("bookmark left out: no web page", where)
            return
        folders = [name for name in self._folders if name and name.lower() not in _GENERAL]
        private = link.get("private") == "1" or any(name.lower() in _PRIVATE for name in folders)
        if private and not self._reading.private:
            notes.add("bookmark left out: private; `trsr-lite import --private` keeps it", where)
            return
        section = " ".join(self._texts.get("section", "").split()).lower()
        attributes = {
            "folder": " / ".join(name for name in folders if name.lower() not in _UNREAD),
            "tags": link.get("tags", ""),
            "description": about,
        }
        self.done.append(
            Entry(
                " ".join(title.split()) or address.words(page),
                where,
                dates.seconds(link.get("add_date") or link.get("time_added") or ""),
                page,
                {**attributes, "site": address.site(page)},
                wanted=link.get("toread") == "1" or section in _UNREAD or any(f.lower() in _UNREAD for f in folders),
            )
        )


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    parser = _Parser(source, reading)
    with source.text(reading.notes) as text:
        while chunk := text.read(CHUNK):
            parser.feed(chunk)
            yield from parser.done
            parser.done.clear()
    parser.close()
    yield from parser.done


def _looks(source: Source) -> bool:
    head = source.head.lower()
    pocket = "<title>pocket export" in head
    return "netscape-bookmark-file" in head[:1000] or pocket or ("<dl>" in head and "<dt><a href=" in head)


FORMAT = Format(
    "bookmarks",
    "browser bookmarks",
    "item",
    "the browser's bookmark manager, Export bookmarks to HTML",
    _looks,
    _read,
)
