"""An item as one vector: the mean of its tokens' directions in the model's own embedding table.

Idea: a token counts by its inverse document frequency and by the logarithm of how often it comes, the first principal
direction of the items is taken out (Arora et al., "A simple but tough-to-beat baseline for sentence embeddings", ICLR
2017), and vectors have length 1. Invariant: a vector depends on the item's text and the statistics alone; vectors are
whole numbers (`exact`), so that their products are exact.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.errors import ModelError
from trsr_lite.signals import nearest
from trsr_lite.signals.counts import inverse_frequency
from trsr_lite.signals.exact import Whole, whole
from trsr_lite.signals.item_store import ItemStore
from trsr_lite.signals.item_text import text_of
from trsr_lite.signals.statistics import Statistics
from trsr_lite.signals.token_table import Numbers, TokenTable

ROUNDS = 30  # of the power iteration; the first direction stands out, so that few would do
Vector = npt.NDArray[np.float64]


class TokenVectors:
    """Vectors of the items of a store.

    Raises `ModelError` where the statistics know of no tokens, or were made with another tokenizer.
    """

    def __init__(self, statistics: Statistics, tokenizer: Tokenizer, table: TokenTable, store: ItemStore) -> None:
        if statistics.tokens is None:
            raise ModelError("the statistics know of no tokens", hint="make them again with the model at hand")
        statistics.check(tokenizer, table.count)
        self._tokenizer, self._table, self._store = tokenizer, table, store
        self._weights = (
            inverse_frequency(statistics.tokens.astype(np.float64), statistics.documents)
            if table.tuning is None
            else table.tuning.weights.astype(np.float64)
        )
        direction = statistics.direction
        if direction is not None and len(direction) != table.dimensions:
            raise ModelError("the statistics' token vectors have another size than this model's")
        self._direction = None if direction is None else direction.astype(np.float64)
        self._generation, self._known = store.generation, 0
        self._vectors = np.zeros((64, table.dimensions), np.int16)
        self._last: tuple[Numbers, Numbers, Whole, Whole] | None = None
        self._products: npt.NDArray[np.float32] | None = None

    def of(self, history: Numbers, candidates: Numbers) -> tuple[Whole, Whole]:
        """(items, dimensions) whole vectors of the store's items of these numbers; zeros for one without tokens.

        Those of the same two arrays again are at hand.
        """
        items = self._store.items
        if self._generation != self._store.generation:
            self._generation, self._known, self._last = self._store.generation, 0, None
        while len(items) > len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        for number in range(self._known, len(items)):
            self._vectors[number] = self.encoded(text_of(items[number]))
        self._known = len(items)
        if self._last is None or self._last[0] is not history or self._last[1] is not candidates:
            self._last = (history, candidates, self._vectors[history], self._vectors[candidates])
            self._products = None
        return self._last[2], self._last[3]

    def products(self, history: Numbers, candidates: Numbers) -> npt.NDArray[np.float32]:
        """(candidates, history) exact products of their vectors; not to be written to."""
        had, asked = self.of(history, candidates)
        if self._products is None:
            self._products = nearest.of_vectors(had, asked)
        return self._products

    def encoded(self, text: str) -> Whole:
        """(dimensions,) the whole vector of a text."""
        ids = self._tokenizer.encode(" " + text) if text.strip() else []
        tokens, counts = np.unique(np.array(ids, np.int64), return_counts=True)
        vector = self.of_tokens(tokens, counts)
        if self._direction is not None:
            vector = vector - (vector * self._direction).sum() * self._direction
        return whole(vector)

    def of_tokens(self, tokens: Numbers, counts: npt.NDArray[np.int64]) -> Vector:
        """(dimensions,) of a bag of tokens, before the first direction is taken out."""
        weights = (1.0 + np.log(counts)) * self._weights[tokens]
        total = weights.sum()
        if not total > 0:
            return np.zeros(self._table.dimensions)
        # Added row by row, not by a library: the same text gives the same bits.
        vector = (self._table.directions(tokens) * weights[:, None]).sum(axis=0) / total
        if self._table.tuning is not None:
            vector = vector - self._table.tuning.mean
        return _unit(vector)


def with_direction(statistics: Statistics, tokenizer: Tokenizer, table: TokenTable) -> Statistics:
    """The statistics with the first principal direction of their sample; without one where the sample is too small."""
    vectors = TokenVectors(replace(statistics, direction=None), tokenizer, table, ItemStore())
    bags = [statistics.token_sample[number] for number in range(len(statistics.token_sample))]
    rows = [vectors.of_tokens(keys.astype(np.int64), counts.astype(np.int64)) for keys, counts in bags]
    if len(rows) < table.dimensions // 8:
        return replace(statistics, direction=None)
    sample = np.array(rows)
    direction = _unit(sample.sum(axis=0))
    for _ in range(ROUNDS):
        direction = _unit(sample.T @ (sample @ direction))
    return replace(statistics, direction=direction.astype(np.float32))


def _unit(vector: Vector) -> Vector:
    length = np.sqrt(np.square(vector).sum())
    return vector / length if length > 0 else vector
