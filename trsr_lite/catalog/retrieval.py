"""From a history and a summary to the few items of a catalog that a model should rank.

Each of the newest items is a search of its own: BM25 (of FTS5) for the rarest words of its title. So is the summary.
Where users were counted, what is popular is a list too, and so is what users of the same items had. Lists are fused by
the places that an item has in them, not by scores, which do not compare between lists. Source: reciprocal rank fusion
(Cormack, Clarke and Büttcher, SIGIR 2009), each list with the weight that `worth` learned.
Invariant: no search reads more than its share of `POSTINGS` entries of the index unless a filter leaves too few items,
so that the time does not grow with the catalog. Items of the history, and their near-duplicates, are never found.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trsr_lite import feedback
from trsr_lite.catalog import content, counters, database
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
LIST_PLACE = 30.0  # added to places of whole lists; chosen on authors with `python -m benchmarks.retrieval`
LIST = 300  # places of the lists that rest on users


def retrieve(
    connection: sqlite3.Connection,
    tokenizer: Tokenizer,
    history: Sequence[Item],
    summary: str | None,
    options: Retrieval,
) -> list[Item]:
    """The best items first, at most `options.count` of them; fewer where fewer share a word and pass the filters."""
    wanted = options.count * (POOL if options.diversity else 1)
    search, budget = _WordSearch(connection, tokenizer, history, summary), POSTINGS
    while True:
        by_words = search.rows(budget)
        length = LIST * (budget // POSTINGS)
        counted = _counted(connection, history, length)
        ranked = _merged({"words": by_words, **counted}, counters.weights(connection)) if counted else by_words
        found = _chosen(connection, ranked, history, options, wanted)
        complete = search.whole and all(len(rows) < length for rows in counted.values())
        if len(found) >= options.count or complete:
            return diverse(found, options.diversity, options.count)
        budget *= WIDER


def lists(
    connection: sqlite3.Connection, tokenizer: Tokenizer, history: Sequence[Item], summary: str | None, length: int
) -> dict[str, list[int]]:
    """Each of `counters.LISTS` by itself: rows, best first, at most `length` of them."""
    by_words = _WordSearch(connection, tokenizer, history, summary).rows(POSTINGS)
    return {"words": by_words[:length], **_counted(connection, history, length)}


class _WordSearch:
    """The searches for a history and a summary; `whole` once nothing more can be found."""

    def __init__(
        self, connection: sqlite3.Connection, tokenizer: Tokenizer, history: Sequence[Item], summary: str | None
    ) -> None:
        self._connection, self.whole = connection, False
        self._weights, texts = zip(*_searches(history, summary), strict=True)
        spread = [spaced(text[:LOOKED_AT], tokenizer.version) for text in texts]
        self._known = [found[:TERMS] for found in tokenizer.frequencies(spread)]

    def rows(self, budget: int) -> list[int]:
        """Rows, best first, of searches that read about `budget` entries of the index."""
        chosen = within(self._known, budget)
        ranked, whole = _fused(self._connection, self._weights, chosen, budget)
        self.whole = whole and chosen == self._known
        return ranked


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


def _counted(connection: sqlite3.Connection, history: Sequence[Item], length: int) -> dict[str, list[int]]:
    """The lists that rest on users, of at most `length` rows; none where nobody was counted."""
    popular = counters.popular(connection, length) if database.version(connection) >= database.COUNTED else []
    if not popular:
        return {}
    liked = [item.id for item in feedback.liked(history)]
    return {"near": counters.near(connection, liked, length), "popular": popular}


def _merged(lists: Mapping[str, Sequence[int]], weights: Mapping[str, float]) -> list[int]:
    """Rows by the sum of weight / (LIST_PLACE + place) over the lists."""
    scores: dict[int, float] = {}
    for name, rows in lists.items():
        for place, row in enumerate(rows):
            scores[row] = scores.get(row, 0.0) + weights[name] / (LIST_PLACE + place)
    return sorted(scores, key=lambda row: (-scores[row], row))


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
        yield from (content.item(*stored[row]) for row in part if row in stored)
