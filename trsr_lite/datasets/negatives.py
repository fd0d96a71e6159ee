"""Items drawn to stand beside a user's own.

Invariant: the items of one draw are distinct, and none is excluded. The chance of each next item is proportional to its
weight among those that remain. What an item is, is not known.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
import numpy.typing as npt

from trsr_lite.errors import DataError

ROUNDS = 8  # of drawing and throwing away, before the remaining items are listed


class Sampler:
    """Draws rows.

    Parameters
    ----------
    kind: `uniform`, or `popularity` in proportion to the weights.
    weights: (items,) counts among the training users; an item of weight 0 is never drawn by popularity.
    rows: those that may be drawn, ascending; None: all.
    """

    def __init__(self, kind: str, weights: npt.NDArray[np.int64], rows: Sequence[int] | None = None) -> None:
        self.kind = kind
        self._rows = np.arange(len(weights)) if rows is None else np.asarray(rows, np.int64)
        weights = np.asarray(weights, np.int64)[self._rows]
        self._weights = np.ones(len(weights), np.int64) if kind == "uniform" else weights
        self._ends = np.cumsum(self._weights)
        self._possible = self._rows[self._weights > 0]

    def sample(self, rng: np.random.Generator, count: int, exclude: Set[int]) -> list[int]:
        """Draw `count` distinct rows outside `exclude`; raises `DataError` where there are too few."""
        total = int(self._ends[-1]) if len(self._ends) else 0
        found: dict[int, None] = {}
        for _ in range(ROUNDS if total else 0):
            drawn = self._rows[np.searchsorted(self._ends, rng.integers(0, total, 2 * count + 8), side="right")]
            found.update((row, None) for row in drawn.tolist() if row not in exclude)
            if len(found) >= count:
                return list(found)[:count]
        return list(found) + self._from_rest(rng, count - len(found), exclude | found.keys(), count)

    def check(self, count: int, exclude: Set[int]) -> None:
        """Raise `DataError` where fewer than `count` rows outside `exclude` can be drawn."""
        if len(self._possible) - len(exclude) >= count:
            return  # whatever is excluded: nearly always, and of all items none is looked at
        left = len(self._possible) - int(np.isin(self._possible, list(exclude)).sum())
        if left < count:
            raise self._too_few(count, left)

    def _from_rest(self, rng: np.random.Generator, missing: int, exclude: Set[int], count: int) -> list[int]:
        weights = self._weights.copy()
        weights[np.isin(self._rows, list(exclude))] = 0
        pool = np.flatnonzero(weights)
        if len(pool) < missing:
            raise self._too_few(count, len(pool) + count - missing)
        # The smallest of exponential waiting times: the same law as drawing one by one without replacement.
        waits = rng.exponential(size=len(pool)) / weights[pool]
        return [int(row) for row in self._rows[pool[np.argsort(waits)[:missing]]]]

    def _too_few(self, count: int, left: int) -> DataError:
        return DataError(
            f"{count} negatives are needed, but only {left} items can be drawn "
            f"({self.kind}, {len(self._possible):,} items with a weight)",
            hint="ask for fewer negatives" + ("" if self.kind == "uniform" else ", or draw them uniformly"),
        )
