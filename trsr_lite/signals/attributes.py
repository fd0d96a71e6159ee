"""Whole attribute values that a candidate shares with the history: category, brand, author.

Idea: a value counts by its rarity and by the logarithm of how many items of the history have it. Source: category match
of version 1's baselines; the weighting is TF-IDF's. Invariant: titles and long texts are no values; a candidate
without any value is not known, one whose values nobody had is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from trsr_lite.records import Item
from trsr_lite.signals.counts import inverse_frequency
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.item_text import values_of
from trsr_lite.signals.signal import Numbers, unknown
from trsr_lite.signals.statistics import Statistics


class Attributes:
    """Shared values, by rarity: 1 for a value that no item of the statistics has and one item of the history."""

    name = "attributes"

    def __init__(self, statistics: Statistics, store: ItemStore) -> None:
        self._statistics, self._store = statistics, store
        self._generation = store.generation
        self._values: list[list[tuple[int, float]]] = []
        self._whole = float(inverse_frequency(np.zeros(1), statistics.documents)[0])

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) 0 or more."""
        if self._generation != self._store.generation:
            self._generation, self._values = self._store.generation, []
        first, second = self._store.numbers(history, candidates)
        self._values += [self._of(item) for item in self._store.items[len(self._values) :]]
        had = Counter(value for number in first.tolist() for value, _ in self._values[number])
        if not had:
            return unknown(len(candidates))
        gains = {value: np.log1p(count) / np.log(2) for value, count in had.items()}
        asked = [self._values[number] for number in second.tolist()]
        sums = [sum(gains.get(value, 0.0) * weight for value, weight in own) if own else np.nan for own in asked]
        return np.array(sums, np.float32)

    def _of(self, item: Item) -> list[tuple[int, float]]:
        values = values_of(item)
        counts = self._statistics.values.get(np.array(values, np.uint64))
        weights = inverse_frequency(counts, self._statistics.documents) / self._whole
        return list(zip(values, weights.tolist(), strict=True))
