"""Prefixes that were evaluated before: their keys and values, kept outside of any context.

Invariant: what comes back are the very bytes that were computed for the same first tokens in the same way, so that no
margin depends on whether they were kept. The least recently used go first; all together never take more than `limit`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import numpy.typing as npt

WORTH = 16  # tokens: fewer are evaluated as quickly as they are put back
KEPT_BYTES = 128 << 20
"""Most bytes that are kept where no memory limit says otherwise: some 16 readers of the embedded default."""


@dataclass(frozen=True)
class Prefix:
    """Tokens of one sequence, and what a context remembers of them."""

    tokens: tuple[int, ...]
    state: npt.NDArray[np.uint8]


class Prefixes:
    """Prefixes by their tokens and by whether flash attention computed them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bool, tuple[int, ...]], Prefix] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def nearest(self, tokens: Sequence[int], *, flash: bool, most: int) -> tuple[Prefix, int] | None:
        """The prefix of at most `most` tokens that shares most with these, and how many it shares; None if too few."""
        best: tuple[int, tuple[bool, tuple[int, ...]]] | None = None
        for key, prefix in self._kept.items():
            if key[0] == flash and len(prefix.tokens) <= most:
                shared = _shared(tokens, prefix.tokens)
                if shared >= WORTH and (best is None or shared >= best[0]):
                    best = shared, key
        if best is None:
            return None
        self._kept.move_to_end(best[1])
        return self._kept[best[1]], best[0]

    def keep(self, tokens: Sequence[int], state: npt.NDArray[np.uint8], *, flash: bool, limit: int) -> None:
        """Keep one more within `limit` bytes of all; what begins it is not needed beside it."""
        whole = tuple(tokens)
        for key in [key for key in self._kept if key[0] == flash and key[1] == whole[: len(key[1])]]:
            self._drop(key)
        if state.nbytes <= limit:
            self._kept[flash, whole] = Prefix(whole, state)
            self.bytes += state.nbytes
        self.shrink(limit)

    def shrink(self, limit: int) -> None:
        """Drop the least recently used until all take no more than `limit` bytes."""
        while self._kept and self.bytes > limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[bool, tuple[int, ...]]) -> None:
        self.bytes -= self._kept.pop(key).state.nbytes


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
