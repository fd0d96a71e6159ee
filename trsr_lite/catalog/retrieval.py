"""From a history and a summary to the few items of a catalog that a model should rank.

Each of the newest items is a search of its own: BM25 (of FTS5) for the rarest words of its title. So is the summary.
The lists are then fused by the places that an item has in them, not by scores, which do not compare between searches.
Invariant: no search reads more than its share of `POSTINGS` entries of the index unless a filter leaves too few items,
so that the time does not grow with the catalog. Items of the history, and their near-duplicates, are never found.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from trsr_lite import feedback
from trsr_lite.catalog import content
from trsr_lite.catalog.retrieve_options import Retrieval
from trsr_lite.catalog.similarity import LOOKED_AT, Folding, diverse
from trsr_lite.catalog.terms import Tokenizer, quoted, spaced
from trsr_lite.records import Item

# Measured with `python -m benchmarks.catalog --data …`; see benchmarks/README.md. On another catalog they are a start.
RECENT = 10  # newest items that are searched for
DECAY = 0.8  # what an item's search counts relative to the next newer one's
SUMMARY = 0.5  # what the summary's search counts relative to the newest item's; not measured
TERMS = 20  # most words of one search, rarest first
TITLE = 3.0  # what a word in a title counts relative to one elsewhere
PLACE = 1.0  # added to places before they are inverted: the smaller, the more the first places count
POSTINGS = 6_000  # index entries that all searches together may read: one to two microseconds each
WIDER = 8  # times as many, while a filter leaves too few
POOL = 3  # items that diversity chooses from, for each wanted one
CHUNK = 200  # items loaded at once


def retrieve(
    connection: sqlite3.Connection,
    tokenizer: Tokenizer,
    history: Sequence[Item],
    summary: str | None,
    options: Retrieval,
) -> list[Item]:
    """The best items first, at most `options.count` of them; fewer where fewer share a word and pass the filters."""
    weights, texts = zip(*_searches(history, summary), strict=True)
    known = [
        found[:TERMS]
        for found in tokenizer.frequencies([spaced(text[:LOOKED_AT], tokenizer.version) for text in texts])
    ]
    wanted = options.count * (POOL if options.diversity else 1)
    budget = POSTINGS
    while True:
        chosen = within(known, budget)
        ranked, whole = _fused(connection, weights, chosen, budget)
        found = _chosen(connection, ranked, history, options, wanted)
        if len(found) >= options.count or (whole and chosen == known):
            return diverse(found, options.diversity, options.count)
        budget *= WIDER


Terms = list[tuple[str, int]]  # (term, items that have it)


def _searches(history: Sequence[Item], summary: str | None) -> list[tuple[float, str]]:
    """(weight, text) of each search, the most important first."""
    items = [(DECAY**age, item.title) for age, item in enumerate(reversed(feedback.liked(history)[-RECENT:]))]
    return [*items[:1], (SUMMARY, summary or ""), *items[1:]]


def within(searches: Sequence[Terms], budget: int) -> list[Terms]:
    """The rarest terms of each search that fit into its share of the budget, and at least one.

    What a search leaves of its share goes to those after it.
    """
    chosen = []
    for number, terms in enumerate(searches):
        share = budget / (len(searches) - number)
        taken: Terms = []
        spent = 0
        for term, items in terms:
            if taken and spent + items > share:
                break
            taken.append((term, items))
            spent += items
        budget = max(0, budget - spent)
        chosen.append(taken)
    return chosen


def _fused(
    connection: sqlite3.Connection, weights: Sequence[float], searches: Sequence[Terms], most: int
) -> tuple[list[int], bool]:
    """Rows by the sum of weight / (PLACE + place) over the searches that find them. Equal scores share a place.

    Also whether every search gave all that it found: at least one term is searched for, however frequent it is.
    """
    scores: dict[int, float] = {}
    whole = True
    query = "SELECT rowid, bm25(search, ?, 1.0) AS score FROM search WHERE search MATCH ? ORDER BY score, rowid LIMIT ?"
    for weight, terms in zip(weights, searches, strict=True):
        if not terms:
            continue
        match = " OR ".join(quoted(term) for term, _ in terms)
        place, last, number = 0, None, 0
        for number, (row, score) in enumerate(connection.execute(query, (TITLE, match, most))):
            if score != last:
                place, last = number, score
            scores[row] = scores.get(row, 0.0) + weight / (PLACE + place)
        whole = whole and number + 1 < most
    return sorted(scores, key=lambda row: (-scores[row], row)), whole


def _chosen(
    connection: sqlite3.Connection, ranked: Sequence[int], history: Sequence[Item], options: Retrieval, wanted: int
) -> list[Item]:
    """The first `wanted` that are unseen, pass the filters and are no near-duplicates."""
    seen, folding = {item.id for item in history}, Folding(history)
    found: list[Item] = []
    for item in _loaded(connection, ranked):
        if item.id in seen or not options.admits(item) or (options.fold and not folding.is_new(item)):
            continue
        found.append(item)
        if len(found) == wanted:
            break
    return found


def _loaded(connection: sqlite3.Connection, ranked: Sequence[int]) -> Iterator[Item]:
    for start in range(0, len(ranked), CHUNK):
        part = ranked[start : start + CHUNK]
        marks = ",".join("?" * len(part))
        query = f"SELECT row, id, content FROM items WHERE row IN ({marks})"  # noqa: S608 - only question marks
        stored: dict[int, Any] = {row: rest for row, *rest in connection.execute(query, part)}
        yield from (content.item(*stored[row]) for row in part)
