"""Sparse vectors of a store's items, kept one after another and gathered by number.

Invariant: an item's entries never change once added, and stay in the order they were given in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Entry i says that row `rows[i]` has `columns[i]` with `weights[i]`; there are `count` rows."""

    rows: Places
    columns: Places
    weights: Weights
    count: int

    def dot(self, vector: Weights) -> Weights:
        """(rows,) products with a vector over all columns; each is added up in order of the row's own entries."""
        products = self.weights * vector[self.columns]
        return np.asarray(np.bincount(self.rows, weights=products, minlength=self.count), np.float64)

    @property
    def empty(self) -> npt.NDArray[np.bool_]:
        """(rows,) whether a row has no entry."""
        return np.asarray(np.bincount(self.rows, minlength=self.count) == 0)


class Ragged:
    """Grows by one row at a time; columns are numbered by when a key was first met."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._columns, self._weights = np.zeros(1024, np.int64), np.zeros(1024)
        self._ends = [0]
        self._starts_at = np.zeros(1, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def width(self) -> int:
        """Different keys met so far."""
        return len(self._numbers)

    def append(self, keys: list[int], weights: npt.NDArray[Any]) -> None:
        """Add a row."""
        start = self._ends[-1]
        end = start + len(keys)
        while end > len(self._columns):
            self._columns, self._weights = (np.concatenate([one, one]) for one in (self._columns, self._weights))
        numbers = self._numbers
        self._columns[start:end] = [numbers.setdefault(key, len(numbers)) for key in keys]
        self._weights[start:end] = weights
        self._ends.append(end)

    def rows(self, numbers: Places) -> Rows:
        """These rows, in this order."""
        if len(self._starts_at) != len(self._ends):
            self._starts_at = np.array(self._ends, np.int64)
        starts = self._starts_at[numbers]
        lengths = self._starts_at[numbers + 1] - starts
        rows = np.repeat(np.arange(len(numbers)), lengths)
        places = np.arange(len(rows)) + (starts - np.cumsum(lengths) + lengths)[rows]
        return Rows(rows, self._columns[places], self._weights[places], len(numbers))
