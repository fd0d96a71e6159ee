"""What users had of a catalog's items: how popular each is, and which others the same users had.

Invariant: counters are of one reading of users and are made anew by the next. An item that is taken out has none, and
its row is never given to another one, so that no counter comes to speak of another item.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from trsr_lite.signals import neighbour_table
from trsr_lite.signals.counts import id_key

LISTS = ("words", "near", "popular")
"""What a retrieval fuses: what shares words with the history, what its users had too, what most users had."""
VARIABLES = 500  # SQLite allows at least 999 in one statement
DECAY = 0.95  # weight of an item of the history relative to the one after it, as the signal `neighbours` has it
LONGEST = 4096  # bytes of one item's neighbours; what a stranger stores beyond is not read


def count(connection: sqlite3.Connection, users: Iterable[Sequence[str]]) -> tuple[int, int]:
    """Count users, each as the ids of what they had, in place of those that were counted before.

    Returns how many users had any of the items, and how many different ids no item has.
    """
    sequences = list(users)
    rows = rows_of(connection, {item_id for ids in sequences for item_id in ids})
    missing = len({item_id for ids in sequences for item_id in ids if item_id not in rows})
    known = [[rows[item_id] for item_id in ids if item_id in rows] for ids in sequences]
    known = [had for had in known if had]
    counts = Counter(row for had in known for row in set(had))
    order = sorted(counts, key=lambda row: (-counts[row], row))
    clear(connection)
    connection.executemany(
        "INSERT INTO popularity VALUES (?, ?, ?)",
        ((place, row, counts[row]) for place, row in enumerate(order)),
    )
    connection.executemany("INSERT INTO neighbours VALUES (?, ?, ?)", _neighbours(known, counts))
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('users', ?)", (len(known),))
    return len(known), missing


def clear(connection: sqlite3.Connection) -> None:
    """Forget all users."""
    for table in ("popularity", "neighbours"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
    connection.execute("DELETE FROM facts WHERE name = 'users'")


def weights(connection: sqlite3.Connection) -> dict[str, float]:
    """What each of `LISTS` counts (see `worth`); the same for all where the file has no numbers that can be weights."""
    facts = dict(connection.execute("SELECT name, value FROM facts WHERE name LIKE 'weight\\_%' ESCAPE '\\' LIMIT 100"))
    found = [facts.get(f"weight_{name}") for name in LISTS]
    known = [one for one in found if isinstance(one, float) and 0 < one <= 1]
    return dict(zip(LISTS, known if len(known) == len(LISTS) else [1.0] * len(LISTS), strict=True))


def take_out(connection: sqlite3.Connection, rows: Sequence[int]) -> None:
    """Forget what is known of items that are taken out."""
    for start in range(0, len(rows), VARIABLES):
        part = rows[start : start + VARIABLES]
        marks = ",".join("?" * len(part))
        for table in ("popularity", "neighbours"):
            connection.execute(f"DELETE FROM {table} WHERE row IN ({marks})", part)  # noqa: S608 - only question marks


def popular(connection: sqlite3.Connection, most: int) -> list[int]:
    """Rows of the items that most users had, most popular first."""
    query = "SELECT row FROM popularity WHERE typeof(row) = 'integer' ORDER BY place LIMIT ?"
    return [row for (row,) in connection.execute(query, (most,))]


def near(connection: sqlite3.Connection, history: Sequence[str], most: int) -> list[int]:
    """Rows of the items that users with the items of the history had too, most alike first."""
    rows = rows_of(connection, set(history))
    sums: dict[int, float] = {}
    for age, item_id in enumerate(reversed(history)):
        if item_id in rows:
            for row, likeness in _stored(connection, rows[item_id]):
                sums[row] = sums.get(row, 0.0) + DECAY**age * likeness
    return sorted(sums, key=lambda row: (-sums[row], row))[:most]


def rows_of(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    """The row of each id that is there."""
    wanted, found = sorted(ids), dict[str, int]()
    for start in range(0, len(wanted), VARIABLES):
        part = wanted[start : start + VARIABLES]
        marks = ",".join("?" * len(part))
        found.update(connection.execute(f"SELECT id, row FROM items WHERE id IN ({marks})", part))  # noqa: S608
    return found


def _neighbours(known: Sequence[Sequence[int]], counts: Counter[int]) -> Iterator[tuple[int, bytes, bytes]]:
    """(row, rows, likeness) of each item that shares a user with another one."""
    table = neighbour_table.count([[str(row) for row in had] for had in known])
    row_of = {id_key(str(row)): row for row in counts}
    rows = np.array([row_of[key] for key in table.keys.tolist()], np.int64)
    for place, row in enumerate(rows.tolist()):
        part = slice(table.starts[place], table.starts[place + 1])
        if part.start < part.stop:
            likeness = table.likeness[part].astype("<f2")
            yield row, rows[table.columns[part]].astype("<i8").tobytes(), likeness.tobytes()


def _stored(connection: sqlite3.Connection, row: int) -> Iterator[tuple[int, float]]:
    found = connection.execute("SELECT others, likeness FROM neighbours WHERE row = ?", (row,)).fetchone()
    if found and all(isinstance(part, bytes) and len(part) <= LONGEST for part in found):
        others, likeness = found
        if len(others) == 4 * len(likeness):
            values = np.nan_to_num(np.frombuffer(likeness, "<f2").astype(np.float64), posinf=0.0, neginf=0.0)
            yield from zip(np.frombuffer(others, "<i8").tolist(), values.tolist(), strict=True)
