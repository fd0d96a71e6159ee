"""Items put into an open catalog and taken out again; the caller's transaction decides whether that lasts.

Invariant: after every call the table of items, the index, the digest and the count agree. After `finish` the vocabulary
and the attributes agree with them too. An id that comes again takes the place of what it was: the last one counts.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trsr_lite.catalog import content, counters, worth
from trsr_lite.catalog.terms import Tokenizer, searched
from trsr_lite.io.encodings import is_text
from trsr_lite.records import Item

VARIABLES = 500  # SQLite allows at least 999 in one statement
HASH_BYTES = 16 << 20  # of terms that wait in memory: fewer, larger segments
_INSERT = "INSERT INTO search (rowid, title, text) VALUES (?, ?, ?)"
_DELETE = "INSERT INTO search (search, rowid, title, text) VALUES ('delete', ?, ?, ?)"


@dataclass
class Changes:
    """What became of the items that came: `new`, `replaced` (another text for an id), `same`; and `removed`.

    `repeated`: those of `replaced` whose earlier text came in the same reading. `users` were counted, who had `unknown`
    items too that are not in the catalog.
    """

    new: int = 0
    replaced: int = 0
    same: int = 0
    removed: int = 0
    repeated: int = 0
    users: int = 0
    unknown: int = 0


class Writer:
    """Changes a catalog.

    Parameters
    ----------
    connection: in a transaction, or one that nobody else sees.
    fresh: the catalog is being built: terms are counted once, at the end, instead of as items come.
    """

    def __init__(self, connection: sqlite3.Connection, *, fresh: bool = False) -> None:
        self.changes = Changes()
        self._connection, self._fresh = connection, fresh
        facts = dict(connection.execute("SELECT name, value FROM facts"))
        self._items, self._text = int(facts["items"]), int(facts["text_bytes"])
        self._digest = content.Digest(facts["digest"])
        last = connection.execute("SELECT coalesce(max(row), 0) FROM items").fetchone()[0]
        self._next = max(last, facts["rows"]) + 1  # a row is never given again: counters may still name it
        self._tokenizer = Tokenizer(connection)
        self._first = self._next
        self._came = set[int]()  # rows that were there before and came in this reading
        if fresh:
            self._configure(hashsize=HASH_BYTES, automerge=0)

    def put(self, items: Sequence[Item]) -> list[int]:
        """Add items, or replace those whose id is known.

        Returns the places of those whose id came before in this reading with another text: the last of them counts.
        """
        last = {item.id: item for item in items}
        known = self._stored(last)
        repeated = self._repeated(items, known)
        self.changes.repeated += len(repeated)
        new, changed = [], []
        for item in last.values():
            plain = content.plain(item)
            if item.id not in known:
                new.append((self._next, item, plain))
                self._next += 1
            elif content.unpacked(known[item.id][1]) == plain:
                self.changes.same += 1
            else:
                changed.append((known[item.id][0], item, plain))
        self._take_out([(item.id, *known[item.id]) for _, item, _ in changed])
        rows = [(row, item.id, item.time, content.packed(plain)) for row, item, plain in (*new, *changed)]
        self._connection.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", rows)
        texts = [(row, *searched(item)) for row, item, _ in (*new, *changed)]
        self._connection.executemany(_INSERT, texts)
        self._count(texts, 1)
        self._count_attributes((item for _, item, _ in (*new, *changed)), 1)
        for _, item, plain in (*new, *changed):
            self._digest.add(item.id, plain)
            self._text += _size(item)
        self._items += len(rows)
        self.changes.new += len(new)
        self.changes.replaced += len(changed)
        if not self._fresh:
            self._came.update(known[item_id][0] for item_id in last if item_id in known)
        return repeated

    def remove(self, ids: Iterable[str]) -> list[str]:
        """Take items out; returns the ids that were not there."""
        wanted = list(dict.fromkeys(ids))
        known = self._stored(wanted)
        self._take_out([(item_id, *known[item_id]) for item_id in wanted if item_id in known])
        self._connection.executemany("DELETE FROM items WHERE id = ?", [(item_id,) for item_id in known])
        counters.take_out(self._connection, [row for row, _ in known.values()])
        self.changes.removed += len(known)
        return [item_id for item_id in wanted if item_id not in known]

    def count(self, users: Iterable[Sequence[str]]) -> None:
        """Count users, each as the ids of what they had, in place of those that were counted before.

        Words must be counted by then: in a fresh catalog, after `finish`.
        """
        sequences = list(users)
        worth.learn(self._connection, self._tokenizer, sequences)
        self.changes.users, self.changes.unknown = counters.count(self._connection, sequences)

    def finish(self) -> None:
        """Write down what is true of the whole."""
        if self._fresh:
            self._connection.execute("INSERT INTO search (search) VALUES ('optimize')")
            self._connection.execute("INSERT INTO vocabulary SELECT term, doc FROM search_terms")
            self._configure(hashsize=1 << 20, automerge=4)  # FTS5's defaults, for changes to come
        for table in ("vocabulary", "attributes"):
            self._connection.execute(f"DELETE FROM {table} WHERE items = 0")  # noqa: S608 - constants
        facts = {"items": self._items, "digest": self._digest.value, "text_bytes": self._text, "rows": self._next - 1}
        self._connection.executemany("UPDATE facts SET value = ?2 WHERE name = ?1", facts.items())

    def _repeated(self, items: Sequence[Item], known: Mapping[str, tuple[int, bytes]]) -> list[int]:
        """Places of items whose id came before with another text; counts the others that came before."""
        before: dict[str, bytes] = {}
        found = []
        for place, item in enumerate(items):
            plain = content.plain(item)
            if item.id in before:
                if before[item.id] == plain:
                    self.changes.same += 1
                else:
                    self.changes.replaced += 1
                    found.append(place)
            elif self._is_of_this_reading(item.id, known) and content.unpacked(known[item.id][1]) != plain:
                found.append(place)
            before[item.id] = plain
        return found

    def _is_of_this_reading(self, item_id: str, known: Mapping[str, tuple[int, bytes]]) -> bool:
        return item_id in known and (known[item_id][0] >= self._first or known[item_id][0] in self._came)

    def _stored(self, ids: Iterable[str]) -> dict[str, tuple[int, bytes]]:
        """(row, stored content) of the ids that are there."""
        wanted, found = [item_id for item_id in ids if is_text(item_id)], dict[str, tuple[int, bytes]]()
        for start in range(0, len(wanted), VARIABLES):
            part = wanted[start : start + VARIABLES]
            marks = ",".join("?" * len(part))
            query = f"SELECT id, row, content FROM items WHERE id IN ({marks})"  # noqa: S608 - only question marks
            found.update((item_id, (row, stored)) for item_id, row, stored in self._connection.execute(query, part))
        return found

    def _take_out(self, rows: Sequence[tuple[str, int, bytes]]) -> None:
        """Undo what `put` did for these (id, row, stored content), but for the rows of the table itself."""
        items = [content.item(item_id, stored) for item_id, _, stored in rows]
        texts = [(row, *searched(item)) for (_, row, _), item in zip(rows, items, strict=True)]
        self._connection.executemany(_DELETE, texts)
        self._count(texts, -1)
        self._count_attributes(items, -1)
        for item, (_, _, stored) in zip(items, rows, strict=True):
            self._digest.remove(item.id, content.unpacked(stored))
            self._text -= _size(item)
        self._items -= len(rows)

    def _count(self, texts: Sequence[tuple[int, str, str]], sign: int) -> None:
        if texts and not self._fresh:
            self._tokenizer.count([f"{title}\n{text}" for _, title, text in texts], sign)

    def _count_attributes(self, items: Iterable[Item], sign: int) -> None:
        counts = Counter(name for item in items for name in item.attributes)
        self._connection.executemany(
            "INSERT INTO attributes VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET items = items + excluded.items",
            [(name, sign * count) for name, count in counts.items()],
        )

    def _configure(self, **values: int) -> None:
        self._connection.executemany("INSERT INTO search (search, rank) VALUES (?, ?)", values.items())


def _size(item: Item) -> int:
    """Bytes of text: what the size of a catalog is measured against."""
    return sum(len(text.encode()) for text in item.attributes.values())
