"""How often each of many things was met, by their hashes.

Invariant: keys ascend and are distinct; counts are whole numbers from 1 to 2⁶⁴ − 1. A key that is not there counts 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trsr_lite.errors import DataError

MOST = (1 << 64) - 1
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Counts:
    """`keys` (things,) ascending hashes, and `values` (things,) how often each was met."""

    keys: Keys
    values: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, counted: Mapping[int, int], *, most: int | None = None) -> Counts:
        """Keep the `most` frequent; among equals, those with the smallest hash."""
        pairs = [(key, count) for key, count in counted.items() if count]
        wrong = next((count for _, count in pairs if not 0 < count <= MOST), None)
        if wrong is not None:
            raise DataError(f"a count is {wrong}; it must be from 0 to 2⁶⁴ − 1")
        if most is not None and len(pairs) > most:
            pairs = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:most]
        pairs.sort()
        keys, values = (np.array([pair[place] for pair in pairs], np.uint64) for place in (0, 1))
        return cls(keys, values)

    def __len__(self) -> int:
        return len(self.keys)

    def places(self, keys: Keys) -> npt.NDArray[np.int64]:
        """(keys,) the place of each among these keys, −1 for one that is not there."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, -1)

    def get(self, keys: Keys) -> npt.NDArray[np.float64]:
        """(keys,) counts."""
        places = self.places(keys)
        return (
            np.where(places < 0, 0.0, self.values[places].astype(np.float64)) if len(self.keys) else np.zeros(len(keys))
        )

    def to_dict(self) -> dict[int, int]:
        """Hash -> count, as Python numbers."""
        return dict(zip(self.keys.tolist(), self.values.tolist(), strict=True))


def id_key(item_id: str) -> int:
    """The hash of an item's id; of 64 bits, since two items must not be taken for one."""
    return int.from_bytes(hashlib.blake2b(item_id.encode(), digest_size=8).digest(), "little")


def id_keys(ids: Iterable[str]) -> Keys:
    """(ids,) their hashes."""
    return np.array([id_key(one) for one in ids], np.uint64)


def inverse_frequency(counts: npt.NDArray[np.float64], documents: int) -> npt.NDArray[np.float64]:
    """Smoothed inverse document frequencies, as scikit-learn's TF-IDF has them; 1 is in every document."""
    return np.log((1.0 + documents) / (1.0 + np.minimum(counts, documents))) + 1.0
