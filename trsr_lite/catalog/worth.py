"""What each list of a retrieval is worth in one catalog: learned from the users who were counted.

Idea: news is read for being popular, a paper for what it is about; no weights serve both. So each user's last item is
looked for in each list, with the users of the other half counted; a list counts as often as it holds that item.
Invariant: nobody is counted for the own answer, and the same users give the same weights.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from trsr_lite.catalog import content, counters, retrieval
from trsr_lite.catalog.terms import Tokenizer

ASKED = 300  # users at most whose last item is looked for
FIRST = 50  # places of a list in which it must be
LENGTH = 30  # newest items of a user that are read
EVEN = 1.0  # hits that every list has from the beginning: what few users say counts little


def learn(connection: sqlite3.Connection, tokenizer: Tokenizer, users: Sequence[Sequence[str]]) -> None:
    """Keep the weights as facts; counters are made of half of the users each time, and must be made anew."""
    able = [ids for ids in users if len(ids) > 1]
    order = np.random.default_rng(0).permutation(len(able)).tolist()
    halves = [[able[place] for place in order[half::2]] for half in (0, 1)]
    hits, asked = dict.fromkeys(counters.LISTS, EVEN), len(counters.LISTS) * EVEN
    for counted, half in (halves, halves[::-1]):
        counters.count(connection, counted)
        for ids in half[: ASKED // 2]:
            found = _found(connection, tokenizer, ids[-LENGTH:])
            asked += bool(found)
            for name, held in found.items():
                hits[name] += held
    values = [(f"weight_{name}", count / asked) for name, count in hits.items()]
    connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", values)


def _found(connection: sqlite3.Connection, tokenizer: Tokenizer, ids: Sequence[str]) -> dict[str, bool]:
    """Whether each list holds the last of these items; nothing where the catalog has it not, or it came before."""
    rows = counters.rows_of(connection, set(ids))
    if ids[-1] not in rows or ids[-1] in ids[:-1]:
        return {}
    history = []
    for item_id in ids[:-1]:
        if item_id in rows:
            stored = connection.execute("SELECT content FROM items WHERE row = ?", (rows[item_id],)).fetchone()
            history.append(content.item(item_id, stored[0]))
    if not history:
        return {}
    seen = {rows[item.id] for item in history}
    lists = retrieval.lists(connection, tokenizer, history, None, FIRST + len(seen))
    return {name: rows[ids[-1]] in [row for row in found if row not in seen][:FIRST] for name, found in lists.items()}
