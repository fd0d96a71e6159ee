"""What signals read of an item: its text, its words, and its attribute values.

Invariant: ids and addresses are not read, and letter case counts for nothing. Chinese and Japanese, which are written
without spaces, are read as overlapping pairs of characters.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from trsr_lite.records import Item

UNREAD = frozenset({"id", "asin", "isbn", "sku", "url", "uri", "link", "href", "image", "thumbnail"})
LONGEST_VALUE = 60  # characters; a longer one is prose, which two items do not share by chance
LONGEST_WORD = 64
LONGEST_TEXT = 20_000  # characters read of an item; the rest of a book says no more of what it is about
_ADDRESS = re.compile(r"\b\w+://\S+|\bwww\.\S+")
_WORDS = re.compile(r"\w\w+")
_LETTER = re.compile(r"[^\W\d_]")
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]+")


def text_of(item: Item) -> str:
    """The title and all attribute values, lower-cased, without addresses."""
    text = " ".join(text[:LONGEST_TEXT] for _, text in _read(item))
    return _ADDRESS.sub(" ", text[:LONGEST_TEXT]).lower()


def words_of(item: Item) -> list[int]:
    """Hashes of the item's words, in order, with repetitions."""
    text = text_of(item)
    if not text.isascii():
        text = _DENSE.sub(_pairs, text)
    return [zlib.crc32(word[:LONGEST_WORD].encode()) for word in _WORDS.findall(text)]


def values_of(item: Item) -> list[int]:
    """Hashes of the short attribute values except the title's, each once: what two items can share as a whole."""
    title = "title" if "title" in item.attributes else next(iter(item.attributes))
    found: dict[int, None] = {}
    for name, value in _read(item):
        if name != title and len(value) <= LONGEST_VALUE and _LETTER.search(value):
            found[zlib.crc32(f"{name}\0{value}".lower().encode())] = None
    return list(found)


def _read(item: Item) -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in item.attributes.items() if name.lower() not in UNREAD)


def _pairs(run: re.Match[str]) -> str:
    text = run.group()
    return f" {' '.join(text[place : place + 2] for place in range(max(1, len(text) - 1)))} "
