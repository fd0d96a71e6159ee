"""An item as weighted words: TF-IDF, as whole numbers.

Idea: a word counts by its inverse document frequency and by the logarithm of how often it comes, so that repeating one
gains little; a word that no document of the statistics has is as rare as can be. Invariant: a vector depends on the
item's text and the statistics alone. Source: Salton and Buckley, 1988; smoothed as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trsr_lite.signals.counts import Keys, inverse_frequency
from trsr_lite.signals.exact import SCALE, Whole, whole
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.item_text import words_of
from trsr_lite.signals.statistics import Statistics

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WordRows:
    """Sparse vectors, one after another: entry i says that item `rows[i]` has `words[i]` with `weights[i]`."""

    rows: Places
    words: Places
    weights: Whole
    count: int

    def dot(self, profile: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(items,) products with a vector over all words; each is added up in order of the item's own words."""
        products = self.weights * profile[self.words]
        return np.asarray(np.bincount(self.rows, weights=products, minlength=self.count), np.float64)

    @property
    def empty(self) -> npt.NDArray[np.bool_]:
        """(items,) whether an item has no word."""
        return np.asarray(np.bincount(self.rows, minlength=self.count) == 0)


class WordVectors:
    """Vectors of a store's items over a vocabulary that grows with what is read."""

    def __init__(self, statistics: Statistics, store: ItemStore) -> None:
        self._statistics, self._store = statistics, store
        self._begin()

    @property
    def size(self) -> int:
        """Different words met so far: the length of a vector over all of them."""
        return len(self._numbers)

    @property
    def background(self) -> npt.NDArray[np.float64]:
        """(size,) the mean vector of the sample: what any item has in common with many."""
        return np.concatenate([self._background, np.zeros(self.size - len(self._background))])

    def of(self, *groups: Places) -> list[WordRows]:
        """The vectors of each group of the store's items."""
        if self._generation != self._store.generation:
            self._begin()
        for item in self._store.items[len(self._vectors) :]:
            hashes, counts = np.unique(np.array(words_of(item), np.uint64), return_counts=True)
            self._vectors.append(self._vector(hashes, counts))
        return [_rows([self._vectors[number] for number in numbers.tolist()]) for numbers in groups]

    def _begin(self) -> None:
        self._generation = self._store.generation
        self._numbers: dict[int, int] = {}
        self._vectors: list[tuple[Places, Whole]] = []
        sample = self._statistics.sample
        bags = [sample[number] for number in range(len(sample))]
        rows = _rows([self._vector(hashes.astype(np.uint64), counts) for hashes, counts in bags])
        total = np.bincount(rows.words, weights=rows.weights, minlength=self.size)
        self._background = total / (SCALE * max(len(sample), 1))

    def _vector(self, hashes: Keys, counts: npt.NDArray[Any]) -> tuple[Places, Whole]:
        weights = inverse_frequency(self._statistics.words.get(hashes), self._statistics.documents)
        numbers = self._numbers
        places = np.array([numbers.setdefault(one, len(numbers)) for one in hashes.tolist()], np.int64)
        return places, whole((1.0 + np.log(counts)) * weights)


def _rows(vectors: Sequence[tuple[Places, Whole]]) -> WordRows:
    lengths = [len(words) for words, _ in vectors]
    return WordRows(
        np.repeat(np.arange(len(vectors)), lengths),
        np.concatenate([np.zeros(0, np.int64), *(words for words, _ in vectors)]),
        np.concatenate([np.zeros(0, np.int16), *(weights for _, weights in vectors)]),
        len(vectors),
    )
