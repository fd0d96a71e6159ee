"""How near a candidate is to what was liked: `tokens` and `meaning` to the nearest items, `recent` to the latest.

Source: the pooling of `tokens` is measured (design, part 4); that of `recent` is the decayed profile of classic content
filters (Billsus and Pazzani, 2000). Invariant: products are exact, so company and order change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trsr_lite.records import Item
from trsr_lite.signals import evidence, nearest
from trsr_lite.signals.exact import SCALE, UNIT, bounded
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.signal import Numbers, unknown
from trsr_lite.signals.token_vectors import TokenVectors

DECAY = 0.9  # weight of an item relative to the one after it
NOT_KNOWN = np.float32(np.nan)


class Tokens:
    """The mean of the three highest cosines to what was liked; `meaning` where the vectors were learned."""

    def __init__(self, vectors: TokenVectors, store: ItemStore, name: str = "tokens") -> None:
        self.name = name
        self._vectors, self._store = vectors, store

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) −1 to 1."""
        numbers = self._store.numbers(history, candidates)
        had, asked = (np.asarray(vectors.any(axis=1)) for vectors in self._vectors.of(*numbers))
        if not had.any() or not asked.any():
            return unknown(len(candidates))
        means = nearest.pooled(self._vectors.products(*numbers).copy(), had, evidence.of(history))
        return np.where(asked, means, NOT_KNOWN)


class Recent:
    """The cosine to the mean of what was liked, newer items weighing more."""

    name = "recent"

    def __init__(self, vectors: TokenVectors, store: ItemStore) -> None:
        self._vectors, self._store = vectors, store

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) −1 to 1."""
        had, asked = self._vectors.of(*self._store.numbers(history, candidates))
        judged = evidence.of(history)
        own = had[had.any(axis=1) if judged is None else had.any(axis=1) & judged.liked]
        if not len(own):
            return unknown(len(candidates))
        weights = DECAY ** np.arange(len(own) - 1, -1, -1)
        profile = bounded((own * weights[:, None]).sum(axis=0) / (weights.sum() * SCALE))
        return np.where(asked.any(axis=1), asked.astype(np.float32) @ profile * UNIT, NOT_KNOWN)
