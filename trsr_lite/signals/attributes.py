"""Whole attribute values that a candidate shares with the history: category, brand, author.

Idea: a value counts by its rarity and by the logarithm of how many items of the history have it. Source: category match
of version 1's baselines; the weighting is TF-IDF's. Invariant: titles and long texts are no values. A candidate without
any value is not known; one whose values nobody had is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trsr_lite.records import Item
from trsr_lite.signals import evidence
from trsr_lite.signals.counts import inverse_frequency
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.item_text import values_of
from trsr_lite.signals.ragged import Ragged
from trsr_lite.signals.signal import Numbers, unknown
from trsr_lite.signals.statistics import Statistics


class Attributes:
    """Shared values, by rarity: 1 for a value that no item of the statistics has and one item of the history."""

    name = "attributes"

    def __init__(self, statistics: Statistics, store: ItemStore) -> None:
        self._statistics, self._store = statistics, store
        self._generation, self._values = store.generation, Ragged()
        self._whole = float(inverse_frequency(np.zeros(1), statistics.documents)[0])

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) 0 or more."""
        first, second = self._store.numbers(history, candidates)
        if self._generation != self._store.generation:
            self._generation, self._values = self._store.generation, Ragged()
        for item in self._store.items[len(self._values) :]:
            self._append(item)
        judged = evidence.of(history)
        had = self._values.rows(first if judged is None else first[judged.liked])
        asked = self._values.rows(second)
        if not len(had.columns):
            return unknown(len(candidates))
        gains = np.log1p(np.bincount(had.columns, minlength=self._values.width)) / np.log(2)
        return np.where(asked.empty, np.float32(np.nan), asked.dot(gains).astype(np.float32))

    def _append(self, item: Item) -> None:
        values = values_of(item)
        counts = self._statistics.values.get(np.array(values, np.uint64))
        self._values.append(values, inverse_frequency(counts, self._statistics.documents) / self._whole)
