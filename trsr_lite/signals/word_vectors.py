"""An item as weighted words: TF-IDF, as whole numbers.

Idea: a word counts by its inverse document frequency and by the logarithm of its count, so repeating one gains little.
A word that no document of the statistics has is as rare as can be. Invariant: a vector depends on the item's text and
the statistics alone. Source: Salton and Buckley, 1988; smoothed as in scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trsr_lite.signals.counts import Keys, inverse_frequency
from trsr_lite.signals.exact import SCALE, whole
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.item_text import words_of
from trsr_lite.signals.ragged import Places, Ragged, Rows
from trsr_lite.signals.statistics import Statistics


class WordVectors:
    """Vectors of a store's items over a vocabulary that grows with what is read."""

    def __init__(self, statistics: Statistics, store: ItemStore) -> None:
        self._statistics, self._store = statistics, store
        self._sampled = len(statistics.sample)  # rows of the sample come before those of items
        self._last: tuple[Places, Places, Rows, Rows] | None = None
        self._begin()

    @property
    def size(self) -> int:
        """Different words met so far: the length of a vector over all of them."""
        return self._vectors.width

    @property
    def background(self) -> npt.NDArray[np.float64]:
        """(size,) the mean vector of the sample: what any item has in common with many."""
        return np.concatenate([self._background, np.zeros(self.size - len(self._background))])

    def of(self, history: Places, candidates: Places) -> tuple[Rows, Rows]:
        """The vectors of the store's items of these numbers; those of the same two arrays again are at hand."""
        if self._generation != self._store.generation:
            self._begin()
        for item in self._store.items[len(self._vectors) - self._sampled :]:
            hashes, counts = np.unique(np.array(words_of(item), np.uint64), return_counts=True)
            self._append(hashes, counts)
        if self._last is None or self._last[0] is not history or self._last[1] is not candidates:
            had, asked = (self._vectors.rows(self._sampled + one) for one in (history, candidates))
            self._last = (history, candidates, had, asked)
        return self._last[2], self._last[3]

    def _begin(self) -> None:
        """Forget all items."""
        self._generation, self._vectors, self._last = self._store.generation, Ragged(), None
        for number in range(self._sampled):
            hashes, counts = self._statistics.sample[number]
            self._append(hashes.astype(np.uint64), counts)
        rows = self._vectors.rows(np.arange(self._sampled))
        total = np.bincount(rows.columns, weights=rows.weights, minlength=self.size)
        self._background = total / (SCALE * max(self._sampled, 1))

    def _append(self, hashes: Keys, counts: npt.NDArray[Any]) -> None:
        weights = inverse_frequency(self._statistics.words.get(hashes), self._statistics.documents)
        self._vectors.append(hashes.tolist(), whole((1.0 + np.log(counts)) * weights))
