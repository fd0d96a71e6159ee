"""Items and what users did with them, held in a private temporary database.

Invariant: memory does not grow with the data: texts and sequences lie in a SQLite file that has no name and is gone
when it is closed. Items, users and cases each have dense numbers from 0, in the order in which they came.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson

from trsr_lite.errors import Closed, DataError
from trsr_lite.feedback import AGAINST, FEEDBACK
from trsr_lite.records import Item

CACHE_KIB = 64 * 1024
REPEATED = "the id came before with another text; the last counts"
CHUNK = 500  # names in one query; old SQLite takes at most 999
_SCHEMA = """
CREATE TABLE items (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, attributes BLOB NOT NULL);
CREATE TABLE kinds (row INTEGER PRIMARY KEY, kind TEXT NOT NULL);
CREATE TABLE users (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE cases (number INTEGER PRIMARY KEY, user INTEGER NOT NULL, line INTEGER NOT NULL,
                    history BLOB NOT NULL, positives BLOB NOT NULL, negatives BLOB NOT NULL, domain TEXT,
                    relevance BLOB NOT NULL, said BLOB NOT NULL, refused BLOB NOT NULL);
CREATE INDEX cases_of_user ON cases (user);
"""
_CASE = (
    "SELECT users.id, history, positives, negatives, line, user, domain, relevance, said, refused "
    "FROM cases JOIN users ON users.number = user "
)


@dataclass(frozen=True)
class Case:
    """One thing that a user did: item rows, the history oldest first.

    `negatives` are those that the source shows; empty means that they are drawn. `user` is the user's number, and
    `domain` what the items are, where the source says so. `relevance` is what each candidate is worth to the user, by
    row. It is empty where the source knows of clicks alone. `said` is the user's feedback on each item of the history,
    empty where there is none. `refused` are items that came after the positives and were disliked or skipped.
    """

    user_id: str
    history: tuple[int, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...] = ()
    line: int = 0
    user: int = 0
    domain: str | None = None
    relevance: Mapping[int, float] = field(default_factory=dict)
    said: tuple[str | None, ...] = ()
    refused: tuple[int, ...] = ()

    @property
    def sequence(self) -> tuple[int, ...]:
        """The history and what followed it."""
        return self.history + self.positives

    @property
    def liked(self) -> tuple[int, ...]:
        """The sequence without what the user disliked or skipped."""
        return tuple(row for row, said in zip(self.history, self._opinions, strict=True) if said not in AGAINST) + (
            self.positives
        )

    def back(self, count: int) -> Case:
        """The case as it was when the item `count` places before the last came next."""
        if count == 0:
            return self
        before, target = self.history[:-count], self.history[-count]
        opinions = self._opinions
        later = [row for row, said in zip(self.history[-count:], opinions[-count:], strict=True) if said in AGAINST]
        said = opinions[:-count] if any(opinions[:-count]) else ()
        return replace(self, history=before, positives=(target,), said=said, refused=(*later, *self.refused))

    def is_target(self, count: int) -> bool:
        """Whether the item `count` places before the last was liked, so that it can be a target."""
        return count == 0 or self._opinions[-count] not in AGAINST

    @property
    def _opinions(self) -> tuple[str | None, ...]:
        return self.said or (None,) * len(self.history)


class Corpus:
    """A store that is written once and then read; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._closed = False
        self.item_count = 0
        self.user_count = 0
        self.case_count = 0
        with _mapped():
            self._database = _connect(_SCHEMA)

    def __enter__(self) -> Corpus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back; more than once is fine."""
        with self._lock:
            self._closed = True
            self._database.close()

    # Items

    def add_item(self, item: Item, kind: str | None = None) -> bool:
        """Store an item under the next row; False if the id is taken, in which case the first stays.

        `kind` is what sets it apart from others so clearly that it may stand beside its own kind alone.
        """
        attributes = orjson.dumps(dict(item.attributes))
        with self._open() as database:
            added = database.execute(
                "INSERT INTO items VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (self.item_count, item.id, attributes)
            ).rowcount
            if added and kind is not None:
                database.execute("INSERT INTO kinds VALUES (?, ?)", (self.item_count, kind))
            self.item_count += added
        return bool(added)

    def put_item(self, item: Item, kind: str | None = None) -> str:
        """Store an item as `add_item` does, or its text in the place of an earlier one: of one id, the last counts.

        Returns `new`, `replaced` where the earlier text was another, or `same`.
        """
        if self.add_item(item, kind):
            return "new"
        attributes = orjson.dumps(dict(item.attributes))
        with self._open() as database:
            query = "UPDATE items SET attributes = ?1 WHERE id = ?2 AND attributes <> ?1"
            return "replaced" if database.execute(query, (attributes, item.id)).rowcount else "same"

    def add_items(self, items: Iterable[Item]) -> int:
        """Store items; how many had an id that was taken."""
        return sum(not self.add_item(item) for item in items)

    def row(self, item_id: str) -> int | None:
        """The row of an item, None if there is no such item."""
        return self.rows([item_id])[0]

    def rows(self, ids: Sequence[str]) -> list[int | None]:
        """The row of each id, in order; None for an unknown one."""
        found: dict[str, int] = {}
        with self._open() as database:
            for start in range(0, len(ids), CHUNK):
                part = ids[start : start + CHUNK]
                marks = ",".join("?" * len(part))
                query = f"SELECT id, row FROM items WHERE id IN ({marks})"  # noqa: S608 - only question marks
                found.update(database.execute(query, part).fetchall())
        return [found.get(item_id) for item_id in ids]

    def items(self, rows: Iterable[int]) -> list[Item]:
        """The items at these rows, in this order."""
        with self._open() as database:
            query = "SELECT id, attributes FROM items WHERE row = ?"
            found = [database.execute(query, (int(row),)).fetchone() for row in rows]
        return [Item(item_id, orjson.loads(attributes)) for item_id, attributes in found]

    def kind(self, row: int) -> str | None:
        """The kind of an item, where it has one."""
        with self._open() as database:
            found = database.execute("SELECT kind FROM kinds WHERE row = ?", (int(row),)).fetchone()
        return str(found[0]) if found else None

    def kinds(self) -> dict[str, list[int]]:
        """The rows of each kind, ascending."""
        found: dict[str, list[int]] = {}
        for row, kind in self._stream("SELECT row, kind FROM kinds ORDER BY row"):
            found.setdefault(kind, []).append(row)
        return found

    def all_items(self) -> Iterator[Item]:
        """Every item by row, one at a time."""
        for item_id, attributes in self._stream("SELECT id, attributes FROM items ORDER BY row"):
            yield Item(item_id, orjson.loads(attributes))

    # Cases

    def add_case(
        self,
        user_id: str,
        history: Sequence[int],
        positives: Sequence[int],
        negatives: Sequence[int] = (),
        line: int = 0,
        domain: str | None = None,
        relevance: Mapping[int, float] | None = None,
        said: Sequence[str | None] = (),
        refused: Sequence[int] = (),
    ) -> None:
        """Store what a user did, at `line` of the source; a user may have several cases. See `Case`."""
        with self._open() as database:
            user = self._user(user_id)
            rows = (_packed(history), _packed(positives), _packed(negatives))
            graded = [relevance.get(row, 0.0) for row in (*positives, *negatives)] if relevance else []
            opinions = bytes(0 if one is None else 1 + FEEDBACK.index(one) for one in said)
            values = (self.case_count, user, line, *rows, domain, np.asarray(graded, "<f8").tobytes())
            query = "INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            database.execute(query, (*values, opinions if any(opinions) else b"", _packed(refused)))
            self.case_count += 1

    def add_judged(self, user_id: str, rows: Sequence[int], opinions: Sequence[str | None], line: int = 0) -> bool:
        """Store a user's one sequence, whose last liked item is the target; False where the user liked none."""
        last = max((place for place, said in enumerate(opinions) if said not in AGAINST), default=None)
        if last is None:
            return False
        self.add_case(
            user_id, rows[:last], rows[last : last + 1], line=line, said=opinions[:last], refused=rows[last + 1 :]
        )
        return True

    def add_sequence(self, user_id: str, rows: Sequence[int], line: int = 0) -> None:
        """Store a user's one sequence, whose last item is the target; a longer one takes the place of an earlier."""
        with self._open() as database:
            users = self.user_count
            user = self._user(user_id)
            if self.user_count > users:
                self.add_case(user_id, rows[:-1], rows[-1:], line=line)
                return
            history = _packed(rows[:-1])
            database.execute(
                "UPDATE cases SET history = ?, positives = ?, line = ? WHERE user = ? AND length(history) < ?",
                (history, _packed(rows[-1:]), line, user, len(history)),
            )

    def case(self, number: int) -> Case:
        """The case of this number."""
        with self._open() as database:
            return _case(database.execute(_CASE + "WHERE cases.number = ?", (int(number),)).fetchone())

    def cases(self, *, by_user: bool = False) -> Iterator[tuple[int, Case]]:
        """Every (number, case), in order of the numbers, or with the cases of one user together."""
        order = "user, cases.number" if by_user else "cases.number"
        query = _CASE.replace("SELECT ", "SELECT cases.number, ") + f"ORDER BY {order}"
        for number, *values in self._stream(query):
            yield number, _case(values)

    def user_ids(self) -> Iterator[str]:
        """Every user's id, by number."""
        return (user_id for (user_id,) in self._stream("SELECT id FROM users ORDER BY number"))

    def _user(self, user_id: str) -> int:
        found = self._database.execute("SELECT number FROM users WHERE id = ?", (user_id,)).fetchone()
        if found is None:
            self._database.execute("INSERT INTO users VALUES (?, ?)", (self.user_count, user_id))
            self.user_count += 1
            return self.user_count - 1
        return int(found[0])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise Closed("the data set is closed")
            with _mapped():
                yield self._database

    def _stream(self, query: str) -> Iterator[tuple[Any, ...]]:
        with self._open() as database:
            cursor = database.execute(query)
        while True:
            with self._open():
                chunk = cursor.fetchmany(CHUNK)
            if not chunk:
                return
            yield from chunk


@contextmanager
def scratch(schema: str) -> Iterator[sqlite3.Connection]:
    """A database of the same kind, for rows that have to be sorted; gone when the block ends."""
    with _mapped():
        database = _connect(schema)
        try:
            yield database
        finally:
            database.close()


def _connect(schema: str) -> sqlite3.Connection:
    database = sqlite3.connect("", check_same_thread=False)  # no name: a temporary file of SQLite's own
    database.executescript(
        f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{CACHE_KIB}; {schema}"
    )
    return database


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DataError(
            f"the temporary database cannot be used: {error}",
            hint="free some disk space, or set `SQLITE_TMPDIR` to a folder with room",
        ) from error


def _case(values: Sequence[Any]) -> Case:
    user_id, history, positives, negatives, line, user, domain, graded, said, refused = values
    history, positives, negatives, refused = map(_rows, (history, positives, negatives, refused))
    opinions = tuple(None if one == 0 else FEEDBACK[one - 1] for one in said)
    worth = np.frombuffer(graded, "<f8").tolist()
    relevance = dict(zip((*positives, *negatives), worth, strict=True)) if worth else {}
    return Case(user_id, history, positives, negatives, line, user, domain, relevance, opinions, refused)


def _packed(rows: Sequence[int]) -> bytes:
    return np.asarray(rows, dtype="<i4").tobytes()


def _rows(blob: bytes) -> tuple[int, ...]:
    return tuple(np.frombuffer(blob, dtype="<i4").tolist())
