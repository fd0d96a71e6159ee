"""How near a candidate is to what was liked, by words: `words` to the nearest items, and `specific` to nothing at all.

`specific` is minus a candidate's likeness to the statistics' sample: an item of general words is somewhat like
everything, and what all other signals say of it counts for less. Source: TF-IDF cosines; the pooling is measured, as is
the correction (compare the hubs of Radovanović et al., JMLR 2010). Invariant: as for `signal`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trsr_lite.records import Item
from trsr_lite.signals import evidence, nearest
from trsr_lite.signals.exact import SCALE
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.signal import Numbers, unknown
from trsr_lite.signals.word_vectors import WordVectors

NOT_KNOWN = np.float32(np.nan)


class Words:
    """The mean of the three highest cosines of TF-IDF vectors to what was liked."""

    name = "words"

    def __init__(self, vectors: WordVectors, store: ItemStore) -> None:
        self._vectors, self._store = vectors, store

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) 0 to 1."""
        had, asked = self._vectors.of(*self._store.numbers(history, candidates))
        if not len(had.columns) or not len(asked.columns):
            return unknown(len(candidates))
        products = nearest.of_words(had, asked, self._vectors.size)
        return np.where(asked.empty, NOT_KNOWN, nearest.pooled(products, ~had.empty, evidence.of(history)))


class Specific:
    """Minus the cosine to the mean of the statistics' sample."""

    name = "specific"

    def __init__(self, vectors: WordVectors, store: ItemStore) -> None:
        self._vectors, self._store = vectors, store

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) 0 for words that the sample has not, less for general ones."""
        _, asked = self._vectors.of(*self._store.numbers(history, candidates))
        background = self._vectors.background
        if not background.any():
            return unknown(len(candidates))
        likeness = asked.dot(background)
        return np.where(asked.empty, NOT_KNOWN, (-likeness / SCALE).astype(np.float32))
