"""An item as one vector: the mean of its tokens' vectors, from the model's own embedding table or from a learned one.

Idea: a token counts by how rare it is in the language, and vectors have length 1. The source is Arora et al., "A simple
but tough-to-beat baseline for sentence embeddings", ICLR 2017. What all items have in common is taken out: the first
principal direction of the model's vectors, the mean of the learned ones; authors' and composed people's lists chose
this. Invariant: a vector depends on the item's text and the statistics alone. Vectors are whole numbers (`exact`), so
their products are exact.
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
from trsr_lite.signals.learned_table import LearnedTable
from trsr_lite.signals.statistics import Bags, Statistics
from trsr_lite.signals.token_table import Directions, Numbers, TokenTable
from trsr_lite.signals.token_weights import rank_weights

ROUNDS = 30  # of the power iteration; the first direction stands out, so that few would do
SAMPLED = 400  # items that say where learned vectors lie, whenever a ranker opens
FEWEST = 8  # a sample with fewer items than dimensions / 8 has no first direction worth the name
Vector = npt.NDArray[np.float64]


class TokenVectors:
    """Vectors of the items of a store: of tokens' vectors `table` by their `weights`, less `mean` and `direction`.

    A token that comes again counts less each time where `damped`, else as much as the first time.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        table: Directions,
        weights: Vector,
        store: ItemStore,
        *,
        damped: bool = True,
        mean: Vector | None = None,
        direction: Vector | None = None,
    ) -> None:
        self._tokenizer, self._table, self._store = tokenizer, table, store
        self._weights, self._damped, self._mean, self._direction = weights, damped, mean, direction
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
        if self._mean is not None and vector.any():
            vector = vector - self._mean
        if self._direction is not None:
            vector = vector - (vector * self._direction).sum() * self._direction
        return whole(vector)

    def of_tokens(self, tokens: Numbers, counts: npt.NDArray[np.int64]) -> Vector:
        """(dimensions,) of a bag of tokens, before mean and first direction are taken out."""
        weights = (1.0 + np.log(counts) if self._damped else counts) * self._weights[tokens]
        total = weights.sum()
        if not total > 0:
            return np.zeros(self._table.dimensions)
        # Added row by row, not by a library: the same text gives the same bits.
        return _unit((self._table.directions(tokens) * weights[:, None]).sum(axis=0) / total)


def of_model(statistics: Statistics, tokenizer: Tokenizer, table: TokenTable, store: ItemStore) -> TokenVectors:
    """Vectors from the model's own table, by frequency in the language and among the items.

    Raises `ModelError` where the statistics know of no tokens, or were made with another tokenizer or table.
    """
    if statistics.tokens is None:
        raise ModelError("the statistics know of no tokens", hint="make them again with the model at hand")
    statistics.check(tokenizer, table.count)
    direction = statistics.direction
    if direction is not None and len(direction) != table.dimensions:
        raise ModelError("the statistics' token vectors have another size than this model's")
    frequency = inverse_frequency(statistics.tokens.astype(np.float64), statistics.documents)
    weights = rank_weights(table.count).astype(np.float64) * np.sqrt(frequency)
    first = None if direction is None else direction.astype(np.float64)
    return TokenVectors(tokenizer, table, weights, store, direction=first)


def of_learned(statistics: Statistics, tokenizer: Tokenizer, table: LearnedTable, store: ItemStore) -> TokenVectors:
    """Vectors from a learned table; raises `ModelError` where it or the statistics were made for another tokenizer."""
    statistics.check_tokenizer(tokenizer)
    if table.tokenizer != statistics.tokenizer:
        raise ModelError("the learned token vectors belong to another tokenizer than the statistics")
    weights = rank_weights(table.count).astype(np.float64)
    sample = _sampled(TokenVectors(tokenizer, table, weights, store, damped=False), statistics.token_sample, SAMPLED)
    mean = None if sample is None else sample.mean(axis=0)
    return TokenVectors(tokenizer, table, weights, store, damped=False, mean=mean)


def with_direction(statistics: Statistics, tokenizer: Tokenizer, table: TokenTable) -> Statistics:
    """The statistics with the first principal direction of their sample; without one where the sample is too small."""
    vectors = of_model(replace(statistics, direction=None), tokenizer, table, ItemStore())
    sample = _sampled(vectors, statistics.token_sample)
    return replace(statistics, direction=None if sample is None else _first_direction(sample).astype(np.float32))


def _sampled(vectors: TokenVectors, sample: Bags, most: int | None = None) -> Vector | None:
    """(items, dimensions) of these bags of tokens; None where they are too few to say where vectors lie."""
    bags = [sample[number] for number in range(len(sample) if most is None else min(most, len(sample)))]
    rows = [vectors.of_tokens(keys.astype(np.int64), counts.astype(np.int64)) for keys, counts in bags]
    return np.array(rows) if rows and len(rows) >= len(rows[0]) // FEWEST else None


def _first_direction(rows: Vector) -> Vector:
    """(dimensions,) what (items, dimensions) rows have most in common, by power iteration."""
    direction = _unit(rows.sum(axis=0))
    for _ in range(ROUNDS):
        direction = _unit(rows.T @ (rows @ direction))
    return direction


def _unit(vector: Vector) -> Vector:
    length = np.sqrt(np.square(vector).sum())
    return vector / length if length > 0 else vector
