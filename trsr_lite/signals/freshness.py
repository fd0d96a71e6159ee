"""How new a candidate is.

Invariant: age is counted from the history's newest time, else from the newest item of the statistics, never from the
clock: the same call gives the same number tomorrow. An item without a time is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trsr_lite.records import Item
from trsr_lite.signals.signal import Numbers, unknown
from trsr_lite.signals.statistics import Statistics

DAY = 86_400.0


class Freshness:
    """Minus the logarithm of one more than the item's age in days. It is 0 for an item newer than all that was had."""

    name = "freshness"

    def __init__(self, statistics: Statistics) -> None:
        self._newest = statistics.newest

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) 0 or less."""
        now = max((item.time for item in history if item.time is not None), default=self._newest)
        if now is None:
            return unknown(len(candidates))
        times = np.array([np.nan if item.time is None else item.time for item in candidates], np.float64)
        return (-np.log1p(np.maximum(now - times, 0.0) / DAY)).astype(np.float32)
