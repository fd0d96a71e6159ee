"""How many users had a candidate, where somebody counted them.

Invariant: counts are of training users or of a catalog's, never of the lists that are judged. Uniform negatives mostly
measure this signal. An item that nobody had is 0; without counters nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trsr_lite.records import Item
from trsr_lite.signals.counts import id_keys
from trsr_lite.signals.signal import Numbers, unknown
from trsr_lite.signals.statistics import Statistics


class Popularity:
    """The logarithm of one more than the users who had the item."""

    name = "popularity"

    def __init__(self, statistics: Statistics) -> None:
        self._counts = statistics.popularity

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) 0 or more."""
        if self._counts is None:
            return unknown(len(candidates))
        return np.log1p(self._counts.get(id_keys(item.id for item in candidates))).astype(np.float32)
