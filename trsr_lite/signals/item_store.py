"""Numbers for items met before, so that what signals compute of an item is computed once.

Invariant: within a generation an item's number never changes and stands for its attributes, whatever its id. When
`MOST` items have been met, a new generation begins and all numbers are forgotten. One store serves one ranker.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trsr_lite.records import Item

MOST = 20_000
Numbers = npt.NDArray[np.int64]


class ItemStore:
    """Gives numbers; `items` are by number, `generation` counts how often all were forgotten."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.generation = 0
        self.items: list[Item] = []
        self._numbers: dict[tuple[tuple[str, str], ...], int] = {}
        self._last: tuple[Sequence[Item], Sequence[Item], Numbers, Numbers] | None = None

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> tuple[Numbers, Numbers]:
        """The number of each item; the same two tuples again are not looked at again."""
        if self._last and self._last[0] is history and self._last[1] is candidates and isinstance(history, tuple):
            return self._last[2], self._last[3]
        keys = [tuple(item.attributes.items()) for items in (history, candidates) for item in items]
        new = sum(key not in self._numbers for key in set(keys))
        if self.items and len(self.items) + new > self.most:
            self.generation += 1
            self.items, self._numbers = [], {}
        for key, item in zip(keys, (*history, *candidates), strict=True):
            if key not in self._numbers:
                self._numbers[key] = len(self.items)
                self.items.append(item)
        found = np.array([self._numbers[key] for key in keys], np.int64)
        first, second = found[: len(history)], found[len(history) :]
        self._last = (history, candidates, first, second) if isinstance(candidates, tuple) else None
        return first, second
