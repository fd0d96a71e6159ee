"""How near a candidate is to what was liked, by token vectors: `tokens` to the nearest items, `recent` to the latest.

Source: the pooling of `tokens` is measured (design, part 4); that of `recent` is the decayed profile of classic content
filters (Billsus and Pazzani, 2000). Invariant: products are exact, so company and order change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trsr_lite.records import Item
from trsr_lite.signals import nearest
from trsr_lite.signals.exact import SCALE, UNIT, Whole, bounded
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.signal import Numbers, unknown
from trsr_lite.signals.token_vectors import TokenVectors

DECAY = 0.9  # weight of an item relative to the one after it


class Tokens:
    """The mean of the three highest cosines to the whole history."""

    name = "tokens"

    def __init__(self, vectors: TokenVectors, store: ItemStore) -> None:
        self._vectors, self._store = vectors, store

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) −1 to 1."""
        had, asked = self._vectors.of(*self._store.numbers(history, candidates))
        return _known(had, asked, lambda own: nearest.top_mean(nearest.of_vectors(own, asked)))


class Recent:
    """The cosine to the mean of the history, newer items weighing more."""

    name = "recent"

    def __init__(self, vectors: TokenVectors, store: ItemStore) -> None:
        self._vectors, self._store = vectors, store

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) −1 to 1."""
        had, asked = self._vectors.of(*self._store.numbers(history, candidates))
        return _known(had, asked, lambda own: asked.astype(np.float32) @ _profile(own) * UNIT)


def _profile(own: Whole) -> Numbers:
    weights = DECAY ** np.arange(len(own) - 1, -1, -1)
    return bounded((own * weights[:, None]).sum(axis=0) / (weights.sum() * SCALE))


def _known(had: Whole, asked: Whole, numbers: Callable[[Whole], Numbers]) -> Numbers:
    """What `numbers` says of candidates that have a vector, against history items that have one."""
    own = had[had.any(axis=1)]
    if not len(own) or not len(asked):
        return unknown(len(asked))
    return np.where(asked.any(axis=1), numbers(own), np.float32(np.nan))
