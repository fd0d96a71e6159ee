"""Markup to text: what a person would read of it, without what would run.

Invariant: no tag, script or style survives, and entities are letters.
"""

from __future__ import annotations

from html.parser import HTMLParser

_SILENT = ("script", "style")
_BREAKS = ("p", "br", "div", "li", "tr", "h1", "h2", "h3", "h4")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """What begins a new line is a space."""
        if tag in _BREAKS:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        """Text, unless it would run."""
        if self.cdata_elem not in _SILENT:
            self.parts.append(data)


def plain(text: str) -> str:
    """The text of HTML, on one line."""
    if "<" not in text and "&" not in text:
        return " ".join(text.split())
    parser = _Text()
    parser.feed(text)
    parser.close()
    return " ".join("".join(parser.parts).split())
