"""Rows of a model's embedding table as directions: what token vectors are made of.

Invariant: a token has the same direction and weight whoever asks. A tuning replaces both where it is given; without
one a token's weight is left to the statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


class Table(Protocol):
    """A matrix with a row for each token, such as `engine.tensors.Rows`."""

    count: int
    width: int

    def rows(self, numbers: Numbers) -> Values:
        """(numbers, width) of these rows."""
        ...


@dataclass(frozen=True)
class Tuning:
    """What training found better than the table as it is.

    Attributes
    ----------
    weights: (vocabulary,) what each token counts in an item's mean.
    projection: (width, dimensions) where a row's direction goes.
    corrections: (vocabulary, rank) and `directions` (rank, dimensions): what is added for a single token; may be empty.
    mean: (dimensions,) taken from every item's vector.
    """

    weights: Values
    projection: Values
    corrections: Values
    directions: Values
    mean: Values


class TokenTable:
    """Directions of tokens; `row_mean` (width,) is taken from each row before its length becomes 1."""

    def __init__(self, table: Table, row_mean: Values, tuning: Tuning | None = None) -> None:
        self.count = table.count
        self.tuning = tuning
        self.dimensions = table.width if tuning is None else tuning.projection.shape[1]
        self._table, self._mean = table, row_mean

    def directions(self, tokens: Numbers) -> Values:
        """(tokens, dimensions)."""
        rows = np.asarray(self._table.rows(tokens) - self._mean, np.float32)
        lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
        rows = np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)
        if self.tuning is None:
            return rows
        moved = rows @ self.tuning.projection
        if self.tuning.corrections.shape[1]:
            moved = moved + self.tuning.corrections[tokens] @ self.tuning.directions
        return np.asarray(moved, np.float32)


def row_mean(table: Table, at_once: int = 4096) -> Values:
    """(width,) the mean of all rows."""
    total = np.zeros(table.width)
    for start in range(0, table.count, at_once):
        total += table.rows(np.arange(start, min(start + at_once, table.count))).sum(axis=0, dtype=np.float64)
    return (total / max(table.count, 1)).astype(np.float32)
