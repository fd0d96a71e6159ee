"""Baselines that read no text: chance, popularity and shared attributes.

Invariant: attribute values count as a whole; no word of a title decides anything.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from trsr_lite.datasets.dataset import Example
from trsr_lite.evaluation.baselines.ranker import Scores, decaying_weights
from trsr_lite.records import Item


class Random:
    """Chance: a number that only the seed, the user and the item decide."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def score(self, example: Example) -> Scores:
        """(candidates,) from 0 to 1."""
        names = (f"{self.seed}\0{example.user_id}\0{item.id}".encode() for item in example.candidates)
        digests = b"".join(hashlib.blake2b(name, digest_size=8).digest() for name in names)
        return np.frombuffer(digests, dtype="<u8") / 2.0**64


class Popularity:
    """How many training users have the item; `counts` is by item id."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts

    def score(self, example: Example) -> Scores:
        """(candidates,) counts."""
        return np.array([self.counts.get(item.id, 0) for item in example.candidates], np.float64)


class Attributes:
    """Category match: the values, such as category or brand, that a candidate shares with the history.

    A value weighs its inverse document frequency, and more the newer the item that has it. Titles do not count.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        known = list(items)
        counts = Counter(value for item in known for value in _values(item))
        self._weights = {value: math.log((len(known) + 1) / (count + 1)) for value, count in counts.items()}

    def score(self, example: Example) -> Scores:
        """(candidates,) weighted sums of shared values; 0 where nothing is shared."""
        had: dict[tuple[str, str], float] = defaultdict(float)
        for item, newness in zip(example.liked, decaying_weights(len(example.liked)).tolist(), strict=True):
            for value in _values(item):
                had[value] += newness * self._weights[value]
        sums = [sum(had.get(value, 0.0) for value in _values(item)) for item in example.candidates]
        return np.array(sums, np.float64)


def _values(item: Item) -> list[tuple[str, str]]:
    return [(name, value) for name, value in item.attributes.items() if name != "title"]
