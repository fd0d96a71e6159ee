"""Statistics from a stream of items, and from users where there are any.

Invariant: the result depends on which items and users came, not on their order: the sample is the items whose texts
have the smallest hashes. Statistics that exist can be continued: added items count as if they had come first. Two
things differ: what was left out as too rare is counted anew, and the sample and the direction of token vectors stay.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.records import Item
from trsr_lite.signals import learned_table, neighbour_table
from trsr_lite.signals.counts import Counts, id_key
from trsr_lite.signals.item_text import text_of, values_of, words_of
from trsr_lite.signals.statistics import Bags, Statistics, tokenizer_digest
from trsr_lite.signals.token_table import Table, TokenTable, row_mean
from trsr_lite.signals.token_vectors import with_direction

WORDS = 50_000  # most words, and most attribute values, that are kept
SAMPLE = 1_000  # items

Bag = dict[int, int]


class StatisticsBuilder:
    """Counts items and users; `build` gives the statistics of all that came.

    With a `tokenizer` tokens are counted, with its model's embedding `table` also their directions are known. The
    learned vectors that come with the package are taken along where they belong to this tokenizer.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        table: Table | None = None,
        *,
        sample: int = SAMPLE,
        words: int = WORDS,
    ) -> None:
        self._tokenizer, self._table = tokenizer, table
        self._size, self._most = sample, words
        self._documents = 0
        self._words: Counter[int] = Counter()
        self._values: Counter[int] = Counter()
        self._tokens: Counter[int] = Counter()
        self._sample: list[tuple[int, int, Bag, Bag]] = []  # a heap, the largest hash first
        self._sequences: list[tuple[str, ...]] = []
        self._newest: float | None = None

    def add(self, items: Iterable[Item]) -> None:
        """Count items, each once."""
        for item in items:
            text = text_of(item)
            words, tokens = Counter(words_of(item)), self._encoded(text)
            self._documents += 1
            self._words.update(words.keys())
            self._tokens.update(tokens.keys())
            self._values.update(values_of(item))
            self._keep(text, words, tokens)
            if item.time is not None:
                self._newest = item.time if self._newest is None else max(self._newest, item.time)

    def add_users(self, sequences: Iterable[Sequence[str]]) -> None:
        """Count users, each as the ids of what they had, oldest first."""
        self._sequences += map(tuple, sequences)

    def build(self) -> Statistics:
        """The statistics of all that came."""
        chosen = sorted(self._sample, reverse=True)
        tokenizer = tokenizer_digest(self._tokenizer) if self._tokenizer else ""
        popularity = Counter(id_key(one) for sequence in self._sequences for one in set(sequence))
        found = Statistics(
            documents=self._documents,
            words=Counts.of(self._words, most=self._most),
            values=Counts.of({key: count for key, count in self._values.items() if count > 1}, most=self._most),
            tokenizer=tokenizer,
            learned=learned_table.shipped(tokenizer),
            sample=Bags.of([words for _, _, words, _ in chosen]),
            token_sample=Bags.of([tokens for *_, tokens in chosen]),
            popularity=Counts.of(popularity) if self._sequences else None,
            neighbours=neighbour_table.count(self._sequences) if self._sequences else None,
            newest=self._newest,
        )
        return found if self._tokenizer is None else self._with_tokens(found, self._tokenizer)

    def _with_tokens(self, found: Statistics, tokenizer: Tokenizer) -> Statistics:
        size = self._table.count if self._table else max(self._tokens, default=-1) + 1
        tokens = np.zeros(size, np.int64)
        tokens[list(self._tokens)] = list(self._tokens.values())
        counted = Statistics(**{**vars(found), "tokens": tokens})
        if self._table is None:
            return counted
        mean = row_mean(self._table)
        counted = Statistics(**{**vars(counted), "row_mean": mean})
        return with_direction(counted, tokenizer, TokenTable(self._table, mean))

    def _encoded(self, text: str) -> Counter[int]:
        return Counter(self._tokenizer.encode(" " + text) if self._tokenizer and text.strip() else ())

    def _keep(self, text: str, words: Bag, tokens: Bag) -> None:
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        entry = (-key, self._documents, words, tokens)
        if len(self._sample) < self._size:
            heapq.heappush(self._sample, entry)
        elif self._sample and -key > self._sample[0][0]:
            heapq.heapreplace(self._sample, entry)


def added(statistics: Statistics, items: Iterable[Item], tokenizer: Tokenizer | None = None) -> Statistics:
    """The statistics with these items counted too; the sample and the direction stay as they are.

    Raises `ModelError` where tokens are counted and the tokenizer is another one or missing.
    """
    builder = StatisticsBuilder(tokenizer if statistics.tokens is not None else None, sample=0)
    if statistics.tokens is not None:
        statistics.check_tokenizer(tokenizer)
    builder.add(items)
    new = builder.build()
    tokens = statistics.tokens
    if tokens is not None and new.tokens is not None:
        tokens = tokens.copy()
        tokens[: len(new.tokens)] += new.tokens
    newest = [time for time in (statistics.newest, new.newest) if time is not None]
    return Statistics(
        **{
            **vars(statistics),
            "documents": statistics.documents + new.documents,
            "words": _sum(statistics.words, new.words),
            "values": _sum(statistics.values, new.values),
            "tokens": tokens,
            "newest": max(newest, default=None),
        }
    )


def _sum(one: Counts, other: Counts) -> Counts:
    total = Counter(one.to_dict())
    total.update(other.to_dict())
    return Counts.of(total)
