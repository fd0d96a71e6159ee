"""Whether users who had what was liked of the history also had the candidate.

Source: item-based nearest neighbours, as `implicit` and ItemKNN compute them (see `neighbour_table`). Invariant: as for
`signal`; an item that no counted user had is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trsr_lite import feedback
from trsr_lite.records import Item
from trsr_lite.signals.counts import id_keys
from trsr_lite.signals.signal import Numbers, unknown
from trsr_lite.signals.statistics import Statistics

DECAY = 0.95  # weight of an item relative to the one after it


class Neighbours:
    """The likeness of the candidate to the history's items, added up, newer ones weighing more."""

    name = "neighbours"

    def __init__(self, statistics: Statistics) -> None:
        self._table = statistics.neighbours

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) 0 or more."""
        table = self._table
        if table is None or not len(candidates):
            return unknown(len(candidates))
        had = table.places(id_keys(item.id for item in feedback.liked(history)))
        asked = table.places(id_keys(item.id for item in candidates))
        if not (had >= 0).any():
            return unknown(len(candidates))
        ages = DECAY ** np.arange(len(had) - 1, -1, -1)
        weights = np.bincount(had[had >= 0], weights=ages[had >= 0], minlength=len(table.keys))
        lengths = np.where(asked < 0, 0, table.starts[asked + 1] - table.starts[asked])
        rows = np.repeat(np.arange(len(asked)), lengths)
        entries = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + table.starts[asked][rows]
        products = table.likeness[entries].astype(np.float64) * weights[table.columns[entries]]
        sums = np.bincount(rows, weights=products, minlength=len(asked)).astype(np.float32)
        return np.where(asked < 0, np.float32(np.nan), sums)
