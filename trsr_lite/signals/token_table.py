"""Rows of a model's embedding table as directions: what token vectors are made of.

Invariant: a token has the same direction whoever asks; what it counts in a text is not known here.
"""

from __future__ import annotations

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


class Directions(Protocol):
    """A vector for each token of a tokenizer, such as `TokenTable` or `LearnedTable`."""

    @property
    def count(self) -> int:
        """Tokens of the tokenizer."""
        ...

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        ...

    def directions(self, tokens: Numbers) -> Values:
        """(tokens, dimensions)."""
        ...


class TokenTable:
    """Directions of a table's rows; `row_mean` (width,) is taken from each row before its length becomes 1."""

    def __init__(self, table: Table, row_mean: Values) -> None:
        self.count, self.dimensions = table.count, table.width
        self._table, self._mean = table, row_mean

    def directions(self, tokens: Numbers) -> Values:
        """(tokens, dimensions), each of length 1."""
        rows = self._table.rows(tokens) - self._mean
        lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
        return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)


def row_mean(table: Table, at_once: int = 4096) -> Values:
    """(width,) the mean of all rows."""
    total = np.zeros(table.width)
    for start in range(0, table.count, at_once):
        total += table.rows(np.arange(start, min(start + at_once, table.count))).sum(axis=0, dtype=np.float64)
    return (total / max(table.count, 1)).astype(np.float32)
