"""Which items the same users had, counted from whole sequences.

Source: item-based nearest neighbours (Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004). The likeness of two
items is the cosine of their users. Invariant: each row is an item's, with its `MOST` nearest at most. The table does
not depend on the order of users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trsr_lite.signals.counts import Keys, id_keys

MOST = 50  # neighbours kept of an item
RECENT = 50  # newest items of a user that are counted; pairs grow with the square


@dataclass(frozen=True)
class NeighbourTable:
    """`keys` ascending hashes of ids; the neighbours of row i are `columns` and `likeness` from starts[i] on."""

    keys: Keys
    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    likeness: npt.NDArray[np.float16]

    def places(self, keys: Keys) -> npt.NDArray[np.int64]:
        """(keys,) the row of each, −1 for an item that nobody had."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, -1)


def count(users: Iterable[Sequence[str]]) -> NeighbourTable:
    """The table of what these users had, each as a sequence of ids, oldest first."""
    sequences = [np.unique(id_keys(tuple(ids)[-RECENT:])) for ids in users]
    keys, had = np.unique(np.concatenate([np.zeros(0, np.uint64), *sequences]), return_counts=True)
    pairs: Counter[int] = Counter()
    for sequence in sequences:
        places = np.searchsorted(keys, sequence)
        first, second = np.triu_indices(len(places), 1)
        pairs.update((places[first] * len(keys) + places[second]).tolist())
    rows = np.fromiter(pairs, np.int64, len(pairs))
    times = np.fromiter(pairs.values(), np.int64, len(pairs))
    return _table(keys, had, rows, times)


def _table(
    keys: Keys, had: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64], times: npt.NDArray[np.int64]
) -> NeighbourTable:
    one, other = np.divmod(pairs, max(len(keys), 1))
    likeness = times / np.sqrt(had[one] * had[other])
    rows, columns, values = np.r_[one, other], np.r_[other, one], np.r_[likeness, likeness]
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    starts = np.searchsorted(rows, np.arange(len(keys) + 1))
    kept = np.arange(len(rows)) - starts[rows] < MOST
    rows = rows[kept]
    return NeighbourTable(
        keys,
        np.searchsorted(rows, np.arange(len(keys) + 1)).astype(np.int64),
        columns[kept].astype(np.int32),
        values[kept].astype(np.float16),
    )
