"""What is searched of an item, and the terms of any text as the index knows them.

Invariant: the same tokenizer, that of FTS5 itself, cuts an item and a query into terms. A term in a search is always
quoted, so no text of a user becomes a query's syntax.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Sequence

from trsr_lite.catalog.database import SCHEMA, TOKENIZER, version
from trsr_lite.records import Item

# Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces, and a tokenizer that cuts at spaces finds
# whole sentences only; Korean has particles at the ends of its words. Pairs of letters find a word in all of them.
_CHINESE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_DENSE = {
    2: re.compile(f"[{_CHINESE}]+"),
    3: re.compile(f"[{_CHINESE}\u0e01-\u0e4e\u0e81-\u0edf\u1000-\u109f\u1780-\u17d3\uac00-\ud7a3]+"),
}


def searched(item: Item) -> tuple[str, str]:
    """(title, text): the title, and every other attribute one after another, as a new catalog has them."""
    rest = [text for name, text in item.attributes.items() if name != "title"]
    if "title" not in item.attributes:
        return spaced(rest[0]), spaced("\n".join(rest[1:]))
    return spaced(item.attributes["title"]), spaced("\n".join(rest))


def spaced(text: str, version: int = SCHEMA) -> str:
    """The text, with overlapping pairs for scripts that are not cut at spaces, for a catalog of this version."""
    return text if text.isascii() else _DENSE[min(version, max(_DENSE))].sub(_pairs, text)


def quoted(term: str) -> str:
    """A term as an FTS5 string, whatever is in it."""
    return '"{}"'.format(term.replace('"', '""'))


class Tokenizer:
    """Cuts texts into terms in temporary tables of a catalog's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection, self.version = connection, version(connection)
        for table in (  # one by one: a script would end the caller's transaction
            f"cut USING fts5 (text, content = '', {TOKENIZER})",
            "cut_places USING fts5vocab (temp, cut, instance)",
            "cut_terms USING fts5vocab (temp, cut, row)",
        ):
            connection.execute(f"CREATE VIRTUAL TABLE temp.{table}")

    def frequencies(self, texts: Sequence[str]) -> list[list[tuple[str, int]]]:
        """For each text its different terms that the catalog has, as (term, items that have it), rarest first."""
        self._fill(texts)
        found: list[list[tuple[str, int]]] = [[] for _ in texts]
        query = (
            "SELECT DISTINCT doc, term, items FROM temp.cut_places JOIN vocabulary USING (term) "
            "ORDER BY doc, items, term"
        )
        for number, term, items in self._connection.execute(query):
            found[number - 1].append((term, items))
        return found

    def count(self, texts: Sequence[str], sign: int) -> None:
        """Add to the vocabulary, or take from it, what each text has."""
        self._fill(texts)
        self._connection.execute(
            "INSERT INTO vocabulary SELECT term, ?1 * doc FROM temp.cut_terms WHERE true "
            "ON CONFLICT (term) DO UPDATE SET items = items + excluded.items",
            (sign,),
        )

    def _fill(self, texts: Sequence[str]) -> None:
        self._connection.execute("INSERT INTO temp.cut (cut) VALUES ('delete-all')")
        self._connection.executemany("INSERT INTO temp.cut (rowid, text) VALUES (?, ?)", enumerate(texts, 1))


def _pairs(run: re.Match[str]) -> str:
    text = "".join(sign for sign in run.group() if unicodedata.category(sign) not in ("Mn", "Mc"))
    pairs = [text[place : place + 2] for place in range(len(text) - 1)]
    return f" {' '.join(pairs or [text])} "
