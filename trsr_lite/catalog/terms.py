"""What is searched of an item, and the terms of any text as the index knows them.

Invariant: an item and a query are cut into terms by the same tokenizer, that of FTS5 itself; a term that is searched
for is always quoted, so no text of a user can be a query's syntax.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from trsr_lite.catalog.database import TOKENIZER
from trsr_lite.records import Item

# Chinese and Japanese are written without spaces, and a tokenizer that cuts at spaces finds whole sentences only.
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]+")


def searched(item: Item) -> tuple[str, str]:
    """(title, text): the title, and every other attribute one after another."""
    rest = [text for name, text in item.attributes.items() if name != "title"]
    if "title" not in item.attributes:
        return spaced(rest[0]), spaced("\n".join(rest[1:]))
    return spaced(item.attributes["title"]), spaced("\n".join(rest))


def spaced(text: str) -> str:
    """The text with runs of Chinese and Japanese characters as overlapping pairs."""
    return text if text.isascii() else _DENSE.sub(_pairs, text)


def quoted(term: str) -> str:
    """A term as an FTS5 string, whatever is in it."""
    return '"{}"'.format(term.replace('"', '""'))


class Tokenizer:
    """Cuts texts into terms in temporary tables of a catalog's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
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
    text = run.group()
    pairs = [text[place : place + 2] for place in range(len(text) - 1)]
    return f" {' '.join(pairs or [text])} "
